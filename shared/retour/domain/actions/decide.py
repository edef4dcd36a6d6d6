"""One record against one action: a reason a person can check, or what it leaves when it has its place (spec 5)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.lines import as_meant, claims_of
from retour.domain.actions.modification import (
    UNCOUNTED,
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
    TakeBack,
    Undo,
)
from retour.domain.actions.order import Head, Order, named_record, payout_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import Priced, accepted_records, stepped, undone_ids
from retour.domain.actions.standing import Standing, as_reported, place_of, step
from retour.domain.actions.subjects import has_newer, repeats
from retour.domain.contracts.contract import Basis, Contract
from retour.domain.contracts.versions import terms_at, terms_at_report
from retour.domain.delivery import Channel

WARNED_BEFORE = 100
"""So many changes before the limit a change is warned of it."""


@dataclass(frozen=True, slots=True)
class Decision:
    outcome: Outcome
    code: str
    standing: Standing
    contract: int


def decide(
    order: Order,
    action: Action,
    head: Head,
    record: Modification,
    contracts: Sequence[Contract],
    *,
    released: bool = False,
) -> Decision:
    """One record against one action: a reason a person can check, or what it leaves when it has its place."""
    standing = head.standing

    def stays(outcome: Outcome, code: str = "") -> Decision:
        return Decision(outcome, code, standing, standing.contract)

    holder = None if record.subject else reference_holder(order, record)
    if holder is not None:
        same = holder.content == record.content
        return stays(Outcome.DUPLICATE) if same else stays(Outcome.REFUSED, Code.REFERENCE_REUSED)
    late = too_late(head, record)
    if late is not None:
        if isinstance(record.change, SetStatus):
            return stays(Outcome.UNCHANGED, Code.STATUS_AFTER_LOCK)
        return stays(Outcome.REFUSED, late)
    if head.changes >= standing.limit and not isinstance(record.change, UNCOUNTED):
        return stays(Outcome.REFUSED, Code.MODIFICATION_LIMIT)
    meant = as_meant(action, record)
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
    if is_told_again(action, standing, meant):
        return stays(Outcome.DUPLICATE)
    result = stepped(action, standing, accepted, record, terms, contracts)
    if isinstance(result, Code):
        if is_idle_for_now(action, record, terms, contracts):
            idle = replace(standing, idle={**standing.idle, record.id: result})
            return Decision(Outcome.UNCHANGED, result, idle, terms.number)
        return stays(Outcome.REFUSED, Code.UNDO_BLOCKED if isinstance(record.change, Undo) else result)
    warning, after = result.warning or "", replace(result, warning=None)
    double = None if released else looks_like(order, head, record, standing.amount - after.amount)
    if double is not None:
        return stays(Outcome.DUPLICATE if double == "confirms" else Outcome.HELD, Code.POSSIBLE_DUPLICATE)
    if is_superseded(standing, accepted, record):
        return Decision(Outcome.SUPERSEDED, Code.SUPERSEDED, after, terms.number)
    if not differs(action, standing, after, contracts):
        return Decision(Outcome.UNCHANGED, warning, after, terms.number)
    near = head.changes + 1 >= standing.limit - WARNED_BEFORE and not isinstance(record.change, UNCOUNTED)
    return Decision(Outcome.APPLIED, warning or (Code.NEAR_MODIFICATION_LIMIT if near else ""), after, terms.number)


def is_told_again(action: Action, standing: Standing, record: Modification) -> bool:
    """Whether another delivery told the same version of a subject with the same content."""
    subject = standing.subjects.get(record.subject_key) if record.subject_key else None
    claims = claims_of(action, record) if subject else ()
    return subject is not None and not isinstance(claims, Code) and repeats(subject, record, claims)


def is_idle_for_now(action: Action, record: Modification, terms: Contract, contracts: Sequence[Contract]) -> bool:
    """Whether a record that cannot be at its place keeps it: one ordered by its source's own time, right in itself.

    What stands before it may be another thing once an earlier one has come, and arrival must not decide (spec 5.1).
    """
    if record.orders_by == record.received_at or isinstance(record.change, Undo):
        return False
    return not isinstance(step(action, as_reported(action), record, terms, contracts), Code)


def differs(action: Action, before: Standing, after: Standing, contracts: Sequence[Contract]) -> bool:
    """Whether anything that a person can see moved."""

    def seen(standing: Standing) -> tuple[object, ...]:
        return (
            standing.rests, standing.partner, standing.countdown, standing.approved, standing.is_reversed,
            standing.own_priced.contract, standing.limit,
        )  # fmt: skip

    return seen(before) != seen(after) or payout_of(action, before, contracts) != payout_of(action, after, contracts)


def is_superseded(standing: Standing, accepted: Sequence[Priced], record: Modification) -> bool:
    """Whether a newer word on the same has come already: of its subject, or of its source on its target."""
    if record.subject_key is not None:
        return has_newer(standing.subjects.get(record.subject_key), record)
    return any(supersedes(other, record) for other, _ in accepted)


def too_late(head: Head, record: Modification) -> Code | None:
    """What keeps a record from an action that locks: its receipt, or that a person decided on it when no time was left.

    A decision on what is held may come as long as the fence waits for it.
    """
    if record.counts_after is not None:
        if head.locked(record.counts_after):
            return Code.NOT_RELEASED_IN_TIME
        if isinstance(record.change, Release | Discard):
            return None
    return Code.ACTION_LOCKED if head.locked(record.received_at) else None


def terms_for(
    action: Action, standing: Standing, record: Modification, contracts: Sequence[Contract]
) -> Contract | None:
    """The version that prices a change: by the basis that the action's own contract agreed (spec 6)."""
    partner = record.change.partner if isinstance(record.change, Reattribute) else standing.partner
    moment = max(record.received_at, action.reported_at)
    if contracts[action.contract - 1].basis is Basis.AT_ACTION and not isinstance(record.change, Reprice):
        if partner == action.partner:
            return contracts[action.contract - 1]
        return terms_at_report(contracts, action.event_type, partner, action.event_time, action.reported_at)
    return terms_at(contracts, action.event_type, partner, moment)


def reference_holder(order: Order, record: Modification) -> Modification | None:
    """The first record of the same identity that was not refused: it holds the reference (spec 4)."""
    rivals = {other.id: other for other in order.records if other.identity == record.identity and other is not record}
    if not rivals:
        return None
    for head in order.heads.values():
        for entry in head.log:
            if entry.id in rivals and entry.outcome is not Outcome.REFUSED and entry.id != record.id:
                last = head.entry(entry.id)
                if last is not None and last.outcome is not Outcome.REFUSED:
                    return rivals[entry.id]
    return None


def is_held(head: Head, record: Modification) -> bool:
    entry = head.entry(named_record(record) or "")
    return entry is not None and entry.outcome is Outcome.HELD


def supersedes(other: Modification, record: Modification) -> bool:
    """A change that states an end result gives way to a newer one of the same source on the same target."""
    ends = Reverse | SetTotal | SetQuantity
    return (
        other.subject is None
        and isinstance(record.change, ends)
        and isinstance(other.change, ends)
        and other.source == record.source
        and (other.sku, other.line) == (record.sku, record.line)
        and other.orders_by > record.orders_by
    )


def repeats_undone_reversal(accepted: Sequence[Priced], head: Head, record: Modification) -> bool:
    """A reversal without reference, of a source whose own reversal of the same target was since restored or undone."""
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
        and (other.id in undone or any(place_of(other) < place_of(restore) for restore in restores))
        for other, _ in accepted
    )


def looks_like(order: Order, head: Head, record: Modification, taken: int) -> str | None:
    """What to do with a change whose effect equals one already applied from elsewhere: `hold` it, or it `confirms`.

    Each change is confirmed once: a second equal one from the confirming source is another return.
    """
    if not isinstance(record.change, Reverse | TakeBack | SetTotal | SetQuantity) or taken <= 0:
        return None
    policies = [record.doubles.get(other.source, "hold") for other in doubles(order, head, record, taken)]
    if "hold" in policies:
        return "hold"
    confirmed = sum(entry.outcome is Outcome.DUPLICATE and entry.code == Code.POSSIBLE_DUPLICATE for entry in head.log)
    return "confirms" if policies.count("confirms") > confirmed else None


def doubles(order: Order, head: Head, record: Modification, taken: int | None = None) -> list[Modification]:
    """The applied changes a record may be the second word about: of equal effect, from elsewhere, not long ago."""
    action = order.action(head.action)
    window = timedelta(days=int(record.doubles.get("days", 0)))
    if action is None or not window:
        return []
    found = []
    before = action.amount
    # Each id is a hash: looked up one by one, a thousand changes of one action would take minutes to fold.
    records = {other.id: other for other in order.records}
    for entry in head.log:
        other = records.get(entry.id)
        took = before - entry.amount
        alike = entry.outcome is Outcome.APPLIED and took > 0 and taken in (None, took)
        if other is not None and other.id != record.id and alike and doubtful_pair(other, record, window):
            found.append(other)
        before = entry.amount
    return found


def doubtful_pair(other: Modification, record: Modification, window: timedelta) -> bool:
    """From another namespace, or without reference from an earlier delivery of the same source; within the window."""
    if abs(record.received_at - other.received_at) > window:
        return False
    if other.namespace != record.namespace:
        return True
    same_delivery = other.provenance.delivery == record.provenance.delivery
    has_name = record.reference or record.subject or other.reference or other.subject
    return not has_name and not same_delivery
