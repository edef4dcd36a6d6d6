"""Decide one record for one action: the new state, or the code of a reason a person can check (spec 5)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.confirmations import CONFIRMS, amount_taken, confirmed_sources
from retour.domain.actions.lines import claims_of, merge_claims, resolve_for_action
from retour.domain.actions.modification import (
    SUBJECT_CHANGES,
    UNCOUNTED_CHANGES,
    Discard,
    Modification,
    Reattribute,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    Undo,
)
from retour.domain.actions.order import ActionHead, Order, payout_of, target_record_id
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import AcceptedRecord, accepted_records, apply_record, undone_ids
from retour.domain.actions.state import ActionState, fold_position, initial_state, step, with_position
from retour.domain.actions.subjects import has_newer, repeats
from retour.domain.contracts.contract import Contract, TermsBasis
from retour.domain.contracts.versions import terms_at, terms_at_report
from retour.domain.delivery import Channel

END_RESULT_CHANGES = (Reverse, SetTotal, SetQuantity)
"""Changes that state an end result."""
LIMIT_WARNING_MARGIN = 100
"""Warn when an action comes within this many changes of its limit."""


@dataclass(frozen=True, slots=True)
class Decision:
    outcome: Outcome
    code: str
    standing: ActionState
    contract: int


def decide(
    order: Order,
    action: Action,
    head: ActionHead,
    record: Modification,
    contracts: Sequence[Contract],
    *,
    released: bool = False,
) -> Decision:
    """Decide one record for one action, at its place among the other records."""
    standing = head.standing

    def stays(outcome: Outcome, code: str = "") -> Decision:
        return Decision(outcome, code, standing, standing.contract)

    holder = None if record.subject else reference_holder(order, record)
    if holder is not None:
        same = holder.content == record.content
        return stays(Outcome.DUPLICATE) if same else stays(Outcome.REFUSED, Code.REFERENCE_REUSED)
    late = lateness_code(head, record)
    if late is not None:
        if isinstance(record.change, SetStatus):
            return stays(Outcome.UNCHANGED, Code.STATUS_AFTER_LOCK)
        return stays(Outcome.REFUSED, late)
    if head.changes >= standing.limit and not isinstance(record.change, UNCOUNTED_CHANGES):
        return stays(Outcome.REFUSED, Code.MODIFICATION_LIMIT)
    meant = resolve_for_action(action, record)
    if isinstance(meant, Code):
        return stays(Outcome.REFUSED, meant)
    terms = terms_for(action, standing, record, contracts)
    if terms is None:
        return stays(Outcome.REFUSED, Code.CONTRACT_MISSING)
    if isinstance(record.change, Release | Discard):
        return stays(Outcome.APPLIED) if is_held(head, record) else stays(Outcome.REFUSED, Code.NOT_HELD)
    accepted = accepted_records(order, head)
    if not released and repeats_undone_reversal(accepted, head, record):
        return stays(Outcome.HELD, Code.REPEATS_UNDONE_REVERSAL)
    if is_repeated_statement(action, standing, meant):
        return stays(Outcome.DUPLICATE)
    set_aside = None if released else inherited_outcome(order, head, action, meant)
    if set_aside is not None:
        return stays(*set_aside)
    result = apply_record(action, standing, accepted, record, terms, contracts)
    if isinstance(result, Code):
        if is_idle_for_now(action, record, terms, contracts):
            idle = with_position(replace(standing, idle={**standing.idle, record.id: result}), record)
            return Decision(Outcome.UNCHANGED, result, idle, terms.number)
        return stays(Outcome.REFUSED, Code.UNDO_BLOCKED if isinstance(record.change, Undo) else result)
    warning, after = result.warning or "", replace(result, warning=None)
    if not released and possible_duplicates(order, head, record, {standing.amount - after.amount}):
        return stays(Outcome.HELD, Code.POSSIBLE_DUPLICATE)
    if is_superseded(standing, accepted, record):
        return Decision(Outcome.SUPERSEDED, Code.SUPERSEDED, after, terms.number)
    if not is_visible_change(action, standing, after, contracts):
        if takes_something(action, meant) and confirmed_sources(record):
            return Decision(Outcome.DUPLICATE, Code.POSSIBLE_DUPLICATE, after, terms.number)
        return Decision(Outcome.UNCHANGED, warning, after, terms.number)
    near = head.changes + 1 >= standing.limit - LIMIT_WARNING_MARGIN and not isinstance(
        record.change, UNCOUNTED_CHANGES
    )
    return Decision(Outcome.APPLIED, warning or (Code.NEAR_MODIFICATION_LIMIT if near else ""), after, terms.number)


def is_repeated_statement(action: Action, standing: ActionState, record: Modification) -> bool:
    """Whether another delivery stated the same version of the subject with the same content."""
    subject = standing.subjects.get(record.subject_key) if record.subject_key else None
    claims = claims_of(action, record) if subject else ()
    return subject is not None and not isinstance(claims, Code) and repeats(subject, record, claims)


def is_idle_for_now(action: Action, record: Modification, terms: Contract, contracts: Sequence[Contract]) -> bool:
    """Whether a record that is impossible at its place stays there as idle: valid in itself, and sorted by source time.

    An earlier record that arrives later may make it possible, and the order of arrival must not matter (spec 5.1).
    """
    if record.orders_by == record.received_at or isinstance(record.change, Undo):
        return False
    return not isinstance(step(action, initial_state(action), record, terms, contracts), Code)


def is_visible_change(action: Action, before: ActionState, after: ActionState, contracts: Sequence[Contract]) -> bool:
    """Whether two states differ in anything a person can see."""

    def seen(standing: ActionState) -> tuple[object, ...]:
        return (
            standing.rests, standing.partner, standing.countdown, standing.approved, standing.is_reversed,
            standing.own_priced.contract, standing.limit,
        )  # fmt: skip

    return seen(before) != seen(after) or payout_of(action, before, contracts) != payout_of(action, after, contracts)


def is_superseded(standing: ActionState, accepted: Sequence[AcceptedRecord], record: Modification) -> bool:
    """Whether a newer record about the same subject, or from the same source about the same target, is known."""
    if record.subject_key is not None:
        return has_newer(standing.subjects.get(record.subject_key), record)
    return isinstance(record.change, END_RESULT_CHANGES) and any(supersedes(other, record) for other, _ in accepted)


def lateness_code(head: ActionHead, record: Modification) -> Code | None:
    """The code if a record is too late: received after the lock, or released after its time.

    A held record may be released as long as the fence waits for it.
    """
    if record.counts_after is not None:
        if head.is_locked(record.counts_after):
            return Code.NOT_RELEASED_IN_TIME
        if isinstance(record.change, Release | Discard):
            return None
    return Code.ACTION_LOCKED if head.is_locked(record.received_at) else None


def terms_for(
    action: Action, standing: ActionState, record: Modification, contracts: Sequence[Contract]
) -> Contract | None:
    """The contract version that prices a change, by the terms basis of the action's contract (spec 6)."""
    return terms_by_basis(contracts[action.contract - 1].basis, action, standing, record, contracts)


def terms_by_basis(
    basis: TermsBasis, action: Action, standing: ActionState, record: Modification, contracts: Sequence[Contract]
) -> Contract | None:
    """The contract version that prices a change by a given basis."""
    partner = record.change.partner if isinstance(record.change, Reattribute) else standing.partner
    moment = max(record.received_at, action.reported_at)
    if basis is TermsBasis.AT_ACTION and not isinstance(record.change, Reprice):
        if partner == action.partner:
            return contracts[action.contract - 1]
        return terms_at_report(contracts, action.event_type, partner, action.event_time, action.reported_at)
    return terms_at(contracts, action.event_type, partner, moment)


def reference_holder(order: Order, record: Modification) -> Modification | None:
    """The first record with the same identity that was not refused; it holds the reference (spec 4)."""
    rivals = {other.id: other for other in order.records if other.identity == record.identity and other is not record}
    if not rivals:
        return None
    for head in order.heads.values():
        for entry in head.log:
            if entry.id in rivals and entry.outcome is not Outcome.REFUSED and entry.id != record.id:
                last = head.last_entry(entry.id)
                if last is not None and last.outcome is not Outcome.REFUSED:
                    return rivals[entry.id]
    return None


def is_held(head: ActionHead, record: Modification) -> bool:
    entry = head.last_entry(target_record_id(record) or "")
    return entry is not None and entry.outcome is Outcome.HELD


def supersedes(other: Modification, record: Modification) -> bool:
    """Whether a newer record of the same source and target replaces an end-result change."""
    return (
        other.subject is None
        and isinstance(record.change, END_RESULT_CHANGES)
        and isinstance(other.change, END_RESULT_CHANGES)
        and other.source == record.source
        and (other.sku, other.line) == (record.sku, record.line)
        and other.orders_by > record.orders_by
    )


def repeats_undone_reversal(accepted: Sequence[AcceptedRecord], head: ActionHead, record: Modification) -> bool:
    """Whether it is a reversal without reference that repeats one of the same source since restored or undone."""
    if not isinstance(record.change, Reverse) or record.reference is not None or record.subject is not None:
        return False
    if head.standing.is_reversed:
        return False
    if record.channel is Channel.CONSOLE:
        return False
    undone = undone_ids(accepted)
    restores = [other for other, _ in accepted if isinstance(other.change, Restore) and other.id not in undone]
    return any(
        isinstance(other.change, Reverse)
        and other.subject is None
        and (other.source, other.sku, other.line) == (record.source, record.sku, record.line)
        and (other.id in undone or any(fold_position(other) < fold_position(restore) for restore in restores))
        for other, _ in accepted
    )


def takes_something(action: Action, record: Modification) -> bool:
    claims = claims_of(action, record)
    return not isinstance(claims, Code) and bool(merge_claims(claims))


def inherited_outcome(
    order: Order, head: ActionHead, action: Action, record: Modification
) -> tuple[Outcome, str] | None:
    """The outcome of a later version of a held or discarded subject: the same, unless it takes nothing."""
    if record.subject_key is None or not takes_something(action, record):
        return None
    before = newest_booked(order, head, record)
    entry = head.last_entry(before.id) if before else None
    if before is None or entry is None:
        return None
    if entry.outcome is Outcome.HELD:
        return Outcome.HELD, entry.code
    if entry.code == Code.DISCARDED:
        same = before.content == record.content
        return (Outcome.REFUSED, Code.DISCARDED) if same else (Outcome.HELD, Code.POSSIBLE_DUPLICATE)
    return None


def newest_booked(order: Order, head: ActionHead, record: Modification) -> Modification | None:
    """The newest other booked record of the subject, ignoring those refused as invalid in themselves."""
    told = [
        other
        for other in order.records
        if other.subject_key == record.subject_key
        and other.id != record.id
        and (entry := head.last_entry(other.id)) is not None
        and (entry.outcome is not Outcome.REFUSED or entry.code == Code.DISCARDED)
    ]
    return max(told, key=lambda other: (other.version, fold_position(other)), default=None)


def held_older_versions(order: Order, head: ActionHead, record: Modification) -> list[Modification]:
    """Held records of the subject that a newer version makes void, since it is held itself or takes nothing."""
    if record.subject_key is None or record.version is None:
        return []
    return [
        other
        for other in order.records
        if other.subject_key == record.subject_key
        and other.version is not None
        and other.version < record.version
        and (entry := head.last_entry(other.id)) is not None
        and entry.outcome is Outcome.HELD
    ]


def possible_duplicates(
    order: Order, head: ActionHead, record: Modification, amounts: Collection[int]
) -> list[Modification]:
    """Applied changes that a record may repeat: equal effect, another source, within the window (spec 4).

    Empty for a subject that a person has released as a separate return.
    """
    action = order.action(head.action)
    window = timedelta(days=int(record.doubles.get("days", 0)))
    if action is None or not window or not isinstance(record.change, SUBJECT_CHANGES):
        return []
    if is_another_return(order, record):
        return []
    found = []
    before = action.amount
    # `last_entry` computes a hash per call; over a thousand changes the fold would take minutes.
    records = {other.id: other for other in order.records}
    for entry in head.log:
        other = records.get(entry.id)
        took = before - entry.amount
        alike = entry.outcome is Outcome.APPLIED and took > 0 and took in amounts
        if other is not None and other.id != record.id and alike and is_duplicate_pair(other, record, window):
            found.append(other)
        before = entry.amount
    return found


def possible_effects(action: Action, head: ActionHead, record: Modification) -> set[int]:
    """The possible effects of a held record: its whole amount, or what is left of the action."""
    meant = resolve_for_action(action, record)
    claims = meant if isinstance(meant, Code) else claims_of(action, meant)
    if isinstance(claims, Code):
        return set()
    amount = amount_taken(action, [merge_claims(claims)])
    return {amount, min(amount, head.standing.amount)}


def is_another_return(order: Order, record: Modification) -> bool:
    """Whether a person released a record of the same subject as a separate return."""
    if record.subject_key is None:
        return False
    released = {target_record_id(other) for other in order.records if isinstance(other.change, Release)}
    return any(other.id in released and other.subject_key == record.subject_key for other in order.records)


def is_duplicate_pair(other: Modification, record: Modification, window: timedelta) -> bool:
    """Whether two records count as a pair within the window: other namespace, or same source without reference."""
    if abs(record.received_at - other.received_at) > window:
        return False
    if record.doubles.get(other.source, "hold") != "hold" or other.doubles.get(record.source) == CONFIRMS:
        return False
    if record.subject_key is not None and record.subject_key == other.subject_key:
        return False
    if other.namespace != record.namespace:
        return True
    same_delivery = other.provenance.delivery == record.provenance.delivery
    has_name = record.reference or record.subject or other.reference or other.subject
    return not has_name and not same_delivery
