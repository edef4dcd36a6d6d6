"""Hold deliveries for a person's decision."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retour.domain.delivery import Delivery
from retour.intake.batch import HELD, Batch, report_of

if TYPE_CHECKING:
    from retour.wiring import Hub


def hold_delivery(hub: "Hub", delivery: Delivery, preview: Mapping[str, Any] | None = None) -> Batch:
    """Hold a delivery. The reason is stored in its facts, so that a replay holds it too."""
    told = {name.removeprefix(f"{HELD}_"): value for name, value in delivery.facts.items() if name.startswith(HELD)}
    batch = Batch(delivery=delivery, state=HELD, code=delivery.held, details=told, preview=preview or {})
    deliveries = hub.deliveries(delivery.program)
    deliveries.remind("held", delivery.received_at, delivery.id, {"code": delivery.held, "source": delivery.source})
    deliveries.put(delivery, None, HELD, report_of(batch))
    return batch
