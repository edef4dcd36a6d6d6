"""What was set aside or left open goes on: one command for a person, the same steps for the clock.

Each thing is taken up for itself: what cannot be handled keeps nothing else waiting. What has cost a worker its life
before comes last.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery
from retour.intake.attempt import handle_left_open, times_begun
from retour.intake.batch import HELD
from retour.posting.refold import fold_again

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

AT_ONCE = 50
"""Messages brought back from one dead-letter queue, or orders folded, in one call."""
BACK = {"answers_dead": "answers", "pulls_dead": "pulls", "writebacks_dead": "writebacks", "parked_dead": "parked"}
"""Dead-letter queue to the queue its messages came from."""
MADE_UP_FOR = ("files_dead", "mail_dead", "schedules_dead", "salesforce_dead", "stream_dead")
"""Where events end whose work the sweep, the next tick or the next reconcile finds by itself."""


def bring_back(hub: "Hub") -> Counter[str]:
    """Put dead letters on the queues they came from, each once; how many of each queue."""
    moved = Counter[str]()
    for dead, queue in BACK.items():
        for message, receipt in list(hub.received(dead, AT_ONCE)) if hub.has_queue(dead) else ():
            hub.send(queue, message)
            hub.done(dead, receipt)
            moved[queue] += 1
    return moved


def clear_events(hub: "Hub") -> int:
    """Drop the dead events whose work was just found without them; how many."""
    dropped = 0
    for dead in MADE_UP_FOR:
        for _, receipt in list(hub.received(dead, AT_ONCE)) if hub.has_queue(dead) else ():
            hub.done(dead, receipt)
            dropped += 1
    return dropped


def fold_parked(hub: "Hub", has_time: Callable[[], bool] = lambda: True) -> Counter[str]:
    """Fold orders that were set aside: `parked` are folded now, `failed` still cannot be and stay."""
    counts = Counter[str]()
    for order, receipt in hub.received("parked", AT_ONCE):
        try:
            fold_again(hub, order["program"], order["home"])
        except Exception:
            logger.exception("order stays parked", extra={"program": order.get("program")})
            counts["failed"] += 1
        else:
            hub.done("parked", receipt)
            counts["parked"] += 1
        if not has_time():
            break
    return counts


def take_up_open(
    hub: "Hub",
    program: str,
    has_time: Callable[[], bool] = lambda: True,
    before: datetime | None = None,
) -> Counter[str]:
    """Take up the files of a program that are open with no worker: `files` went on or ended, `failed` stay open.

    `before`: only those received earlier, since a younger one has its first worker still. `left` were not looked at for
    want of time.
    """
    counts = Counter[str]()
    waiting = in_turn(hub, program, before)
    for number, delivery in enumerate(waiting):
        if not has_time():
            counts["left"] = len(waiting) - number
            break
        try:
            header = hub.deliveries(program).get(delivery.id)
            if header is not None and handle_left_open(hub, header) is not None:
                counts["files"] += 1
        except Exception:
            logger.exception("delivery stays open", extra={"program": program, "delivery": delivery.id})
            counts["failed"] += 1
    return counts


def in_turn(hub: "Hub", program: str, before: datetime | None) -> Sequence[Delivery]:
    """The open deliveries that no person is asked about, oldest first, those that ended workers last."""
    open_ = [one for one, state in hub.deliveries(program).open_with_state() if state != HELD]
    young_enough = [one for one in open_ if before is None or one.received_at < before]
    costs: Mapping[str, int] = {
        one.id: times_begun(hub.state(program, one.source), one) for one in islice(young_enough, AT_ONCE)
    }
    return sorted(young_enough, key=lambda one: (costs.get(one.id, 0), one.received_at))
