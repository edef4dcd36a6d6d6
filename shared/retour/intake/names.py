"""A message that only tells by which names an order is known: kept as its names alone, linked, never a record."""

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from retour.domain.actions.modification import Modification, TakeBack
from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Names, Unreadable
from retour.intake.batch import DONE, HELD, REFUSED, Batch, report_of
from retour.normalise import Reading, Wrong
from retour.posting.names import Conflict, link, remind_of_names, tell_total

if TYPE_CHECKING:
    from retour.wiring import Hub

CONFLICT = "NAME_CONFLICT"
KEPT = "kept"
NAMES = "names"
"""What a delivery is marked with whose body was dropped: it held customers who are nobody's partner order."""


def take_names(hub: "Hub", program: Program, source: Source, delivery: Delivery, told: Names) -> Batch:
    """Link the names, keep the total; a name that another order had before holds the message for a person."""
    stored = replace(delivery, facts={**delivery.facts, KEPT: NAMES})
    done = Batch(delivery=stored, state=DONE)
    stored = hub.deliveries(program.id).put(stored, written(told), DONE, report_of(done))
    batch = linked(hub, program, source, stored, told)
    if batch.state != DONE:  # a header says already that it is done
        hub.deliveries(program.id).close(stored, report_of(batch), batch.state)
    if batch.state == HELD:
        about = {"code": batch.code, "source": source.name}
        hub.deliveries(program.id).remind("held", stored.received_at, stored.id, about)
    return batch


def link_rows(hub: "Hub", program: Program, delivery: Delivery, reads: Iterable[Modification | Unreadable]) -> None:
    """Link the names that records told beside the order they speak of; of those that know only names, keep the total.

    What another order had before stays its own.
    """
    ledger, now = hub.ledger(program), hub.now()
    for read in reads:
        if not isinstance(read, Modification) or not read.names:
            continue
        if read.order_key is None:
            change = read.change
            if isinstance(change, TakeBack) and change.of_total is not None and read.currency is not None:
                tell_total(ledger, delivery, read.names, change.of_total, read.currency, now)
        else:
            own, conflicts = link(ledger, read.order_key, read.names, now)
            remind_of_names(hub, program, delivery, read.order_key, own)
            for conflict in conflicts:
                about = {"code": CONFLICT, "delivery": delivery.id, "name": conflict.name, "order": conflict.holder}
                hub.deliveries(program.id).remind("held", delivery.received_at, read.public_id, about)


def release_names(hub: "Hub", delivery: Delivery) -> Batch:
    """Link what was held after all, where the other order gave the name up meanwhile; else it ends refused."""
    program = hub.program_of(delivery)
    deliveries = hub.deliveries(program.id)
    header = deliveries.get(delivery.id)
    told = read(deliveries.body(header)) if header is not None else Names(None, ())
    batch = linked(hub, program, program.source(delivery.source, delivery.channel), delivery, told)
    batch = replace(batch, state=REFUSED) if batch.state == HELD else batch
    deliveries.close(delivery, report_of(batch), batch.state)
    return batch


def linked(hub: "Hub", program: Program, source: Source, delivery: Delivery, told: Names) -> Batch:
    ledger, now = hub.ledger(program), hub.now()
    conflicts: list[Conflict] = []
    if told.order is not None:
        try:
            key = Reading(program, source, delivery).order_key_of(told.order)
        except Wrong as wrong:
            return Batch(delivery=delivery, state=REFUSED, code=wrong.code, details=wrong.details)
        own, conflicts = link(ledger, key, told.names, now)
        remind_of_names(hub, program, delivery, key, own)
    if told.total:
        tell_total(ledger, delivery, told.names, Decimal(told.total), told.currency, now)
    if not conflicts:
        return Batch(delivery=delivery, state=DONE)
    first = conflicts[0]
    details = {"name": first.name, "order": first.holder, "claimed": first.claimed}
    return Batch(delivery=delivery, state=HELD, code=CONFLICT, details=details)


def written(told: Names) -> bytes:
    doc = {"order": told.order, "names": list(told.names), "total": told.total, "currency": told.currency}
    return json.dumps({name: value for name, value in doc.items() if value}, ensure_ascii=False).encode()


def read(body: bytes) -> Names:
    doc = json.loads(body)
    return Names(doc.get("order"), tuple(doc.get("names", ())), doc.get("total", ""), doc.get("currency", ""))
