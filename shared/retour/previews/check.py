"""Check a sample file: how its source reads it, row by row, what is doubtful, and a suggested mapping.

Nothing is written or applied; a person adds the mapping to the program.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from retour.domain.actions.modification import Modification, SetQuantity, TakeBack
from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.layout import fold_name, own_layouts
from retour.files.opened_file import OpenedFile
from retour.files.partner_layouts import partner_layouts
from retour.intake.preview import payout_changes, total_document
from retour.normalise import translate
from retour.ports import SamplePorts
from retour.previews import suggest
from retour.previews.sample import ROWS_MAX, Document, NormalisedRows, RawTable, Sample, coded_sentence
from retour.sentences import sentence
from retour.store.dry_run_ledger import DryRunLedger

ROWS_SHOWN = 50
"""Rows described."""
EXAMPLES_MAX = 3
"""Example values per column."""
READINGS = ("set_total", "take_back")
SIGNED_READINGS = (*READINGS, "difference")
"""Possible meanings of amounts if any of them is negative."""
TRANSLATED_FIELDS = {"reason": "reasons", "status": "statuses", "event_type": "event_types"}


def check_sample(ports: SamplePorts, program: Program, source: Source, delivery: Delivery, body: bytes) -> Document:
    """Read a sample by the source as it is declared now."""
    sample, language = Sample(ports, program, delivery, body), program.language
    opened = sample.open(source)
    document: Document = {"name": delivery.name, "source": source.name, "written": False}
    if isinstance(opened, Refusal):
        refused = {"code": opened.code, "explanation": sentence(opened.code, opened.details, language)}
        looked = sample.raw_table(source)
        return {
            **document,
            "state": "refused",
            **refused,
            **(column_documents(looked, program, source, "") if looked else {}),
            **mapping_suggestion(sample, source, looked),
        }
    reads = sample.normalise(source, opened)
    unknown = [name for name in opened.header if name and not is_read(name, opened.layout, source)]
    warnings = [coded_sentence("CHECK_UNKNOWN_COLUMNS", language, columns=", ".join(unknown))] if unknown else []
    readings = possible_readings(sample, source, opened, reads)
    if readings and source.amount_means is None:
        warnings.append(coded_sentence("CHECK_MEANING_OPEN", language))
    counts = Counter("refused" if isinstance(read, Unreadable) else "readable" for _, read in reads)
    looked = sample.raw_table(source) if opened.layout not in partner_layouts() else None
    return {
        **document,
        "state": "readable",
        "layout": layout_document(opened),
        "encoding": opened.encoding,
        "delimiter": opened.delimiter,
        **column_documents(looked or table_by_layout(opened, reads), program, source, opened.layout),
        "counts": {"rows": len(reads), "readable": counts["readable"], "refused": counts["refused"]},
        "sampled": len(reads) == ROWS_MAX,
        "skipped": dict(opened.skipped),
        "rows": row_documents(reads, program),
        "warnings": warnings,
        "readings": readings,
        **(mapping_suggestion(sample, source, looked) if unknown else {}),
    }


def row_documents(reads: NormalisedRows, program: Program) -> list[Document]:
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
            "explanation": describe_record(read, program.language),
        }
        for row, read in reads[:ROWS_SHOWN]
    ]


def describe_record(read: Modification, language: str) -> str:
    """A record's change as a sentence."""
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


# Columns and values


def layout_document(opened: OpenedFile) -> Document:
    known = partner_layouts().get(opened.layout)
    if known is None:
        return {"id": "own" if opened.layout == "modifications" else opened.layout, "title": "", "means": ""}
    return {"id": known.id, "title": known.title, "means": known.means}


def table_by_layout(opened: OpenedFile, reads: NormalisedRows) -> RawTable:
    """The columns of a file by their names in its layout."""
    rows = [row.fields for row, _ in reads if isinstance(row, Row)]
    return RawTable([name for name in opened.header if name], rows)


def column_documents(table: RawTable, program: Program, source: Source, layout: str) -> Document:
    """Each column with its field and first values; values a mapping may translate; numbers and dates."""
    fields = {name: field_of_column(name, layout, source) for name in table.columns}
    columns = {field: name for name, field in fields.items() if field}
    forms = source.mapping.get("date") or ()
    declared = (forms,) if isinstance(forms, str) else tuple(forms)
    return {
        "columns": [
            {"column": name, "field": field, "values": [*dict.fromkeys(table.texts(name))][:EXAMPLES_MAX]}
            for name, field in fields.items()
        ],
        "values": {
            field: value_documents(field, table.count_values(columns[field]), program, source)
            for field in TRANSLATED_FIELDS
            if field in columns
        },
        "decimals": suggest.decimal_options(table.texts(columns["amount"])) if "amount" in columns else [],
        "dates": suggest.date_options(table.texts(columns["occurred_at"]), declared)
        if "occurred_at" in columns
        else [],
    }


def value_documents(field: str, counted: Mapping[str, int], program: Program, source: Source) -> list[Document]:
    """The sender's values of a field with their meanings; empty if rows with the value are refused."""
    mapped: Mapping[str, str] = source.mapping.get(TRANSLATED_FIELDS[field], {})
    own = {"reason": program.reasons, "event_type": program.event_types}.get(field, ())
    return [
        {"value": value, "rows": rows, "means": translate(mapped, value) or (value if value in own else "")}
        for value, rows in counted.items()
    ]


def field_of_column(column: str, layout: str, source: Source) -> str:
    """The field a column is read as; empty if it is ignored."""
    known = partner_layouts().get(layout)
    if known is not None:
        return known.field_of(column)[0]
    named: Mapping[str, Any] = source.mapping.get("columns") or {}
    for field, columns in named.items():
        if fold_name(column) in {fold_name(one) for one in ([columns] if isinstance(columns, str) else columns)}:
            return str(field)
    own = {fold_name(field): field for field in own_layouts()["modifications"]["columns"] if field not in named}
    return own.get(fold_name(column), "")


def is_read(column: str, layout: str, source: Source) -> bool:
    """Whether a column is read, or known to its layout as ignored."""
    known = partner_layouts().get(layout)
    return bool(field_of_column(column, layout, source)) or (known is not None and column in known.layout.known)


# Possible meanings of amounts


def possible_readings(sample: Sample, source: Source, opened: OpenedFile, reads: NormalisedRows) -> list[Document]:
    """The result if amounts were new totals, returned amounts, or (if signed) differences.

    Empty if the file or its layout states the meaning.
    """
    columns = {field_of_column(name, opened.layout, source): name for name in opened.header}
    says = {"change"} & (columns.keys() | set(source.mapping.get("constants", {}))) or source.mapping.get("statuses")
    if opened.layout in partner_layouts() or "amount" not in columns or says:
        return []
    amounts = [row.fields.get(columns["amount"], "") for row, _ in reads if isinstance(row, Row)]
    signed = any(text.strip().startswith(("-", "−", "(")) for text in amounts)
    found = []
    for means in SIGNED_READINGS if signed or source.amount_means == "difference" else READINGS:
        as_said = replace(source, amount_means=means)
        again = sample.open(as_said)
        if isinstance(again, Refusal):
            return []
        found.append(reading_document(sample, means, sample.normalise(as_said, again), means == source.amount_means))
    return found


def reading_document(sample: Sample, means: str, reads: NormalisedRows, declared: bool) -> Document:
    from retour.posting.rows import post_rows

    program = sample.program
    rehearsal = DryRunLedger(program.contracts, sample.ports.ledger(program))
    results = post_rows(rehearsal, program, reads, sample.ports.now())
    first = next((read for _, read in reads if isinstance(read, Modification)), None)
    return {
        "amount_means": means,
        "declared": declared,
        "example": describe_record(first, program.language) if first else "",
        "counts": dict(Counter(result.outcome.value for result in results)),
        "codes": dict(Counter(result.code for result in results if result.code)),
        "total": total_document(payout_changes(rehearsal), program),
    }


# Suggested mapping


def mapping_suggestion(sample: Sample, source: Source, table: RawTable | None) -> Document:
    """A mapping suggested by column names and values, with the sample as it would be read then."""
    program = sample.program
    found = suggest.suggest_mapping(table, program.language) if table else None
    if found is None:
        return {}
    mapping, unsure = found
    trial = suggest.with_mapping(source, mapping)
    opened = sample.open(trial)
    reads = sample.normalise(trial, opened) if isinstance(opened, OpenedFile) else []
    return {
        "suggestion": {
            **coded_sentence("CHECK_SUGGESTION", program.language),
            "applied": False,
            "mapping": mapping,
            "unsure": unsure,
            "rows": row_documents(reads, program),
            "readings": possible_readings(sample, trial, opened, reads) if isinstance(opened, OpenedFile) else [],
        }
    }
