"""Redrive: resume open files and parked orders, and return dead letters to their queues.

Each item is handled on its own, so a failure does not stop the others. Items that crashed a worker come last.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery
from retour.intake.batch import HELD
from retour.intake.processing import attempts_begun, resume_delivery
from retour.posting.refold import refold_order

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

AT_ONCE = 50
"""Maximum messages per dead-letter queue, or orders folded, in one call."""
DEAD_LETTER_QUEUES = {
    "answers_dead": "answers",
    "pulls_dead": "pulls",
    "writebacks_dead": "writebacks",
    "parked_dead": "parked",
}
"""Each dead-letter queue with the queue its messages came from."""
COVERED_DEAD_QUEUES = ("files_dead", "mail_dead", "schedules_dead", "salesforce_dead", "stream_dead")
"""Dead-letter queues of events whose work is found again by the sweep, the next tick or the next reconcile."""


def redrive_dead_letters(hub: "Hub") -> Counter[str]:
    """Return dead letters to their queues, each once. Returns the number per queue."""
    moved = Counter[str]()
    for dead, queue in DEAD_LETTER_QUEUES.items():
        for message, receipt in list(hub.receive_messages(dead, AT_ONCE)) if hub.has_queue(dead) else ():
            hub.send(queue, message)
            hub.delete_message(dead, receipt)
            moved[queue] += 1
    return moved


def drop_covered_events(hub: "Hub") -> int:
    """Delete dead events whose work has just been found without them. Returns how many."""
    dropped = 0
    for dead in COVERED_DEAD_QUEUES:
        for _, receipt in list(hub.receive_messages(dead, AT_ONCE)) if hub.has_queue(dead) else ():
            hub.delete_message(dead, receipt)
            dropped += 1
    return dropped


def refold_parked(hub: "Hub", has_time: Callable[[], bool] = lambda: True) -> Counter[str]:
    """Fold orders that were set aside. Counts: `parked` were folded, `failed` remain."""
    counts = Counter[str]()
    for order, receipt in hub.receive_messages("parked", AT_ONCE):
        try:
            refold_order(hub, order["program"], order["home"])
        except Exception:
            logger.exception("order stays parked", extra={"program": order.get("program")})
            counts["failed"] += 1
        else:
            hub.delete_message("parked", receipt)
            counts["parked"] += 1
        if not has_time():
            break
    return counts


def resume_open_files(
    hub: "Hub",
    program: str,
    has_time: Callable[[], bool] = lambda: True,
    before: datetime | None = None,
    taken_up: set[str] | None = None,
) -> Counter[str]:
    """Take up the files of a program that are open with no worker: `files` went on or ended, `failed` stay open.

    `before`: only those received earlier, since a younger one has its first worker still. `left` were not looked at for
    want of time. To `taken_up` the ids of the files are added.
    """
    counts, ids = Counter[str](), set[str]() if taken_up is None else taken_up
    waiting = open_deliveries_in_order(hub, program, before)
    for number, delivery in enumerate(waiting):
        if not has_time():
            counts["left"] = len(waiting) - number
            break
        try:
            header = hub.deliveries(program).get(delivery.id)
            if header is not None and resume_delivery(hub, header) is not None:
                counts["files"] += 1
                ids.add(delivery.id)
        except Exception:
            logger.exception("delivery stays open", extra={"program": program, "delivery": delivery.id})
            counts["failed"] += 1
    return counts


def open_deliveries_in_order(hub: "Hub", program: str, before: datetime | None) -> Sequence[Delivery]:
    """Open deliveries that are not held, oldest first, with those that crashed workers last."""
    open_ = [one for one, state in hub.deliveries(program).open_with_state() if state != HELD]
    young_enough = [one for one in open_ if before is None or one.received_at < before]
    costs: Mapping[str, int] = {
        one.id: attempts_begun(hub.state(program, one.source), one) for one in islice(young_enough, AT_ONCE)
    }
    return sorted(young_enough, key=lambda one: (costs.get(one.id, 0), one.received_at))
