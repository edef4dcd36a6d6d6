"""Refused rows found again as they were sent, and sent once more as a person corrected them.

A correction is a delivery of its own over the same source: its mapping, its references, its meaning of amounts. Nothing
of the old delivery is written over; which rows were corrected, and by which delivery, lies beside it.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable, line_of
from retour.files import corrected
from retour.files.apart import apart, of_object
from retour.files.corrected import Corrected
from retour.files.known import all_known
from retour.files.opened import Opened
from retour.intake.batch import ARRIVED, Batch
from retour.intake.opening import open_delivery
from retour.intake.receive import receive, rows_of
from retour.intake.verdict import WITHIN
from retour.normalise import FIELDS, Reading, plain
from retour.store.deliveries import Header
from retour.store.inbox import Stream

if TYPE_CHECKING:
    from retour.wiring import Hub

CORRECTS = "corrects"
KINDS = (Kind.FILE, Kind.MODIFICATIONS, Kind.HOOK)
AT_FAULT: Mapping[str, str] = {
    "UNKNOWN_ITEM": "sku",
    "QUANTITY_EXCEEDS_SOLD": "quantity",
    "AMOUNT_EXCEEDS_SALE": "amount",
    "CURRENCY_MISMATCH": "currency",
    "ACTION_NOT_FOUND": "order_id",
    "WAITING": "order_id",
    "EVENT_TYPE_NEEDED": "event_type",
    "REFERENCE_REUSED": "reference",
}
"""The field that a refusal of the fold speaks of; one of the reading names its column itself."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A row as it was sent: its columns by the sender's names. `known` is the layout of another system it is in."""

    place: str
    columns: Mapping[str, str]
    raw: str = ""
    known: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A delivery that corrected rows of another one, and the places of those."""

    delivery: str
    by: str
    places: Collection[str] = field(default_factory=frozenset)


def is_correctable(delivery: Delivery) -> bool:
    """Whether its rows can be sent again from here. Salesforce's are corrected there, a person's act is done anew."""
    of_a_source = delivery.channel is not Channel.CONSOLE or CORRECTS in delivery.facts
    return delivery.kind in KINDS and of_a_source and delivery.facts.get("layout") != "actions"


# As it was sent


def sent_rows(hub: "Hub", program: Program, header: Header, places: Collection[str]) -> Iterator[Sent]:
    """The rows at these places, in the order in which they came. A file is read as far as the last of them."""
    wanted = set(places)
    source = program.source(header.delivery.source, header.delivery.channel)
    for sent in of_file(hub, header, source) if header.delivery.kind is Kind.FILE else of_call(hub, header, source):
        if sent.place in wanted:
            wanted.discard(sent.place)
            yield sent
        if not wanted:
            return


def of_file(hub: "Hub", header: Header, source: Source) -> Iterator[Sent]:
    """Every row of a file, and every line that became several rows before them."""
    delivery = header.delivery
    stream = (
        Stream(hub.inbox.pieces(delivery.body_key))
        if header.inline is None
        else BytesIO(hub.deliveries(delivery.program).body(header))
    )
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        return
    known = opened.layout if opened.layout in all_known() else ""
    decimal = str(source.mapping.get("decimal") or ".")
    line = ""
    for row in opened.rows:
        if line_of(row.place) != row.place and line_of(row.place) != line:
            line = line_of(row.place)
            yield Sent(line, columns_of(opened, row, decimal), row.raw, known)
        is_item = isinstance(row, Row) and line_of(row.place) != row.place
        columns = row.fields if is_item and isinstance(row, Row) else columns_of(opened, row, decimal)
        yield Sent(row.place, columns, row.raw, known)


def columns_of(opened: Opened, row: Row | Unreadable, decimal: str) -> Mapping[str, str]:
    """All its columns, read ones as they were read: a spreadsheet's `="00123"` is 00123."""
    read = row.fields if isinstance(row, Row) else {}
    found = apart(opened, row.raw, decimal) if row.raw else {}
    names = {plain(name): name for name in read}
    return {names.get(plain(name), name): read.get(names.get(plain(name), name), text) for name, text in found.items()}


def of_call(hub: "Hub", header: Header, source: Source) -> Iterator[Sent]:
    """The records of a call or a webhook, in Retour's own names."""
    rows = rows_of(header.delivery, hub.deliveries(header.delivery.program).body(header), source)
    for row in rows if isinstance(rows, Sequence) else ():
        if isinstance(row, Row):
            columns: Mapping[str, str] = row.fields
        else:
            columns = of_object(row.raw) or {"reference": row.reference, "order_id": row.order}
        yield Sent(row.place, columns, row.raw)


def column_at_fault(program: Program, delivery: Delivery, sent: Sent, code: str, column: str) -> str:
    """The column of a row that its refusal speaks of, by the sender's name where the row has it; empty: none alone."""
    field_ = column or AT_FAULT.get(code, "")
    reading = reading_of(program, delivery, sent.known)
    meant = reading.columns.get(plain(field_), field_) if field_ else ""
    same = (name for name in sent.columns if plain(name) == plain(field_) or reading.columns.get(plain(name)) == meant)
    return next(same, field_) if field_ else ""


def further_columns(program: Program, delivery: Delivery, sent: Sent) -> list[str]:
    """Retour's own names of what the row has no column for."""
    reading = reading_of(program, delivery, sent.known)
    have = {reading.columns.get(plain(name)) for name in sent.columns}
    return [name for name in FIELDS if name not in have and reading.columns.get(plain(name)) == name]


def reading_of(program: Program, delivery: Delivery, known: str) -> Reading:
    from retour.files.known import as_read

    source = program.source(delivery.source, delivery.channel)
    return Reading(program, as_read(source, known) if known else source, delivery)


# As it was corrected


def correction_of(
    old: Delivery, received_at: datetime, sender: str, identity: str, rows: Sequence[Corrected], known: str
) -> tuple[Delivery, bytes]:
    """The delivery of corrected rows, and its bytes. A person looked at it: it is weighed by no threshold again."""
    body = corrected.written(rows)
    id_ = delivery_id(received_at, old.program, old.source, identity)
    facts = {
        "layout": corrected.LAYOUT,
        CORRECTS: old.id,
        "of": old.facts.get("of", old.kind.value),
        "known": known or old.facts.get("known", ""),
        "thresholds": WITHIN,
        "bulk": "1",
    }
    delivery = Delivery(
        id=id_,
        program=old.program,
        channel=Channel.CONSOLE,
        source=old.source,
        kind=Kind.FILE,
        identity=identity,
        received_at=received_at,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        name=name_of(old),
        sender=sender,
        body_key=f"raw/{old.program}/{id_}",
        facts={name: value for name, value in facts.items() if value},
    )
    return delivery, body


def name_of(old: Delivery) -> str:
    return old.name if CORRECTS in old.facts else f"corrected_{old.name or old.id}.jsonl"


def send_again(hub: "Hub", delivery: Delivery, body: bytes) -> Batch:
    """Take a correction in: its bytes first, then its header and the link, so that a kill leaves nothing half done."""
    hub.inbox.put(delivery.body_key, body)
    hub.deliveries(delivery.program).put(delivery, None, ARRIVED, {})
    link(hub, delivery, [place for place, _ in corrected.read(BytesIO(body))])
    return receive(hub, delivery, None)


def link(hub: "Hub", delivery: Delivery, places: Iterable[str]) -> None:
    """Note beside the old delivery which of its rows this one corrects."""
    doc = {"places": list(places), "by": delivery.sender}
    hub.state(delivery.program, delivery.source).put(f"corrected#{delivery.facts[CORRECTS]}#{delivery.id}", doc)


def links(hub: "Hub", delivery: Delivery) -> list[Link]:
    """What corrected rows of a delivery, oldest first."""
    kept = hub.state(delivery.program, delivery.source).list(f"corrected#{delivery.id}#")
    return [Link(key.rpartition("#")[2], doc["by"], frozenset(doc["places"])) for key, doc in kept]


def corrected_by(found: Sequence[Link], place: str) -> Link | None:
    """The newest correction of a row; that of its line is its own."""
    return next((one for one in reversed(found) if place in one.places or line_of(place) in one.places), None)
