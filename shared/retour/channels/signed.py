"""Any sender that signs its webhooks, read as `options` of its source declare it (docs/signed-webhooks.md).

`options.signature` says how it signs (`channels/signature_scheme.py`). `options.events` says what its messages mean:
each entry names the messages it is for (`when`), where the records lie in them (`records`), where a record's fields lie
(`fields`), and what its states take back in total (`statuses`). Every entry that a message fits is read.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from retour.channels import json_path, payload
from retour.channels.json_path import Record, SeveralValuesError
from retour.channels.signature_scheme import SignatureScheme
from retour.channels.statements import (
    KEEP,
    TAKE_ALL,
    TAKES,
    Meaning,
    amount_taken_fields,
    statement_fields,
    status_meaning,
)
from retour.channels.webhook import header_identity, pick_headers
from retour.domain.money import InvalidAmountError, UnknownCurrencyError, exponent
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.domain.times import format_instant
from retour.numbers import AmbiguousNumberError, ForeignCurrencyError, parse_number

HEADER_PLACE = "header:"
"""Prefix of `when` keys that name a header instead of a path."""
RECORDS_MAX = 500
VALUES_MAX = 1_000
"""Maximum number of values summed for one path."""
AMOUNTS = ("amount", "quantity", "order_total")
PLAIN_FIELDS = (
    "reference", "order_id", "action_id", "event_type", "sku", "line", "currency", "partner", "disposition",
    "occurred_at",
)  # fmt: skip
STEP = re.compile(r"\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]")
ReadResult = Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal


@dataclass(frozen=True)
class SignedSender:
    """The sender of one source, as a WebhookAdapter. `url` is the source's own URL, which some senders sign."""

    source: Source
    url: str = ""

    @cached_property
    def MESSAGES(self) -> Collection[str]:
        return [*subscribed(self.source, "returns"), *subscribed(self.source, "names")]

    @cached_property
    def scheme(self) -> SignatureScheme:
        return SignatureScheme.of(self.source.options["signature"])

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
        return self.scheme.verify(body, headers, secrets, now, self.url)

    def sign_headers(self, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
        return self.scheme.sign_headers(body, secrets, now, self.url, header_identity(body, ""))

    def identity(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The delivery's id only if it is signed; with any other, an old message could be replayed as a new one."""
        return header_identity(body, self.scheme.delivery_id(headers) or delivery_id(body, self.source))

    def facts(self, headers: Mapping[str, str]) -> dict[str, str]:
        named = (place for rule in event_rules(self.source) for place in rule.when if place.startswith(HEADER_PLACE))
        return pick_headers(headers, (place.removeprefix(HEADER_PLACE).lower() for place in named))

    def rows(self, body: bytes, headers: Mapping[str, str], source: Source) -> ReadResult:
        return read_message(body, headers, source)

    def undeclared_statuses(self, body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
        return undeclared_states(body, headers, source)


bind = SignedSender
"""The adapter of this kind depends on the source."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """An entry of `options.events`. `ranks` orders one-way states, equal ones in a list."""

    when: Mapping[str, Any] = field(default_factory=dict)
    records: str = "$"
    fields: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()
    statuses: Mapping[str, str] = field(default_factory=dict)
    ranks: Sequence[str | Sequence[str]] = ()
    change: str | None = None
    minor_units: bool = False
    tells: str = "returns"

    def fits(self, message: Any, headers: Mapping[str, str]) -> bool:
        """Whether the message has one of the expected texts at each place of `when`."""
        record = Record(message, message)
        return all(
            any(json_path.as_text(value) in texts(wanted) for value in values_at(place, record, headers))
            for place, wanted in self.when.items()
        )

    def rank(self, status: str) -> int | None:
        return next((n for n, equals in enumerate(self.ranks) if status in texts(equals)), None)


def values_at(place: str, record: Record, headers: Mapping[str, str]) -> list[Any]:
    """The values at a path of the message, or of a header."""
    if place.startswith(HEADER_PLACE):
        return [headers.get(place.removeprefix(HEADER_PLACE).lower(), "")]
    return json_path.values(place, record, VALUES_MAX)


def texts(value: Any) -> list[str]:
    """A text or list as a list of texts. Numbers and booleans read by YAML become text again."""
    listed = value if isinstance(value, list | tuple) else [value]
    return [text for one in listed if (text := json_path.as_text(one)) is not None]


def event_rules(source: Source) -> list[EventRule]:
    return [EventRule(**rule) for rule in source.options.get("events", ())]


def subscribed(source: Source, tells: str) -> list[str]:
    """The messages a source describes, by the texts its entries expect."""
    rules = [rule for rule in event_rules(source) if rule.tells == tells]
    return list(dict.fromkeys(text for rule in rules for wanted in rule.when.values() for text in texts(wanted)))


def delivery_id(body: bytes, source: Source) -> str:
    """The delivery id in the body, which is signed; otherwise empty."""
    path = source.options.get("delivery_id")
    message = parse_message(body) if path else None
    if path is None or isinstance(message, Refusal):
        return ""
    try:
        return json_path.fill(path, Record(message, message)) or ""
    except SeveralValuesError:
        return ""


def parse_message(body: bytes) -> Any | Refusal:
    """Parse a body that must be an object or a list."""
    text = payload.decode_utf8(body)
    value = text if isinstance(text, Refusal) else payload.parse_json(text)
    if isinstance(value, Refusal):
        return value
    if twice := payload.duplicate_key(value):
        return Refusal("DUPLICATE_KEY", {"key": payload.excerpt(twice)})
    if not isinstance(value, dict | list):
        return Refusal("NOT_AN_OBJECT", {"value": payload.excerpt(value)})
    return value


def read_message(body: bytes, headers: Mapping[str, str], source: Source) -> ReadResult:
    """The statements in a message by subject, or the names it links."""
    message = parse_message(body)
    if isinstance(message, Refusal):
        return message
    rules = [rule for rule in event_rules(source) if rule.fits(message, headers)]
    if not rules:
        return Ignored("No entry of options.events is for this message, so it says nothing of money.")
    told: list[Row | Unreadable] = []
    names: OrderNames | None = None
    if not any(_records(rule, message) for rule in rules):
        places = ", ".join(dict.fromkeys(rule.records for rule in rules))
        return Ignored(f"Nothing lies at {payload.excerpt(places)}, so it says nothing of money.")
    for rule in rules:
        if rule.tells == "names":
            names = names or _order_names(rule, message, source)
            continue
        records = _records(rule, message)
        if len(records) > RECORDS_MAX:
            return Refusal("TOO_MANY_RECORDS", {"count": f"{RECORDS_MAX}+", "most": str(RECORDS_MAX)})
        for record in records:
            told.extend(_read_record(rule, record, source))
    return told or names or Ignored("It is in no state that says something of money.")


def undeclared_states(body: bytes, headers: Mapping[str, str], source: Source) -> list[str]:
    """The states in a body that the source does not declare."""
    message = parse_message(body)
    if isinstance(message, Refusal):
        return []
    found = (
        status
        for rule in event_rules(source)
        if rule.fits(message, headers) and "status" in rule.fields
        for record in _records(rule, message)[:RECORDS_MAX]
        if (status := _status(rule, record)) and not _meaning(rule, status, source).is_declared
    )
    return sorted(set(found))


def _records(rule: EventRule, message: Any) -> list[Record]:
    """The records of a message, at most one more than allowed."""
    found = json_path.find(rule.records, Record(message, message), RECORDS_MAX + 1)
    return [Record(message, value, place) for value, place in found]


def _order_names(rule: EventRule, message: Any, source: Source) -> OrderNames | None:
    """The names of the order a message is about, with its total if stated."""
    for record in _records(rule, message)[:1]:
        try:
            names = _names(rule, record, source)
            order = _fill(rule, "order_id", record)
            currency = _currency(rule, record, source)
            total = _amount(rule, "order_total", record, currency, source)
        except (SeveralValuesError, _CellError):
            return None
        if names and (order or total or len(names) > 1):
            priced = total is not None and currency is not None
            return OrderNames(order, names, f"{total:f}" if priced else "", (currency or "") if priced else "")
    return None


class _CellError(Exception):
    """A value is unsuitable for its field. Carries the code and values of the sentence."""

    def __init__(self, code: str, **details: str) -> None:
        self.code, self.details = code, details
        super().__init__(code)


def _read_record(rule: EventRule, record: Record, source: Source) -> Iterator[Row | Unreadable]:
    place = readable_place(record.place)
    try:
        fields = _record_fields(rule, record, source)
    except SeveralValuesError as error:
        yield Unreadable(place, "SEVERAL_VALUES", {"path": payload.excerpt(error.path)}, payload.excerpt(error.path))
    except _CellError as wrong:
        yield Unreadable(place, wrong.code, wrong.details, wrong.details.get("field", ""), **_whose(rule, record))
    else:
        yield from (payload.make_row(place, one) for one in fields)


def _whose(rule: EventRule, record: Record) -> dict[str, str]:
    try:
        return payload.record_ids({name: _fill(rule, name, record) for name in ("order_id", "reference")})
    except SeveralValuesError:
        return {}


def _record_fields(rule: EventRule, record: Record, source: Source) -> list[dict[str, str | None]]:
    """The fields of a record: its statement, and a further change its status is mapped to."""
    status = _status(rule, record)
    if "status" in rule.fields and status is None:
        raise _CellError("FIELD_NOT_SENT", field="status", path=payload.excerpt(rule.fields["status"]))
    means = _meaning(rule, status or "", source)
    word = _change_word(rule, status or "", source)
    common = {name: _fill(rule, name, record) for name in PLAIN_FIELDS if name in rule.fields}
    if "reason" in rule.fields:
        common["reason"] = payload.mapped_reason(_fill(rule, "reason", record), source, {})
    if "note" in rule.fields:
        common["note"] = payload.truncate_note(_fill(rule, "note", record))
    names = _names(rule, record, source)
    if common.get("order_id") is None and common.get("action_id") is None and not names:
        path = payload.excerpt(rule.fields.get("order_id", rule.fields.get("action_id", "")))
        raise _CellError("FIELD_NOT_SENT", field="order_id", path=path)
    common["names"] = " ".join(names) or None
    told: list[dict[str, str | None]] = []
    subject = _fill(rule, "subject", record)
    if "subject" in rule.fields and subject is None:
        raise _CellError("FIELD_NOT_SENT", field="subject", path=payload.excerpt(rule.fields["subject"]))
    if means.takes is not KEEP:
        takes = _taken_fields(rule, record, word, names, source) if means.takes is TAKES else None
        if subject is not None:
            version, rank = _version(rule, record, status, source)
            told.append({**common, **statement_fields(subject, version, rank=rank, takes=takes)})
        else:
            told.append({**common, **(takes or {"change": "take_back", "amount": "0"})})
    if means.beside is not None:
        asked = {"reference": f"{subject or common.get('reference') or ''}/{status}", "change": means.beside}
        told.append({**common, **asked, **({"status": status} if means.beside == "set_status" else {})})
    return told


def _status(rule: EventRule, record: Record) -> str | None:
    return _fill(rule, "status", record) if "status" in rule.fields else None


def _meaning(rule: EventRule, status: str, source: Source) -> Meaning:
    """The meaning of a status, or the change of all records of the entry."""
    if "status" not in rule.fields:
        return status_meaning("", {"": rule.change or "take_back"}, {})
    return status_meaning(status, _declared(rule, source), {})


def _declared(rule: EventRule, source: Source) -> Mapping[str, str]:
    """The declared meanings of states: the entry's, else the source's."""
    return {**source.mapping.get("statuses", {}), **rule.statuses}


def _change_word(rule: EventRule, status: str, source: Source) -> str:
    if "status" not in rule.fields:
        return rule.change or "take_back"
    return _declared(rule, source).get(status, "")


def _taken_fields(
    rule: EventRule, record: Record, word: str, names: Sequence[str], source: Source
) -> Mapping[str, str | None]:
    if word == "reverse":
        return TAKE_ALL
    currency = _currency(rule, record, source)
    amount = _amount(rule, "amount", record, currency, source)
    quantity = _amount(rule, "quantity", record, None, source)
    scaled = source.basis == "order_total" and word == "take_back"
    total = _amount(rule, "order_total", record, currency, source) if scaled else None
    mark = source.mapping.get("decimal", ".")
    written = [None if one is None else f"{one:f}".replace(".", mark) for one in (amount, total)]
    total_of = names[0] if scaled and total is None and names else None
    told = amount_taken_fields(written[0] or "", currency, written[1], total_of)
    return {**told, "change": word, "quantity": None if quantity is None else f"{quantity:f}"}


def _version(rule: EventRule, record: Record, status: str | None, source: Source) -> tuple[str | None, int | None]:
    """The version and the rank of the state. Without a version the rank is used alone."""
    rank = rule.rank(status) if status is not None else None
    told = _fill(rule, "version", record)
    if told is None:
        if "version" in rule.fields:
            path = payload.excerpt(rule.fields["version"])
            raise _CellError("FIELD_NOT_SENT", field="version", path=path)
        return (None if rank is None else str(rank)), None
    return as_version(told, source), rank


def as_version(told: str, source: Source) -> str:
    """A version in Retour's format. Times without offset are in the source's zone and format."""
    if told.isdecimal():
        return told
    declared = source.mapping.get("date")
    for pattern in [declared] if isinstance(declared, str) else declared or [None]:
        try:
            moment = datetime.strptime(told, pattern) if pattern else datetime.fromisoformat(told)
            return format_instant(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(source.time_zone)))
        except (ValueError, OverflowError):
            continue
    return told


def _names(rule: EventRule, record: Record, source: Source) -> tuple[str, ...]:
    """Other names of the order, without those whose parts are missing."""
    found = (json_path.fill(name, record) for name in rule.names)
    told = (f"{source.namespace}:{name}" for name in found if name)
    return tuple(dict.fromkeys(name for name in told if " " not in name and name.isprintable()))


def _fill(rule: EventRule, name: str, record: Record) -> str | None:
    """The text of a field; of several paths the first that finds a value."""
    said = rule.fields.get(name)
    if said is None:
        return None
    return next((text for one in texts(said) if (text := json_path.fill(one, record))), None)


def _currency(rule: EventRule, record: Record, source: Source) -> str | None:
    told = _fill(rule, "currency", record)
    return told.upper() if told is not None else source.currency


def _amount(rule: EventRule, name: str, record: Record, currency: str | None, source: Source) -> Decimal | None:
    """The sum of the values at an amount's paths, minus those with a leading `-`; None if there are none."""
    total, found = Decimal(0), False
    for place in texts(rule.fields.get(name)):
        sign, path = (-1, place[1:]) if place.startswith("-") else (1, place)
        read = json_path.values(path, record, VALUES_MAX + 1) if json_path.is_path(path) else [path]
        if len(read) > VALUES_MAX:
            raise _CellError("TOO_MANY_RECORDS", count=f"{VALUES_MAX}+", most=str(VALUES_MAX))
        for value in read:
            if value is None or value == "":
                continue
            total += sign * _number(value, name, source)
            found = True
    if not found:
        return None
    return _in_major_units(total, name, currency) if rule.minor_units and name != "quantity" else total


def _number(value: Any, name: str, source: Source) -> Decimal:
    code = "QUANTITY_UNREADABLE" if name == "quantity" else "AMOUNT_UNREADABLE"
    mark = source.mapping.get("decimal")
    is_text = isinstance(value, str) and not isinstance(value, payload.NumberLiteral)
    try:
        number = parse_number(value, mark) if is_text and mark else payload.parse_amount(value)
    except (InvalidAmountError, AmbiguousNumberError, ForeignCurrencyError):
        number = None
    if number is None:
        raise _CellError(code, field=name, value=payload.excerpt(value))
    return number


def _in_major_units(minor: Decimal, name: str, currency: str | None) -> Decimal:
    try:
        places = exponent(currency or "")
    except UnknownCurrencyError:
        raise _CellError("CURRENCY_UNKNOWN", field="currency", value=payload.excerpt(currency)) from None
    if minor != minor.to_integral_value():
        raise _CellError("MINOR_UNITS_UNREADABLE", field=name, value=payload.excerpt(f"{minor:f}"))
    return minor.scaleb(-places)


def readable_place(path: str) -> str:
    """A normalised path in readable form, items counted from 1: `data.refunds[2]`; the whole message is `1`."""
    steps = []
    for name, index in STEP.findall(path):
        if index:
            steps.append(f"[{int(index) + 1}]")
        else:
            steps.append(f".{name}" if re.fullmatch(r"[A-Za-z_]\w*", name) else f"['{name}']")
    return payload.excerpt("".join(steps).removeprefix(".")) or "1"
