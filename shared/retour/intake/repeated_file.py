"""Detect a delivery that repeats an earlier one byte for byte and therefore changed nothing."""

from collections.abc import Iterable, Mapping

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.store.deliveries import Deliveries

REPEAT_OUTCOMES = {Outcome.DUPLICATE, Outcome.REFUSED}
"""Outcomes of the rows of a repeated delivery. Refused rows are refused again, since a refusal uses nothing up."""


def earlier_identical_delivery(
    deliveries: Deliveries, delivery: Delivery, counts: Mapping[str, int], results: Iterable[Result]
) -> str:
    """The id of an earlier delivery with the same source and bytes, if this one changed nothing; else empty.

    One duplicate row is enough to find it, since it names the delivery that was first.
    """
    if Outcome.DUPLICATE not in counts or not set(counts) <= REPEAT_OUTCOMES:
        return ""
    first = next((one.first for one in results if one.first and one.first.delivery != delivery.id), None)
    header = deliveries.get(first.delivery) if first else None
    if header is None:
        return ""
    same = (header.delivery.source, header.delivery.sha256) == (delivery.source, delivery.sha256)
    return header.delivery.id if same else ""
