"""One record: where it came from, and the proof of it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from urllib.parse import quote

from retour.api import acts, batches, documents
from retour.api.calls import Refused
from retour.api.documents import Document
from retour.console.actions import toast
from retour.console.request import Response, to
from retour.console.signing import local
from retour.console.visit import Stop, Visit
from retour.domain.actions.decide import reference_holder
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.delivery import Kind
from retour.domain.row import Ignored, Names, Refusal, Row, Unreadable
from retour.store.deliveries import Header

ROWS_LOOKED_AT = 20_000
READ_AGAIN = 4 * 1024 * 1024
"""The largest file that is opened once more to show one of its rows."""


@dataclass(frozen=True)
class Raw:
    """A row as it stood in what was sent, with the hash of just these bytes."""

    text: str
    sha256: str


def show(visit: Visit) -> Response:
    found = visit.reader.modification(visit.request.query.get("id", ""))
    if found is None:
        raise visit.not_found()
    order, record = found
    document = documents.modification_document(order, record, visit.spoken)
    header = visit.reader.deliveries.get(record.provenance.delivery)
    holder = reference_holder(order, record)
    return visit.render(
        "modification.html",
        one=document,
        entry=entry_of(visit, document),
        header=header,
        raw=raw_of(visit, header, record) if header else None,
        namespace=record.namespace,
        repeats=holder.public_id if holder and document["outcome"] in ("duplicate", "refused") else "",
        undone_by=undone_by(order, record),
        told=toast.told(visit),
    )


def entry_of(visit: Visit, document: Document) -> Document:
    """The same with its terms, as the history of its action books it; empty where it concerns none."""
    found = visit.reader.action(document["action_id"] or "")
    if found is None:
        return {}
    order, action, head = found
    entries = documents.history(order, action, head, visit.spoken)
    return next((one for one in reversed(entries) if one["id"] == document["id"]), {})


def undone_by(order: Order, record: Modification) -> str:
    for other in order.records:
        if other.verb == "undo" and getattr(other.change, "undoes", "").rpartition("~")[2] == record.id:
            booked = order.booked(other.id)
            if booked is not None and booked[1].outcome == "applied":
                return other.public_id
    return ""


def raw_of(visit: Visit, header: Header, record: Modification) -> Raw | None:
    """Read once more out of what was stored; None where that is gone, or too large for a page."""
    from retour.intake.opening import open_delivery
    from retour.intake.receive import rows_of

    delivery, place = header.delivery, record.provenance.place
    if delivery.size > READ_AGAIN:
        return None
    body = batches.arrived(visit.reader, header)
    if body is None:
        return None
    source = visit.program.source(delivery.source, delivery.channel)
    rows: Iterable[Row | Unreadable] | Names | Ignored | Refusal
    if delivery.kind is Kind.FILE:
        opened = open_delivery(visit.hub, delivery, source, BytesIO(body))
        rows = opened if isinstance(opened, Refusal) else opened.rows
    else:
        rows = rows_of(delivery, body, source)
    if isinstance(rows, Refusal | Ignored | Names):
        return None
    text = next((row.raw for row in islice(rows, ROWS_LOOKED_AT) if row.place == place), "")
    return Raw(text, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()) if text else None


def settle(visit: Visit) -> Response:
    """Undo a record; or let a held one go on, or drop it."""
    form = visit.request.form
    public_id, what, back = form.get("id", ""), form.get("what", ""), form.get("back", "")
    if what not in acts.SETTLING:
        raise visit.not_found()
    outcome = settled(visit, public_id, what, ("reason", "note"))
    here = local(back) if back else f"{visit.base}/modification?id={quote(public_id, safe='')}"
    return to(toast.leading(here, outcome["id"]))


def settled(visit: Visit, public_id: str, what: str, fields: Iterable[str]) -> Document:
    """What became of a person's decision on a record, given the form's fields of these names; stops with why not."""
    form = visit.request.form
    given = {name: form[name].strip() for name in fields if form.get(name, "").strip()}
    call = visit.call("POST", json.dumps(given).encode(), form.get("form", ""))
    try:
        answer = acts.settle(visit.hub, call, visit.principal, visit.spoken, quote(public_id, safe=""), what)
    except Refused as refused:
        if refused.status in (409, 422):
            raise Stop(visit.problem(409, visit.told(refused))) from None
        raise
    outcome: Document = answer["outcomes"][0]
    if outcome["outcome"] == "refused":
        raise Stop(visit.problem(409, outcome["explanation"]))
    return outcome
