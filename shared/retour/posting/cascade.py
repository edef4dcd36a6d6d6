"""Parents and children (spec 5.6): what the reversal of a parent does to its children, and how it is taken back.

Nothing is remembered beside the ledger: which records a child is owed follows from the log of its parent, and each has
one identity, so whoever works it out again, after a crash or on the stream, comes to the same records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from retour.domain.actions.action import Action
from retour.domain.actions.modification import (
    NUMBER,
    PARENT,
    Change,
    Modification,
    Reverse,
    TakeBack,
    Version,
    digest,
)
from retour.domain.actions.order import Entry, Head, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.contracts.contract import Cascade, Contract
from retour.domain.contracts.versions import event_types_of
from retour.domain.delivery import Channel
from retour.posting.fold import settle
from retour.store.deliveries import Deliveries
from retour.store.ledger import Ledger

DEPTH_MAX = 5
SOURCE = "cascade"
NOTHING_TAKEN = TakeBack(Decimal(0))
ORPHAN, WARNED = "orphan", "child"
"""Kinds of what needs a person: a child that had locked, and one whose contract only asks for a look."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One child of a parent whose state turned: the records it is due, oldest first, and what turned the parent last.

    `in_force` is the record that reverses the child while its parent is reversed. `reversed`: the parent is. `policy`
    is that of the parent's contract when it was last reversed.
    """

    order: Order
    child: Action
    records: tuple[Modification, ...]
    in_force: Modification | None
    cause: Modification
    policy: Cascade
    reversed: bool

    @property
    def missing(self) -> list[Modification]:
        known = {record.identity for record in self.order.records}
        return [record for record in self.records if record.identity not in known]

    @property
    def is_orphan(self) -> bool:
        """Whether the parent is reversed and the child could not follow: it had locked."""
        booked = self.order.booked(self.in_force.id) if self.in_force else None
        return booked is not None and booked[1].outcome is Outcome.REFUSED


def carry(ledger: Ledger, order: Order, now: datetime) -> Order:
    """Hand on to its children what turned the actions of an order; the order as it is then."""
    turned = False
    for action in order.actions:
        for owed_ in children_of(ledger, order, action):
            if owed_.missing:
                for record in owed_.missing:
                    ledger.insert(record)
                carry(ledger, settle(ledger, owed_.order.key, now), now)
                turned = turned or owed_.order.key == order.key
    return ledger.order(order.key) if turned else order


def carry_to(ledger: Ledger, order: Order, now: datetime) -> Order:
    """Hand on to the actions of an order what turned their parents before they were reported."""
    parents = {action.parent for action in order.actions if action.parent}
    keys = sorted(key for key in {home_of(ledger, parent) for parent in parents} if key)
    for key in keys:
        carry(ledger, ledger.order(key), now)
    return ledger.order(order.key) if keys else order


def owed(ledger: Ledger, order: Order, action: Action) -> bool:
    """Whether a child still lacks what its parent's turning means for it: the parent must not become final before."""
    return any(
        one.missing or any(one.order.booked(record.id) is None for record in one.records)
        for one in children_of(ledger, order, action)
    )


def list_children(deliveries: Deliveries, ledger: Ledger, order: Order) -> None:
    """List the children that need a person, and take off the list those that need none any more."""
    for action in order.actions:
        for one in children_of(ledger, order, action):
            about = {
                "parent": action.id,
                "order": one.child.order_id,
                "child": one.child.id,
                "cause": one.cause.public_id,
            }
            listed = {
                ORPHAN: one.is_orphan,
                WARNED: one.reversed and one.policy is Cascade.WARN and not stands_reversed(one.order, one.child),
            }
            for kind, needed in listed.items():
                deadline = since(order, action)
                if needed:
                    deliveries.remind(kind, deadline, one.child.id, about)
                elif deliveries.reminded(kind, deadline, one.child.id):
                    deliveries.forget(kind, deadline, one.child.id)


# Who is whose


def children_of(ledger: Ledger, order: Order, action: Action) -> Iterator[Owed]:
    """What each child of an action is due; nothing at all where the action never turned or its contract says none."""
    head = order.heads.get(action.id)
    turns = [*turned_by(head)] if head else []
    if all(policy_of(entry, ledger.contracts) is Cascade.NONE for entry, _ in turns):
        return
    for key, child_id in sorted({pair for name in names_of(order, action) for pair in ledger.children(name)}):
        theirs = ledger.order(key)
        child = theirs.action(child_id)
        if child is not None and child_id != action.id:
            yield due_to(order, turns, theirs, child, ledger.contracts)


def names_of(order: Order, action: Action) -> set[str]:
    """What a child may call its parent: its id; or order key and event type, where that means one action only."""
    alike = [one for one in order.actions if one.event_type == action.event_type]
    return {action.id} | ({f"{action.order_key}~{action.event_type}"} if len(alike) == 1 else set())


def home_of(ledger: Ledger, parent: str) -> str | None:
    """The order key of a parent as its child names it."""
    named = ledger.order_key_of(parent)
    if named is not None:
        return named
    event_types = event_types_of(ledger.contracts)
    parts = parent.split("~")
    return next(("~".join(parts[:cut]) for cut in range(1, len(parts)) if parts[cut] in event_types), None)


# What a child is due


def turned_by(head: Head) -> Iterator[tuple[Entry, bool]]:
    """The entries that reversed an action or brought it back, each with which of the two."""
    was = False
    for entry in head.log:
        if entry.reversed != was:
            yield entry, entry.reversed
            was = entry.reversed


def since(order: Order, action: Action) -> datetime:
    """When an action was reversed for the first time: under that moment its children are listed."""
    entry, _ = next(turned_by(order.heads[action.id]))
    return entry.applied_at


def policy_of(entry: Entry, contracts: Sequence[Contract]) -> Cascade:
    return contracts[entry.contract - 1].cascade


def due_to(
    order: Order, turns: Sequence[tuple[Entry, bool]], theirs: Order, child: Action, contracts: Sequence[Contract]
) -> Owed:
    """What the parent says of the child at each of its turns: all is taken back while it is reversed, else nothing."""
    records: list[Modification] = []
    in_force: Modification | None = None
    policy = Cascade.NONE
    cause: Modification | None = None
    for number, (entry, reversed_) in enumerate(turns, 1):
        cause = order.record(entry.id)
        assert cause is not None, "an entry of a log tells of a record of its order"
        if reversed_:
            policy = policy_of(entry, contracts)
            carries_on = policy is Cascade.CASCADE and depth_of(cause) < DEPTH_MAX
            in_force = derived(cause, child, Reverse(), number) if carries_on else None
            records += [in_force] if in_force else []
        elif in_force:
            records.append(derived(cause, child, NOTHING_TAKEN, number))
            in_force = None
    assert cause is not None
    return Owed(theirs, child, tuple(records), in_force, cause, policy, turns[-1][1])


def derived(cause: Modification, child: Action, change: Change, turn: int) -> Modification:
    """The record a child gets from what turned its parent, received when that was: a version for each turn."""
    identity = digest(SOURCE, cause.id, child.order_key, child.id)
    return Modification(
        identity=identity,
        content=digest(type(change).__name__),
        program=child.program,
        channel=Channel.CASCADE,
        source=SOURCE,
        namespace=SOURCE,
        reference=cause.public_id,
        provenance=replace(cause.provenance, object=SOURCE, place=str(depth_of(cause) + 1)),
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
        subject=PARENT,
        version=Version(NUMBER, turn),
    )


def depth_of(record: Modification) -> int:
    """How many cascades lie between a record and what a sender said."""
    return int(record.provenance.place) if record.channel is Channel.CASCADE else 0


def stands_reversed(order: Order, action: Action) -> bool:
    head = order.heads.get(action.id)
    return head is not None and head.standing.is_reversed
