"""The form of a contract: fields generated from the terms' registries, filled from a contract and parsed back."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.console.words import Words
from retour.domain.contracts.conditions import CONDITIONS, NOT, ConditionType
from retour.domain.contracts.lock_terms import LOCK_METHODS, LockMethod, lock_methods_in
from retour.domain.contracts.rule import DAY_PATTERN, rule_schema
from retour.sentences import sentence
from retour.setup.program_file import Fault, load_schema

OF_THE_CONTRACT = ("partners", "groups", "valid_from", "valid_until", "terms_basis", "cascade")
FIRST = ("pays", "per")
"""Keys of a rule shown before its conditions."""
WAY = "way"
LIST = "@"
MOVE = re.compile(r"(up|down|drop):(\d{1,3})")
WHOLE = re.compile(r"-?\d{1,9}")
BOOLEANS = {"true": True, "false": False}

Terms = dict[str, Any]
"""A rule or a lock in the program's format."""


@dataclass(frozen=True)
class Field:
    """A form field: its name, HTML input type (`kind`) and choices."""

    name: str
    label: str
    value: str
    kind: str = "text"
    options: Sequence[tuple[str, str]] = ()

    @property
    def id(self) -> str:
        return re.sub(r"\W", "-", self.name)


@dataclass(frozen=True)
class Card:
    """The fields of a ranked rule or lock; `more` are rarely used ones."""

    fields: Sequence[Field]
    more: Sequence[Field]

    def opens(self, wrong: Mapping[str, str]) -> bool:
        """Whether rarely used fields are filled or have errors."""
        return any(one.value or one.name in wrong for one in self.more)


# Fill the form


def contract_fields(words: Words, body: Mapping[str, Any]) -> list[Field]:
    known = load_schema()["$defs"]["contract"]["properties"]
    return [plain_field(words, word, known[word], body.get(word), word) for word in OF_THE_CONTRACT]


def rule_cards(words: Words, rules: Sequence[Terms]) -> list[Card]:
    return [rule_card(words, rule, f":rule:{rank}") for rank, rule in enumerate(rules, 1)]


def rule_card(words: Words, rule: Terms, place: str) -> Card:
    own = {word: body for word, body in rule_schema()["properties"].items() if word not in (*CONDITIONS, NOT)}
    plain = {word: plain_field(words, word, body, rule.get(word), word + place) for word, body in own.items()}
    first = [plain.pop(word) for word in FIRST]
    asked, negated = condition_fields(words, rule, place, of_line=True)
    return Card([*first, *asked], [*negated, *plain.values()])


def lock_cards(words: Words, locks: Sequence[Terms]) -> list[Card]:
    """Each with the keys of its way alone; the conditions of the last one only where it has some, which is wrong."""
    cards = []
    for rank, lock in enumerate(locks, 1):
        place, way = f":lock:{rank}", way_of(lock)
        ways = [(one.leading[0], sentence(f"WAY_{one.leading[0].upper()}", {}, words.language)) for one in LOCK_METHODS]
        keys = [
            plain_field(words, word, body, lock.get(word), word + place)
            for word, body in way.keys.items()
            if "const" not in body
        ]
        asked, negated = condition_fields(words, lock, place, of_line=False)
        asks = rank < len(locks) or any(one.value for one in (*asked, *negated))
        chosen = Field(WAY + place, sentence("FIELD_LOCK", {}, words.language), way.leading[0], options=ways)
        cards.append(Card([chosen, *keys, *(asked if asks else ())], negated if asks else ()))
    return cards


def way_of(lock: Terms) -> LockMethod:
    return next(iter(lock_methods_in(lock)), LOCK_METHODS[0])


def condition_fields(words: Words, body: Terms, place: str, *, of_line: bool) -> tuple[list[Field], list[Field]]:
    """The conditions, plain and negated; without those on lines if the terms are for whole actions."""
    known = [one for one in CONDITIONS.values() if of_line or not one.of_line]
    negated = body.get(NOT, {})
    asked = [Field(one.word + place, condition_label(words, one), typed_text(body.get(one.word))) for one in known]
    barred = [
        Field(
            f"{NOT}.{one.word}{place}",
            words.say("Not: %(what)s", what=condition_label(words, one)),
            typed_text(negated.get(one.word)),
        )
        for one in known
    ]
    return asked, barred


def condition_label(words: Words, condition: ConditionType) -> str:
    label = sentence(condition.code, {"values": ""}, words.language).strip()
    return label[:1].upper() + label[1:]


def plain_field(words: Words, word: str, body: Mapping[str, Any], said: Any, name: str) -> Field:
    """A field by its key's schema: a choice, a number, a day or text."""
    label = sentence(f"FIELD_{word.upper()}", {}, words.language)
    choices = body.get("enum") or (["true", "false"] if body.get("type") == "boolean" else ())
    if choices:
        usual, value = typed_text(body.get("default")), typed_text(said)
        options = [
            (
                "" if one == usual and value != usual else one,
                sentence(f"CHOICE_{word}_{one}".upper(), {}, words.language),
            )
            for one in choices
        ]
        return Field(name, label, value, options=options)
    kind = "number" if body.get("type") == "integer" else "date" if body.get("pattern") == DAY_PATTERN else "text"
    return Field(name, label, typed_text(said), kind)


def typed_text(said: Any) -> str:
    """A value as form text."""
    match said:
        case None:
            return ""
        case bool():
            return str(said).lower()
        case Mapping():
            return f"{said.get('from', '')}..{said.get('below', '')}"
        case list():
            values = (f"{LIST}{one['list']}" if isinstance(one, Mapping) else one for one in said)
            return ", ".join(f'"{one}"' if "," in one else one for one in values)
    return str(said)


# Parse the form


def rules_from(form: Mapping[str, str]) -> list[Terms]:
    return [rule_from(form, f":rule:{n}") for n in ranks(form, "pays:rule")]


def rule_from(form: Mapping[str, str], place: str) -> Terms:
    own = {word: body for word, body in rule_schema()["properties"].items() if word not in (*CONDITIONS, NOT)}
    return conditions_from(form, place) | {"pays": ""} | plain_from(own, form, place)


def locks_from(form: Mapping[str, str]) -> list[Terms]:
    """The locks, each with the keys of its selected method only."""
    found = []
    for place in (f":lock:{n}" for n in ranks(form, f"{WAY}:lock")):
        way = next((one for one in LOCK_METHODS if one.leading[0] == form[WAY + place]), LOCK_METHODS[0])
        implied = {word: body["const"] for word, body in way.keys.items() if "const" in body}
        lock = conditions_from(form, place) | implied | plain_from(way.keys, form, place)
        found.append(lock if lock_methods_in(lock) else lock | {way.leading[0]: ""})
    return found


def contract_from(form: Mapping[str, str]) -> Terms:
    """The contract's own keys: `valid_from` always, others if filled."""
    known = load_schema()["$defs"]["contract"]["properties"]
    return {"valid_from": ""} | plain_from({word: known[word] for word in OF_THE_CONTRACT}, form, "")


def ranks(form: Mapping[str, str], leading: str) -> list[int]:
    found = (re.fullmatch(rf"{leading}:(\d{{1,3}})", key) for key in form)
    return sorted(int(one[1]) for one in found if one)


def conditions_from(form: Mapping[str, str], place: str) -> Terms:
    def read_in(above: str) -> Terms:
        found = {word: from_text(one, form.get(f"{above}{word}{place}", "")) for word, one in CONDITIONS.items()}
        return {word: said for word, said in found.items() if said}

    negated = read_in(f"{NOT}.")
    return read_in("") | ({NOT: negated} if negated else {})


def plain_from(keys: Mapping[str, Mapping[str, Any]], form: Mapping[str, str], place: str) -> Terms:
    read = {word: plain_value(body, form.get(word + place, "").strip()) for word, body in keys.items()}
    return {word: said for word, said in read.items() if said not in ("", [])}


def plain_value(body: Mapping[str, Any], text: str) -> Any:
    """A value in the program's format. Text that is not a valid number stays text, and is reported."""
    match body.get("type"):
        case "integer" if WHOLE.fullmatch(text):
            return int(text)
        case "boolean":
            return BOOLEANS.get(text, text)
        case "array":
            return join_values(text)
    return text


def from_text(condition: ConditionType, text: str) -> Any:
    """Parse a range `100.00..500.00`, a list `@name`, or comma-separated values."""
    if condition.is_amount:
        low, _, high = text.strip().partition("..")
        return {name: end.strip() for name, end in (("from", low), ("below", high)) if end.strip()}
    return [{"list": one[1:]} if one.startswith(LIST) else one for one in join_values(text)]


def join_values(text: str) -> list[str]:
    """Join values with commas, quoting those that contain one, as in CSV."""
    rows = list(csv.reader([" ".join(text.split())], skipinitialspace=True))
    return list(dict.fromkeys(value for row in rows for cell in row if (value := cell.strip())))


def move_rank(ranked: list[Terms], do: str) -> list[Terms]:
    """Move a rule or lock up or down, or remove it."""
    found = MOVE.fullmatch(do)
    at = int(found[2]) - 1 if found else -1
    if found is None or not 0 <= at < len(ranked):
        return ranked
    rest = ranked[:at] + ranked[at + 1 :]
    if found[1] == "drop":
        return rest
    to = max(at - 1, 0) if found[1] == "up" else at + 1
    return [*rest[:to], ranked[at], *rest[to:]]


# Errors by field


def places(name: str, faults: Sequence[Fault], shown: set[str], language: str) -> dict[str, str]:
    """Errors by form field; those without a field under an empty name."""
    found: dict[str, str] = {}
    for fault in faults:
        inner = fault.key.removeprefix(f"contracts.{name}").lstrip(".")
        place = next((one for one in fields_at(inner) if one in shown), "")
        found[place] = f"{found[place]} {fault.message(language)}" if place in found else fault.message(language)
    return found


def fields_at(inner: str) -> Iterator[str]:
    """The candidate fields of a path in a contract, closest first."""
    if found := re.match(r"(rule|lock)s?(?:\[(\d+)\])?(?:\.((?:not\.)?\w+))?", inner.replace("payout", "rules", 1)):
        place = f":{found[1]}:{found[2] or 1}"
        yield f"{found[3]}{place}"
        yield ("pays" if found[1] == "rule" else WAY) + place
    else:
        yield inner.partition("[")[0].partition(".")[0]
