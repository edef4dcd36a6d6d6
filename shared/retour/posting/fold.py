"""Fold an order's records into its actions. Idempotent, so any worker may run it at any time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from retour.domain.actions.fold import fold, refuse_waiting
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import NO_ACTION, Order, target_record_id, unassigned_head
from retour.store.ledger import HeadWrite, Ledger

TRIES_MAX = 20
GIVE_UP_AGE = timedelta(days=1)
"""Minimum age at which a waiting record may expire."""


class ContentionError(Exception):
    """Too much write contention on one order. Nothing is lost: the stream triggers another fold."""


def fold_and_save(
    ledger: Ledger,
    key: str,
    now: datetime,
    known: Order | None = None,
    then: Callable[[Order], Order] = lambda order: order,
) -> Order:
    """Fold an order and save the heads that changed; start over after a conflicting write. Raises ContentionError.

    Under `@action id` nothing is folded once the id is linked to an order. `known` saves the first read. `then` is a
    further pure step after the fold, such as expiring waiting records.
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
    """Save all heads of an order in one transaction. None if one of them was changed concurrently.

    Unchanged heads are included: a writer with an older view of the order then conflicts with a newer one, so no record
    is booked on two heads.
    """
    changed = [name for name, head in folded.heads.items() if head is not order.heads.get(name)]
    if not changed:
        return folded
    heads = dict(folded.heads)
    # A final head is never written again: the unassigned head takes part in the transaction instead.
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
    """Whether a record is being booked that a concurrent worker, not yet aware of the action, may be refusing."""
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
    """Copy records waiting under one of an order's action ids to the order. Returns the order, unchanged if none were.

    Records that have expired stay refused and are not copied.
    """
    known = {record.id for record in order.records}
    beside = ledger.order(f"@{action_id}")
    waiting = [record for record in beside.records if record.id not in known and beside.booking_of(record.id) is None]
    for record in waiting:
        ledger.insert(replace(record, order_key=order.key))
    return ledger.order(order.key) if waiting else order


def expire_records(ledger: Ledger, key: str, overdue: Sequence[str], now: datetime) -> Sequence[Modification]:
    """Refuse an order's overdue records that still wait. Returns the records refused."""

    def refuse(order: Order) -> Order:
        return refuse_waiting(order, [record for record in order.records if record.id in overdue], now)

    before = ledger.order(key)
    fold_and_save(ledger, key, now, known=before, then=refuse)
    return [record for record in before.records if record.id in overdue and before.booking_of(record.id) is None]
