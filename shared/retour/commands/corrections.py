"""Correct refused rows and send them again, individually or by replacing a wrong value in many."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retour.commands.delivery import identity_of
from retour.context import Context
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.row import line_place
from retour.errors import ConflictError, InvalidRequestError, NotFoundError, excerpt
from retour.files.corrected import Corrected
from retour.intake import correction
from retour.intake.batch import DONE, Batch
from retour.intake.correction import CorrectionLink, SentRow
from retour.intake.dry_run import dry_run_delivery
from retour.normalise import FIELDS
from retour.store.deliveries import DeliveryHeader
from retour.views.deliveries import find_header
from retour.views.ledger_reader import LedgerReader, build_reader
from retour.wiring import Hub

ROWS_MAX = 2_000
COLUMNS_MAX = 200
VALUE_MAX = 10_000
CORRECTABLE = (Outcome.REFUSED, Outcome.WAITING)


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A correctable row as it was sent, with its result and the column at fault."""

    sent: SentRow
    result: Result
    column: str


@dataclass(frozen=True, slots=True)
class EditedRow:
    """The new values of a row by column."""

    place: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Replacement:
    """Replace a value in a column of all refused rows, optionally only of one code."""

    column: str
    old: str
    new: str
    code: str = ""


Correction = Sequence[EditedRow] | Replacement


def correct(context: Context[Hub], header: DeliveryHeader, change: Correction) -> Batch:
    """Send corrected rows of a batch as a delivery of the same source."""
    delivery, body = build_correction(context, header, change)
    return correction.ingest_correction(context.ports, delivery, body)


def preview_correction(context: Context[Hub], header: DeliveryHeader, change: Correction) -> Batch:
    """Simulate a correction."""
    delivery, body = build_correction(context, header, change)
    return dry_run_delivery(context.ports, delivery, body)


def build_correction(context: Context[Hub], header: DeliveryHeader, change: Correction) -> tuple[Delivery, bytes]:
    reader = build_reader(context.ports, context.program)
    require_bounded(change)
    if isinstance(change, Replacement):
        rows, known = replaced_rows(context.ports, reader, header, change)
    else:
        rows, known = edited_rows(context.ports, reader, header, change)
    identity = identity_of(context, "correction")
    return correction.make_correction(header.delivery, context.now(), context.caller.name, identity, rows, known)


def require_bounded(change: Correction) -> None:
    if isinstance(change, Replacement):
        if max(map(len, (change.column, change.old, change.new, change.code))) > VALUE_MAX:
            raise InvalidRequestError("RULE_NEEDED")
        return
    few = 1 <= len(change) <= ROWS_MAX and all(len(one.fields) <= COLUMNS_MAX for one in change)
    if not few or any(len(value) > VALUE_MAX for one in change for value in one.fields.values()):
        raise InvalidRequestError("ROWS_NEEDED", "shape", most=str(ROWS_MAX))


def find_correctable(hub: Hub, program: Program, delivery_id: str) -> DeliveryHeader:
    return require_correctable(find_header(build_reader(hub, program), delivery_id))


def require_correctable(header: DeliveryHeader) -> DeliveryHeader:
    if not correction.is_correctable(header.delivery):
        raise ConflictError("NOT_CORRECTABLE", "kind")
    if header.state != DONE:
        raise ConflictError("NOT_CORRECTABLE", "state", state=header.state)
    return header


# Correctable rows


def correctable_results(reader: LedgerReader, header: DeliveryHeader, code: str = "") -> dict[str, Result]:
    """Refused rows that were not corrected since, by place; for a line with items, the line."""
    found: dict[str, Result] = {}
    for result in reader.results(header):
        if result.outcome in CORRECTABLE and code in ("", result.code):
            found.setdefault(place_of(result), result)
    return found


def place_of(result: Result) -> str:
    """The place to correct: a line that could not be read as a whole, otherwise the item."""
    return result.place if result.modification else line_place(result.place)


def load_faulty_rows(
    hub: Hub, reader: LedgerReader, header: DeliveryHeader, results: Mapping[str, Result]
) -> Iterator[FaultyRow]:
    """The rows at these places as they were sent."""
    for sent in correction.sent_rows(hub, reader.program, header, results):
        result = results[sent.place]
        column = correction.column_at_fault(reader.program, header.delivery, sent, result.code, result.column)
        yield FaultyRow(sent, result, column)


def edited_rows(
    hub: Hub, reader: LedgerReader, header: DeliveryHeader, edits: Sequence[EditedRow]
) -> tuple[list[Corrected], str]:
    """The rows as sent, with their edited columns."""
    results = correctable_results(reader, header)
    missing = [one.place for one in edits if one.place not in results]
    if missing:
        raise InvalidRequestError("ROW_UNKNOWN", places=", ".join(place[:40] for place in missing[:5]))
    new = {one.place: one.fields for one in edits}
    rows: list[Corrected] = []
    known = ""
    for one in load_faulty_rows(hub, reader, header, {place: results[place] for place in new}):
        rows.append((one.sent.place, merge_fields(one, new[one.sent.place])))
        known = one.sent.known
    return rows, known


def merge_fields(one: FaultyRow, fields: Mapping[str, str]) -> dict[str, str]:
    unknown = next((name for name in fields if name not in (*one.sent.columns, one.column, *FIELDS)), None)
    if unknown is not None:
        raise InvalidRequestError(
            "UNKNOWN_FIELD", "column", field=excerpt(unknown), known=", ".join(one.sent.columns)[:500]
        )
    return {**one.sent.columns, **fields}


def replaced_rows(
    hub: Hub, reader: LedgerReader, header: DeliveryHeader, rule: Replacement
) -> tuple[list[Corrected], str]:
    """The refused, uncorrected rows that have a value in a column, with it replaced."""
    column, old, new = rule.column.strip(), rule.old.strip(), rule.new.strip()
    done = correction.correction_links(hub, header.delivery)
    results = {
        place: result
        for place, result in correctable_results(reader, header, rule.code).items()
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
        raise ConflictError("NO_ROW_MATCHES", column=excerpt(column), value=excerpt(old))
    return rows, known


# Suggestions


@dataclass(frozen=True, slots=True)
class ReplacementRule:
    """A wrong value in several rows refused for the same reason. `nearest` is what it may mean."""

    code: str
    column: str
    value: str
    rows: int
    nearest: str = ""


def value_at_fault(result: Result) -> str:
    """The value a refusal is about: of its column, else the order."""
    return result.details.get(VALUE_DETAIL.get(result.code, "value"), "") or result.order


def suggest_rules(results: Sequence[Result], done: Sequence[CorrectionLink]) -> list[ReplacementRule]:
    """Replacements to offer, most frequent first, for refusals with a column and a value."""
    counted: dict[tuple[str, str, str], int] = {}
    nearest: dict[tuple[str, str, str], str] = {}
    for one in results:
        value = one.details.get(VALUE_DETAIL.get(one.code, "value"), "")
        column = one.column or correction.FIELD_AT_FAULT.get(one.code, "")
        told = one.outcome is Outcome.REFUSED and column and value and not value.endswith("…")
        if told and correction.newest_correction(done, place_of(one)) is None:
            key = (one.code, column, value)
            counted[key] = counted.get(key, 0) + 1
            meant = one.details.get("nearest", "")
            nearest[key] = "" if "," in meant else meant
    several = [ReplacementRule(*key, count, nearest[key]) for key, count in counted.items() if count > 1]
    return sorted(several, key=lambda rule: -rule.rows)


VALUE_DETAIL = {"UNKNOWN_ITEM": "item", "CURRENCY_MISMATCH": "currency", "EVENT_TYPE_NEEDED": "event_type"}


def load_faulty_row(hub: Hub, program: Program, delivery_id: str, place: str) -> tuple[DeliveryHeader, FaultyRow]:
    """A correctable row of a batch as it was sent."""
    reader = build_reader(hub, program)
    header = require_correctable(find_header(reader, delivery_id))
    result = correctable_results(reader, header).get(place)
    found = next(load_faulty_rows(hub, reader, header, {place: result}), None) if result else None
    if found is None:
        raise NotFoundError("row")
    return header, found
