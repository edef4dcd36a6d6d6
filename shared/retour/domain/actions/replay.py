"""Replay the records that count in their order, to get the state after them at any time."""

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
"""Outcomes that count in the fold. A superseded record keeps its place, since later ones may build on it."""
AcceptedRecord = tuple[Modification, int]
"""A record that counts, with the contract version it was decided under."""


def accepted_records(order: Order, head: ActionHead) -> list[AcceptedRecord]:
    """The records that count, with the contract version each was decided under."""
    contracts = {entry.id: entry.contract for entry in head.log if is_accepted(entry)}
    return [
        (with_order_total(order, with_parent_subject(record)), contracts[record.id])
        for record in order.records
        if record.id in contracts
    ]


def is_accepted(entry: LogEntry) -> bool:
    """Whether a record counts in the fold. A confirming record counts in the sum of its source."""
    if entry.outcome is Outcome.DUPLICATE:
        return entry.code == Code.POSSIBLE_DUPLICATE
    return entry.outcome in ACCEPTED_OUTCOMES and entry.code not in (Code.STATUS_AFTER_LOCK, Code.NEWER_HELD)


def with_parent_subject(record: Modification) -> Modification:
    """A cascaded record of older releases without subject, as the oldest version of its parent's state."""
    if record.channel is not Channel.CASCADE or record.subject or isinstance(record.change, Undo):
        return record
    return replace(
        record, subject=PARENT_SUBJECT, version=Version(LEGACY_VERSION, to_epoch_milliseconds(record.received_at))
    )


def undone_ids(accepted: Sequence[AcceptedRecord]) -> set[str]:
    """The ids left out of the fold: named by an undo that is not undone itself. Only a newer undo undoes an undo."""
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
    """The state with one more record: a single step if it is the newest, otherwise a replay of all records.

    The first statement on a subject adopts what older releases recorded of it (legacy.py), by a replay. A record sorted
    by source time may leave a later one idle, as if both had come in order. Any other record that would make a booked
    one impossible is refused.
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
    """The state after these records in their order. Records that are impossible at their place are idle.

    `since` is the previous state, for the drift kept from older rules. Only the `newest` record's warning is kept.
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
        # A reversal ends an approval at its place, whatever follows.
        standing = combine(action, after) if after.approved else after
    return replace(combine(action, standing), warning=warning, idle=idle)


def undo_blockers(order: Order, head: ActionHead, record: Modification) -> list[str]:
    """Later records that may depend on the record to undo and must be undone first."""
    name = target_record_id(record)
    named = record if name is None else order.record(name)
    if named is None:
        return []
    later = [other for other, _ in accepted_records(order, head) if fold_position(other) > fold_position(named)]
    return [other.public_id for other in later if isinstance(other.change, TakeBack | SetTotal | SetQuantity | Restore)]


def restore_state(
    action: Action, head: ActionHead, records: Sequence[Modification], contracts: Sequence[Contract]
) -> ActionHead:
    """A stored head with its state recomputed from the booked records.

    Bookings by older rules are shown as booked: reading changes nothing.
    """
    order = Order(key=action.order_key, records=records)
    standing = replay(action, accepted_records(order, head), contracts)
    if head.booked is not None and head.rules < RULES_VERSION:
        standing = with_booked_state(standing, head.booked, last_status(order, head))
    return replace(head, standing=standing)


def refold_head(order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract]) -> ActionHead:
    """The head by today's rules, regardless of what was booked."""
    standing = replay(action, accepted_records(order, head), contracts)
    payout = payout_of(action, standing, contracts)
    return replace(head, standing=standing, payout=payout, rules=RULES_VERSION, booked=None)


def last_status(order: Order, head: ActionHead) -> str | None:
    """The order's status by older rules, which also counted statuses received after the lock."""
    told = [record for record, _ in accepted_records(order, head) if isinstance(record.change, SetStatus)]
    last = max(told, key=fold_position, default=None)
    return last.change.status if last is not None and isinstance(last.change, SetStatus) else None


def with_booked_state(standing: ActionState, booked: BookedState, status: str | None) -> ActionState:
    """The state as booked by older rules. The difference to today's rules is kept as drift."""
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
    """The order as of a past time: what had been reported and booked by then."""
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
