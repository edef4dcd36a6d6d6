"""The fold: decide each record of an order once, giving the states and logs of its actions (spec 5)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.decide import Decision, decide, held_older_versions, lateness_code
from retour.domain.actions.modification import UNCOUNTED_CHANGES, Discard, Modification, Refold, Release, SetStatus
from retour.domain.actions.order import (
    NO_ACTION,
    RULES_VERSION,
    ActionHead,
    LogEntry,
    Order,
    initial_head,
    is_waiting_for_total,
    payout_of,
    target_record_id,
    unassigned_head,
    with_order_total,
)
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.state import fold_position
from retour.domain.contracts.contract import Contract


def fold(order: Order, contracts: Sequence[Contract], now: datetime) -> Order:
    """Book every record that can be decided. Idempotent; heads that did not change are the same objects.

    Records whose action is not known stay unbooked, which means that they wait.
    """
    heads = {action.id: order.heads.get(action.id) or initial_head(action, contracts) for action in order.actions}
    if NO_ACTION in order.heads:
        heads[NO_ACTION] = order.heads[NO_ACTION]
    order = replace(order, heads=heads)
    for record in sorted(order.records, key=fold_position):
        record = with_order_total(order, record)
        if is_waiting_for_total(record):
            continue
        meant = target_actions(order, record)
        if isinstance(meant, Code):
            order = refuse_unassigned(order, record, meant, now)
            continue
        if is_already_decided(order, record):
            continue
        for action in meant:
            if order.heads[action.id].last_entry(record.id) is None:
                order = book_on_action(order, action, record, contracts, now)
    return order


def is_already_decided(order: Order, record: Modification) -> bool:
    """Whether a record was decided before the report of an action that it would match now; that decision stands.

    Only statuses, and records about them, apply to every action of the order as it is reported.
    """
    head = order.heads.get(NO_ACTION)
    if head is not None and head.last_entry(record.id) is not None:
        return True
    about = record
    while (named := order.record(target_record_id(about) or "")) is not None:
        about = named
    return not isinstance(about.change, SetStatus) and order.booking_of(record.id) is not None


def refuse_waiting(order: Order, records: Sequence[Modification], now: datetime) -> Order:
    """Refuse these records if they still wait for their action or order total."""
    for record in records:
        order = refuse_unassigned(order, record, waiting_reason(order, record), now)
    return order


def waiting_reason(order: Order, record: Modification) -> Code:
    """What an unbooked record is waiting for."""
    meant = target_actions(order, record)
    is_known = not isinstance(meant, Code) and bool(meant)
    return (
        Code.ORDER_TOTAL_UNKNOWN
        if is_known and is_waiting_for_total(with_order_total(order, record))
        else Code.ACTION_NOT_FOUND
    )


def target_actions(order: Order, record: Modification) -> Sequence[Action] | Code:
    """The actions a record refers to (spec 4); empty while they are unknown."""
    named = target_record_id(record)
    if named is not None:
        heads = [head for head in order.heads.values() if head.last_entry(named) is not None]
        found = [action for head in heads if (action := order.action(head.action)) is not None]
        return found or Code.UNDO_NOT_FOUND
    if record.action_id is not None:
        return [action for action in order.actions if action.id == record.action_id]
    of_type = [action for action in order.actions if record.event_type in (None, action.event_type)]
    if isinstance(record.change, SetStatus):
        return of_type
    if len({action.event_type for action in of_type}) > 1:
        return Code.EVENT_TYPE_NEEDED
    before = [action for action in of_type if action.reported_at <= record.received_at]
    by_report = [(action.reported_at, action.event_time, action.id) for action in (before or of_type)]
    if not by_report:
        return []
    _, _, chosen = max(by_report) if before else min(by_report)
    return [action for action in of_type if action.id == chosen]


def refuse_unassigned(order: Order, record: Modification, code: Code, now: datetime) -> Order:
    """Book a refusal that concerns no action under the order itself, unless it is booked already."""
    if order.booking_of(record.id) is not None:
        return order
    head = order.heads.get(NO_ACTION) or unassigned_head()
    entry = LogEntry(record.id, Outcome.REFUSED, code, now, 0, 0, 0)
    return replace(order, heads={**order.heads, NO_ACTION: replace(head, log=(*head.log, entry))})


def book_on_action(
    order: Order, action: Action, record: Modification, contracts: Sequence[Contract], now: datetime
) -> Order:
    head = order.heads[action.id]
    if head.final is not None:
        return refuse_unassigned(order, record, lateness_code(head, record) or Code.AFTER_FINAL, now)
    decision = decide(order, action, head, record, contracts)
    order = with_entry(order, action, record, decision, contracts, now)
    if decision.outcome in (Outcome.HELD, Outcome.APPLIED, Outcome.UNCHANGED):
        for older in held_older_versions(order, head, record):
            head = order.heads[action.id]
            again = decide(order, action, head, older, contracts, released=True)
            if decision.outcome is Outcome.HELD:
                again = Decision(Outcome.SUPERSEDED, Code.NEWER_HELD, head.standing, head.standing.contract)
            order = with_entry(order, action, older, again, contracts, now)
    held = order.record(target_record_id(record) or "")
    if decision.outcome is Outcome.APPLIED and held is not None:
        head = order.heads[action.id]
        if isinstance(record.change, Release):
            again = decide(order, action, head, held, contracts, released=True)
            return with_entry(order, action, held, again, contracts, now)
        if isinstance(record.change, Discard):
            again = Decision(Outcome.REFUSED, Code.DISCARDED, head.standing, head.standing.contract)
            return with_entry(order, action, held, again, contracts, now)
    return order


def with_entry(
    order: Order,
    action: Action,
    record: Modification,
    decision: Decision,
    contracts: Sequence[Contract],
    now: datetime,
) -> Order:
    head, standing = order.heads[action.id], decision.standing
    payout = payout_of(action, standing, contracts)
    entry = LogEntry(
        record.id,
        decision.outcome,
        decision.code,
        now,
        standing.amount,
        payout,
        decision.contract,
        standing.is_reversed,
    )
    after = replace(
        head,
        standing=standing,
        payout=payout,
        log=(*head.log, entry),
        changes=head.changes + counts_as_change(order, head, record, decision),
        rules=RULES_VERSION
        if isinstance(record.change, Refold) and decision.outcome is not Outcome.REFUSED
        else head.rules,
    )
    return replace(order, heads={**order.heads, action.id: after})


def counts_as_change(order: Order, head: ActionHead, record: Modification, decision: Decision) -> bool:
    """Whether a record counts towards the limit of changes. Of a subject only the first applied record counts."""
    if decision.outcome is not Outcome.APPLIED or isinstance(record.change, UNCOUNTED_CHANGES):
        return False
    if record.subject_key is None:
        return True
    of_subject = {other.id for other in order.records if other.subject_key == record.subject_key}
    return not any(entry.id in of_subject and entry.outcome is Outcome.APPLIED for entry in head.log)
