"""Records held for a person: list them as cases."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from retour.domain.actions.action import Action
from retour.domain.actions.confirmations import ConfirmationSums
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.actions.state import sums_of_confirming_sources
from retour.domain.delivery import Delivery
from retour.domain.money import to_text
from retour.store.deliveries import Deliveries


def list_held(deliveries: Deliveries, order: Order) -> int:
    """List an order's held records until they are released or discarded. Returns how many were not listed before."""
    new = 0
    ids = {entry.id for head in order.heads.values() for entry in head.log if entry.outcome is Outcome.HELD}
    for record in order.records:
        booked = order.booking_of(record.id) if record.id in ids else None
        if booked is None:
            continue
        subject = ("held", record.received_at, record.public_id)
        listed = deliveries.reminder(*subject) is not None
        if booked[1].outcome is not Outcome.HELD:
            if listed:
                deliveries.forget(*subject)
        elif not listed:
            deliveries.remind(*subject, {"code": booked[1].code, "delivery": record.provenance.delivery})
            new += 1
    return new


def list_held_results(deliveries: Deliveries, delivery: Delivery, results: Iterable[Result]) -> int:
    """List a delivery's held records and return how many were not listed before.

    Based on the outcomes, since not every environment's stream reports bulk inserts.
    """
    listed = 0
    for result in results:
        if result.outcome is not Outcome.HELD or not result.modification:
            continue
        subject = ("held", delivery.received_at, result.modification)
        if deliveries.reminder(*subject) is None:
            deliveries.remind(*subject, {"code": result.code, "delivery": delivery.id})
            listed += 1
    return listed


DISAGREEING = "differing"
"""Kind of case for an action whose sources disagree on the same returns."""
LISTED_AFTER = timedelta(days=3)
LISTED_BEFORE_LOCK = timedelta(hours=48)


def list_disagreeing_sources(deliveries: Deliveries, order: Order) -> None:
    """List actions for which a confirming source and the others report different sums, until they agree (spec 4).

    They become due three days after the last record, or 48 hours before the lock.
    """
    for action in order.actions:
        head = order.heads.get(action.id)
        for one in sums_of_confirming_sources(action, head.standing) if head else ():
            sources = {one.source, *one.others}
            told = [record.received_at for record in order.records if record.source in sources]
            *older, newest = sorted({listing_time(received_at, head) for received_at in told if head})
            subject = f"{action.id}#{one.source}"
            for moment in older if one.said != one.by_others else (*older, newest):
                if deliveries.reminder(DISAGREEING, moment, subject) is not None:
                    deliveries.forget(DISAGREEING, moment, subject)
            if one.said != one.by_others and deliveries.reminder(DISAGREEING, newest, subject) is None:
                deliveries.remind(DISAGREEING, newest, subject, sums_document(action, one))


def sums_document(action: Action, sums: ConfirmationSums) -> dict[str, str]:
    return {
        "order": action.order_id,
        "source": sums.source,
        "others": ", ".join(sorted(sums.others)),
        "said": f"{to_text(sums.said, action.currency)} {action.currency}",
        "by_others": f"{to_text(sums.by_others, action.currency)} {action.currency}",
    }


def listing_time(received_at: datetime, head: ActionHead) -> datetime:
    after = received_at + LISTED_AFTER
    return after if head.locks_at is None else min(after, head.locks_at - LISTED_BEFORE_LOCK)
