"""A ranked payout rule: what it asks, in which days, what it pays and at most how much (spec 6)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from retour.domain.actions.action import Line
from retour.domain.contracts.conditions import (
    KnownNames,
    Sale,
    TermCondition,
    condition_faults,
    condition_schemas,
    conditions_of,
)
from retour.domain.contracts.named_list import Entries
from retour.domain.contracts.pay import (
    CAP_SCHEMA,
    PER_SCHEMA,
    Pay,
    cap_fault,
    pay_fault,
    pay_of,
)
from retour.domain.money import parse_decimal, to_minor, to_text
from retour.domain.phrase import Phrase, Sentence

DAY_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The pay of actions within the rule's days for which all conditions hold. None is an open end."""

    pay: Pay
    asks: tuple[TermCondition, ...] = ()
    first: date | None = None
    last: date | None = None
    at_most: int | None = None

    @property
    def is_for_everything(self) -> bool:
        return not self.asks and self.first is None and self.last is None

    def holds(self, sale: Sale, line: Line) -> bool:
        return (
            (self.first is None or self.first <= sale.day)
            and (self.last is None or sale.day <= self.last)
            and all(ask.holds(sale, line) for ask in self.asks)
        )

    def phrases(self, currency: str) -> list[Phrase]:
        """The phrases for conditions, days and cap."""
        parts = [ask.phrase() for ask in self.asks]
        if self.first:
            parts.append(Phrase("TERM_FROM", {"day": self.first.isoformat()}))
        if self.last:
            parts.append(Phrase("TERM_UNTIL", {"day": self.last.isoformat()}))
        if self.at_most is not None:
            parts.append(Phrase("TERM_AT_MOST", {"values": f"{to_text(self.at_most, currency)} {currency}"}))
        return parts


def rule_of(body: Mapping[str, Any], currency: str, lists: Mapping[str, Entries]) -> Rule:
    return Rule(
        pay=pay_of(str(body["pays"]), currency, per_order=body.get("per") == "order"),
        asks=conditions_of(body, currency, lists),
        first=date.fromisoformat(body["from"]) if "from" in body else None,
        last=date.fromisoformat(body["until"]) if "until" in body else None,
        at_most=to_minor(parse_decimal(str(body["at_most"])), currency) if "at_most" in body else None,
    )


def rule_faults(body: Mapping[str, Any], program: KnownNames) -> Iterator[tuple[tuple[str | int, ...], Sentence]]:
    """Semantic faults of a valid rule, each with its path and message."""
    if sentence := pay_fault(body["pays"], program.currency):
        yield ("pays",), sentence
    if "at_most" in body and (sentence := cap_fault(body["at_most"], program.currency)):
        yield ("at_most",), sentence
    yield from condition_faults(body, program)


def rule_schema() -> dict[str, Any]:
    return {
        "description": "One ranked rule: it holds where all its conditions do, and the first that holds for a line "
        "pays it.",
        "type": "object",
        "additionalProperties": False,
        "required": ["pays"],
        "properties": {
            "pays": {"$ref": "#/$defs/payout"},
            "per": PER_SCHEMA,
            **condition_schemas(),
            "from": {
                "description": "The first day of orders that the rule is for, in the program's time zone.",
                "type": "string",
                "pattern": DAY_PATTERN,
                "examples": ["2026-11-20"],
            },
            "until": {
                "description": "The last day of orders that the rule is for, whenever they are reported or changed.",
                "type": "string",
                "pattern": DAY_PATTERN,
                "examples": ["2026-11-27"],
            },
            "at_most": CAP_SCHEMA,
        },
    }
