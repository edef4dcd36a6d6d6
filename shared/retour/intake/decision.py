"""A person's decision on a held delivery: release or discard."""

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery, DeliveryKind
from retour.intake.batch import ARRIVED, DONE, HELD, REFUSED, Batch, report_of
from retour.intake.file import process_file
from retour.intake.order_names import release_names

if TYPE_CHECKING:
    from retour.wiring import Hub


def release_delivery(hub: "Hub", delivery: Delivery, released_at: datetime) -> Batch:
    """Process a held delivery with its original receipt time. Until it is done it delays fences (spec 5.4)."""
    if delivery.kind is not DeliveryKind.FILE:
        batch = release_names(hub, delivery)
        hub.deliveries(delivery.program).forget("held", delivery.received_at, delivery.id)
        return batch
    hub.deliveries(delivery.program).list_open(delivery, ARRIVED)
    try:
        batch = process_file(hub, delivery, released_at=released_at)
    except Exception:
        with suppress(Exception):
            hub.deliveries(delivery.program).list_open(delivery, HELD)
        raise
    hub.deliveries(delivery.program).forget("held", delivery.received_at, delivery.id)
    return batch


def discard_delivery(hub: "Hub", delivery: Delivery) -> Batch:
    """Discard a held delivery: it takes no effect and stays stored."""
    batch = Batch(delivery=delivery, state=REFUSED, code="DISCARDED")
    deliveries = hub.deliveries(delivery.program)
    deliveries.close(delivery, report_of(batch), REFUSED)
    deliveries.forget("held", delivery.received_at, delivery.id)
    return batch


def carry_out_decision(hub: "Hub", delivery: Delivery, body: bytes) -> Batch | None:
    """Store a person's decision as a delivery and carry it out. None if nothing is left to decide."""
    asked = json.loads(body)
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    header = hub.deliveries(delivery.program).get(asked["delivery"])
    if header is None or header.state != HELD:
        return None
    if asked["decision"] == "release":
        return release_delivery(hub, header.delivery, delivery.received_at)
    return discard_delivery(hub, header.delivery)
