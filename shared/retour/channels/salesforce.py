"""Salesforce: pushes that hint at changed records, and the records as read back, turned into rows.

A push (Outbound Message, change event) is only ever believed so far: these records of that organisation may have
changed. What counts is read back, and stored as a list of entries (see `entry`), which `rows` reads.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.parsers import expat

from retour.domain.money import NotAnAmount, decimal
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable
from retour.domain.times import instant, text

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
NOTIFICATIONS_MAX = 100
DEPTH_MAX = 32
ACK = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<soapenv:Envelope xmlns:soapenv="{SOAP}"><soapenv:Body>'
    f'<notificationsResponse xmlns="{OUTBOUND}"><Ack>true</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_MESSAGE = [f"{SOAP} Envelope", f"{SOAP} Body", f"{OUTBOUND} notifications"]
_NOTIFICATION = f"{OUTBOUND} Notification"
# What a row says beside its values. The reference is always the record's id, the time its SystemModstamp.
_SAID = (
    "order_id", "action_id", "event_type", "sku", "line", "currency", "partner", "undoes", "reason", "disposition",
    "note",
)  # fmt: skip
_VALUES = {
    "set_total": ("amount", "quantity"),
    "take_back": ("amount", "quantity"),
    "set_quantity": ("quantity", "amount"),
    "set_status": ("status",),
}
_TARGET = ("order_id", "action_id", "event_type", "sku", "line", "currency")


@dataclass(frozen=True, slots=True)
class Push:
    """These records of this organisation may have changed. Ids have 18 characters; `fields`: only these, if known."""

    org: str
    object: str
    records: tuple[str, ...]
    notifications: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resync:
    """Something of this object changed, and the organisation cannot say which records: a case for the reconcile."""

    org: str
    object: str


def id18(text: str) -> str | None:
    """The 18-character form of a record or organisation id; None if it is none."""
    if not _ID.fullmatch(text):
        return None
    if len(text) == 18:
        return text
    blocks = (text[0:5], text[5:10], text[10:15])
    return text + "".join(
        _SUFFIX[sum(1 << i for i, letter in enumerate(block) if "A" <= letter <= "Z")] for block in blocks
    )


def same_id(one: str, other: str) -> bool:
    """Ids are equal in their first 15 characters; both lengths occur."""
    return bool(_ID.fullmatch(one) and _ID.fullmatch(other)) and one[:15] == other[:15]


# Outbound Message


@dataclass
class _Reading:
    """What the parser has met so far; elements are known by namespace, for prefixes and type names vary by object."""

    path: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    org: str = ""
    object: str = ""
    records: list[str] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name)
        self.said.clear()
        if len(self.path) > DEPTH_MAX:
            raise ValueError("nested too deeply")
        if self.path[3:] == [_NOTIFICATION, f"{OUTBOUND} sObject"]:
            self.object = attributes.get(f"{INSTANCE} type", "").rpartition(":")[2]

    def end(self, _name: str) -> None:
        value = "".join(self.said).strip()
        self.said.clear()
        if self.path[:3] == _MESSAGE:
            match self.path[3:]:
                case [org] if org == f"{OUTBOUND} OrganizationId":
                    self.org = value
                case [notification, last] if (notification, last) == (_NOTIFICATION, f"{OUTBOUND} Id"):
                    self.notifications.append(value)
                case [notification, sobject, last] if (
                    (notification, sobject) == (_NOTIFICATION, f"{OUTBOUND} sObject")
                    and last.startswith("urn:sobject.")
                    and last.endswith(" Id")
                ):
                    self.records.append(value)
        self.path.pop()

    def refuse(self, *_: Any) -> None:
        raise ValueError("a document type is not part of a message")


def outbound_message(body: bytes) -> Push | Refusal:
    """The records an Outbound Message names. Records without a good id are left to the reconcile; never raises."""
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.said.append
    parser.StartDoctypeDeclHandler = reading.refuse
    parser.EntityDeclHandler = reading.refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        return _not_a_message(str(error))
    org = id18(reading.org)
    records = tuple(dict.fromkeys(known for known in map(id18, reading.records) if known))
    if org is None:
        return _not_a_message("it names no organisation")
    if not records:
        return _not_a_message("it names no record")
    if max(len(reading.records), len(reading.notifications)) > NOTIFICATIONS_MAX:
        return _not_a_message(f"it has more than {NOTIFICATIONS_MAX} notifications")
    return Push(org, reading.object, records, tuple(reading.notifications))


def _not_a_message(why: str) -> Refusal:
    return Refusal("NOT_AN_OUTBOUND_MESSAGE", {"why": why})


# Event Relay


def change_event(event: Mapping[str, Any]) -> Push | Resync | Ignored:
    """What an EventBridge event of Event Relay says changed. Unknown keys are passed over; never raises.

    The header lies under detail.payload (Event Relay), in detail itself (AppFlow) or under detail.data.payload.
    """
    detail = event.get("detail")
    payload = _first_with_header(detail)
    source = str(event.get("source") or "").split("/")
    org = id18(source[2]) if len(source) > 2 and source[:2] == ["aws.partner", "salesforce.com"] else None
    if payload is None or org is None:
        return Ignored("it is no change event of an organisation")
    header = payload["ChangeEventHeader"]
    entity = str(header.get("entityName") or "")
    change = str(header.get("changeType") or "")
    ids = header.get("recordIds") or header.get("recordId") or []
    ids = [ids] if isinstance(ids, str) else ids
    if not isinstance(ids, list) or change == "GAP_OVERFLOW" or not ids:
        return Resync(org, entity)
    if change in ("DELETE", "GAP_DELETE"):
        return Ignored("a deleted record says nothing about its order")
    records = [id18(each) if isinstance(each, str) else None for each in ids]
    # A conversion of field types is told with wildcards in place of ids.
    if None in records:
        return Resync(org, entity)
    fields = header.get("changedFields")
    named = tuple(str(each) for each in fields) if isinstance(fields, list) else ()
    return Push(org, entity, tuple(dict.fromkeys(each for each in records if each)), fields=named)


def _first_with_header(detail: Any) -> Mapping[str, Any] | None:
    if not isinstance(detail, dict):
        return None
    data = detail.get("data")
    for candidate in (detail.get("payload"), detail, data.get("payload") if isinstance(data, dict) else None):
        if isinstance(candidate, dict) and isinstance(candidate.get("ChangeEventHeader"), dict):
            return candidate
    return None


# Records as read back


def paths(source: Source) -> tuple[str, ...]:
    """The record fields that the source maps, each once: what is read, and what counts as a change."""
    return tuple(sorted(set(source.options["fields"].values())))


def as_read(record: Mapping[str, Any], source: Source) -> dict[str, str]:
    """The mapped fields of a record as texts; without the empty ones. Numbers are Decimal or int, never float."""
    values = {path: _said(_at(record, path)) for path in paths(source)}
    return {path: value for path, value in values.items() if value}


def digest(fields: Mapping[str, str]) -> str:
    """The same for the same mapped fields: a record with the same digest has not changed for us."""
    return hashlib.blake2b(json.dumps(sorted(fields.items())).encode(), digest_size=16).hexdigest()


def entry(
    record: str, version: int, modified: str, fields: Mapping[str, str], taken: Mapping[str, str]
) -> dict[str, Any]:
    """One record in the body of a delivery: its id, the count of its changes, SystemModstamp and mapped fields as read.

    `taken` is what this record had said came back before (see `level`): a return record states how much came back in
    all, so only the difference is taken.
    """
    body: dict[str, Any] = {"id": record, "version": version, "modified": modified, "fields": dict(fields)}
    return body | ({"taken": dict(taken)} if taken else {})


def change_of(fields: Mapping[str, str], source: Source) -> str | None:
    """The change that a record's status means; None if it means none."""
    change = source.options["statuses"].get(_named(fields, source).get("status", ""))
    return None if change is None else str(change)


def level(fields: Mapping[str, str], source: Source) -> dict[str, str]:
    """What a record says came back, and of what, if its status takes back; else nothing."""
    if change_of(fields, source) != "take_back":
        return {}
    said = _named(fields, source)
    return {name: said[name] for name in (*_TARGET, "amount", "quantity") if name in said}


def rows(body: bytes, _facts: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    """The rows of a list of entries; a record whose status means no change gives none. Never raises on garbage."""
    try:
        entries = json.loads(body)
        read = [_row(str(place), each, source) for place, each in enumerate(entries, 1)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = outbound_message(body) if body.lstrip()[:1] == b"<" else None
        return message if isinstance(message, Refusal) else _not_a_message(f"{type(error).__name__}: {error}")
    found = [row for row in read if row is not None]
    return found or Ignored("no record has a status that means a change")


def _row(place: str, entry: Mapping[str, Any], source: Source) -> Row | Unreadable | None:
    change = change_of(entry["fields"], source)
    if change is None:
        return None
    said = _named(entry["fields"], source)
    values = {name: said[name] for name in _VALUES.get(change, ()) if name in said}
    raw = json.dumps({"Id": entry["id"]} | entry["fields"], ensure_ascii=False)
    taken = entry.get("taken", {})
    if change == "take_back" and taken and all(taken.get(name) == said.get(name) for name in _TARGET):
        more = _more(values, taken)
        if isinstance(more, str):
            details = {"taken": taken.get(more, ""), "now": values.get(more, ""), "record": str(entry["id"])}
            order = said.get("order_id", "")
            return Unreadable(place, "TAKEN_BACK_ALREADY", details, more, raw, order, str(entry["id"]))
        if not more:
            return None
        values = more
    fields = {
        "reference": str(entry["id"]),
        "source_version": str(int(entry["version"])),
        "change": change,
        "occurred_at": text(_moment(entry["modified"], int(entry["version"]))),
        **{name: said[name] for name in _SAID if name in said},
        **values,
    }
    return Row(place, fields, raw)


def _moment(modified: str, version: int) -> datetime:
    """SystemModstamp counts whole seconds; the count of changes tells those of one record within a second apart."""
    return instant(modified) + timedelta(milliseconds=min(version, 999))


def _more(values: Mapping[str, str], taken: Mapping[str, str]) -> dict[str, str] | str:
    """What came back beyond what was taken; empty when nothing did; the name of the field that went down."""
    name = "amount" if "amount" in values else "quantity"
    if name not in values or name not in taken:
        return {} if values == {key: taken[key] for key in ("amount", "quantity") if key in taken} else name
    try:
        difference = decimal(values[name]) - decimal(taken[name])
    except NotAnAmount:
        return dict(values)
    if difference < 0:
        return name
    return {name: _said(difference)} if difference else {}


def _named(fields: Mapping[str, str], source: Source) -> dict[str, str]:
    """The fields under Retour's names."""
    return {name: fields[path] for name, path in source.options["fields"].items() if path in fields}


def _at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def _said(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            # Salesforce writes whole numbers as 2.0 and large ones as 1.2E7.
            return f"{value.normalize():f}" if value else "0"
        case str():
            return value.strip()
        case dict() | list():
            return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
        case _:
            return str(value)
