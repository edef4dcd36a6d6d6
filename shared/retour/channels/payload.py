"""Strict JSON: UTF-8, no duplicate keys, numbers by their digits, never floats."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from retour import sentences
from retour.domain import times
from retour.domain.money import InvalidAmountError, parse_decimal
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable

MESSAGE_CHARS_MAX = 64
NEAR = 0.54
"""Minimum similarity of a misspelt name: `qty` matches `quantity`, `price` matches none of our fields."""
NOTE_BYTES = 500
FIELD_BYTES = 128
LAST_SECOND = 253402300799
INT_DIGITS_MAX = 18


class NumberLiteral(str):
    """A number other than an integer of up to 18 digits, kept as its literal."""

    __slots__ = ()


class DuplicateKeyObject(dict[str, Any]):
    """An object with a duplicate key, `twice`, whose value is therefore ambiguous."""

    twice = ""


def parse_json(text: str) -> Any | Refusal:
    """Parse JSON, or return why it is invalid."""
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        return Refusal("NOT_JSON", {"line": str(error.lineno), "column": str(error.colno)})
    except RecursionError:
        return Refusal("NESTED_TOO_DEEP")


def decode_utf8(body: bytes) -> str | Refusal:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Refusal("NOT_UTF8", {"byte": str(error.start + 1)})


def parse_document(body: bytes) -> Mapping[str, Any] | Refusal:
    """Parse a body that must be a single object."""
    text = decode_utf8(body)
    value = text if isinstance(text, Refusal) else parse_json(text)
    if isinstance(value, Refusal):
        return value
    if twice := duplicate_key(value):
        return Refusal("DUPLICATE_KEY", {"key": excerpt(twice)})
    if not isinstance(value, dict):
        return Refusal("NOT_AN_OBJECT", {"value": excerpt(value)})
    return value


def duplicate_key(value: Any) -> str | None:
    """A duplicate key anywhere in a value, or None."""
    inside = [value]
    while inside:
        here = inside.pop()
        if isinstance(here, DuplicateKeyObject):
            return here.twice
        if isinstance(here, dict):
            inside.extend(here.values())
        elif isinstance(here, list):
            inside.extend(here)
    return None


def scalar_values(value: Any) -> Iterator[Any]:
    """All scalars in a value, at any depth."""
    inside = [value]
    while inside:
        here = inside.pop()
        if isinstance(here, dict):
            inside.extend(here.values())
        elif isinstance(here, list):
            inside.extend(here)
        else:
            yield here


def elements(text: str, start: int) -> Iterator[tuple[Any, str]]:
    """Each element of the JSON list at `start`, with its exact text."""
    at = _skip(text, start + 1)
    while text[at] != "]":
        value, end = DECODER.raw_decode(text, at)
        yield value, text[at:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def member(text: str, name: str) -> str:
    """The exact text of a member of a JSON object."""
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, end = DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, end) + 1)
        _, end = DECODER.raw_decode(text, start)
        if key == name:
            return text[start:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    raise KeyError(name)


def closest_name(name: str, known: Iterable[str]) -> str:
    """The known name most similar to this one."""
    from difflib import get_close_matches

    return get_close_matches(name[:MESSAGE_CHARS_MAX].lower(), known, n=1, cutoff=0)[0]


def possible(name: str, known: Sequence[str]) -> str:
    """The similar known name; all of them if there is none."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name[:MESSAGE_CHARS_MAX].lower(), known, n=1, cutoff=NEAR)), ", ".join(known))


def make_row(place: str, fields: Mapping[str, str | None], raw: str = "") -> Row | Unreadable:
    """A row of the non-empty fields; Unreadable if a value has a lone surrogate or is too long."""
    filled = {name: text for name, text in fields.items() if text}
    for name, text in filled.items():
        if not is_storable(text):
            return Unreadable(place, "NOT_UNICODE", {"field": name}, column=name, raw=raw, **record_ids(filled))
        most = NOTE_BYTES if name == "note" else FIELD_BYTES
        if len(text.encode()) > most:
            details = {"field": name, "bytes": str(most)}
            return Unreadable(place, "TEXT_UNUSABLE", details, column=name, raw=raw, **record_ids(filled))
    return Row(place, filled, raw)


def record_ids(fields: Mapping[str, Any]) -> dict[str, str]:
    """The ids by which a person recognises a record, as far as they are readable."""
    known = {"order": fields.get("order_id"), "reference": fields.get("reference")}
    return {name: excerpt(text) for name, text in known.items() if isinstance(text, str) and is_storable(text)}


def is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unused_event(kind: Any, used: Iterable[str]) -> Ignored:
    """The answer to an event that says nothing of returns: which ones to choose instead."""
    return Ignored(f"Event {excerpt(kind)} is not used. Choose {', '.join(used)}.")


def excerpt(value: Any) -> str:
    """A value for a message: short, on one line, in JSON notation."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return sentences.excerpt(text, MESSAGE_CHARS_MAX)


def id_text(value: Any) -> str | None:
    """An id as text: text as it is, integers by their digits; None for other types."""
    if isinstance(value, NumberLiteral):
        return str(value) if value.isdecimal() else None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def parse_amount(value: Any) -> Decimal | None:
    """A decimal from text or a number literal; None if it is neither."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    try:
        return parse_decimal(text) if isinstance(text, str) else None
    except InvalidAmountError:
        return None


def time_from_epoch(seconds: Any) -> str | None:
    """Convert whole seconds since 1970 to a time in UTC."""
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= LAST_SECOND:
        return None
    return times.format_instant(datetime.fromtimestamp(seconds, UTC))


def value_at(value: Any, path: str) -> Any:
    """The value at `name` or `order.name`; None if it is missing."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def truncate_note(value: Any) -> str | None:
    """A sender's remark, cut to the length a record keeps."""
    if not isinstance(value, str):
        return None
    return value.strip().encode("utf-8", "replace")[:NOTE_BYTES].decode("utf-8", "ignore")


def order_id_missing(topic: str, field: str, reference: str | None) -> Unreadable:
    """A refused record whose field for the order id is empty."""
    details = {"topic": topic, "field": field}
    return Unreadable("1", "ORDER_ID_NOT_SENT", details, column=field, reference=reference or "")


def mapped_reason(word: Any, source: Source, ours: Mapping[str, str]) -> str | None:
    """The reason for a shop's word, unless the source's mapping translates it."""
    if not isinstance(word, str):
        return None
    return word if word in source.mapping.get("reasons", {}) else ours.get(word)


def _number(literal: str) -> int | NumberLiteral:
    return int(literal) if len(literal) <= INT_DIGITS_MAX else NumberLiteral(literal)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled, seen = DuplicateKeyObject(found), set()
    for name, _ in pairs:
        if name in seen:
            doubled.twice = name
            break
        seen.add(name)
    return doubled


def _skip(text: str, at: int) -> int:
    return WHITESPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well


WHITESPACE = re.compile(r"[ \t\n\r]*")
DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=NumberLiteral, parse_int=_number, parse_constant=NumberLiteral
)
