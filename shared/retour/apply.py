"""An order's records folded into its actions. Anyone may run it at any time; running it twice changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from retour.domain.decide import Head, Order, fold, give_up
from retour.domain.modification import Modification
from retour.store.ledger import Ledger

TRIES = 20


class Contended(Exception):
    """Others kept writing the same order. Nothing is lost: the stream folds it again."""


def settle(
    ledger: Ledger,
    key: str,
    now: datetime,
    known: Order | None = None,
    then: Callable[[Order], Order] = lambda order: order,
) -> Order:
    """Fold an order and write the heads that changed, again from the start when somebody else was faster.

    `known` spares the first read. `then` is a further pure step after the fold, such as giving up what waits too long.
    """
    order = known or ledger.order(key)
    for _ in range(TRIES):
        folded = written(ledger, order, then(fold(order, ledger.contracts, now)))
        if folded is not None:
            return folded
        order = ledger.order(key)
    raise Contended(key)


def written(ledger: Ledger, order: Order, folded: Order) -> Order | None:
    """The folded order with its heads written; None when one of them was no longer as seen."""
    heads: dict[str, Head] = {}
    for name, head in folded.heads.items():
        seen = order.heads.get(name)
        if head is not seen:
            head = replace(head, version=seen.version + 1 if seen else 1)
            if not ledger.write_head(order.key, head, seen, order.action(name)):
                return None
        heads[name] = head
    return replace(folded, heads=heads)


def adopt(ledger: Ledger, action_id: str, order: Order) -> Order:
    """Copy to an order what waited beside one of its action ids; the same order when there was nothing new.

    What was given up there is refused for good: it comes no more.
    """
    known = {record.id for record in order.records}
    beside = ledger.order(f"@{action_id}")
    waiting = [record for record in beside.records if record.id not in known and beside.booked(record.id) is None]
    for record in waiting:
        ledger.insert(replace(record, order_key=order.key))
    return ledger.order(order.key) if waiting else order


def expire(ledger: Ledger, key: str, overdue: Sequence[str], now: datetime) -> Sequence[Modification]:
    """Refuse the overdue records of an order that still wait; those for which that was so."""

    def refuse(order: Order) -> Order:
        return give_up(order, [record for record in order.records if record.id in overdue], now)

    before = ledger.order(key)
    settle(ledger, key, now, known=before, then=refuse)
    return [record for record in before.records if record.id in overdue and before.booked(record.id) is None]
