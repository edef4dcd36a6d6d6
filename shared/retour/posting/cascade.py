"""Cascades (spec 5.6): what the reversal of a parent action does to its children, and how it is undone.

Nothing is stored besides the ledger. The records due to a child are derived from its parent's log, and each has a
stable identity, so repeating the derivation after a crash or on the stream gives the same records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from retour.domain.actions.action import Action
from retour.domain.actions.modification import (
    NUMBER_VERSION,
    PARENT_SUBJECT,
    Change,
    Modification,
    Reverse,
    TakeBack,
    Version,
    digest,
)
from retour.domain.actions.order import ActionHead, LogEntry, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.contracts.contract import CascadePolicy, Contract
from retour.domain.contracts.versions import event_types_of
from retour.domain.delivery import Channel
from retour.posting.fold import fold_and_save
from retour.store.deliveries import Deliveries
from retour.store.ledger import Ledger

DEPTH_MAX = 5
SOURCE = "cascade"
NOTHING_TAKEN = TakeBack(Decimal(0))
ORPHAN, CHILD_TO_CHECK = "orphan", "child"
"""Kinds of cases: a locked child of a reversed parent, and a child whose contract only warns."""


@dataclass(frozen=True, slots=True)
class ChildCascade:
    """A child of a parent that was reversed or restored: its due records, oldest first, and the parent's last change.

    `in_force` is the record that reverses the child while its parent is reversed. `reversed`: the parent is reversed
    now. `policy` is that of the parent's contract when it was last reversed.
    """

    order: Order
    child: Action
    records: tuple[Modification, ...]
    in_force: Modification | None
    cause: Modification
    policy: CascadePolicy
    reversed: bool

    @property
    def missing(self) -> list[Modification]:
        known = {record.identity for record in self.order.records}
        return [record for record in self.records if record.identity not in known]

    @property
    def is_orphan(self) -> bool:
        """Whether the child was locked when its parent was reversed."""
        booked = self.order.booking_of(self.in_force.id) if self.in_force else None
        return booked is not None and booked[1].outcome is Outcome.REFUSED


def propagate_to_children(ledger: Ledger, order: Order, now: datetime) -> Order:
    """Propagate reversals and restores of an order's actions to their children. Returns the order afterwards."""
    turned = False
    for action in order.actions:
        for owed_ in child_cascades(ledger, order, action):
            if owed_.missing:
                for record in owed_.missing:
                    ledger.insert(record)
                propagate_to_children(ledger, fold_and_save(ledger, owed_.order.key, now), now)
                turned = turned or owed_.order.key == order.key
    return ledger.order(order.key) if turned else order


def propagate_from_parents(ledger: Ledger, order: Order, now: datetime) -> Order:
    """Propagate earlier reversals of parents to actions that have just been reported. Returns the order afterwards."""
    parents = {action.parent for action in order.actions if action.parent}
    keys = sorted(key for key in {parent_order_key(ledger, parent) for parent in parents} if key)
    for key in keys:
        propagate_to_children(ledger, ledger.order(key), now)
    return ledger.order(order.key) if keys else order


def is_waiting_for_children(ledger: Ledger, order: Order, action: Action) -> bool:
    """Whether a child still lacks a record due from its parent. Until then the parent must not become final."""
    return any(
        one.missing or any(one.order.booking_of(record.id) is None for record in one.records)
        for one in child_cascades(ledger, order, action)
    )


def list_children_to_review(deliveries: Deliveries, ledger: Ledger, order: Order) -> None:
    """List the children that need a person's review, and remove those that no longer do."""
    for action in order.actions:
        for one in child_cascades(ledger, order, action):
            about = {
                "parent": action.id,
                "order": one.child.order_id,
                "child": one.child.id,
                "cause": one.cause.public_id,
            }
            listed = {
                ORPHAN: one.is_orphan,
                CHILD_TO_CHECK: one.reversed
                and one.policy is CascadePolicy.WARN
                and not is_reversed(one.order, one.child),
            }
            for kind, needed in listed.items():
                deadline = first_reversed_at(order, action)
                if needed:
                    deliveries.remind(kind, deadline, one.child.id, about)
                elif deliveries.reminder(kind, deadline, one.child.id):
                    deliveries.forget(kind, deadline, one.child.id)


# Parents and their children


def child_cascades(ledger: Ledger, order: Order, action: Action) -> Iterator[ChildCascade]:
    """The children of an action with their due records; empty if it was never reversed or has no cascade."""
    head = order.heads.get(action.id)
    turns = [*reversal_turns(head)] if head else []
    if all(policy_of(entry, ledger.contracts) is CascadePolicy.NONE for entry, _ in turns):
        return
    for key, child_id in sorted({pair for name in parent_names(order, action) for pair in ledger.children(name)}):
        theirs = ledger.order(key)
        child = theirs.action(child_id)
        if child is not None and child_id != action.id:
            yield child_cascade(order, turns, theirs, child, ledger.contracts)


def parent_names(order: Order, action: Action) -> set[str]:
    """The names by which children may refer to a parent: its id, or order key and event type if that is unique."""
    alike = [one for one in order.actions if one.event_type == action.event_type]
    return {action.id} | ({f"{action.order_key}~{action.event_type}"} if len(alike) == 1 else set())


def parent_order_key(ledger: Ledger, parent: str) -> str | None:
    """The order key of a parent as named by its child."""
    named = ledger.order_key_of(parent)
    if named is not None:
        return named
    event_types = event_types_of(ledger.contracts)
    parts = parent.split("~")
    return next(("~".join(parts[:cut]) for cut in range(1, len(parts)) if parts[cut] in event_types), None)


# Records due to a child


def reversal_turns(head: ActionHead) -> Iterator[tuple[LogEntry, bool]]:
    """The entries that reversed or restored an action, each with whether it reversed it."""
    was = False
    for entry in head.log:
        if entry.reversed != was:
            yield entry, entry.reversed
            was = entry.reversed


def first_reversed_at(order: Order, action: Action) -> datetime:
    """When an action was first reversed. Cases of its children are listed under this time."""
    entry, _ = next(reversal_turns(order.heads[action.id]))
    return entry.applied_at


def policy_of(entry: LogEntry, contracts: Sequence[Contract]) -> CascadePolicy:
    return contracts[entry.contract - 1].cascade


def child_cascade(
    order: Order,
    turns: Sequence[tuple[LogEntry, bool]],
    child_order: Order,
    child: Action,
    contracts: Sequence[Contract],
) -> ChildCascade:
    """What is due to a child at each reversal (all is taken back) and restore (nothing is) of its parent."""
    records: list[Modification] = []
    in_force: Modification | None = None
    policy = CascadePolicy.NONE
    cause: Modification | None = None
    for number, (entry, reversed_) in enumerate(turns, 1):
        cause = order.record(entry.id)
        assert cause is not None, "an entry of a log tells of a record of its order"
        if reversed_:
            policy = policy_of(entry, contracts)
            carries_on = policy is CascadePolicy.CASCADE and cascade_depth(cause) < DEPTH_MAX
            in_force = derive_record(cause, child, Reverse(), number) if carries_on else None
            records += [in_force] if in_force else []
        elif in_force:
            records.append(derive_record(cause, child, NOTHING_TAKEN, number))
            in_force = None
    assert cause is not None
    return ChildCascade(child_order, child, tuple(records), in_force, cause, policy, turns[-1][1])


def derive_record(cause: Modification, child: Action, change: Change, turn: int) -> Modification:
    """The child's record for a change of its parent, with the same receipt time and its own version per change."""
    identity = digest(SOURCE, cause.id, child.order_key, child.id)
    return Modification(
        identity=identity,
        content=digest(type(change).__name__),
        program=child.program,
        channel=Channel.CASCADE,
        source=SOURCE,
        namespace=SOURCE,
        reference=cause.public_id,
        provenance=replace(cause.provenance, object=SOURCE, place=str(cascade_depth(cause) + 1)),
        order_key=child.order_key,
        action_id=child.id,
        event_type=child.event_type,
        sku=None,
        line=None,
        change=change,
        currency=None,
        reason=cause.reason,
        disposition=None,
        note=None,
        occurred_at=cause.occurred_at,
        received_at=cause.received_at,
        orders_by=cause.received_at,
        subject=PARENT_SUBJECT,
        version=Version(NUMBER_VERSION, turn),
    )


def cascade_depth(record: Modification) -> int:
    """How many cascades separate a record from a sender's statement."""
    return int(record.provenance.place) if record.channel is Channel.CASCADE else 0


def is_reversed(order: Order, action: Action) -> bool:
    head = order.heads.get(action.id)
    return head is not None and head.standing.is_reversed
