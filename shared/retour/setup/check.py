"""A sample of a file as its source would read it, row by row in words; what is doubtful, and a mapping to consider.

Nothing is written, and nothing suggested is ever applied: a person puts it into the program.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from retour.domain.actions.modification import Modification, SetQuantity, TakeBack
from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.known import all_known
from retour.files.layout import fold, layouts
from retour.files.opened import Opened
from retour.intake.preview import moved_by_partner, total_document
from retour.normalise import alike
from retour.sentences import sentence
from retour.setup import suggest
from retour.setup.sample import ROWS, Document, Looked, Reads, Sample, told
from retour.store.rehearsal import Rehearsal

if TYPE_CHECKING:
    from retour.wiring import Hub

SHOWN = 50
"""Rows told in words."""
LOOKS = 3
"""Texts told of each column."""
READINGS = ("set_total", "take_back")
SIGNED = (*READINGS, "difference")
"""What amounts could mean where one of them is below zero."""
TRANSLATED = {"reason": "reasons", "status": "statuses", "event_type": "event_types"}


def check(hub: "Hub", program: Program, source: Source, delivery: Delivery, body: bytes) -> Document:
    """What a file of a source comes to, read by the source as it is declared today."""
    sample, language = Sample(hub, program, delivery, body), program.language
    opened = sample.opened(source)
    document: Document = {"name": delivery.name, "source": source.name, "written": False}
    if isinstance(opened, Refusal):
        refused = {"code": opened.code, "explanation": sentence(opened.code, opened.details, language)}
        looked = sample.looked_at(source)
        return {
            **document,
            "state": "refused",
            **refused,
            **(seen(looked, program, source, "") if looked else {}),
            **suggested(sample, source, looked),
        }
    reads = sample.reads(source, opened)
    unknown = [name for name in opened.header if name and not is_read(name, opened.layout, source)]
    warnings = [told("CHECK_UNKNOWN_COLUMNS", language, columns=", ".join(unknown))] if unknown else []
    readings = possible_readings(sample, source, opened, reads)
    if readings and source.amount_means is None:
        warnings.append(told("CHECK_MEANING_OPEN", language))
    counts = Counter("refused" if isinstance(read, Unreadable) else "readable" for _, read in reads)
    looked = sample.looked_at(source) if opened.layout not in all_known() else None
    return {
        **document,
        "state": "readable",
        "layout": layout_document(opened),
        "encoding": opened.encoding,
        "delimiter": opened.delimiter,
        **seen(looked or as_understood(opened, reads), program, source, opened.layout),
        "counts": {"rows": len(reads), "readable": counts["readable"], "refused": counts["refused"]},
        "sampled": len(reads) == ROWS,
        "skipped": dict(opened.skipped),
        "rows": rows_told(reads, program),
        "warnings": warnings,
        "readings": readings,
        **(suggested(sample, source, looked) if unknown else {}),
    }


def rows_told(reads: Reads, program: Program) -> list[Document]:
    return [
        {
            "record": read.place,
            "raw": row.raw,
            "order_id": read.order,
            "code": read.code,
            "column": read.column,
            "explanation": sentence(read.code, read.details, program.language),
        }
        if isinstance(read, Unreadable)
        else {
            "record": row.place,
            "raw": row.raw,
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


# Columns, and what stands in them


def layout_document(opened: Opened) -> Document:
    known = all_known().get(opened.layout)
    if known is None:
        return {"id": "own" if opened.layout == "modifications" else opened.layout, "title": "", "means": ""}
    return {"id": known.id, "title": known.title, "means": known.means}


def as_understood(opened: Opened, reads: Reads) -> Looked:
    """The columns of a file as its layout names them."""
    rows = [row.fields for row, _ in reads if isinstance(row, Row)]
    return Looked([name for name in opened.header if name], rows)


def seen(looked: Looked, program: Program, source: Source, layout: str) -> Document:
    """Each column with its field and its first texts; the texts that a mapping may translate; numbers and dates."""
    fields = {name: field_of(name, layout, source) for name in looked.columns}
    columns = {field: name for name, field in fields.items() if field}
    forms = source.mapping.get("date") or ()
    declared = (forms,) if isinstance(forms, str) else tuple(forms)
    return {
        "columns": [
            {"column": name, "field": field, "values": [*dict.fromkeys(looked.texts(name))][:LOOKS]}
            for name, field in fields.items()
        ],
        "values": {
            field: values_told(field, looked.counted(columns[field]), program, source)
            for field in TRANSLATED
            if field in columns
        },
        "decimals": suggest.decimals(looked.texts(columns["amount"])) if "amount" in columns else [],
        "dates": suggest.dates(looked.texts(columns["occurred_at"]), declared) if "occurred_at" in columns else [],
    }


def values_told(field: str, counted: Mapping[str, int], program: Program, source: Source) -> list[Document]:
    """The sender's own words with what each of them means; nothing where a row that says it is refused."""
    mapped: Mapping[str, str] = source.mapping.get(TRANSLATED[field], {})
    own = {"reason": program.reasons, "event_type": program.event_types}.get(field, ())
    return [
        {"value": value, "rows": rows, "means": alike(mapped, value) or (value if value in own else "")}
        for value, rows in counted.items()
    ]


def field_of(column: str, layout: str, source: Source) -> str:
    """The field a column is read as; empty where it is not read."""
    known = all_known().get(layout)
    if known is not None:
        return known.field_of(column)[0]
    named: Mapping[str, Any] = source.mapping.get("columns") or {}
    for field, columns in named.items():
        if fold(column) in {fold(one) for one in ([columns] if isinstance(columns, str) else columns)}:
            return str(field)
    own = {fold(field): field for field in layouts()["modifications"]["columns"] if field not in named}
    return own.get(fold(column), "")


def is_read(column: str, layout: str, source: Source) -> bool:
    """Whether a column is read, or is one that its layout is known to have besides."""
    known = all_known().get(layout)
    return bool(field_of(column, layout, source)) or (known is not None and column in known.layout.known)


# What amounts could mean


def possible_readings(sample: Sample, source: Source, opened: Opened, reads: Reads) -> list[Document]:
    """What the sample would come to if its amounts were new totals, what came back, or (where signed) differences.

    Only where the file does not say it itself, row by row or by its layout.
    """
    columns = {field_of(name, opened.layout, source): name for name in opened.header}
    says = {"change"} & (columns.keys() | set(source.mapping.get("constants", {}))) or source.mapping.get("statuses")
    if opened.layout in all_known() or "amount" not in columns or says:
        return []
    amounts = [row.fields.get(columns["amount"], "") for row, _ in reads if isinstance(row, Row)]
    signed = any(text.strip().startswith(("-", "−", "(")) for text in amounts)
    found = []
    for means in SIGNED if signed or source.amount_means == "difference" else READINGS:
        as_said = replace(source, amount_means=means)
        again = sample.opened(as_said)
        if isinstance(again, Refusal):
            return []
        found.append(reading(sample, means, sample.reads(as_said, again), means == source.amount_means))
    return found


def reading(sample: Sample, means: str, reads: Reads, declared: bool) -> Document:
    from retour.posting.rows import take_rows

    program = sample.program
    rehearsal = Rehearsal(program.contracts, sample.hub.ledger(program))
    results = take_rows(rehearsal, program, reads, sample.hub.now())
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


def suggested(sample: Sample, source: Source, looked: Looked | None) -> Document:
    """A mapping by the names of the columns and the looks of their cells, and the sample as it would read then."""
    program = sample.program
    found = suggest.suggestion(looked, program.language) if looked else None
    if found is None:
        return {}
    mapping, unsure = found
    trial = suggest.tried(source, mapping)
    opened = sample.opened(trial)
    reads = sample.reads(trial, opened) if isinstance(opened, Opened) else []
    return {
        "suggestion": {
            **told("CHECK_SUGGESTION", program.language),
            "applied": False,
            "mapping": mapping,
            "unsure": unsure,
            "rows": rows_told(reads, program),
            "readings": possible_readings(sample, trial, opened, reads) if isinstance(opened, Opened) else [],
        }
    }
