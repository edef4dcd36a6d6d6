"""Fold an order's records into its actions. Idempotent: anyone may run it at any time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from retour.domain.actions.fold import fold, refuse_waiting
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import NO_ACTION, Order, target_record_id, unassigned_head
from retour.store.ledger import HeadWrite, Ledger

TRIES_MAX = 20
GIVE_UP_AGE = timedelta(days=1)
"""From this age on a record may be given up; nothing is given up younger."""


class ContentionError(Exception):
    """Too much write contention on one order. Nothing is lost: the stream folds it again."""


def fold_and_save(
    ledger: Ledger,
    key: str,
    now: datetime,
    known: Order | None = None,
    then: Callable[[Order], Order] = lambda order: order,
) -> Order:
    """Fold an order and save the heads that changed; start over when a concurrent writer was faster.

    What lies beside an action id is left to the id's order once there is one.
    `known` spares the first read. `then` is a further pure step after the fold, such as giving up what waits too long.
    """
    order = known or ledger.order(key)
    for _ in range(TRIES_MAX):
        folded = save_heads(ledger, order, then(fold(order, ledger.contracts, now)), now)
        if folded is not None:
            return folded
        order = ledger.order(key)
        if key.startswith("@") and ledger.order_key_of(key[1:]) is not None:
            return order
    raise ContentionError(key)


def save_heads(ledger: Ledger, order: Order, folded: Order, now: datetime) -> Order | None:
    """Save all heads in one transaction; None when one of them changed since it was read.

    The heads of an order are written together, the unchanged ones too: who saw less of the order shares one with who
    saw more, and so no record is booked on two of them.
    """
    changed = [name for name, head in folded.heads.items() if head is not order.heads.get(name)]
    if not changed:
        return folded
    heads = dict(folded.heads)
    # A final head is never written again: the head of no action stands for it.
    final = any(head.final for head in order.heads.values())
    if (final and len(heads) > 1) or has_unassigned_rival(order, folded, changed, now):
        heads.setdefault(NO_ACTION, unassigned_head())
    changes = []
    for name, head in heads.items():
        seen = order.heads.get(name)
        if seen is None or seen.final is None:
            heads[name] = replace(head, version=seen.version + 1 if seen else 1)
            changes.append(HeadWrite(heads[name], seen, order.action(name)))
    return replace(folded, heads=heads) if ledger.write_heads(order.key, changes) else None


def has_unassigned_rival(order: Order, folded: Order, changed: Sequence[str], now: datetime) -> bool:
    """Whether a record is booked that somebody who does not know the action may be refusing in this moment."""
    for name in changed:
        seen = order.heads.get(name)
        booked = folded.heads[name].log[len(seen.log) if seen else 0 :]
        if booked and seen is None:
            return True
        for entry in booked:
            record = folded.record(entry.id)
            assert record is not None, "what is booked is a record of the order"
            if target_record_id(record) is not None or now - record.received_at >= GIVE_UP_AGE:
                return True
    return False


def adopt_waiting(ledger: Ledger, action_id: str, order: Order) -> Order:
    """Copy to an order what waited beside one of its action ids; the same order when there was nothing new.

    What was given up there is refused for good: it comes no more.
    """
    known = {record.id for record in order.records}
    beside = ledger.order(f"@{action_id}")
    waiting = [record for record in beside.records if record.id not in known and beside.booking_of(record.id) is None]
    for record in waiting:
        ledger.insert(replace(record, order_key=order.key))
    return ledger.order(order.key) if waiting else order


def expire_records(ledger: Ledger, key: str, overdue: Sequence[str], now: datetime) -> Sequence[Modification]:
    """Refuse the overdue records of an order that still wait; those for which that was so."""

    def refuse(order: Order) -> Order:
        return refuse_waiting(order, [record for record in order.records if record.id in overdue], now)

    before = ledger.order(key)
    fold_and_save(ledger, key, now, known=before, then=refuse)
    return [record for record in before.records if record.id in overdue and before.booking_of(record.id) is None]
