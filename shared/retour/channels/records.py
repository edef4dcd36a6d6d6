"""Retour's own JSON: one modification, a list of up to 500, or {"modifications": [...]}."""

from collections.abc import Sequence
from typing import Any

from retour.channels import payload
from retour.domain.row import Refusal, Row, Unreadable

RECORDS_MAX = 500
FIELDS = (
    "reference", "order_id", "action_id", "event_type", "sku", "line", "change", "amount", "currency", "quantity",
    "status", "partner", "undoes", "reason", "disposition", "note", "occurred_at", "subject", "version",
)  # fmt: skip
WHOLE_NUMBERS = ("quantity", "line", "version")


def rows(body: bytes) -> Sequence[Row | Unreadable] | Refusal:
    """Every record by its number from 1. A faulty one does not affect the others."""
    text = payload.decode_utf8(body)
    if isinstance(text, Refusal):
        return text
    value = payload.parse_json(text)
    if isinstance(value, Refusal):
        return value
    if isinstance(value, dict) and "modifications" not in value:
        return (_parse_record("1", value, text.strip()),)
    listed = value
    if isinstance(value, dict):
        beside = next((name for name in value if name != "modifications"), None)
        if beside is not None:
            return Refusal("UNKNOWN_FIELD", {"field": payload.excerpt(beside), "closest": "modifications"})
        if isinstance(value, payload.DuplicateKeyObject):
            return Refusal("DUPLICATE_KEY", {"key": "modifications"})
        listed = value["modifications"]
    if not isinstance(listed, list):
        return Refusal("NOT_RECORDS", {"value": payload.excerpt(listed)})
    if len(listed) > RECORDS_MAX:
        return Refusal("TOO_MANY_RECORDS", {"count": str(len(listed)), "most": str(RECORDS_MAX)})
    texts = payload.elements(text, text.index("["))
    return tuple(_parse_record(str(number), record, raw) for number, (record, raw) in enumerate(texts, start=1))


def _parse_record(place: str, record: Any, raw: str) -> Row | Unreadable:
    if not isinstance(record, dict):
        return Unreadable(place, "NOT_AN_OBJECT", {"value": payload.excerpt(record)}, raw=raw)
    whose = payload.record_ids(record)
    if isinstance(record, payload.DuplicateKeyObject):
        key = payload.excerpt(record.twice)
        whose = payload.record_ids({name: value for name, value in record.items() if name != record.twice})
        return Unreadable(place, "DUPLICATE_KEY", {"key": key}, column=key, raw=raw, **whose)
    fields: dict[str, str | None] = {}
    for name, value in record.items():
        if name not in FIELDS:
            details = {"field": payload.excerpt(name), "closest": payload.possible(name, FIELDS)}
            return Unreadable(place, "UNKNOWN_FIELD", details, column=details["field"], raw=raw, **whose)
        if (code := _type_error(name, value)) is not None:
            details = {"field": name, "value": payload.excerpt(value)}
            return Unreadable(place, code, details, column=name, raw=raw, **whose)
        fields[name] = None if value is None else str(value)
    return payload.make_row(place, fields, raw)


def _type_error(name: str, value: Any) -> str | None:
    """The code for a value of the wrong type. Numbers are accepted as text only if they are integers.

    Most senders pass JSON numbers through floats, so an amount's cents would be uncertain.
    """
    number = isinstance(value, (int, payload.NumberLiteral)) and not isinstance(value, bool)
    if name == "amount" and number:
        return "AMOUNT_NOT_TEXT"
    if name in WHOLE_NUMBERS and number:
        return None
    if value is None or (isinstance(value, str) and not number):
        return None
    return "FIELD_NOT_TEXT"
