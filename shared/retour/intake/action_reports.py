"""Reported actions: JSON of the API or Retour's own CSV, one row per line, converted to Actions."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from retour.channels import payload
from retour.domain.actions.action import Action, Line
from retour.domain.calendar import local_day
from retour.domain.contracts.lock import at_report
from retour.domain.contracts.versions import terms_at_report
from retour.domain.delivery import Delivery
from retour.domain.money import InvalidAmountError, exponents, parse_decimal, to_minor, to_text
from retour.domain.program import Program
from retour.domain.rates import Rate
from retour.domain.row import ActionReport, Refusal, Row, Unreadable
from retour.domain.times import truncate_to_milliseconds
from retour.normalise import KEY_BYTES_MAX, QUANTITY_MAX, CellError, order_key
from retour.sentences import join_names, truncate

DeliveredRates = Callable[[str, date, datetime], Sequence[Rate]]
ACTION_FIELDS = (
    "action_id", "order_id", "event_type", "partner", "event_time", "currency", "promo_code", "customer_status",
    "parent", "country", "payment_method",
)  # fmt: skip
TOTAL = "total"
"""The order amount given beside the items of an action."""
LINE_FIELDS = ("line", "sku", "category", "quantity", "amount")
MINOR_MAX = 10**12
LINES_MAX = 200
ACTIONS_MAX = 500
COUNTRY_CODE_LENGTH = 2
"""Letters of a country code (ISO 3166)."""


def from_json(body: bytes) -> list[ActionReport | Unreadable] | Refusal:
    """An action, or a list of up to 500, in the API's format. A faulty one does not affect the others."""
    text = payload.decode_utf8(body)
    value = payload.parse_json(text) if isinstance(text, str) else text
    if isinstance(value, Refusal) or not isinstance(text, str):
        return value if isinstance(value, Refusal) else Refusal("NOT_UTF8")
    listed = text
    if isinstance(value, dict) and "actions" in value:
        if isinstance(value, payload.DuplicateKeyObject):
            return Refusal("DUPLICATE_KEY", {"key": payload.excerpt(value.twice)})
        if beside := next((name for name in value if name != "actions"), None):
            return Refusal("UNKNOWN_FIELD", {"field": payload.excerpt(beside), "closest": "actions"})
        value, listed = value["actions"], payload.member(text, "actions")
    if not isinstance(value, list):
        return [from_record("1", value, listed.strip())]
    if len(value) > ACTIONS_MAX:
        return Refusal("TOO_MANY_RECORDS", {"count": str(len(value)), "most": str(ACTIONS_MAX)})
    records = payload.elements(listed, listed.index("["))
    return [from_record(str(number), record, raw) for number, (record, raw) in enumerate(records, 1)]


def is_json(delivery: Delivery) -> bool:
    """Whether a file contains reported actions in the API's format."""
    return delivery.facts.get("layout") == "actions" and delivery.name.endswith(".json")


def refused_as_json(body: bytes, places: set[str]) -> bytes:
    """The reports at these places as a JSON list, each exactly as it was sent."""
    read = from_json(body)
    raws = [] if isinstance(read, Refusal) else [one.raw for one in read if one.place in places]
    return ("[" + ",\n".join(raws) + "]\n").encode("utf-8", "surrogatepass")


def from_record(place: str, record: Any, raw: str = "") -> ActionReport | Unreadable:
    if not isinstance(record, dict):
        return Unreadable(place, "NOT_AN_ACTION", {}, raw=raw)
    if (twice := payload.duplicate_key(record)) is not None:
        key = payload.excerpt(twice)
        return Unreadable(place, "DUPLICATE_KEY", {"key": key}, key, raw)
    items = record.get("items")
    lines = [{"amount": record.get("amount")}] if items is None else items if isinstance(items, list) else []
    known: list[tuple[str, tuple[str, ...]]] = [(name, (*ACTION_FIELDS, "items", "amount")) for name in record]
    known += [(name, LINE_FIELDS) for line in lines if isinstance(line, dict) for name in line]
    for name, names in known:
        if name in LINE_FIELDS and name not in names:
            return Unreadable(place, "FIELD_OF_ITEMS", {"field": name}, name, raw)
        if name not in names:
            details = {"field": payload.excerpt(name), "closest": payload.possible(name, names)}
            return Unreadable(place, "UNKNOWN_FIELD", details, details["field"], raw)
    if not lines or len(lines) > LINES_MAX or not all(isinstance(line, dict) for line in lines):
        return Unreadable(place, "ITEMS_UNUSABLE", {"most": str(LINES_MAX)}, "items", raw)
    fields = text_fields(record, ACTION_FIELDS)
    if items is not None and (beside := text_fields(record, ("amount",))):
        fields[TOTAL] = beside["amount"]
    return ActionReport(place, fields, [text_fields(line, LINE_FIELDS) for line in lines], raw)


def text_fields(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    found = {name: record[name] for name in names if record.get(name) is not None}
    said = {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}
    return {name: text for name, value in said.items() if (text := value.strip())}


def from_rows(rows: Iterator[Row | Unreadable]) -> Iterator[ActionReport | Unreadable]:
    """Rows of a CSV as actions. Rows of one action are consecutive; later ones may omit repeated values.

    If they contradict the first row, the whole action is refused, since it is unknown which row is right.
    """
    first: Row | None = None
    lines: list[Mapping[str, str]] = []
    raw: list[str] = []
    differs: Unreadable | None = None

    def whole() -> Iterator[ActionReport | Unreadable]:
        if first is None:
            return
        if differs is not None:
            yield replace(differs, raw="".join(raw))
        else:
            yield ActionReport(first.place, first.fields, lines, "".join(raw))

    for row in rows:
        if isinstance(row, Unreadable):
            yield from whole()
            first = None
            yield row
            continue
        goes_on = first is not None and all(
            row.fields.get(name, first.fields.get(name)) == first.fields.get(name)
            for name in ("action_id", "order_id", "event_type")
        )
        if not goes_on:
            yield from whole()
            first, lines, raw, differs = row, [], [], None
        elif first is not None:
            differs = differs or difference(first, row)
            first = replace(first, fields={**row.fields, **first.fields})
        lines.append({name: row.fields[name] for name in LINE_FIELDS if name in row.fields})
        raw.append(row.raw)
    yield from whole()


def difference(first: Row, row: Row) -> Unreadable | None:
    """A value of a later row that contradicts the action's first row."""
    for name in ACTION_FIELDS:
        value, other = row.fields.get(name), first.fields.get(name)
        if value is not None and other is not None and value != other:
            details = {"line": row.place, "first": first.place, "column": name}
            details |= {"value": truncate(value), "other": truncate(other)}
            return Unreadable(first.place, "ACTION_ROWS_DIFFER", details, name, order=first.fields.get("order_id", ""))
    return None


def report_home_key(report: ActionReport, program: Program) -> str:
    """The key of the order a report belongs to; empty if it names none."""
    return order_key(report.fields.get("order_id", ""), program.order_key)


def no_delivered_rates(_currency: str, _day: date, _recorded_before: datetime) -> Sequence[Rate]:
    return ()


def action_from_report(
    report: ActionReport, program: Program, delivery: Delivery, delivered: DeliveredRates = no_delivered_rates
) -> Action | Unreadable:
    """The reported action, with its lock fixed by the contract in force at receipt.

    `delivered` returns the delivered rates of a currency for a day, as recorded by a time.
    """
    try:
        return _parse_action(report, program, delivery, delivered)
    except CellError as wrong:
        fields = report.fields
        order = fields.get("order_id", fields.get("action_id", ""))
        return Unreadable(report.place, wrong.code, wrong.details, wrong.column, report.raw, order)


def _parse_action(report: ActionReport, program: Program, delivery: Delivery, delivered: DeliveredRates) -> Action:
    fields = report.fields
    for name in ("order_id", "event_type", "partner", "event_time"):
        if not fields.get(name):
            raise CellError("FIELD_MISSING", name, field=name)
    for name in ACTION_FIELDS:
        value = fields.get(name, "")
        if len(value.encode()) > KEY_BYTES_MAX or not value.isprintable():
            raise CellError("TEXT_UNUSABLE", name, field=name, bytes=str(KEY_BYTES_MAX))
    key = order_key(fields["order_id"], program.order_key)
    if not key or key.startswith("@") or len(key.encode()) > KEY_BYTES_MAX:
        raise CellError("ORDER_ID_UNUSABLE", "order_id", value=truncate(fields["order_id"]), bytes=str(KEY_BYTES_MAX))
    event_type = program.event_types.get(fields["event_type"])
    if event_type is None:
        raise CellError(
            "UNKNOWN_EVENT_TYPE",
            "event_type",
            value=truncate(fields["event_type"]),
            known=join_names(program.event_types, sort=True),
        )
    currency = fields.get("currency", program.currency).upper()
    if currency not in exponents():
        raise CellError("UNKNOWN_CURRENCY", "currency", value=truncate(currency))
    event_time = parse_event_time(fields["event_time"], program)
    happened_at = event_time
    if event_time > delivery.received_at:
        raise CellError("EVENT_IN_FUTURE", "event_time", value=truncate(fields["event_time"]))
    repeated = f"~{happened_at:%Y%m%dT%H%M%S}" if event_type.repeated_orders else ""
    if event_type.late_orders == "submission":
        event_time = delivery.received_at
    partner = fields["partner"]
    terms = terms_at_report(program.contracts, event_type.name, partner, event_time, delivery.received_at)
    if terms is None:
        raise CellError("CONTRACT_MISSING", "event_type", event_type=event_type.name, partner=partner)
    day = local_day(event_time, program.time_zone)
    told = delivered(currency, day, delivery.received_at) if currency != program.currency else ()
    rate = program.rate(currency, day, told)
    if rate is None:
        raise CellError("RATE_MISSING", "currency", value=currency, currency=program.currency)
    country = fields.get("country", "").upper() or None
    if country and not (len(country) == COUNTRY_CODE_LENGTH and country.isascii() and country.isalpha()):
        raise CellError("NOT_A_COUNTRY", "country", value=truncate(fields["country"]))
    lines = tuple(parse_line(number, line, currency) for number, line in enumerate(report.lines, 1))
    check_lines(lines, fields.get(TOTAL), currency)
    reported = Action(
        id=fields.get("action_id") or f"{key}~{event_type.name}{repeated}",
        program=program.id,
        order_key=key,
        order_id=fields["order_id"],
        event_type=event_type.name,
        partner=fields["partner"],
        event_time=event_time,
        currency=currency,
        lines=lines,
        reported_at=delivery.received_at,
        delivery=delivery.id,
        locks_at=None,
        contract=terms.number,
        rate=rate,
        promo_code=fields.get("promo_code"),
        customer_status=fields.get("customer_status"),
        country=country,
        payment_method=fields.get("payment_method"),
        parent=fields.get("parent") or (f"{key}~{event_type.parent}" if event_type.parent else None),
    )
    return replace(reported, locks_at=at_report(terms.lock_for(reported), event_time, program.time_zone).locks_at)


def parse_line(number: int, line: Mapping[str, str], currency: str) -> Line:
    for name in ("line", "sku", "category"):
        value = line.get(name, "")
        if len(value.encode()) > KEY_BYTES_MAX or not value.isprintable():
            raise CellError("TEXT_UNUSABLE", name, field=name, bytes=str(KEY_BYTES_MAX))
    quantity = line.get("quantity", "1")
    if not (quantity.isascii() and quantity.isdigit()) or not 1 <= int(quantity[:9]) <= QUANTITY_MAX:
        raise CellError("NOT_A_QUANTITY", "quantity", value=truncate(quantity))
    return Line(
        line=line.get("line", str(number)),
        sku=line.get("sku"),
        category=line.get("category"),
        quantity=int(quantity),
        amount=parse_minor_units(line.get("amount"), currency),
    )


def check_lines(lines: Sequence[Line], total: str | None, currency: str) -> None:
    """Raise CellError if two lines have the same name, or their sum differs from `total`."""
    named: set[str] = set()
    for line in lines:
        if line.line in named:
            raise CellError("LINE_TWICE", "line", line=truncate(line.line))
        named.add(line.line)
    added = sum(line.amount for line in lines)
    if total is not None and parse_minor_units(total, currency) != added:
        raise CellError("AMOUNT_NOT_THE_SUM", "amount", amount=truncate(total), total=to_text(added, currency))


def parse_minor_units(text: str | None, currency: str) -> int:
    if text is None:
        raise CellError("FIELD_MISSING", "amount", field="amount")
    try:
        amount: Decimal = parse_decimal(text)
    except InvalidAmountError:
        raise CellError("NOT_AN_AMOUNT", "amount", value=truncate(text), mark=".") from None
    try:
        minor = to_minor(amount, currency)
    except InvalidAmountError:
        places = str(exponents()[currency])
        raise CellError(
            "AMOUNT_TOO_FINE", "amount", amount=truncate(text), sale_currency=currency, places=places
        ) from None
    if minor < 0:
        raise CellError("AMOUNT_NEGATIVE", "amount")
    if minor >= MINOR_MAX:
        raise CellError("AMOUNT_TOO_LARGE", "amount", value=truncate(text))
    return minor


def parse_event_time(text: str, program: Program) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return truncate_to_milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(program.time_zone)))
    except (ValueError, OverflowError):
        raise CellError("NOT_A_TIME", "event_time", value=truncate(text), pattern="2026-11-21T09:30:00+01:00") from None


def is_same_report(one: Action, other: Action) -> bool:
    """Whether two reports of an action are equal apart from their receipt and provenance."""
    return one == replace(
        other,
        reported_at=one.reported_at,
        delivery=one.delivery,
        locks_at=one.locks_at,
        contract=one.contract,
        rate=one.rate,
        event_time=one.event_time if is_counted_from_report(one) else other.event_time,
    )


def is_counted_from_report(action: Action) -> bool:
    """Whether the event time is the time of the report, as for late orders. Two reports then differ in it."""
    return action.event_time == action.reported_at
