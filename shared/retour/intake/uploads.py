"""Announced uploads: complete, too large, or never arrived."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Program
from retour.intake.batch import ARRIVED, REFUSED, Batch, report_of

if TYPE_CHECKING:
    from retour.wiring import Hub

UPLOAD_BYTES_MAX = 400 * 1024 * 1024
ARRIVAL_TIMEOUT = timedelta(days=1)
NEVER_ARRIVED = "NEVER_ARRIVED"
NO_HASH = "-"
"""Placeholder hash of an announced upload whose bytes are not known yet."""


def complete_upload(hub: "Hub", delivery: Delivery, at: datetime, size: int, version: str) -> Delivery:
    """Complete an upload: its receipt time is that of the bytes, not of the pre-signed URL.

    The URL may be used again, so this version is copied to a key that cannot be overwritten.
    """
    deliveries = hub.deliveries(delivery.program)
    known = replace(delivery, received_at=max(at, delivery.received_at), size=size)
    if size > UPLOAD_BYTES_MAX:
        refuse_delivery(hub, known, "UPLOAD_TOO_LARGE", {"size": f"{size:,}", "most": f"{UPLOAD_BYTES_MAX:,}"})
        return known
    body_key = f"raw/{delivery.program}/{delivery.id}"
    copied = hub.inbox.copy(delivery.body_key, body_key, version)
    kept = replace(known, sha256=copied.sha256, size=copied.size, body_key=body_key)
    return deliveries.put(kept, None, ARRIVED, {})


def complete_if_arrived(hub: "Hub", delivery: Delivery) -> Delivery:
    """Complete an upload whose event was lost, with the time it was stored. Raises KeyError if it is missing."""
    if delivery.sha256 != NO_HASH:
        return delivery
    put_at = hub.inbox.stored_at(delivery.body_key)
    return complete_upload(hub, delivery, to_business_clock(hub, put_at), hub.inbox.size(delivery.body_key), "")


def to_business_clock(hub: "Hub", moment: datetime) -> datetime:
    """Convert a real-clock time to the business clock, by an offset of whole seconds so that the result is stable."""
    return moment.astimezone(UTC) + timedelta(seconds=round((hub.now() - hub.real_now()).total_seconds()))


def refuse_missing_uploads(hub: "Hub", program: Program) -> int:
    """Refuse announced files that never arrived, since open deliveries delay fences. Returns how many."""
    announced = hub.deliveries(program.id).open(ARRIVED)
    late = [one for one in announced if one.received_at < hub.now() - ARRIVAL_TIMEOUT]
    missing = [delivery for delivery in late if has_never_arrived(hub, delivery)]
    for delivery in missing:
        refuse_delivery(hub, delivery, NEVER_ARRIVED, {"name": delivery.name})
    return len(missing)


def has_never_arrived(hub: "Hub", delivery: Delivery) -> bool:
    header = hub.deliveries(delivery.program).get(delivery.id)
    if delivery.kind is not DeliveryKind.FILE or header is None or header.state != ARRIVED:
        return False
    try:
        hub.inbox.size(header.delivery.body_key)
    except KeyError:
        return True
    return False


def refuse_delivery(hub: "Hub", delivery: Delivery, code: str, details: dict[str, str]) -> None:
    batch = Batch(delivery=delivery, state=REFUSED, code=code, details=details)
    hub.deliveries(delivery.program).close(delivery, report_of(batch), REFUSED)
