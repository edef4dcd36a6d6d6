"""Messages that only link names of an order. They are stored as names, without a record."""

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from retour.domain.actions.modification import Modification, TakeBack
from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import OrderNames, Unreadable
from retour.intake.batch import DONE, HELD, REFUSED, Batch, report_of
from retour.normalise import CellError, Normaliser
from retour.posting.order_names import NameConflict, link_names, record_total, schedule_name_check

if TYPE_CHECKING:
    from retour.wiring import Hub

CONFLICT_CODE = "NAME_CONFLICT"
KEPT_FACT = "kept"
NAMES_ONLY = "names"
"""Marks a delivery whose body was dropped because its customers may belong to no partner order."""


def ingest_names(hub: "Hub", program: Program, source: Source, delivery: Delivery, order_names: OrderNames) -> Batch:
    """Link the names and save the total. A name that belongs to another order holds the message for a person."""
    stored = replace(delivery, facts={**delivery.facts, KEPT_FACT: NAMES_ONLY})
    done = Batch(delivery=stored, state=DONE)
    stored = hub.deliveries(program.id).put(stored, serialise_names(order_names), DONE, report_of(done))
    batch = link_and_total(hub, program, source, stored, order_names)
    if batch.state != DONE:  # not on a repeat of a finished delivery
        hub.deliveries(program.id).close(stored, report_of(batch), batch.state)
    if batch.state == HELD:
        about = {"code": batch.code, "source": source.name}
        hub.deliveries(program.id).remind("held", stored.received_at, stored.id, about)
    return batch


def link_record_names(
    hub: "Hub", program: Program, delivery: Delivery, reads: Iterable[Modification | Unreadable]
) -> None:
    """Link the names given beside a record's order, and save totals of records that only know names.

    Names that belong to another order stay there.
    """
    ledger, now = hub.ledger(program), hub.now()
    for read in reads:
        if not isinstance(read, Modification) or not read.names:
            continue
        if read.order_key is None:
            change = read.change
            if isinstance(change, TakeBack) and change.of_total is not None and read.currency is not None:
                record_total(ledger, delivery, read.names, change.of_total, read.currency, now)
        else:
            own, conflicts = link_names(ledger, read.order_key, read.names, now)
            schedule_name_check(hub, program, delivery, read.order_key, own)
            for conflict in conflicts:
                about = {
                    "code": CONFLICT_CODE,
                    "delivery": delivery.id,
                    "name": conflict.name,
                    "order": conflict.holder,
                }
                hub.deliveries(program.id).remind("held", delivery.received_at, read.public_id, about)


def release_names(hub: "Hub", delivery: Delivery) -> Batch:
    """Link the names of a released message, if they are free by now; otherwise refuse it."""
    program = hub.program_of(delivery)
    deliveries = hub.deliveries(program.id)
    header = deliveries.get(delivery.id)
    told = parse_names(deliveries.body(header)) if header is not None else OrderNames(None, ())
    batch = link_and_total(hub, program, program.source(delivery.source, delivery.channel), delivery, told)
    batch = replace(batch, state=REFUSED) if batch.state == HELD else batch
    deliveries.close(delivery, report_of(batch), batch.state)
    return batch


def link_and_total(hub: "Hub", program: Program, source: Source, delivery: Delivery, order_names: OrderNames) -> Batch:
    ledger, now = hub.ledger(program), hub.now()
    conflicts: list[NameConflict] = []
    if order_names.order is not None:
        try:
            key = Normaliser(program, source, delivery).identities.order_key_of(order_names.order)
        except CellError as wrong:
            return Batch(delivery=delivery, state=REFUSED, code=wrong.code, details=wrong.details)
        own, conflicts = link_names(ledger, key, order_names.names, now)
        schedule_name_check(hub, program, delivery, key, own)
    if order_names.total:
        record_total(ledger, delivery, order_names.names, Decimal(order_names.total), order_names.currency, now)
    if not conflicts:
        return Batch(delivery=delivery, state=DONE)
    first = conflicts[0]
    details = {"name": first.name, "order": first.holder, "claimed": first.claimed}
    return Batch(delivery=delivery, state=HELD, code=CONFLICT_CODE, details=details)


def serialise_names(order_names: OrderNames) -> bytes:
    doc = {
        "order": order_names.order,
        "names": list(order_names.names),
        "total": order_names.total,
        "currency": order_names.currency,
    }
    return json.dumps({name: value for name, value in doc.items() if value}, ensure_ascii=False).encode()


def parse_names(body: bytes) -> OrderNames:
    doc = json.loads(body)
    return OrderNames(doc.get("order"), tuple(doc.get("names", ())), doc.get("total", ""), doc.get("currency", ""))
