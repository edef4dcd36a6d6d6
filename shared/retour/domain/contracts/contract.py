"""The terms between a program and its partners, in immutable versions: who is paid what, and when it locks (spec 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from retour.domain.actions.action import Action, Line
from retour.domain.contracts.lock import AfterEvent, AfterStatus, LockRule, OpenEnded, Restart
from retour.domain.money import allocate, decimal, exponent, half_away, to_minor


class Basis(StrEnum):
    """Which version prices a change: the one valid when it came (as impact.com does), or when the action happened."""

    AT_MODIFICATION = "at_modification"
    AT_ACTION = "at_action"


class Cascade(StrEnum):
    """What the reversal of a parent does to its children."""

    CASCADE = "cascade"
    WARN = "warn"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Percent:
    """Of the amount: of every line, rounded once per line, or of the order as one line."""

    percent: Decimal
    per_order: bool = False


@dataclass(frozen=True, slots=True)
class Flat:
    """Minor units of the program's currency: for every unit sold that has not come back, or once for the order."""

    amount: int
    per_order: bool = False


Pay = Percent | Flat


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is paid where all its conditions hold; an empty condition holds for everything."""

    pay: Pay
    categories: frozenset[str] = frozenset()
    skus: frozenset[str] = frozenset()
    promo_codes: frozenset[str] = frozenset()
    customer_statuses: frozenset[str] = frozenset()

    def holds(self, action: Action, line: Line) -> bool:
        return (
            (not self.categories or line.category in self.categories)
            and (not self.skus or line.sku in self.skus)
            and (not self.promo_codes or action.promo_code in self.promo_codes)
            and (not self.customer_statuses or action.customer_status in self.customer_statuses)
        )


@dataclass(frozen=True, slots=True)
class Paid:
    """What one line pays, in minor units of the program's currency, and the rank of the rule that says so (0: none)."""

    amount: int
    rule: int


Span = tuple[datetime, datetime | None]
"""From a moment until another; None: still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of the terms for an event type: of the named partners, or of all when none is named.

    `number` counts all contract versions of the program from 1 and is what the ledger books; `version` counts within
    the name. `body` is the terms as they were written. `named`: when the document in force named the contract. The
    last day of the terms is `valid_until`.
    """

    number: int
    name: str
    version: int
    recorded_at: datetime
    time_zone: str
    currency: str
    body: Mapping[str, Any]
    event_type: str
    partners: frozenset[str]
    valid_from: date
    rules: tuple[Rule, ...]
    lock: LockRule
    basis: Basis
    cascade: Cascade
    named: tuple[Span, ...]
    valid_until: date | None = None

    def covers(self, event_type: str, partner: str) -> bool:
        return self.event_type == event_type and (not self.partners or partner in self.partners)

    def reach(self, partner: str) -> int:
        """How wide terms reach that cover the partner: 0 where they name it, 2 where they are for all."""
        return 0 if partner in self.partners else 2

    def is_named_at(self, moment: datetime) -> bool:
        """Whether the document in force at the moment has a contract of this name."""
        return any(begun <= moment and (end is None or moment < end) for begun, end in self.named)

    def has_ended(self, day: date) -> bool:
        return self.valid_until is not None and self.valid_until < day

    def pays(self, action: Action, rests: Sequence[tuple[int, int]]) -> tuple[Paid, ...]:
        """Every line's commission for what is left of it, (amount, quantity) each, by the first rule that holds."""
        ranks = [self.rank(action, line) for line in action.lines]
        amounts = [0] * len(ranks)
        for rank in sorted({rank for rank in ranks if rank}):
            of_rule = [i for i, own in enumerate(ranks) if own == rank]
            paid = self._rule_pays(self.rules[rank - 1].pay, action, [rests[i] for i in of_rule])
            for i, amount in zip(of_rule, paid, strict=True):
                amounts[i] = amount
        return tuple(Paid(amount, rank) for amount, rank in zip(amounts, ranks, strict=True))

    def rank(self, action: Action, line: Line) -> int:
        """The rank of the first rule that holds for a line; 0 when none does."""
        return next((rank for rank, rule in enumerate(self.rules, 1) if rule.holds(action, line)), 0)

    def _rule_pays(self, pay: Pay, action: Action, rests: Sequence[tuple[int, int]]) -> Sequence[int]:
        amounts = [amount for amount, _ in rests]
        match pay:
            case Percent(percent, per_order=False):
                return [half_away(self.converted(amount, action) * percent / 100) for amount in amounts]
            case Percent(percent):
                return allocate(half_away(self.converted(sum(amounts), action) * percent / 100), amounts)
            case Flat(flat, per_order=False):
                return [flat * quantity for _, quantity in rests]
            case Flat(flat):
                left = [amount or quantity for amount, quantity in rests]
                return allocate(flat, left) if any(left) else [0] * len(rests)

    def converted(self, amount: int, action: Action) -> Decimal:
        """Minor units of the action's currency in those of the program's, at the rate frozen on the action."""
        places = exponent(self.currency) - exponent(action.currency)
        return (Decimal(amount) * action.rate).scaleb(places)

    def says_the_same(self, other: "Contract") -> bool:
        """The same terms, whatever their version."""
        return (self.name, self.time_zone, self.currency, self.body) == (
            other.name,
            other.time_zone,
            other.currency,
            other.body,
        )


def contract_of(
    name: str,
    body: Mapping[str, Any],
    *,
    time_zone: str,
    currency: str,
    recorded_at: datetime,
    number: int = 0,
    version: int = 0,
    named: tuple[Span, ...] = (),
) -> Contract:
    """The contract that a document (valid against the program's schema) describes."""
    return Contract(
        number=number,
        name=name,
        version=version,
        recorded_at=recorded_at,
        time_zone=time_zone,
        currency=currency,
        body=body,
        event_type=body["event_type"],
        partners=frozenset(body.get("partners", ())),
        valid_from=date.fromisoformat(str(body["valid_from"])),
        rules=tuple(rule_of(rule, currency) for rule in body.get("rules") or [{"pays": body["payout"]}]),
        lock=lock_of(body["lock"]),
        basis=Basis(body.get("terms_basis", Basis.AT_MODIFICATION)),
        cascade=Cascade(body.get("cascade", Cascade.NONE)),
        named=named or ((recorded_at, None),),
        valid_until=date.fromisoformat(str(body["valid_until"])) if "valid_until" in body else None,
    )


def rule_of(body: Mapping[str, Any], currency: str) -> Rule:
    return Rule(
        pay=pay_of(str(body["pays"]), currency, per_order=body.get("per") == "order"),
        categories=frozenset(body.get("category", ())),
        skus=frozenset(body.get("sku", ())),
        promo_codes=frozenset(body.get("promo_code", ())),
        customer_statuses=frozenset(body.get("customer_status", ())),
    )


def pay_of(text: str, currency: str, *, per_order: bool) -> Pay:
    """`8%`, or a flat amount of the program's currency such as `5.00` or `5.00 EUR`."""
    if text.endswith("%"):
        return Percent(decimal(text[:-1].strip()), per_order)
    return Flat(to_minor(decimal(text.removesuffix(currency).strip()), currency), per_order)


def lock_of(body: Mapping[str, Any]) -> LockRule:
    if "days_after_status" in body:
        restart = Restart(body.get("restart", Restart.ANY_CHANGE))
        return AfterStatus(body["days_after_status"], frozenset(body["statuses"]), restart)
    if body.get("open_ended"):
        return OpenEnded(body.get("days_max", OpenEnded().days_max))
    from_month_end = "days_after_month_end" in body or "months_after_month_end" in body
    days = body.get("days_after_month_end" if from_month_end else "days_after_event", 0)
    months = body.get("months_after_month_end" if from_month_end else "months_after_event", 0)
    at_end = body.get("lock_moment", "end") == "end"
    return AfterEvent(days, months, from_month_end, at_end, bool(body.get("month_end_sticky")))
