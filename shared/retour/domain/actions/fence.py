"""The fence: an action becomes final when no delivery received before its lock is still open (spec 5.4)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from retour.domain.actions.codes import Code
from retour.domain.actions.order import ActionHead, LogEntry, Order
from retour.domain.actions.outcome import Outcome

GRACE = timedelta(minutes=10)
"""Time after the lock during which a record received before it may still be being written."""


@dataclass(frozen=True, slots=True)
class LowWaterMark:
    """Receipt times of the oldest open deliveries: the oldest in progress, and the oldest held one."""

    working: datetime | None = None
    held: datetime | None = None

    def holds_back(self, locks_at: datetime, now: datetime, patience: timedelta) -> bool:
        """Whether a delivery received before this lock is still open. Held ones count for at most `patience`."""
        if self.working is not None and self.working < locks_at:
            return True
        return self.held is not None and self.held < locks_at and now < locks_at + patience


def is_ready(head: ActionHead, now: datetime, low_water: LowWaterMark, patience: timedelta) -> bool:
    """Whether a folded action can be made final now."""
    if head.final is not None or head.locks_at is None or now < head.locks_at + GRACE:
        return False
    if held_records(head) and now < head.locks_at + patience:
        return False
    return not low_water.holds_back(head.locks_at, now, patience)


def held_records(head: ActionHead) -> list[str]:
    """The records whose latest entry is held."""
    last = {entry.id: entry.outcome for entry in head.log}
    return [id_ for id_, outcome in last.items() if outcome is Outcome.HELD]


def with_final_action(order: Order, name: str, now: datetime) -> Order:
    """The order with one action made final. Records still held there are refused as not released in time."""
    head = order.heads[name]
    standing = head.standing
    refused = tuple(
        LogEntry(
            id_,
            Outcome.REFUSED,
            Code.NOT_RELEASED_IN_TIME,
            now,
            standing.amount,
            head.payout,
            standing.contract,
            standing.is_reversed,
        )
        for id_ in held_records(head)
    )
    return replace(order, heads={**order.heads, name: replace(head, log=(*head.log, *refused), final=now)})
