"""One record: its provenance, step by step."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from urllib.parse import quote

from retour.commands import acts
from retour.commands.acts import ActOnRecord
from retour.console.actions import toast
from retour.console.page_context import AbortError, PageContext
from retour.console.request import Response, redirect
from retour.console.sessions import local_path
from retour.domain.actions.decide import reference_holder
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.delivery import DeliveryKind
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.errors import ConflictError, InvalidRequestError
from retour.store.deliveries import DeliveryHeader
from retour.views import documents
from retour.views.deliveries import load_raw_body
from retour.views.schemas import HistoryEntryDocument, ModificationDocument, RecordOutcomeDocument

ROWS_LOOKED_AT = 20_000
REREAD_BYTES_MAX = 4 * 1024 * 1024
"""Maximum size of a file that is reopened to show a row."""


@dataclass(frozen=True)
class RawRow:
    """A row as it was sent, with the hash of its bytes."""

    text: str
    sha256: str


def show(context: PageContext) -> Response:
    found = context.reader.modification(context.request.query.get("id", ""))
    if found is None:
        raise context.not_found()
    order, record = found
    document = documents.modification_document(order, record, context.localized_program)
    header = context.reader.deliveries.get(record.provenance.delivery)
    holder = reference_holder(order, record)
    return context.render(
        "modification.html",
        one=document,
        entry=history_entry(context, document) or {},
        header=header,
        raw=raw_row(context, header, record) if header else None,
        namespace=record.namespace,
        repeats=holder.public_id if holder and document["outcome"] in ("duplicate", "refused") else "",
        undone_by=undone_by(order, record),
        told=toast.build_toast(context),
    )


def history_entry(context: PageContext, document: ModificationDocument) -> HistoryEntryDocument | None:
    """The record as booked by its action; None if it concerns none."""
    found = context.reader.action(document["action_id"] or "")
    if found is None:
        return None
    order, action, head = found
    entries = documents.history(order, action, head, context.localized_program)
    return next((one for one in reversed(entries) if one["id"] == document["id"]), None)


def undone_by(order: Order, record: Modification) -> str:
    for other in order.records:
        if other.verb == "undo" and getattr(other.change, "undoes", "").rpartition("~")[2] == record.id:
            booked = order.booking_of(other.id)
            if booked is not None and booked[1].outcome == "applied":
                return other.public_id
    return ""


def raw_row(context: PageContext, header: DeliveryHeader, record: Modification) -> RawRow | None:
    """The row read from the stored body; None if that was deleted or is too large."""
    from retour.intake.encrypted_files import open_delivery
    from retour.intake.ingest import rows_of

    delivery, place = header.delivery, record.provenance.place
    if delivery.size > REREAD_BYTES_MAX:
        return None
    body = load_raw_body(context.reader, header)
    if body is None:
        return None
    source = context.program.source(delivery.source, delivery.channel)
    rows: Iterable[Row | Unreadable] | OrderNames | Ignored | Refusal
    if delivery.kind is DeliveryKind.FILE:
        opened = open_delivery(context.hub, delivery, source, BytesIO(body))
        rows = opened if isinstance(opened, Refusal) else opened.rows
    else:
        rows = rows_of(delivery, body, source)
    if isinstance(rows, Refusal | Ignored | OrderNames):
        return None
    text = next((row.raw for row in islice(rows, ROWS_LOOKED_AT) if row.place == place), "")
    return RawRow(text, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()) if text else None


def decide(context: PageContext) -> Response:
    """Undo a record, or release or discard a held one."""
    form = context.request.form
    public_id, what, back = form.get("id", ""), form.get("what", ""), form.get("back", "")
    if what not in acts.RECORD_ACTS:
        raise context.not_found()
    outcome = send_decision(context, public_id, what, ("reason", "note"))
    here = local_path(back) if back else f"{context.base}/modification?id={quote(public_id, safe='')}"
    return redirect(toast.with_toast(here, outcome["id"]))


def send_decision(context: PageContext, public_id: str, what: str, fields: Iterable[str]) -> RecordOutcomeDocument:
    """Perform a decision on a record with these form fields, and return its outcome. Raises AbortError if refused."""
    form = context.request.form
    values = acts.as_values({name: form[name].strip() for name in fields if form.get(name, "").strip()})
    try:
        batch = acts.perform(context.command_context, ActOnRecord(public_id, what, values))
    except (ConflictError, InvalidRequestError) as refused:
        raise AbortError(context.refusal(refused)) from None
    outcome = documents.result_document(batch.results[0], context.words.language)
    if outcome["outcome"] == "refused":
        raise AbortError(context.problem(409, outcome["explanation"]))
    return outcome
