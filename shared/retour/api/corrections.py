"""Refused rows corrected and sent again: some by hand, or one wrong value in many of them by one rule."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.api import documents
from retour.api.admission import reader_of
from retour.api.batches import header_of
from retour.api.calls import JSON_MAX, Call, Refused
from retour.api.documents import Document
from retour.api.problem import shown
from retour.api.reading import Reader
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.program import Program
from retour.domain.row import line_of
from retour.files.corrected import Corrected
from retour.intake import correction
from retour.intake.batch import DONE
from retour.intake.correction import Link, Sent
from retour.intake.rehearse import rehearse
from retour.normalise import FIELDS
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.wiring import Hub

ROWS_MAX = 2_000
COLUMNS_MAX = 200
VALUE_MAX = 10_000
CORRECTABLE = (Outcome.REFUSED, Outcome.WAITING)


@dataclass(frozen=True, slots=True)
class Faulty:
    """A row that may be corrected: as it was sent, what became of it, and the column that its refusal speaks of."""

    sent: Sent
    result: Result
    column: str


def correct(hub: Hub, call: Call, principal: Principal, opened: Program, segment: str) -> Document:
    """Rows of a batch, as `rows` or `set` says, sent again as a delivery of their own over the same source."""
    reader = reader_of(hub, opened)
    header = correctable(header_of(reader, segment))
    given = call.document("rows", "set", most=JSON_MAX)
    if len(given) != 1:
        raise Refused("ROWS_NEEDED")
    if "rows" in given:
        rows, known = by_hand(hub, reader, header, given["rows"])
    else:
        rows, known = by_rule(hub, reader, header, given["set"])
    identity = f"correction#{call.key or secrets.token_hex(16)}"
    delivery, body = correction.correction_of(header.delivery, hub.now(), principal.name, identity, rows, known)
    if call.is_dry_run:
        return documents.rehearsal_document(rehearse(hub, delivery, body), opened.language)
    return documents.answer_document(correction.send_again(hub, delivery, body), opened.language)


def correctable(header: Header) -> Header:
    if not correction.is_correctable(header.delivery):
        raise Refused("NOT_CORRECTABLE", "kind")
    if header.state != DONE:
        raise Refused("NOT_CORRECTABLE", "state", state=header.state)
    return header


# What may be corrected


def faulty_rows(reader: Reader, header: Header, code: str = "") -> dict[str, Result]:
    """By its place, every row that came to nothing and was not corrected since; of a line of items the line."""
    found: dict[str, Result] = {}
    for result in reader.results(header):
        if result.outcome in CORRECTABLE and code in ("", result.code):
            found.setdefault(place_of(result), result)
    return found


def place_of(result: Result) -> str:
    """A line that could not be read is corrected whole; an item that was read is corrected by itself."""
    return result.place if result.modification else line_of(result.place)


def faulty(hub: Hub, reader: Reader, header: Header, results: Mapping[str, Result]) -> Iterator[Faulty]:
    """The rows at these places, as they were sent."""
    for sent in correction.sent_rows(hub, reader.program, header, results):
        result = results[sent.place]
        column = correction.column_at_fault(reader.program, header.delivery, sent, result.code, result.column)
        yield Faulty(sent, result, column)


def by_hand(hub: Hub, reader: Reader, header: Header, asked: Any) -> tuple[list[Corrected], str]:
    """Each row as it was sent, but for the columns that are said anew."""
    if not isinstance(asked, list) or not 1 <= len(asked) <= ROWS_MAX or not all(is_row(one) for one in asked):
        raise Refused("ROWS_NEEDED", "shape", most=str(ROWS_MAX))
    results = faulty_rows(reader, header)
    missing = [one["record"] for one in asked if one["record"] not in results]
    if missing:
        raise Refused("ROW_UNKNOWN", places=", ".join(place[:40] for place in missing[:5]))
    new = {one["record"]: one["fields"] for one in asked}
    rows: list[Corrected] = []
    known = ""
    for one in faulty(hub, reader, header, {place: results[place] for place in new}):
        rows.append((one.sent.place, merged(one, new[one.sent.place])))
        known = one.sent.known
    return rows, known


def is_row(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and set(one) == {"record", "fields"}
        and isinstance(one["record"], str)
        and isinstance(one["fields"], dict)
        and len(one["fields"]) <= COLUMNS_MAX
        and all(isinstance(value, str) and len(value) <= VALUE_MAX for value in one["fields"].values())
    )


def merged(one: Faulty, fields: Mapping[str, str]) -> dict[str, str]:
    unknown = next((name for name in fields if name not in (*one.sent.columns, one.column, *FIELDS)), None)
    if unknown is not None:
        raise Refused("UNKNOWN_FIELD", "column", field=shown(unknown), known=", ".join(one.sent.columns)[:500])
    return {**one.sent.columns, **fields}


def by_rule(hub: Hub, reader: Reader, header: Header, asked: Any) -> tuple[list[Corrected], str]:
    """Every refused row not yet corrected in which a column says one thing, with another in its place."""
    names = ("column", "from", "to")
    told = isinstance(asked, dict) and all(
        isinstance(value, str) and len(value) <= VALUE_MAX for value in asked.values()
    )
    if not told or not set(names) <= set(asked) <= {*names, "code"}:
        raise Refused("RULE_NEEDED")
    column, old, new = (asked[name].strip() for name in names)
    done = correction.links(hub, header.delivery)
    results = {
        place: result
        for place, result in faulty_rows(reader, header, asked.get("code", "")).items()
        if correction.corrected_by(done, place) is None
    }
    rows: list[Corrected] = []
    known = ""
    for one in faulty(hub, reader, header, results):
        name = one.column if column == correction.AT_FAULT.get(one.result.code) else column
        if one.sent.columns.get(name, "").strip() == old and len(rows) < ROWS_MAX:
            rows.append((one.sent.place, {**one.sent.columns, name: new}))
            known = one.sent.known
    if not rows:
        raise Refused("NO_ROW_MATCHES", column=shown(column), value=shown(old))
    return rows, known


# What people are offered


@dataclass(frozen=True, slots=True)
class Rule:
    """The same wrong value in several rows refused for the same reason; `nearest` is what it may have meant."""

    code: str
    column: str
    value: str
    rows: int
    nearest: str = ""


def rules(results: Sequence[Result], done: Sequence[Link]) -> list[Rule]:
    """What may be mended at once, the most frequent first: of refusals that name a column and its value."""
    counted: dict[tuple[str, str, str], int] = {}
    nearest: dict[tuple[str, str, str], str] = {}
    for one in results:
        value = one.details.get(VALUE_OF.get(one.code, "value"), "")
        column = one.column or correction.AT_FAULT.get(one.code, "")
        told = one.outcome is Outcome.REFUSED and column and value and not value.endswith("…")
        if told and correction.corrected_by(done, place_of(one)) is None:
            key = (one.code, column, value)
            counted[key] = counted.get(key, 0) + 1
            nearest[key] = one.details.get("nearest", "")
    several = [Rule(*key, count, nearest[key]) for key, count in counted.items() if count > 1]
    return sorted(several, key=lambda rule: -rule.rows)


VALUE_OF = {"UNKNOWN_ITEM": "item", "CURRENCY_MISMATCH": "currency", "EVENT_TYPE_NEEDED": "event_type"}


def one_row(hub: Hub, opened: Program, segment: str, place: str) -> tuple[Header, Faulty]:
    """One row of a batch that may be corrected, as it was sent."""
    reader = reader_of(hub, opened)
    header = correctable(header_of(reader, segment))
    result = faulty_rows(reader, header).get(place)
    found = next(faulty(hub, reader, header, {place: result}), None) if result else None
    if found is None:
        raise Refused("NOT_FOUND", "row")
    return header, found
