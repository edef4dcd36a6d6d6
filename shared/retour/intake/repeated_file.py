"""Detect a delivery that repeats an earlier one byte for byte, so that nothing of it was counted again."""

from collections.abc import Iterable, Mapping

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.store.deliveries import Deliveries

REPEAT_OUTCOMES = {Outcome.DUPLICATE, Outcome.REFUSED, Outcome.HELD}
"""Outcomes of the rows of a repeated delivery. Refused rows are refused again, since a refusal uses nothing up; rows
without a reference are held as possible duplicates."""


def earlier_identical_delivery(
    deliveries: Deliveries, delivery: Delivery, counts: Mapping[str, int], results: Iterable[Result]
) -> str:
    """The id of an earlier delivery with the same source and bytes, if this one changed nothing; else empty.

    One duplicate row is enough to find it, since it names the delivery that was first.
    """
    if not set(counts) <= REPEAT_OUTCOMES or set(counts) <= {Outcome.REFUSED}:
        return ""
    first = next((id_ for one in results if (id_ := earlier_delivery(one)) not in ("", delivery.id)), "")
    header = deliveries.get(first) if first else None
    if header is None:
        return ""
    same = (header.delivery.source, header.delivery.sha256) == (delivery.source, delivery.sha256)
    return header.delivery.id if same else ""


def earlier_delivery(result: Result) -> str:
    """The delivery that a record repeats, or may repeat; empty where there is none."""
    return result.first.delivery if result.first else result.details.get("double_batch", "")
