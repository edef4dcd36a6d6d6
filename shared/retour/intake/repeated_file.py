"""A delivery identical to an earlier one, byte for byte, which therefore changed nothing."""

from collections.abc import Iterable, Mapping

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.store.deliveries import Deliveries

REPEAT_OUTCOMES = {Outcome.DUPLICATE, Outcome.REFUSED}
"""What the rows of a repeated delivery come to: a refusal used nothing up, so it is simply refused again."""


def earlier_identical_delivery(
    deliveries: Deliveries, delivery: Delivery, counts: Mapping[str, int], results: Iterable[Result]
) -> str:
    """The delivery of the same source that brought the same bytes before, where this one changed nothing; else empty.

    One repeated row is enough to find it: it names the delivery that told its content first.
    """
    if Outcome.DUPLICATE not in counts or not set(counts) <= REPEAT_OUTCOMES:
        return ""
    first = next((one.first for one in results if one.first and one.first.delivery != delivery.id), None)
    header = deliveries.get(first.delivery) if first else None
    if header is None:
        return ""
    same = (header.delivery.source, header.delivery.sha256) == (delivery.source, delivery.sha256)
    return header.delivery.id if same else ""
