"""The records that count, put in their order again: the standing after them, then and now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.legacy import adopts_legacy, with_legacy_subjects
from retour.domain.actions.lines import LineBalance
from retour.domain.actions.modification import (
    LEGACY_VERSION,
    PARENT_SUBJECT,
    Modification,
    Refold,
    Restore,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
    Version,
    to_epoch_milliseconds,
)
from retour.domain.actions.order import (
    RULES_VERSION,
    ActionHead,
    BookedState,
    LogEntry,
    Order,
    initial_head,
    payout_of,
    target_record_id,
    with_order_total,
)
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.state import (
    ActionState,
    advance,
    combine,
    fold_position,
    initial_state,
    reads_balances,
    step,
    with_position,
)
from retour.domain.contracts.contract import Contract
from retour.domain.delivery import Channel

ACCEPTED_OUTCOMES = (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.SUPERSEDED)
"""What counts in the fold. A superseded record has its place in it too: later ones may build on what it left."""
AcceptedRecord = tuple[Modification, int]
"""A record that counts, with the number of the contract version it was decided under."""


def accepted_records(order: Order, head: ActionHead) -> list[AcceptedRecord]:
    """What counts, with the contract version each was decided under."""
    contracts = {entry.id: entry.contract for entry in head.log if is_accepted(entry)}
    return [
        (with_order_total(order, with_parent_subject(record)), contracts[record.id])
        for record in order.records
        if record.id in contracts
    ]


def is_accepted(entry: LogEntry) -> bool:
    """Whether a record counts in the fold. One that only confirms counts in the sum of what its source says."""
    if entry.outcome is Outcome.DUPLICATE:
        return entry.code == Code.POSSIBLE_DUPLICATE
    return entry.outcome in ACCEPTED_OUTCOMES and entry.code not in (Code.STATUS_AFTER_LOCK, Code.NEWER_HELD)


def with_parent_subject(record: Modification) -> Modification:
    """What older releases recorded of a parent without naming it: the oldest version of what it says."""
    if record.channel is not Channel.CASCADE or record.subject or isinstance(record.change, Undo):
        return record
    return replace(
        record, subject=PARENT_SUBJECT, version=Version(LEGACY_VERSION, to_epoch_milliseconds(record.received_at))
    )


def undone_ids(accepted: Sequence[AcceptedRecord]) -> set[str]:
    """The records left out: those an undo names that is not left out itself. Only a newer undo can leave one out."""
    undone: set[str] = set()
    undos = [record for record, _ in accepted if isinstance(record.change, Undo)]
    for undo in sorted(undos, key=fold_position, reverse=True):
        if undo.id not in undone:
            undone.add(target_record_id(undo) or "")
    return undone


def apply_record(
    action: Action,
    standing: ActionState,
    accepted: Sequence[AcceptedRecord],
    record: Modification,
    terms: Contract,
    contracts: Sequence[Contract],
) -> ActionState | Code:
    """The standing with one record more: one step where it comes last, else all replayed with it in its place.

    The first word on a subject takes up what older releases recorded of it (legacy.py): all is replayed then. One
    ordered by its source's own time may leave a later one idle at its place, as if the two had come in order. No
    other takes the ground from what was booked since: it is refused.
    """
    comes_last = standing.last is None or standing.last < fold_position(record)
    is_first_word = record.subject is not None and adopts_legacy(record, [other for other, _ in accepted])
    if comes_last and not isinstance(record.change, Undo | Refold) and not is_first_word:
        return step(action, standing, record, terms, contracts)
    after = replay(action, [*accepted, (record, terms.number)], contracts, standing, newest=record)
    if record.id in after.idle:
        return after.idle[record.id]
    newly_idle = after.idle.keys() - standing.idle.keys()
    if newly_idle and record.orders_by == record.received_at and record.subject is None:
        return Code.LATER_CHANGES_STAND
    return after


def replay(
    action: Action,
    accepted: Sequence[AcceptedRecord],
    contracts: Sequence[Contract],
    since: ActionState | None = None,
    newest: Modification | None = None,
) -> ActionState:
    """The standing after these records in their order. Those that cannot be at their place are idle there.

    `since`: the standing so far, for what it kept of older rules. Of warnings only that of the `newest` record is kept.
    """
    standing = initial_state(action, frozenset(undone_ids(accepted)))
    known = with_legacy_subjects([record for record, _ in accepted])
    newest = newest and next(new for new, (old, _) in zip(known, accepted, strict=True) if old is newest)
    accepted = [(record, contract) for record, (_, contract) in zip(known, accepted, strict=True)]
    if since is not None:
        standing = replace(standing, drift=since.drift)
    idle: dict[str, Code] = {}
    warning: Code | None = None
    for record, contract in sorted(accepted, key=lambda one: fold_position(one[0])):
        if record.id in standing.undone and record.subject is None:
            continue
        if reads_balances(record):
            standing = combine(action, standing)
        after = advance(action, standing, record, contracts[contract - 1], contracts)
        if isinstance(after, Code):
            idle[record.id] = after
            standing = with_position(standing, record)
            continue
        if record is newest:
            warning = after.warning
        # A reversal ends an approval at its place, whatever comes later.
        standing = combine(action, after) if after.approved else after
    return replace(combine(action, standing), warning=warning, idle=idle)


def undo_blockers(order: Order, head: ActionHead, record: Modification) -> list[str]:
    """The later records that may build on what an undo would change: to undo first."""
    name = target_record_id(record)
    named = record if name is None else order.record(name)
    if named is None:
        return []
    later = [other for other, _ in accepted_records(order, head) if fold_position(other) > fold_position(named)]
    return [other.public_id for other in later if isinstance(other.change, TakeBack | SetTotal | SetQuantity | Restore)]


def restore_state(
    action: Action, head: ActionHead, records: Sequence[Modification], contracts: Sequence[Contract]
) -> ActionHead:
    """A head as it was written, its standing worked out again from the records it booked.

    What older rules booked is shown as it was booked: nothing changes by being read.
    """
    order = Order(key=action.order_key, records=records)
    standing = replay(action, accepted_records(order, head), contracts)
    if head.booked is not None and head.rules < RULES_VERSION:
        standing = with_booked_state(standing, head.booked, last_status(order, head))
    return replace(head, standing=standing)


def refold_head(order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract]) -> ActionHead:
    """A head as today's rules have it, whatever it was booked by."""
    standing = replay(action, accepted_records(order, head), contracts)
    payout = payout_of(action, standing, contracts)
    return replace(head, standing=standing, payout=payout, rules=RULES_VERSION, booked=None)


def last_status(order: Order, head: ActionHead) -> str | None:
    """The status of the order as older rules had it: told after the lock it counted as well."""
    told = [record for record, _ in accepted_records(order, head) if isinstance(record.change, SetStatus)]
    last = max(told, key=fold_position, default=None)
    return last.change.status if last is not None and isinstance(last.change, SetStatus) else None


def with_booked_state(standing: ActionState, booked: BookedState, status: str | None) -> ActionState:
    """The standing as older rules left it; what today's rules would change of it is kept as drift."""
    drift = tuple(
        LineBalance(was.amount - now.amount, was.quantity - now.quantity)
        for was, now in zip(booked.rests, standing.rests, strict=True)
    )
    is_settled = booked.is_reversed == standing.is_reversed and not any(rest != LineBalance(0, 0) for rest in drift)
    countdown = standing.countdown
    if booked.locks_at != countdown.locks_at:
        countdown = replace(countdown, locks_at=booked.locks_at, status=status)
    standing = replace(
        standing,
        countdown=countdown,
        contract=booked.contract,
        approved=booked.is_approved or (standing.approved and booked.is_reversed),
    )
    if is_settled:
        return standing
    return replace(
        standing,
        rests=booked.rests,
        drift=drift,
        reversal=standing.reversal if booked.is_reversed else None,
        emptied=booked.is_reversed and standing.reversal is None,
    )


def as_of(order: Order, contracts: Sequence[Contract], moment: datetime) -> Order:
    """The order as it stood at a past moment: what had been reported, and what had been booked by then."""
    actions = [action for action in order.actions if action.reported_at <= moment]
    records = [record for record in order.records if record.received_at <= moment]
    heads: dict[str, ActionHead] = {}
    for action in actions:
        head = order.heads.get(action.id) or initial_head(action, contracts)
        log = tuple(entry for entry in head.log if entry.applied_at <= moment)
        final = head.final if head.final and head.final <= moment else None
        then = restore_state(action, replace(head, log=log, final=final, booked=None), records, contracts)
        heads[action.id] = replace(then, payout=payout_of(action, then.standing, contracts))
    return Order(key=order.key, actions=actions, records=records, heads=heads)
