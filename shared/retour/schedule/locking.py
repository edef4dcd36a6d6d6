"""The locker: find due actions by the lock index, fold their orders, and make them final.

Nothing is stored between runs: a final action leaves the index, so after a timeout or crash the next run continues with
the rest. Of two concurrent runs, one write per action succeeds.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from retour.domain.actions.fence import GRACE, LowWaterMark, is_ready, with_final_action
from retour.domain.actions.order import Order
from retour.domain.program import Program
from retour.posting import cascade
from retour.posting.fold import adopt_waiting, fold_and_save
from retour.store.ledger import DueAction, Ledger, LockPartition, TableLedger

if TYPE_CHECKING:
    from retour.wiring import Hub

WORKERS = 16
"""Orders processed concurrently."""
CHUNK = 500
"""Actions between two checks of the time."""
EMPTY_FOR = timedelta(hours=1)
"""How long a partition must be empty before it is removed from the list."""

log = logging.getLogger(__name__)


def finalise_due(hub: "Hub", program: Program, has_time: Callable[[], bool] = lambda: True) -> Counter[str]:
    """Make due actions final, as far as the time allows.

    Counts: `final`, `held_back` by open deliveries, `open` for another reason, `failed`, and `left` (1) if the time ran
    out.
    """
    ledger, counts = hub.ledger(program), Counter[str]()
    for partition in list(ledger.lock_partitions(hub.now().date().isoformat())):
        if not has_time():
            return counts + Counter(left=1)
        counts += lock_partition(hub, program, ledger, partition, has_time)
    return counts


def lock_partition(
    hub: "Hub", program: Program, ledger: TableLedger, partition: LockPartition, has_time: Callable[[], bool]
) -> Counter[str]:
    counts = Counter[str]()
    found = ledger.due(partition, hub.now() - GRACE)
    while chunk := list(islice(found, CHUNK)):
        # In this order: time, open deliveries, orders. A delivery closed in between is then already in its order.
        now = hub.now()
        water = hub.deliveries(program.id).low_water()
        counts += lock_orders(ledger, chunk, water, now, timedelta(hours=program.hold_at_lock_hours))
        if not has_time():
            return counts + Counter(left=1)
    if not counts and ledger.is_empty(partition):
        unlist_if_empty(ledger, partition, hub.real_now())
    return counts


def lock_orders(
    ledger: Ledger, due: Iterable[DueAction], low_water: LowWaterMark, now: datetime, patience: timedelta
) -> Counter[str]:
    """Make due actions final, order by order. An error in one order does not stop the others."""
    counts, orders = Counter[str](), dict[str, list[str]]()
    for one in due:
        if low_water.holds_back(one.locks_at, now, patience):
            counts["held_back"] += 1
        else:
            orders.setdefault(one.order_key, []).append(one.action)

    def made_final(key: str) -> Counter[str]:
        try:
            final = sum(fence_order(ledger, key, orders[key], low_water, now, patience).values())
        except Exception:
            log.exception("order not fenced", extra={"order": key})
            return Counter(failed=len(orders[key]))
        return Counter(final=final, open=len(orders[key]) - final)

    with ThreadPoolExecutor(WORKERS) as pool:
        for made in pool.map(made_final, orders):
            counts += made
    return counts


def fence_order(
    ledger: Ledger, key: str, actions: Iterable[str], low_water: LowWaterMark, now: datetime, patience: timedelta
) -> Mapping[str, bool]:
    """Fold an order and fence its actions that are ready, one write each. Returns whether each is final now.

    A parent waits until its children have the records due to them.
    """
    order = ledger.order(key)
    for name in actions:
        action = order.action(name)
        if action is not None and action.has_own_id:
            order = adopt_waiting(ledger, name, order)

    def then(folded: Order) -> Order:
        for name in actions:
            action, head = folded.action(name), folded.heads.get(name)
            if action is None or head is None or not is_ready(head, now, low_water, patience):
                continue
            if not cascade.is_waiting_for_children(ledger, folded, action):
                folded = with_final_action(folded, name, now)
        return folded

    heads = fold_and_save(ledger, key, now, known=order, then=then).heads
    return {name: name in heads and heads[name].final is not None for name in actions}


def unlist_if_empty(ledger: TableLedger, partition: LockPartition, real_now: datetime) -> None:
    """Remove a partition from the list if it has been empty long enough, by the real clock."""
    if partition.empty_since is None:
        ledger.mark_empty(partition, real_now)
    elif real_now - partition.empty_since >= EMPTY_FOR:
        ledger.unlist(partition)
