"""The records that count, put in their order again: the standing after them, then and now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.modification import Modification, Restore, SetQuantity, SetTotal, TakeBack, Undo
from retour.domain.actions.order import Head, Order, first_head, named_record, payout_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.standing import Standing, as_reported, step
from retour.domain.contracts.contract import Contract

ACCEPTED = (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.SUPERSEDED)
"""What counts in the fold. A superseded record has its place in it too: later ones may build on what it left."""
Priced = tuple[Modification, int]
"""A record that counts, with the number of the contract version it was decided under."""


def accepted_records(order: Order, head: Head) -> list[Priced]:
    """What counts, with the contract version each was decided under."""
    contracts = {entry.id: entry.contract for entry in head.log if entry.outcome in ACCEPTED}
    return [(record, contracts[record.id]) for record in order.records if record.id in contracts]


def in_order(record: Modification) -> tuple[datetime, datetime, int, str]:
    return record.orders_by, record.received_at, record.provenance.position, record.id


def undone_ids(accepted: Sequence[Priced]) -> set[str]:
    """The records left out: those an undo names that is not left out itself. Only a newer undo can leave one out."""
    undone: set[str] = set()
    undos = [record for record, _ in accepted if isinstance(record.change, Undo)]
    for undo in sorted(undos, key=in_order, reverse=True):
        if undo.id not in undone:
            undone.add(named_record(undo) or "")
    return undone


def stepped(
    action: Action,
    standing: Standing,
    accepted: Sequence[Priced],
    record: Modification,
    terms: Contract,
    contracts: Sequence[Contract],
) -> Standing | Code:
    """The standing with one record more: one step where it comes last, else all replayed with it in its place."""
    comes_last = all(in_order(other) < in_order(record) for other, _ in accepted)
    if comes_last and not isinstance(record.change, Undo):
        return step(action, standing, record, terms)
    return replay(action, [*accepted, (record, terms.number)], contracts, newest=record)


def replay(
    action: Action,
    accepted: Sequence[Priced],
    contracts: Sequence[Contract],
    newest: Modification | None = None,
) -> Standing | Code:
    """The standing after these records in their order; the code of the first that cannot be.

    `newest` is the one that is being decided, the others were: of warnings only its own is kept, and where one of the
    others cannot be any more, it is because of this one.
    """
    standing = as_reported(action)
    warning: Code | None = None
    undone = undone_ids(accepted)
    for record, contract in sorted(accepted, key=lambda one: in_order(one[0])):
        if record.id in undone:
            continue
        after = step(action, standing, record, contracts[contract - 1])
        if isinstance(after, Code):
            return after if newest in (None, record) else Code.LATER_CHANGES_STAND
        if record is newest:
            warning = after.warning
        standing = replace(after, warning=None)
    return replace(standing, warning=warning)


def undo_blockers(order: Order, head: Head, record: Modification) -> list[str]:
    """The later records that may build on what an undo, or a record that comes late, would change: to undo first."""
    name = named_record(record)
    named = record if name is None else order.record(name)
    if named is None:
        return []
    later = [other for other, _ in accepted_records(order, head) if in_order(other) > in_order(named)]
    return [other.public_id for other in later if isinstance(other.change, TakeBack | SetTotal | SetQuantity | Restore)]


def resume(action: Action, head: Head, records: Sequence[Modification], contracts: Sequence[Contract]) -> Head:
    """A head as it was written, its standing worked out again from the records it booked."""
    order = Order(key=action.order_key, records=records)
    standing = replay(action, accepted_records(order, head), contracts)
    if isinstance(standing, Code):
        raise ValueError(f"the booked records of {action.id} no longer fold: {standing}")
    return replace(head, standing=standing)


def as_of(order: Order, contracts: Sequence[Contract], moment: datetime) -> Order:
    """The order as it stood at a past moment: what had been reported, and what had been booked by then."""
    actions = [action for action in order.actions if action.reported_at <= moment]
    records = [record for record in order.records if record.received_at <= moment]
    heads: dict[str, Head] = {}
    for action in actions:
        head = order.heads.get(action.id) or first_head(action, contracts)
        log = tuple(entry for entry in head.log if entry.applied_at <= moment)
        final = head.final if head.final and head.final <= moment else None
        then = resume(action, replace(head, log=log, final=final), records, contracts)
        heads[action.id] = replace(then, payout=payout_of(action, then.standing, contracts))
    return Order(key=order.key, actions=actions, records=records, heads=heads)
