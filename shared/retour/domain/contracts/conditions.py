"""Conditions of terms: one entry each, with its syntax, evaluation and explanation (spec 6).

Conditions are evaluated on the action as reported, whenever it is priced: no return moves an order over a threshold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from retour.domain.actions.action import Action, Line
from retour.domain.contracts.named_list import ENTRY_MAX, Entries
from retour.domain.money import InvalidAmountError, parse_decimal, to_minor, to_text
from retour.domain.phrase import Phrase, Sentence

NOT = "not"
VALUES_MAX = 500


@dataclass(frozen=True, slots=True)
class Sale:
    """An action as terms see it.

    With its local event day, its order value in minor units of the program's currency, and its partner's groups.
    """

    action: Action
    day: date
    value: Decimal
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Matches listed values and entries of named lists."""

    values: frozenset[str]
    lists: tuple[tuple[str, Entries], ...] = ()

    def holds(self, found: Sequence[str]) -> bool:
        return any(value in self.values or any(value in entries for _, entries in self.lists) for value in found)

    def __str__(self) -> str:
        return ", ".join([*sorted(self.values), *(f"@{name}" for name, _ in self.lists)])


@dataclass(frozen=True, slots=True)
class Between:
    """Matches `low` (included) to `high` (excluded), in minor units of `currency`. None is unbounded."""

    low: int | None
    high: int | None
    currency: str

    def holds(self, found: Decimal) -> bool:
        return (self.low is None or found >= self.low) and (self.high is None or found < self.high)

    def __str__(self) -> str:
        ends = ("" if end is None else to_text(end, self.currency) for end in (self.low, self.high))
        return f"{'..'.join(ends)} {self.currency}"


Criterion = OneOf | Between


@dataclass(frozen=True, slots=True)
class ConditionType:
    """One thing that terms may ask. `word` is its key in the program, `about` what the documents say of it.

    `found` is what an action has of it: of its line where `of_line`. `says` explains in each language that it was
    asked (`unless`: that it must not hold), with `{values}`, and names it in the console's form. `is_amount`: it is a
    range of money, not a list. Of values with a `pattern` the right ones are told by `about`, whose other languages are
    `about_in`.
    """

    word: str
    about: str
    found: Callable[[Sale, Line | None], Any]
    says: Mapping[str, str]
    unless: Mapping[str, str]
    of_line: bool = False
    is_amount: bool = False
    about_in: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""
    example: str = ""

    @property
    def code(self) -> str:
        return f"TERM_{self.word.upper()}"

    @property
    def code_not(self) -> str:
        return f"{self.code}_NOT"

    def parse(self, body: Any, currency: str, lists: Mapping[str, Entries]) -> Criterion:
        if self.is_amount:
            ends = [
                to_minor(parse_decimal(str(body[name])), currency) if name in body else None
                for name in ("from", "below")
            ]
            return Between(ends[0], ends[1], currency)
        named = [item["list"] for item in body if isinstance(item, Mapping)]
        return OneOf(
            frozenset(item for item in body if isinstance(item, str)), tuple((name, lists[name]) for name in named)
        )

    def faults(self, body: Any, program: "KnownNames") -> Iterator[tuple[tuple[str | int, ...], Sentence]]:
        """Semantic faults of a valid entry, each with its path below the condition's key."""
        if self.is_amount:
            yield from _amount_faults(body, program.currency)
            return
        for number, item in enumerate(body):
            if isinstance(item, Mapping) and item["list"] not in program.lists:
                yield (number, "list"), unknown_name("FAULT_NO_LIST", item["list"], program.lists)
            if self.word == "partner_group" and isinstance(item, str) and item not in program.groups:
                yield (number,), unknown_name("FAULT_NO_GROUP", item, program.groups)

    def schema(self) -> dict[str, Any]:
        if self.is_amount:
            amount = {"type": "string", "pattern": "^[0-9]{1,12}([.][0-9]{1,4})?$", "examples": ["100.00"]}
            ends = {
                "from": {"description": "At least this much.", **amount},
                "below": {"description": "Less than this.", **amount},
            }
            return {
                "description": self.about, "type": "object", "additionalProperties": False, "minProperties": 1,
                "properties": ends, "examples": [{"from": "100.00"}],
            }  # fmt: skip
        item: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": ENTRY_MAX}
        if self.pattern:
            item |= {"pattern": self.pattern, "description": self.about, "examples": [self.example]}
        elif self.word != "partner_group":
            named = {"list": {"description": "The name of a list.", "type": "string", "minLength": 1}}
            item |= {
                "type": ["string", "object"], "additionalProperties": False, "required": ["list"], "properties": named,
            }  # fmt: skip
        return {
            "description": self.about, "type": "array", "minItems": 1, "maxItems": VALUES_MAX, "uniqueItems": True,
            "items": item,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names a document may refer to (its groups and lists), and the currency of its amounts."""

    currency: str
    groups: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()


def unknown_name(code: str, name: str, known: Iterable[str]) -> Sentence:
    """The message for an unknown group or list, with the known ones."""
    return Sentence(code, {"name": repr(name), "known": ", ".join(sorted(known)) or Sentence("FAULT_NONE_YET")})


def _amount_faults(body: Mapping[str, Any], currency: str) -> Iterator[tuple[tuple[str | int, ...], Sentence]]:
    ends: dict[str, int] = {}
    for name in ("from", "below"):
        if name in body:
            try:
                ends[name] = to_minor(parse_decimal(str(body[name])), currency)
            except InvalidAmountError:
                about = {"value": str(body[name]), "currency": currency, "right": to_text(10_000, currency)}
                yield (name,), Sentence("FAULT_NO_AMOUNT", about)
    if len(ends) == 2 and ends["from"] >= ends["below"]:
        yield ("below",), Sentence("FAULT_NOTHING_BETWEEN", {"below": body["below"], "least": body["from"]})


def _line(read: Callable[[Line], str | None]) -> Callable[[Sale, Line | None], Sequence[str]]:
    return lambda _, line: [value] if line and (value := read(line)) is not None else []


def _action(read: Callable[[Action], str | None]) -> Callable[[Sale, Line | None], Sequence[str]]:
    return lambda sale, _: [value] if (value := read(sale.action)) is not None else []


CONDITIONS: Mapping[str, ConditionType] = {
    one.word: one
    for one in (
        ConditionType(
            "category",
            "Lines of one of these categories.",
            _line(lambda line: line.category),
            says={"en": "category {values}", "de": "Kategorie {values}", "fr": "catégorie {values}"},
            unless={
                "en": "category not {values}",
                "de": "Kategorie nicht {values}",
                "fr": "catégorie autre que {values}",
            },
            of_line=True,
        ),
        ConditionType(
            "sku",
            "Lines of one of these SKUs.",
            _line(lambda line: line.sku),
            says={"en": "item {values}", "de": "Artikel {values}", "fr": "article {values}"},
            unless={"en": "item not {values}", "de": "Artikel nicht {values}", "fr": "article autre que {values}"},
            of_line=True,
        ),
        ConditionType(
            "promo_code",
            "Actions with one of these promo codes.",
            _action(lambda action: action.promo_code),
            says={"en": "promo code {values}", "de": "Gutscheincode {values}", "fr": "code promo {values}"},
            unless={
                "en": "promo code not {values}",
                "de": "Gutscheincode nicht {values}",
                "fr": "code promo autre que {values}",
            },
        ),
        ConditionType(
            "customer_status",
            "Actions of customers with one of these statuses.",
            _action(lambda action: action.customer_status),
            says={"en": "customer status {values}", "de": "Kundenstatus {values}", "fr": "statut du client {values}"},
            unless={
                "en": "customer status not {values}",
                "de": "Kundenstatus nicht {values}",
                "fr": "statut du client autre que {values}",
            },
        ),
        ConditionType(
            "country",
            "Actions of customers in one of these countries (ISO 3166, two letters).",
            _action(lambda action: action.country),
            says={"en": "country {values}", "de": "Land {values}", "fr": "pays {values}"},
            unless={"en": "country not {values}", "de": "Land nicht {values}", "fr": "pays autre que {values}"},
            about_in={
                "de": "Aktionen von Kunden in einem dieser Länder (ISO 3166, zwei Buchstaben).",
                "fr": "Les actions des clients de l'un de ces pays (ISO 3166, deux lettres).",
            },
            pattern="^[A-Z]{2}$",
            example="DE",
        ),
        ConditionType(
            "payment_method",
            "Actions paid in one of these ways, as they are reported.",
            _action(lambda action: action.payment_method),
            says={"en": "payment method {values}", "de": "Zahlungsart {values}", "fr": "moyen de paiement {values}"},
            unless={
                "en": "payment method not {values}",
                "de": "Zahlungsart nicht {values}",
                "fr": "moyen de paiement autre que {values}",
            },
        ),
        ConditionType(
            "currency",
            "Actions in one of these original currencies (ISO 4217).",
            _action(lambda action: action.currency),
            says={"en": "currency {values}", "de": "Währung {values}", "fr": "devise {values}"},
            unless={"en": "currency not {values}", "de": "Währung nicht {values}", "fr": "devise autre que {values}"},
            about_in={
                "de": "Aktionen in einer dieser ursprünglichen Währungen (ISO 4217).",
                "fr": "Les actions dans l'une de ces devises d'origine (ISO 4217).",
            },
            pattern="^[A-Z]{3}$",
            example="USD",
        ),
        ConditionType(
            "order_value",
            "Actions worth so much when they were reported, in the program's currency.",
            lambda sale, _: sale.value,
            says={"en": "order value {values}", "de": "Bestellwert {values}", "fr": "valeur de la commande {values}"},
            unless={
                "en": "order value not {values}",
                "de": "Bestellwert nicht {values}",
                "fr": "valeur de la commande hors {values}",
            },
            is_amount=True,
        ),
        ConditionType(
            "partner_group",
            "Actions of partners in one of these groups.",
            lambda sale, _: [*sale.groups],
            says={
                "en": "partner group {values}",
                "de": "Partnergruppe {values}",
                "fr": "groupe de partenaires {values}",
            },
            unless={
                "en": "partner group not {values}",
                "de": "Partnergruppe nicht {values}",
                "fr": "groupe de partenaires autre que {values}",
            },
        ),
    )
}
"""The registry: what terms may ask, in the order of the schema and of the console's form. An entry is all it takes."""


@dataclass(frozen=True, slots=True)
class TermCondition:
    """A condition in terms. `negated`: it must not hold."""

    word: str
    wanted: Criterion
    negated: bool = False

    def holds(self, sale: Sale, line: Line | None) -> bool:
        return self.wanted.holds(CONDITIONS[self.word].found(sale, line)) is not self.negated

    def phrase(self) -> Phrase:
        asked = CONDITIONS[self.word]
        return Phrase(asked.code_not if self.negated else asked.code, {"values": str(self.wanted)})


def condition_sentences() -> dict[str, Mapping[str, str]]:
    """The sentences of all conditions, by code; and what a fault of a program quotes of one with a pattern."""
    found: dict[str, Mapping[str, str]] = {}
    for one in CONDITIONS.values():
        found |= {one.code: one.says, one.code_not: one.unless}
        if one.pattern:
            found[f"FAULT_DESCRIPTION/{one.about}"] = {"en": one.about, **one.about_in}
    return found


def conditions_of(body: Mapping[str, Any], currency: str, lists: Mapping[str, Entries]) -> tuple[TermCondition, ...]:
    """The conditions of a rule or ranked lock, then those below `not`."""
    return tuple(
        TermCondition(word, condition.parse(said[word], currency, lists), negated)
        for said, negated in ((body, False), (body.get(NOT, {}), True))
        for word, condition in CONDITIONS.items()
        if word in said
    )


def condition_faults(body: Mapping[str, Any], program: KnownNames) -> Iterator[tuple[tuple[str | int, ...], Sentence]]:
    for above, said in (((), body), ((NOT,), body.get(NOT, {}))):
        for word, condition in CONDITIONS.items():
            if word in said:
                for place, sentence in condition.faults(said[word], program):
                    yield (*above, word, *place), sentence


def condition_schemas(*, of_line: bool = True) -> dict[str, Any]:
    """The schema of a rule's conditions; without conditions on lines for terms of a whole action."""
    known = {word: one.schema() for word, one in CONDITIONS.items() if of_line or not one.of_line}
    negated = {
        "description": "Conditions of which none may hold; what was not reported does not hold.",
        "type": "object", "additionalProperties": False, "minProperties": 1, "properties": known,
    }  # fmt: skip
    return {**known, NOT: negated}


def condition_values(body: Mapping[str, Any], word: str | None = None) -> Iterator[Any]:
    """Every value in a rule's conditions, also below `not`; optionally of a single condition."""
    for said in (body, body.get(NOT, {})):
        for name, condition in CONDITIONS.items():
            if name in said and word in (None, name) and not condition.is_amount:
                yield from said[name]
