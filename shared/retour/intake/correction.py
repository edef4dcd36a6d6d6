"""Find refused rows as they were sent, and send them again as a person corrected them.

A correction is a delivery of its own, read with the same source's mapping. The old delivery is not changed; a link
beside it says which rows were corrected, and by which delivery.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable, line_place
from retour.files import corrected
from retour.files.corrected import Corrected
from retour.files.layout import fold_name
from retour.files.opened_file import OpenedFile
from retour.files.partner_layouts import partner_layouts
from retour.files.raw_row import fields_of_json, parse_raw_row
from retour.intake.batch import ARRIVED, Batch
from retour.intake.encrypted_files import open_delivery
from retour.intake.ingest import ingest, rows_of
from retour.intake.threshold_gate import WITHIN_THRESHOLDS
from retour.normalise import FIELDS, Normaliser
from retour.store.deliveries import DeliveryHeader
from retour.store.inbox import PieceStream

if TYPE_CHECKING:
    from retour.wiring import Hub

CORRECTS = "corrects"
CORRECTABLE_KINDS = (DeliveryKind.FILE, DeliveryKind.MODIFICATIONS, DeliveryKind.HOOK)
FIELD_AT_FAULT: Mapping[str, str] = {
    "UNKNOWN_ITEM": "sku",
    "QUANTITY_EXCEEDS_SOLD": "quantity",
    "AMOUNT_EXCEEDS_SALE": "amount",
    "CURRENCY_MISMATCH": "currency",
    "ACTION_NOT_FOUND": "order_id",
    "WAITING": "order_id",
    "EVENT_TYPE_NEEDED": "event_type",
    "REFERENCE_REUSED": "reference",
}
"""The field a refusal by the fold refers to. Refusals by the reader name their column themselves."""


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row as it was sent, its columns by the sender's names. `known` is its partner layout, if any."""

    place: str
    columns: Mapping[str, str]
    raw: str = ""
    known: str = ""


@dataclass(frozen=True, slots=True)
class CorrectionLink:
    """A correction of some of a delivery's rows, with their places."""

    delivery: str
    by: str
    places: Collection[str] = field(default_factory=frozenset)


def is_correctable(delivery: Delivery) -> bool:
    """Whether rows can be corrected here, as opposed to in Salesforce or by repeating a person's act."""
    of_a_source = delivery.channel is not Channel.CONSOLE or CORRECTS in delivery.facts
    return delivery.kind in CORRECTABLE_KINDS and of_a_source and delivery.facts.get("layout") != "actions"


# Rows as sent


def sent_rows(hub: "Hub", program: Program, header: DeliveryHeader, places: Collection[str]) -> Iterator[SentRow]:
    """The rows at these places in delivery order. A file is read up to the last of them."""
    wanted = set(places)
    source = program.source(header.delivery.source, header.delivery.channel)
    for sent in (
        sent_rows_of_file(hub, header, source)
        if header.delivery.kind is DeliveryKind.FILE
        else sent_rows_of_call(hub, header, source)
    ):
        if sent.place in wanted:
            wanted.discard(sent.place)
            yield sent
        if not wanted:
            return


def sent_rows_of_file(hub: "Hub", header: DeliveryHeader, source: Source) -> Iterator[SentRow]:
    """Every row of a file. A line that was split into rows comes before them."""
    delivery = header.delivery
    stream = (
        PieceStream(hub.inbox.pieces(delivery.body_key))
        if header.inline is None
        else BytesIO(hub.deliveries(delivery.program).body(header))
    )
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        return
    known = opened.layout if opened.layout in partner_layouts() else ""
    decimal = str(source.mapping.get("decimal") or ".")
    line = ""
    for row in opened.rows:
        if line_place(row.place) != row.place and line_place(row.place) != line:
            line = line_place(row.place)
            yield SentRow(line, columns_of(opened, row, decimal), row.raw, known)
        is_item = isinstance(row, Row) and line_place(row.place) != row.place
        columns = row.fields if is_item and isinstance(row, Row) else columns_of(opened, row, decimal)
        yield SentRow(row.place, columns, row.raw, known)


def columns_of(opened: OpenedFile, row: Row | Unreadable, decimal: str) -> Mapping[str, str]:
    """All columns of a row, as read: a spreadsheet's `="00123"` is 00123."""
    read = row.fields if isinstance(row, Row) else {}
    found = parse_raw_row(opened, row.raw, decimal) if row.raw else {}
    names = {fold_name(name): name for name in read}
    return {
        names.get(fold_name(name), name): read.get(names.get(fold_name(name), name), text)
        for name, text in found.items()
    }


def sent_rows_of_call(hub: "Hub", header: DeliveryHeader, source: Source) -> Iterator[SentRow]:
    """The records of a call or a webhook, by Retour's field names."""
    rows = rows_of(header.delivery, hub.deliveries(header.delivery.program).body(header), source)
    for row in rows if isinstance(rows, Sequence) else ():
        if isinstance(row, Row):
            columns: Mapping[str, str] = row.fields
        else:
            columns = fields_of_json(row.raw) or {"reference": row.reference, "order_id": row.order}
        yield SentRow(row.place, columns, row.raw)


def column_at_fault(program: Program, delivery: Delivery, sent: SentRow, code: str, column: str) -> str:
    """The column a refusal refers to, by the sender's name if the row has it; empty for the row as a whole."""
    field_ = column or FIELD_AT_FAULT.get(code, "")
    columns = reader_for(program, delivery, sent.known).columns
    meant = (columns.field_of(field_) or field_) if field_ else ""
    same = (name for name in sent.columns if fold_name(name) == fold_name(field_) or columns.field_of(name) == meant)
    return next(same, field_) if field_ else ""


def further_columns(program: Program, delivery: Delivery, sent: SentRow) -> list[str]:
    """Fields without a column in the row, by Retour's names."""
    columns = reader_for(program, delivery, sent.known).columns
    have = {columns.field_of(name) for name in sent.columns}
    return [name for name in FIELDS if name not in have and columns.field_of(name) == name]


def reader_for(program: Program, delivery: Delivery, known: str) -> Normaliser:
    from retour.files.partner_layouts import source_for_layout

    source = program.source(delivery.source, delivery.channel)
    return Normaliser(program, source_for_layout(source, known) if known else source, delivery)


# Corrected rows


def make_correction(
    old: Delivery, received_at: datetime, sender: str, identity: str, rows: Sequence[Corrected], known: str
) -> tuple[Delivery, bytes]:
    """Create the delivery of corrected rows, and its body. It skips the thresholds, since a person reviewed it."""
    body = corrected.serialise_rows(rows)
    facts = {
        "layout": corrected.LAYOUT,
        CORRECTS: old.id,
        "of": old.facts.get("of", old.kind.value),
        "known": known or old.facts.get("known", ""),
        "thresholds": WITHIN_THRESHOLDS,
        "bulk": "1",
    }
    delivery = Delivery.create(
        body,
        received_at=received_at,
        program=old.program,
        channel=Channel.CONSOLE,
        source=old.source,
        kind=DeliveryKind.FILE,
        identity=identity,
        name=correction_name(old),
        sender=sender,
        facts={name: value for name, value in facts.items() if value},
    )
    return replace(delivery, body_key=f"raw/{old.program}/{delivery.id}"), body


def correction_name(old: Delivery) -> str:
    return old.name if CORRECTS in old.facts else f"corrected_{old.name or old.id}.jsonl"


def ingest_correction(hub: "Hub", delivery: Delivery, body: bytes) -> Batch:
    """Ingest a correction. Body, header and link are stored first, so that a crash leaves nothing incomplete."""
    hub.inbox.put(delivery.body_key, body)
    hub.deliveries(delivery.program).put(delivery, None, ARRIVED, {})
    link_correction(hub, delivery, [place for place, _ in corrected.parse_rows(BytesIO(body))])
    return ingest(hub, delivery, None)


def link_correction(hub: "Hub", delivery: Delivery, places: Iterable[str]) -> None:
    """Save beside a delivery which of its rows a correction replaces."""
    doc = {"places": list(places), "by": delivery.sender}
    hub.state(delivery.program, delivery.source).put(f"corrected#{delivery.facts[CORRECTS]}#{delivery.id}", doc)


def correction_links(hub: "Hub", delivery: Delivery) -> list[CorrectionLink]:
    """The corrections of a delivery's rows, oldest first."""
    kept = hub.state(delivery.program, delivery.source).list(f"corrected#{delivery.id}#")
    return [CorrectionLink(key.rpartition("#")[2], doc["by"], frozenset(doc["places"])) for key, doc in kept]


def newest_correction(found: Sequence[CorrectionLink], place: str) -> CorrectionLink | None:
    """The newest correction of a row or of the line it was split from."""
    return next((one for one in reversed(found) if place in one.places or line_place(place) in one.places), None)
