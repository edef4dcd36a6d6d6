"""Exchange rates as a delivery: JSON, CSV, or the European Central Bank's XML."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING
from xml.parsers import expat

from retour.channels import payload
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.money import exponents
from retour.domain.program import Program
from retour.domain.rates import Rate, cross_rates, validity_days
from retour.domain.row import Refusal, Unreadable
from retour.files.xml import DoctypeError, make_parser
from retour.intake.batch import DONE, DRY_RUN, REFUSED, Batch, report_of
from retour.posting.rows import unreadable_result
from retour.sentences import join_names, truncate
from retour.store.rates import DeliveredRate

if TYPE_CHECKING:
    from retour.wiring import Hub

FIELDS = ("currency", "from", "until", "rate")
REQUIRED_FIELDS = ("currency", "from", "rate")
ROWS_MAX = 5_000
DECIMAL_TEXT = re.compile(r"\d{1,9}(\.\d{1,12})?", re.ASCII)
ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
FORMAT_FACT = "format"
"""The delivery's fact that names its format: json, csv or ecb."""


@dataclass(frozen=True, slots=True)
class RateRow:
    """A row with an exchange rate."""

    place: str
    currency: str
    rate: Rate


ParsedRates = Sequence[RateRow | Unreadable] | Refusal


def ingest_rates(hub: "Hub", delivery: Delivery, body: bytes) -> Batch:
    """Store the delivery, then record its rates. Idempotent.

    A known rate is `unchanged`. A dry run stores nothing.
    """
    program = hub.program_of(delivery)
    rates = hub.rates(program.id)
    read = READERS[delivery.facts.get(FORMAT_FACT, "json")](body, program)
    if isinstance(read, Refusal):
        batch = Batch(delivery=delivery, state=REFUSED, code=read.code, details=read.details)
    else:
        results = [result_of(one, rates.newest) for one in read]
        batch = Batch(delivery=delivery, state=DRY_RUN if delivery.is_dry_run else DONE, results=results)
    if delivery.is_dry_run:
        return batch
    deliveries = hub.deliveries(program.id)
    stored = deliveries.put(delivery, body, DONE, report_of(batch))
    if batch.state == REFUSED:
        deliveries.close(stored, report_of(batch), REFUSED)
    told = [one for one in read if isinstance(one, RateRow)] if not isinstance(read, Refusal) else []
    for one in told:
        rates.put(DeliveredRate(one.currency, one.rate, delivery.id, delivery.received_at))
    for currency in sorted({one.currency for one in told}):
        rates.list_currency(currency)
    return batch


def result_of(one: RateRow | Unreadable, newest: Callable[[str, date], DeliveredRate | None]) -> Result:
    if isinstance(one, Unreadable):
        return unreadable_result(one)
    known = newest(one.currency, one.rate.valid_from)
    same = known is not None and known.rate == one.rate
    return Result(place=one.place, outcome=Outcome.UNCHANGED if same else Outcome.APPLIED, reference=one.currency)


# Formats


def from_json(body: bytes, program: Program) -> ParsedRates:
    """`[{"currency", "from", "until"?, "rate"}]`, optionally below `rates`. A rate is text, never a float."""
    text = payload.decode_utf8(body)
    value = text if isinstance(text, Refusal) else payload.parse_json(text)
    if isinstance(value, Refusal):
        return Refusal("RATES_UNREADABLE") if value.code == "NOT_JSON" else value
    if isinstance(value, dict) and set(value) == {"rates"} and not isinstance(value, payload.DuplicateKeyObject):
        value = value["rates"]
    rows = value if isinstance(value, list) else [value]
    if len(rows) > ROWS_MAX:
        return Refusal("TOO_MANY_RECORDS", {"count": str(len(rows)), "most": str(ROWS_MAX)})
    return [
        Unreadable(str(place), "DUPLICATE_KEY", {"key": truncate(twice)}, truncate(twice))
        if (twice := payload.duplicate_key(row))
        else parse_row(str(place), row if isinstance(row, dict) else {}, program)
        for place, row in enumerate(rows, 1)
    ]


def from_csv(body: bytes, program: Program) -> ParsedRates:
    """Columns currency, from, until (optional) and rate in any order, separated by commas or semicolons."""
    try:
        lines = body.decode("utf-8-sig").splitlines()
        delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
        header, *rows = csv.reader(lines, delimiter=delimiter, strict=True)
    except (ValueError, csv.Error):
        return Refusal("RATES_UNREADABLE", {})
    names = [name.strip().lower() for name in header]
    if not set(REQUIRED_FIELDS) <= set(names) <= set(FIELDS) or len(set(names)) < len(names):
        return Refusal("RATES_HEADER", {"header": truncate(",".join(names)), "right": ",".join(FIELDS)})
    if len(rows) > ROWS_MAX:
        return Refusal("TOO_MANY_RECORDS", {"count": str(len(rows)), "most": str(ROWS_MAX)})
    return [*parse_lines(rows, names, program)]


def parse_lines(
    rows: Sequence[Sequence[str]], names: Sequence[str], program: Program
) -> Iterator[RateRow | Unreadable]:
    for place, cells in enumerate(rows, 2):
        if not any(cells):
            continue
        if len(cells) != len(names):
            yield Unreadable(str(place), "RATE_WIDTH", {"cells": str(len(cells)), "columns": str(len(names))})
        else:
            yield parse_row(str(place), dict(zip(names, cells, strict=True)), program)


def parse_row(place: str, row: Mapping[str, object], program: Program) -> RateRow | Unreadable:
    unknown = next((name for name in row if name not in FIELDS), None)
    if unknown is not None:
        return Unreadable(
            place,
            "UNKNOWN_FIELD",
            {"field": truncate(str(unknown)), "closest": join_names(FIELDS, sort=True)},
            unknown,
        )
    said = {name: str(value).strip() for name, value in row.items() if value not in (None, "")}
    missing = next((name for name in REQUIRED_FIELDS if name not in said), None)
    if missing is not None:
        return Unreadable(place, "RATE_FIELD_MISSING", {"field": missing}, missing)
    currency, begun, until = said["currency"].upper(), parse_day(said["from"]), parse_day(said.get("until", ""))
    if currency not in exponents():
        return Unreadable(place, "UNKNOWN_CURRENCY", {"value": truncate(said["currency"])}, "currency")
    if currency == program.currency:
        return Unreadable(place, "RATE_OF_OWN_CURRENCY", {"currency": currency}, "currency")
    for name, found in (("from", begun), ("until", until)):
        if found is None and name in said:
            return Unreadable(place, "RATE_DAY_UNUSABLE", {"value": truncate(said[name])}, name)
    if begun is None or (until is not None and until < begun):
        return Unreadable(place, "RATE_DAYS_REVERSED", {"until": said["until"], "from": said["from"]}, "until")
    if not DECIMAL_TEXT.fullmatch(said["rate"]) or not Decimal(said["rate"]):
        return Unreadable(place, "RATE_UNUSABLE", {"value": truncate(said["rate"])}, "rate")
    return RateRow(place, currency, Rate(begun, Decimal(said["rate"]), until))


def parse_day(text: str) -> date | None:
    if not ISO_DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def from_ecb(body: bytes, program: Program) -> ParsedRates:
    """The ECB's own XML (eurofxref): the value of one euro in each currency, a `Cube` per publication day."""
    published = parse_ecb(body)
    if published is None:
        return Refusal("RATES_UNREADABLE", {})
    found: list[RateRow | Unreadable] = []
    for day, units in sorted(published.items()):
        if program.currency not in units:
            return Refusal("RATES_NOT_PUBLISHED", {"currency": program.currency})
        begun, until = validity_days(day)
        for currency, rate in cross_rates(units, program.currency).items():
            if currency in exponents():
                found.append(RateRow(f"{day}/{currency}", currency, Rate(begun, rate, until)))
    return found


def parse_ecb(body: bytes) -> dict[date, dict[str, Decimal]] | None:
    """The value of one euro by publication day; None if the document is not the ECB's."""
    days: list[tuple[date, str, Decimal]] = []
    within: list[date] = []

    def start(_tag: str, attributes: dict[str, str]) -> None:
        if "time" in attributes:
            within.append(date.fromisoformat(attributes["time"]))
        elif "currency" in attributes:
            if not DECIMAL_TEXT.fullmatch(attributes["rate"]) or not Decimal(attributes["rate"]):
                raise ValueError(attributes["rate"])
            days.append((within[-1], attributes["currency"], Decimal(attributes["rate"])))

    parser = make_parser()
    parser.StartElementHandler = start
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, DoctypeError, ValueError, KeyError, IndexError):
        return None
    by_day = groupby(sorted(days), key=lambda one: one[0])
    return {day: {"EUR": Decimal(1), **{one[1]: one[2] for one in ones}} for day, ones in by_day} or None


READERS: Mapping[str, Callable[[bytes, Program], ParsedRates]] = {"json": from_json, "csv": from_csv, "ecb": from_ecb}
