"""What is held: nothing of it takes effect until a person has looked, at a whole delivery or at one record."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome, Result
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


def list_held_results(deliveries: Deliveries, delivery: Delivery, results: Iterable[Result]) -> int:
    """List the records that a delivery brought and that are held; how many nobody had listed.

    Told by their outcomes and not by the stream, which does not tell of every insert everywhere.
    """
    listed = 0
    for result in results:
        if result.outcome is not Outcome.HELD or not result.modification:
            continue
        subject = ("held", delivery.received_at, result.modification)
        if deliveries.reminded(*subject) is None:
            deliveries.remind(*subject, {"code": result.code, "delivery": delivery.id})
            listed += 1
    return listed
