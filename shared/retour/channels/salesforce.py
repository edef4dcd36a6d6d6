"""Salesforce: pushes, and records read back, converted to rows.

A push (Outbound Message, change event) only hints that records of an organisation may have changed. The records are
read back and stored as a list of entries (see `change_entry`), which `rows` reads.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.parsers import expat

from retour.channels.statements import KEEP, NOTHING, TAKES, Meaning, status_meaning
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable
from retour.domain.times import format_instant, parse_instant

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
# Fields of a row beside its values. The reference is the record's id, the time its SystemModstamp.
_DESCRIPTIVE_FIELDS = (
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
_ORDER = ("order_id", "action_id")


@dataclass(frozen=True, slots=True)
class Push:
    """These records may have changed. Ids have 18 characters; `fields` limits the change if known."""

    org: str
    object: str
    records: tuple[str, ...]
    notifications: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resync:
    """Unknown records of this object changed: left to the reconcile."""

    org: str
    object: str


def id18(text: str) -> str | None:
    """The 18-character form of an id; None if it is invalid."""
    if not _ID.fullmatch(text):
        return None
    if len(text) == 18:
        return text
    blocks = (text[0:5], text[5:10], text[10:15])
    return text + "".join(
        _SUFFIX[sum(1 << i for i, letter in enumerate(block) if "A" <= letter <= "Z")] for block in blocks
    )


def is_same_id(one: str, other: str) -> bool:
    """Compare ids by their first 15 characters, since both lengths occur."""
    return bool(_ID.fullmatch(one) and _ID.fullmatch(other)) and one[:15] == other[:15]


# Outbound Message


@dataclass
class _MessageParser:
    """State of the parser. Elements are recognised by namespace, since prefixes and type names vary."""

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


def parse_outbound_message(body: bytes) -> Push | Refusal:
    """The records named by an Outbound Message. Records without a valid id are left to the reconcile. Never raises."""
    reading = _MessageParser()
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


def parse_change_event(event: Mapping[str, Any]) -> Push | Resync | Ignored:
    """Parse an EventBridge event of Event Relay. Unknown keys are ignored; never raises.

    The header is in detail.payload (Event Relay), detail (AppFlow) or detail.data.payload.
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
        # The fields of a deleted record cannot be read; the reconcile finds its previous statement.
        return Resync(org, entity)
    records = [id18(each) if isinstance(each, str) else None for each in ids]
    # A conversion of field types is announced with wildcards in place of ids.
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


# Records read back


def mapped_paths(source: Source) -> tuple[str, ...]:
    """The record fields used by the source's mapping: what is read, and what counts as a change."""
    return tuple(sorted(set(source.options["fields"].values())))


def parent_relationship(source: Source) -> str | None:
    """The relationship from which the status is read (`Order` for `Order.Status`), or None."""
    path = str(source.options["fields"].get("status", ""))
    return path.rpartition(".")[0] or None


def mapped_fields(record: Mapping[str, Any], source: Source) -> dict[str, str]:
    """The mapped, non-empty fields of a record as text. Numbers are Decimal or int, never float."""
    values = {path: _to_text(_value_at(record, path)) for path in mapped_paths(source)}
    return {path: value for path, value in values.items() if value}


def fields_digest(fields: Mapping[str, str]) -> str:
    """A hash of the mapped fields. Records with equal digests have not changed for us."""
    return hashlib.blake2b(json.dumps(sorted(fields.items())).encode(), digest_size=16).hexdigest()


def change_entry(
    record: str, version: int, modified: str, fields: Mapping[str, str], said: Mapping[str, str], *, gone: bool = False
) -> dict[str, Any]:
    """One record in a delivery's body: id, count of changes, SystemModstamp and mapped fields as read.

    `said` is the record's previous statement with its order. If the record now names another order, or is `gone`
    (deleted or merged), the old order gets a statement that nothing is taken back.
    """
    body: dict[str, Any] = {"id": record, "version": version, "modified": modified, "fields": dict(fields)}
    return body | ({"said": dict(said)} if said else {}) | ({"gone": True} if gone else {})


def record_meaning(fields: Mapping[str, str], source: Source) -> Meaning:
    """The meaning of a record's status."""
    return status_meaning(_by_field_name(fields, source).get("status", ""), source.options["statuses"], {})


def current_statement(change: Mapping[str, Any], source: Source) -> dict[str, str]:
    """A record's statement after a change: the fields of its row and of its order.

    A status without a meaning keeps the previous statement, applied to the order named now.
    """
    said, before = _by_field_name(change["fields"], source), change.get("said", {})
    target = {name: said[name] for name in _TARGET if name in said}
    takes = record_meaning(change["fields"], source).takes
    if change.get("gone"):
        return {}
    if takes == KEEP:
        return {**_without_order(before), **target} if before and target else dict(before)
    if takes == NOTHING:
        return {**target, "change": "take_back", "amount": "0"}
    word = str(source.options["statuses"].get(said.get("status", "")))
    values = {name: said[name] for name in _VALUES.get(word, ()) if name in said}
    return {**target, "change": word, **values}


def rows(body: bytes, _facts: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    """The rows of a list of entries. A record without news yields none. Never raises."""
    try:
        entries = json.loads(body)
        read = [row for place, each in enumerate(entries, 1) for row in _rows(str(place), each, source)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = parse_outbound_message(body) if body.lstrip()[:1] == b"<" else None
        return message if isinstance(message, Refusal) else _not_a_message(f"{type(error).__name__}: {error}")
    return read or Ignored("no record has a status that says something about returns")


def undeclared_statuses(body: bytes, source: Source) -> Sequence[str]:
    """The undeclared statuses in a list of entries."""
    try:
        found = {_by_field_name(each["fields"], source).get("status", "") for each in json.loads(body)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()
    return sorted(status for status in found if status and status not in source.options["statuses"])


def _rows(place: str, change: Mapping[str, Any], source: Source) -> Iterator[Row | Unreadable]:
    """The rows of a change: one for its previous order if that changed, its statement, and further changes."""
    fields = change["fields"]
    before, now = change.get("said", {}), current_statement(change, source)
    said = _by_field_name(fields, source)
    about = {name: said[name] for name in _DESCRIPTIVE_FIELDS if name in said}
    common = {
        "reference": str(change["id"]),
        "occurred_at": format_instant(_moment(change["modified"], int(change["version"]))),
    }
    subject = {"subject": f"{source.options['object'].lower()}/{change['id']}", "version": str(int(change["version"]))}
    raw = json.dumps({"Id": change["id"]} | fields, ensure_ascii=False)
    is_moved = bool(before) and _order(before) != _order(now)
    if is_moved and not _is_nothing(before):
        left = {name: before[name] for name in (*_ORDER, "event_type") if name in before}
        yield Row(f"{place}~before", {**common, **subject, **left, "change": "take_back", "amount": "0"}, raw)
    if change.get("gone"):
        return
    meaning = record_meaning(fields, source)
    if meaning.takes == TAKES or is_moved or (meaning.takes == NOTHING and _may_have_taken(change)):
        yield Row(place, {**common, **subject, **about, **now}, raw)
    if meaning.beside is not None:
        values = {name: said[name] for name in _VALUES.get(meaning.beside, ()) if name in said}
        beside = {**common, "source_version": subject["version"], "change": meaning.beside, **about, **values}
        yield Row(place if meaning.takes == KEEP else f"{place}~{meaning.beside}", beside, raw)


def _may_have_taken(change: Mapping[str, Any]) -> bool:
    """Whether an earlier statement of the record may have taken something."""
    said = change.get("said", {})
    return not _is_nothing(said) if said else int(change["version"]) > 1


def _is_nothing(said: Mapping[str, str]) -> bool:
    return said.get("change") == "take_back" and said.get("amount") == "0"


def _order(said: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(said.get(name, "") for name in _ORDER)


def _without_order(said: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in said.items() if name not in _TARGET}


def _moment(modified: str, version: int) -> datetime:
    """SystemModstamp has whole seconds, so the count of changes is added to distinguish changes within one."""
    return parse_instant(modified) + timedelta(milliseconds=min(version, 999))


def _by_field_name(fields: Mapping[str, str], source: Source) -> dict[str, str]:
    """The fields by Retour's names."""
    return {name: fields[path] for name, path in source.options["fields"].items() if path in fields}


def _value_at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def _to_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            # Salesforce writes integers as 2.0 and large ones as 1.2E7.
            return f"{value.normalize():f}" if value else "0"
        case str():
            return value.strip()
        case dict() | list():
            return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
        case _:
            return str(value)
