"""What is held: nothing of it takes effect until a person has looked, at a whole delivery or at one record."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import Delivery
from retour.intake.batch import HELD, Batch, report_of
from retour.store.deliveries import Deliveries

if TYPE_CHECKING:
    from retour.wiring import Hub


def hold(hub: "Hub", delivery: Delivery, preview: Mapping[str, Any] | None = None) -> Batch:
    """Nothing of it takes effect until a person has looked. Why is a fact of the delivery: a replay knows it, too."""
    told = {name.removeprefix(f"{HELD}_"): value for name, value in delivery.facts.items() if name.startswith(HELD)}
    batch = Batch(delivery=delivery, state=HELD, code=delivery.held, details=told, preview=preview or {})
    deliveries = hub.deliveries(delivery.program)
    deliveries.remind("held", delivery.received_at, delivery.id, {"code": delivery.held, "source": delivery.source})
    deliveries.put(delivery, None, HELD, report_of(batch))
    return batch


def list_held(deliveries: Deliveries, order: Order) -> None:
    """List the records of an order that are held, each until somebody released or discarded it."""
    ids = {entry.id for head in order.heads.values() for entry in head.log if entry.outcome is Outcome.HELD}
    for record in order.records:
        booked = order.booked(record.id) if record.id in ids else None
        if booked is None:
            continue
        subject = ("held", record.received_at, record.public_id)
        listed = deliveries.reminded(*subject) is not None
        if booked[1].outcome is not Outcome.HELD:
            if listed:
                deliveries.forget(*subject)
        elif not listed:
            deliveries.remind(*subject, {"code": booked[1].code, "delivery": record.provenance.delivery})
