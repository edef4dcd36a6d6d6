"""What waits for its action: remembered, settled when that comes, given up in time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.times import instant
from retour.posting.fold import adopt, expire
from retour.store.ledger import Ledger

if TYPE_CHECKING:
    from retour.wiring import Hub


def remind_waiting(hub: "Hub", program: Program, delivery: Delivery, results: Sequence[Result]) -> None:
    """List what waits for its action, so that it is given up in time and its sender gets a second answer."""
    deliveries = hub.deliveries(program.id)
    deadline = delivery.received_at + timedelta(days=program.waiting_days)
    for result in results:
        if result.outcome is Outcome.WAITING:
            home, _, subject = result.modification.rpartition("~")
            deliveries.remind("waiting", deadline, subject, {"delivery": delivery.id, "home": home})


def tell_settled(hub: "Hub", program: Program, order: Order) -> None:
    """Ask for the second answer to every record of an order that waited and was settled; send first, then forget."""
    deliveries = hub.deliveries(program.id)
    first = min((action.reported_at for action in order.actions), default=None)
    for record in order.records:
        if (first is None or record.received_at <= first) and order.booked(record.id):
            deadline = record.received_at + timedelta(days=program.waiting_days)
            reminder = deliveries.reminded("waiting", deadline, record.id)
            if reminder:
                settled(hub, program.id, reminder["delivery"], [record.public_id])
                deliveries.forget("waiting", deadline, record.id)


def settled(hub: "Hub", program_id: str, delivery_id: str, modifications: Sequence[str]) -> None:
    hub.send(
        "answers",
        {"program": program_id, "delivery": delivery_id, "what": "settled", "modifications": list(modifications)},
    )


def expire_waiting(hub: "Hub", program: Program) -> int:
    """Refuse what has waited for its action too long, and ask for its second answer; how many that were.

    What a file brought that is not all taken in is spared: read again, it could be taken over by an action that came.
    """
    ledger, deliveries = hub.ledger(program), hub.deliveries(program.id)
    overdue = list(deliveries.due("waiting", hub.now()))
    at_work = {delivery.id for delivery in deliveries.open()} if overdue else set()
    overdue = [(subject, reminder) for subject, reminder in overdue if reminder["delivery"] not in at_work]
    for subject, reminder in overdue:
        key = given_up(ledger, reminder["home"], subject, hub.now())
        settled(hub, program.id, reminder["delivery"], [f"{key}~{subject}"])
        deliveries.forget("waiting", instant(reminder["deadline"]), subject)
    return len(overdue)


def given_up(ledger: Ledger, home: str, subject: str, now: datetime) -> str:
    """Refuse a record that still waits, there or with the order that has its action id by now; where it lies."""
    if home.startswith("@"):
        order_key = ledger.order_key_of(home[1:])
        if order_key is None:
            expire(ledger, home, [subject], now)
            order_key = ledger.order_key_of(home[1:])
            if order_key is None or ledger.order(home).booked(subject) is not None:
                return home
        adopt(ledger, home[1:], ledger.order(order_key))
        home = order_key
    expire(ledger, home, [subject], now)
    return home
