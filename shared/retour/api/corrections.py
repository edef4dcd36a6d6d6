"""Correct refused rows and send them again: row by row, or one wrong value in many rows."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.api.authorization import build_reader
from retour.api.batches import find_header
from retour.api.calls import JSON_MAX, Call, ProblemError
from retour.api.problem import excerpt
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.program import Program
from retour.domain.row import line_place
from retour.files.corrected import Corrected
from retour.intake import correction
from retour.intake.batch import DONE
from retour.intake.correction import CorrectionLink, SentRow
from retour.intake.dry_run import dry_run_delivery
from retour.normalise import FIELDS
from retour.store.deliveries import DeliveryHeader
from retour.store.programs import Principal
from retour.views import documents
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader
from retour.wiring import Hub

ROWS_MAX = 2_000
COLUMNS_MAX = 200
VALUE_MAX = 10_000
CORRECTABLE = (Outcome.REFUSED, Outcome.WAITING)


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row that may be corrected: as it was sent, what became of it, and the column that its refusal speaks of."""

    sent: SentRow
    result: Result
    column: str


def correct(hub: Hub, call: Call, principal: Principal, program: Program, segment: str) -> Document:
    """Rows of a batch, as `rows` or `set` says, sent again as a delivery of their own over the same source."""
    reader = build_reader(hub, program)
    header = require_correctable(find_header(reader, segment))
    given = call.document("rows", "set", most=JSON_MAX)
    if len(given) != 1:
        raise ProblemError("ROWS_NEEDED")
    if "rows" in given:
        rows, known = edited_rows(hub, reader, header, given["rows"])
    else:
        rows, known = replaced_rows(hub, reader, header, given["set"])
    identity = f"correction#{call.key or secrets.token_hex(16)}"
    delivery, body = correction.make_correction(header.delivery, hub.now(), principal.name, identity, rows, known)
    if call.is_dry_run:
        return documents.dry_run_document(dry_run_delivery(hub, delivery, body), program.language)
    return documents.answer_document(correction.ingest_correction(hub, delivery, body), program.language)


def require_correctable(header: DeliveryHeader) -> DeliveryHeader:
    if not correction.is_correctable(header.delivery):
        raise ProblemError("NOT_CORRECTABLE", "kind")
    if header.state != DONE:
        raise ProblemError("NOT_CORRECTABLE", "state", state=header.state)
    return header


# What may be corrected


def correctable_results(reader: LedgerReader, header: DeliveryHeader, code: str = "") -> dict[str, Result]:
    """By its place, every row that came to nothing and was not corrected since; of a line of items the line."""
    found: dict[str, Result] = {}
    for result in reader.results(header):
        if result.outcome in CORRECTABLE and code in ("", result.code):
            found.setdefault(place_of(result), result)
    return found


def place_of(result: Result) -> str:
    """A line that could not be read is corrected whole; an item that was read is corrected by itself."""
    return result.place if result.modification else line_place(result.place)


def load_faulty_rows(
    hub: Hub, reader: LedgerReader, header: DeliveryHeader, results: Mapping[str, Result]
) -> Iterator[FaultyRow]:
    """The rows at these places, as they were sent."""
    for sent in correction.sent_rows(hub, reader.program, header, results):
        result = results[sent.place]
        column = correction.column_at_fault(reader.program, header.delivery, sent, result.code, result.column)
        yield FaultyRow(sent, result, column)


def edited_rows(hub: Hub, reader: LedgerReader, header: DeliveryHeader, asked: Any) -> tuple[list[Corrected], str]:
    """Each row as it was sent, but for the columns that are said anew."""
    if not isinstance(asked, list) or not 1 <= len(asked) <= ROWS_MAX or not all(is_valid_row(one) for one in asked):
        raise ProblemError("ROWS_NEEDED", "shape", most=str(ROWS_MAX))
    results = correctable_results(reader, header)
    missing = [one["record"] for one in asked if one["record"] not in results]
    if missing:
        raise ProblemError("ROW_UNKNOWN", places=", ".join(place[:40] for place in missing[:5]))
    new = {one["record"]: one["fields"] for one in asked}
    rows: list[Corrected] = []
    known = ""
    for one in load_faulty_rows(hub, reader, header, {place: results[place] for place in new}):
        rows.append((one.sent.place, merge_fields(one, new[one.sent.place])))
        known = one.sent.known
    return rows, known


def is_valid_row(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and set(one) == {"record", "fields"}
        and isinstance(one["record"], str)
        and isinstance(one["fields"], dict)
        and len(one["fields"]) <= COLUMNS_MAX
        and all(isinstance(value, str) and len(value) <= VALUE_MAX for value in one["fields"].values())
    )


def merge_fields(one: FaultyRow, fields: Mapping[str, str]) -> dict[str, str]:
    unknown = next((name for name in fields if name not in (*one.sent.columns, one.column, *FIELDS)), None)
    if unknown is not None:
        raise ProblemError("UNKNOWN_FIELD", "column", field=excerpt(unknown), known=", ".join(one.sent.columns)[:500])
    return {**one.sent.columns, **fields}


def replaced_rows(hub: Hub, reader: LedgerReader, header: DeliveryHeader, asked: Any) -> tuple[list[Corrected], str]:
    """Every refused row not yet corrected in which a column says one thing, with another in its place."""
    names = ("column", "from", "to")
    told = isinstance(asked, dict) and all(
        isinstance(value, str) and len(value) <= VALUE_MAX for value in asked.values()
    )
    if not told or not set(names) <= set(asked) <= {*names, "code"}:
        raise ProblemError("RULE_NEEDED")
    column, old, new = (asked[name].strip() for name in names)
    done = correction.correction_links(hub, header.delivery)
    results = {
        place: result
        for place, result in correctable_results(reader, header, asked.get("code", "")).items()
        if correction.newest_correction(done, place) is None
    }
    rows: list[Corrected] = []
    known = ""
    for one in load_faulty_rows(hub, reader, header, results):
        name = one.column if column == correction.FIELD_AT_FAULT.get(one.result.code) else column
        if one.sent.columns.get(name, "").strip() == old and len(rows) < ROWS_MAX:
            rows.append((one.sent.place, {**one.sent.columns, name: new}))
            known = one.sent.known
    if not rows:
        raise ProblemError("NO_ROW_MATCHES", column=excerpt(column), value=excerpt(old))
    return rows, known


# What people are offered


@dataclass(frozen=True, slots=True)
class ReplacementRule:
    """The same wrong value in several rows refused for the same reason; `nearest` is what it may have meant."""

    code: str
    column: str
    value: str
    rows: int
    nearest: str = ""


def value_at_fault(result: Result) -> str:
    """What a refusal names as wrong: the value of a column, else the order it is about."""
    return result.details.get(VALUE_DETAIL.get(result.code, "value"), "") or result.order


def suggest_rules(results: Sequence[Result], done: Sequence[CorrectionLink]) -> list[ReplacementRule]:
    """What may be mended at once, the most frequent first: of refusals that name a column and its value."""
    counted: dict[tuple[str, str, str], int] = {}
    nearest: dict[tuple[str, str, str], str] = {}
    for one in results:
        value = one.details.get(VALUE_DETAIL.get(one.code, "value"), "")
        column = one.column or correction.FIELD_AT_FAULT.get(one.code, "")
        told = one.outcome is Outcome.REFUSED and column and value and not value.endswith("…")
        if told and correction.newest_correction(done, place_of(one)) is None:
            key = (one.code, column, value)
            counted[key] = counted.get(key, 0) + 1
            nearest[key] = one.details.get("nearest", "")
    several = [ReplacementRule(*key, count, nearest[key]) for key, count in counted.items() if count > 1]
    return sorted(several, key=lambda rule: -rule.rows)


VALUE_DETAIL = {"UNKNOWN_ITEM": "item", "CURRENCY_MISMATCH": "currency", "EVENT_TYPE_NEEDED": "event_type"}


def load_faulty_row(hub: Hub, program: Program, segment: str, place: str) -> tuple[DeliveryHeader, FaultyRow]:
    """One row of a batch that may be corrected, as it was sent."""
    reader = build_reader(hub, program)
    header = require_correctable(find_header(reader, segment))
    result = correctable_results(reader, header).get(place)
    found = next(load_faulty_rows(hub, reader, header, {place: result}), None) if result else None
    if found is None:
        raise ProblemError("NOT_FOUND", "row")
    return header, found
