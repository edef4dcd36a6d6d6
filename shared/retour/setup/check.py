"""A sample of a file as its source would read it, row by row in words; what is doubtful, and a mapping to consider.

Nothing is written, and nothing suggested is ever applied: a person puts it into the program.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from retour.domain.actions.modification import Modification, SetQuantity, TakeBack
from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.known import all_known
from retour.files.layout import Layout, fold, layouts
from retour.files.open import READERS, open_file
from retour.files.opened import Opened
from retour.files.sniff import sniff
from retour.files.text import HEAD, TooLarge, buffered
from retour.intake.preview import moved_by_partner, total_document
from retour.normalise import Read, Reading
from retour.sentences import sentence
from retour.store.rehearsal import Rehearsal

if TYPE_CHECKING:
    from retour.wiring import Hub

SAMPLE = 200
"""Rows looked at."""
SHOWN = 50
"""Rows told in words."""
WITH_COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}")
WITH_POINT = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)\.\d{1,2}")
DATES = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y")
EITHER = (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y"), ("%d/%m/%y", "%m/%d/%y"))
READINGS = ("set_total", "take_back")

Document = dict[str, Any]
Reads = Sequence[tuple[Row | Unreadable, Read]]


def check(hub: "Hub", program: Program, source: Source, delivery: Delivery, body: bytes) -> Document:
    """What a file of a source comes to, read by the source as it is declared today."""
    language = program.language
    opened = open_file(delivery.name, BytesIO(body), source)
    document: Document = {"name": delivery.name, "source": source.name, "written": False}
    if isinstance(opened, Refusal):
        refused = {"code": opened.code, "explanation": sentence(opened.code, opened.details, language)}
        return {**document, "state": "refused", **refused, **suggested(hub, program, source, delivery, body)}
    reads = sample(program, source, delivery, opened)
    unknown = [name for name in opened.header if name and not is_read(name, opened, source)]
    warnings = [told("CHECK_UNKNOWN_COLUMNS", language, columns=", ".join(unknown))] if unknown else []
    readings = both_readings(hub, program, source, delivery, body, opened)
    if readings and source.amount_means is None:
        warnings.append(told("CHECK_MEANING_OPEN", language))
    counts = Counter("refused" if isinstance(read, Unreadable) else "readable" for _, read in reads)
    return {
        **document,
        "state": "readable",
        "layout": layout_document(opened),
        "encoding": opened.encoding,
        "delimiter": opened.delimiter,
        "columns": [{"column": name, "field": field_of(name, opened, source)} for name in opened.header if name],
        "counts": {"rows": len(reads), "readable": counts["readable"], "refused": counts["refused"]},
        "sampled": len(reads) == SAMPLE,
        "skipped": dict(opened.skipped),
        "rows": rows_told(reads, program),
        "warnings": warnings,
        "readings": readings,
        **(suggested(hub, program, source, delivery, body) if unknown else {}),
    }


def sample(program: Program, source: Source, delivery: Delivery, opened: Opened) -> Reads:
    return list(islice(Reading(program, source, delivery).modifications(opened.rows), SAMPLE))


def rows_told(reads: Reads, program: Program) -> list[Document]:
    return [
        {
            "record": read.place,
            "order_id": read.order,
            "code": read.code,
            "column": read.column,
            "explanation": sentence(read.code, read.details, program.language),
        }
        if isinstance(read, Unreadable)
        else {
            "record": row.place,
            "order_id": read.order_key or "",
            "change": read.verb,
            "reason": read.reason,
            "explanation": words(read, program.language),
        }
        for row, read in reads[:SHOWN]
    ]


def words(read: Modification, language: str) -> str:
    """What a record asks, as a sentence."""
    change = read.change
    order = read.order_key or read.action_id or ""
    item = read.sku or read.line
    kind = "TARGET_ITEM" if item else "TARGET_ORDER" if read.order_key else "TARGET_ACTION"
    values = {name: str(getattr(change, name, "")) for name in ("quantity", "status", "partner", "undoes")}
    amount = getattr(change, "amount", None)
    code = f"READS_{read.verb.upper()}"
    if isinstance(change, TakeBack) and amount is None:
        code = "READS_TAKE_BACK_UNITS"
    elif isinstance(change, SetQuantity) and amount is not None:
        code = "READS_SET_QUANTITY_AMOUNT"
    details = {
        **values,
        "target": sentence(kind, {"order": order, "item": item or ""}, language),
        "amount": f"{amount:f} {read.currency or ''}".strip() if amount is not None else "",
    }
    return sentence(code, details, language)


def told(code: str, language: str, **details: str) -> Document:
    return {"code": code, "explanation": sentence(code, details, language)}


# Columns


def layout_document(opened: Opened) -> Document:
    known = all_known().get(opened.layout)
    if known is None:
        return {"id": "own" if opened.layout == "modifications" else opened.layout, "title": "", "means": ""}
    return {"id": known.id, "title": known.title, "means": known.means}


def field_of(column: str, opened: Opened, source: Source) -> str:
    """The field a column is read as; empty where it is not read."""
    known = all_known().get(opened.layout)
    if known is not None:
        return known.field_of(column)[0]
    named: Mapping[str, Any] = source.mapping.get("columns") or {}
    for field, columns in named.items():
        if fold(column) in {fold(one) for one in ([columns] if isinstance(columns, str) else columns)}:
            return str(field)
    own = {fold(field): field for field in layouts()["modifications"]["columns"] if field not in named}
    return own.get(fold(column), "")


def is_read(column: str, opened: Opened, source: Source) -> bool:
    """Whether a column is read, or is one that its layout is known to have besides."""
    known = all_known().get(opened.layout)
    return bool(field_of(column, opened, source)) or (known is not None and column in known.layout.known)


# What amounts could mean


def both_readings(
    hub: "Hub", program: Program, source: Source, delivery: Delivery, body: bytes, opened: Opened
) -> list[Document]:
    """What the sample would come to if its amounts were new totals, and if they were what came back.

    Only where the file does not say it itself, row by row or by its layout.
    """
    fields = {field_of(name, opened, source) for name in opened.header}
    says = {"change"} & (fields | set(source.mapping.get("constants", {}))) or source.mapping.get("statuses")
    if opened.layout in all_known() or "amount" not in fields or says:
        return []
    found = []
    for means in READINGS:
        as_said = replace(source, amount_means=means)
        again = open_file(delivery.name, BytesIO(body), as_said)
        if isinstance(again, Refusal):
            return []
        found.append(
            reading(hub, program, means, sample(program, as_said, delivery, again), means == source.amount_means)
        )
    return found


def reading(hub: "Hub", program: Program, means: str, reads: Reads, declared: bool) -> Document:
    from retour.intake.rows import take_rows

    rehearsal = Rehearsal(program.contracts, hub.ledger(program))
    results = take_rows(rehearsal, program, reads, hub.now())
    first = next((read for _, read in reads if isinstance(read, Modification)), None)
    return {
        "amount_means": means,
        "declared": declared,
        "example": words(first, program.language) if first else "",
        "counts": dict(Counter(result.outcome.value for result in results)),
        "codes": dict(Counter(result.code for result in results if result.code)),
        "total": total_document(moved_by_partner(rehearsal), program),
    }


# A mapping to consider


@cache
def vocabulary() -> Mapping[str, str]:
    """What columns are called in shops, to the field they mean."""
    listed: dict[str, list[str]] = json.loads(files("retour.files").joinpath("suggestions.json").read_text("utf-8"))
    return {name: field for field, names in listed.items() for name in (field, *names)}


def suggested(hub: "Hub", program: Program, source: Source, delivery: Delivery, body: bytes) -> Document:
    """A mapping by the names of the columns and the looks of their cells, and the sample as it would read then."""
    found = looked_at(source, body)
    if found is None:
        return {}
    header, rows = found
    by_field: dict[str, list[str]] = {}
    for name in header:
        if field := vocabulary().get(name):
            by_field.setdefault(field, []).append(name)
    columns = {field: names[0] for field, names in by_field.items() if len(names) == 1}
    if not {"order_id", "action_id"} & columns.keys():
        return {}
    mapping: Document = {"columns": columns}
    language = program.language
    unsure = [
        told("CHECK_UNSURE", language, field=field, columns=", ".join(names))
        for field, names in by_field.items()
        if len(names) > 1
    ]
    if decimal := decimal_of([row.get(columns.get("amount", ""), "") for row in rows]):
        mapping["decimal"] = decimal
    if "occurred_at" in columns:
        date = date_of([text for row in rows if (text := row.get(columns["occurred_at"], ""))])
        if date == "?":
            unsure.append(told("CHECK_DATES_OPEN", language, column=columns["occurred_at"]))
        elif date:
            mapping["date"] = date
    declared = {name: value for name, value in source.mapping.items() if name not in ("columns", "layout")}
    trial = replace(source, mapping={**mapping, **declared})
    opened = open_file(delivery.name, BytesIO(body), trial)
    reads = sample(program, trial, delivery, opened) if isinstance(opened, Opened) else []
    return {
        "suggestion": {
            **told("CHECK_SUGGESTION", language),
            "applied": False,
            "mapping": mapping,
            "unsure": unsure,
            "rows": rows_told(reads, program),
            "readings": both_readings(hub, program, trial, delivery, body, opened)
            if isinstance(opened, Opened)
            else [],
        }
    }


def looked_at(source: Source, body: bytes) -> tuple[Sequence[str], Sequence[Mapping[str, str]]] | None:
    """The header and first cells of a file, by any names that shops give such columns; nothing of it is believed."""
    names = tuple(vocabulary())
    identity = frozenset(name for name, field in vocabulary().items() if field in ("order_id", "action_id"))
    anything = Layout("anything", names, identity, frozenset(), frozenset(), "", closed=False)
    try:
        stream = buffered(BytesIO(body))
        reader = READERS.get(sniff(stream.peek(HEAD)[:HEAD]))
        opened = reader(stream, source, anything, "") if reader else None
    except TooLarge:
        return None
    if not isinstance(opened, Opened):
        return None
    rows = [row.fields for row in islice(opened.rows, SAMPLE) if isinstance(row, Row)]
    return [name for name in opened.header if name], rows


def decimal_of(amounts: Sequence[str]) -> str:
    """The decimal mark that all amounts agree on, where one of them leaves no doubt; else nothing."""
    said = [text for text in amounts if text]
    commas, points = ([bool(form.fullmatch(text)) for text in said] for form in (WITH_COMMA, WITH_POINT))
    whole = [text.lstrip("-").isdigit() for text in said]
    if any(commas) and all(one or other for one, other in zip(commas, whole, strict=True)):
        return ","
    if (
        any(points)
        and any("," in text for text in said)
        and all(one or other for one, other in zip(points, whole, strict=True))
    ):
        return "."
    return ""


def date_of(dates: Sequence[str]) -> str:
    """The one way to read all the dates; `?` where day and month could be either; nothing where ISO 8601 reads them."""
    if not dates or all(is_date(text, "") for text in dates):
        return ""
    for form in DATES:
        if all(is_date(text, form) for text in dates):
            return form
    for day_first, month_first in EITHER:
        fits = [form for form in (day_first, month_first) if all(is_date(text, form) for text in dates)]
        if fits:
            return fits[0] if len(fits) == 1 else "?"
    return ""


def is_date(text: str, form: str) -> bool:
    try:
        return bool(datetime.strptime(text, form) if form else datetime.fromisoformat(text))
    except ValueError:
        return False
