"""The fold: an order's records, each decided once, become the standing and the log of its actions (spec 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from retour.domain.actions.action import Action, State
from retour.domain.actions.codes import Code
from retour.domain.actions.contract import Basis, Contract, Paid, terms_at
from retour.domain.actions.lock import Countdown
from retour.domain.actions.modification import (
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
from retour.domain.actions.outcome import Effect, Outcome
from retour.domain.actions.standing import Standing, as_reported, step
from retour.domain.delivery import Channel

CHANGES_MAX = 1_000
CHANGES_WARNED = 900
NO_ACTION = ""
ACCEPTED = (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.SUPERSEDED)
"""What counts in the fold. A superseded record has its place in it too: later ones may build on what it left."""

Priced = tuple[Modification, int]
"""A record that counts, with the number of the contract version it was decided under."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one modification came to, booked once: amount and payout are the action's after it.

    Only a held record is booked twice: held, then as it was decided.
    """

    id: str
    outcome: Outcome
    code: str
    applied_at: datetime
    amount: int
    payout: int
    contract: int
    reversed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of an action after all that was booked. `version` counts its writes, `final` is set by the fence.

    The head of `NO_ACTION` books what was refused without a word to say about any action: because none is known, or
    because the one that is meant is final.
    """

    action: str
    version: int
    standing: Standing
    payout: int
    log: tuple[Entry, ...] = ()
    sealed: int = 0
    changes: int = 0
    final: datetime | None = None

    @property
    def locks_at(self) -> datetime | None:
        return self.standing.countdown.locks_at

    def locked(self, moment: datetime) -> bool:
        return self.locks_at is not None and moment >= self.locks_at

    def state(self, now: datetime) -> State:
        if self.standing.reversal:
            return State.REVERSED
        if self.locked(now):
            return State.LOCKED
        return State.APPROVED if self.standing.approved else State.PENDING

    def entry(self, modification_id: str) -> Entry | None:
        """The last word on a record."""
        return next((entry for entry in reversed(self.log) if entry.id == modification_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Everything one order's partition holds. `heads` lacks those not written yet."""

    key: str
    actions: Sequence[Action] = ()
    records: Sequence[Modification] = ()
    heads: Mapping[str, Head] = field(default_factory=dict)

    def action(self, action_id: str) -> Action | None:
        return next((action for action in self.actions if action.id == action_id), None)

    def record(self, modification_id: str) -> Modification | None:
        return next((record for record in self.records if record.id == modification_id), None)

    def booked(self, modification_id: str) -> tuple[Head, Entry] | None:
        """A head and the last entry that tells what became of a record; None while it waits."""
        for head in self.heads.values():
            entry = head.entry(modification_id)
            if entry is not None:
                return head, entry
        return None


@dataclass(frozen=True, slots=True)
class Decision:
    outcome: Outcome
    code: str
    standing: Standing
    contract: int


def fold(order: Order, contracts: Sequence[Contract], now: datetime) -> Order:
    """The order with every record booked that can be; heads that did not change are the same objects.

    Folding again changes nothing. Records whose action is not known yet stay unbooked: they wait.
    """
    heads = {action.id: order.heads.get(action.id) or first_head(action, contracts) for action in order.actions}
    if NO_ACTION in order.heads:
        heads[NO_ACTION] = order.heads[NO_ACTION]
    order = replace(order, heads=heads)
    for record in sorted(order.records, key=in_order):
        meant = actions_meant(order, record)
        if isinstance(meant, Code):
            order = refused_unassigned(order, record, meant, now)
            continue
        if settled_elsewhere(order, record):
            continue
        for action in meant:
            if order.heads[action.id].entry(record.id) is None:
                order = booked_on(order, action, record, contracts, now)
    return order


def settled_elsewhere(order: Order, record: Modification) -> bool:
    """Whether a word was said on a record before an action came that it would mean today; that word stays.

    Only a status, and what speaks of one, goes on to every action of the order as they come.
    """
    head = order.heads.get(NO_ACTION)
    if head is not None and head.entry(record.id) is not None:
        return True
    about = record
    while (named := order.record(named_record(about) or "")) is not None:
        about = named
    return not isinstance(about.change, SetStatus) and order.booked(record.id) is not None


def give_up(order: Order, records: Sequence[Modification], now: datetime) -> Order:
    """The order with these records refused, if they still wait: their action never came."""
    for record in records:
        order = refused_unassigned(order, record, Code.ACTION_NOT_FOUND, now)
    return order


def first_head(action: Action, contracts: Sequence[Contract]) -> Head:
    standing = as_reported(action)
    return Head(action=action.id, version=0, standing=standing, payout=payout_of(action, standing, contracts))


def payout_of(action: Action, standing: Standing, contracts: Sequence[Contract]) -> int:
    return sum(paid.amount for paid in paid_lines(action, standing, contracts))


def paid_lines(action: Action, standing: Standing, contracts: Sequence[Contract]) -> tuple[Paid, ...]:
    """Each line's commission by the contract version that priced the lines last."""
    return contracts[standing.contract - 1].pays(action, [(rest.amount, rest.quantity) for rest in standing.rests])


# Which action


def actions_meant(order: Order, record: Modification) -> Sequence[Action] | Code:
    """The actions a record means (spec 4); none while they are not known."""
    named = named_record(record)
    if named is not None:
        heads = [head for head in order.heads.values() if head.entry(named) is not None]
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


def named_record(record: Modification) -> str | None:
    """The id of the record that an undo, a release or a discard speaks of."""
    match record.change:
        case Undo(named) | Release(named) | Discard(named):
            return named.rpartition("~")[2]
    return None


def refused_unassigned(order: Order, record: Modification, code: Code, now: datetime) -> Order:
    """Refused without a word to say about any action: booked under the order itself, unless it is booked already."""
    if order.booked(record.id) is not None:
        return order
    head = order.heads.get(NO_ACTION) or unassigned_head()
    entry = Entry(record.id, Outcome.REFUSED, code, now, 0, 0, 0)
    return replace(order, heads={**order.heads, NO_ACTION: replace(head, log=(*head.log, entry))})


def unassigned_head() -> Head:
    """The head of no action, before anything is booked under it."""
    return Head(action=NO_ACTION, version=0, standing=Standing((), (), 0, "", Countdown(None)), payout=0)


# Booking


def booked_on(
    order: Order, action: Action, record: Modification, contracts: Sequence[Contract], now: datetime
) -> Order:
    head = order.heads[action.id]
    if head.final is not None:
        return refused_unassigned(order, record, too_late(head, record) or Code.AFTER_FINAL, now)
    decision = decide(order, action, head, record, contracts)
    order = with_entry(order, action, record, decision, contracts, now)
    held = order.record(named_record(record) or "")
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
    entry = Entry(
        record.id,
        decision.outcome,
        decision.code,
        now,
        standing.amount,
        payout,
        decision.contract,
        standing.reversal is not None,
    )
    counts = decision.outcome is Outcome.APPLIED and not isinstance(record.change, SetStatus | Release | Discard)
    after = replace(head, standing=standing, payout=payout, log=(*head.log, entry), changes=head.changes + counts)
    return replace(order, heads={**order.heads, action.id: after})


# The decision


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

    holder = reference_holder(order, record)
    if holder is not None:
        same = holder.content == record.content
        return stays(Outcome.DUPLICATE) if same else stays(Outcome.REFUSED, Code.REFERENCE_REUSED)
    late = too_late(head, record)
    if late is not None:
        if isinstance(record.change, SetStatus):
            return stays(Outcome.UNCHANGED)
        return stays(Outcome.REFUSED, late)
    if head.changes >= CHANGES_MAX and not isinstance(record.change, SetStatus | Release | Discard):
        return stays(Outcome.REFUSED, Code.MODIFICATION_LIMIT)
    if record.currency is not None and record.currency != action.currency:
        return stays(Outcome.REFUSED, Code.CURRENCY_MISMATCH)
    terms = terms_for(action, standing, record, contracts)
    if terms is None:
        return stays(Outcome.REFUSED, Code.CONTRACT_MISSING)
    if isinstance(record.change, Release | Discard):
        return stays(Outcome.APPLIED) if is_held(head, record) else stays(Outcome.REFUSED, Code.NOT_HELD)
    accepted = accepted_records(order, head)
    if not released and repeats_undone_reversal(accepted, head, record):
        return stays(Outcome.HELD, Code.REPEATS_UNDONE_REVERSAL)
    result = stepped(action, standing, accepted, record, terms, contracts)
    if isinstance(result, Code):
        return stays(Outcome.REFUSED, Code.UNDO_BLOCKED if isinstance(record.change, Undo) else result)
    warning, after = result.warning or "", replace(result, warning=None)
    double = None if released else looks_like(order, head, record, standing.amount - after.amount)
    if double is not None:
        return stays(Outcome.DUPLICATE if double == "confirms" else Outcome.HELD, Code.POSSIBLE_DUPLICATE)
    if any(supersedes(other, record) for other, _ in accepted):
        return Decision(Outcome.SUPERSEDED, Code.SUPERSEDED, after, terms.number)
    if after == standing:
        return Decision(Outcome.UNCHANGED, warning, after, terms.number)
    near = head.changes + 1 >= CHANGES_WARNED and not isinstance(record.change, SetStatus)
    return Decision(Outcome.APPLIED, warning or (Code.NEAR_MODIFICATION_LIMIT if near else ""), after, terms.number)


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
        moment = action.reported_at
    return terms_at(contracts, action.event_type, partner, moment)


def accepted_records(order: Order, head: Head) -> list[Priced]:
    """What counts, with the contract version each was decided under."""
    contracts = {entry.id: entry.contract for entry in head.log if entry.outcome in ACCEPTED}
    return [(record, contracts[record.id]) for record in order.records if record.id in contracts]


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
        isinstance(record.change, ends)
        and isinstance(other.change, ends)
        and other.source == record.source
        and (other.sku, other.line) == (record.sku, record.line)
        and other.orders_by > record.orders_by
    )


# What only a person can tell


def repeats_undone_reversal(accepted: Sequence[Priced], head: Head, record: Modification) -> bool:
    """A reversal without reference, of a source whose own reversal of the same target was since restored or undone."""
    if not isinstance(record.change, Reverse) or record.reference is not None or head.standing.reversal:
        return False
    if record.channel is Channel.CONSOLE:
        return False
    undone = undone_ids(accepted)
    restores = [other for other, _ in accepted if isinstance(other.change, Restore) and other.id not in undone]
    return any(
        isinstance(other.change, Reverse)
        and (other.source, other.sku, other.line) == (record.source, record.sku, record.line)
        and (other.id in undone or any(in_order(other) < in_order(restore) for restore in restores))
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
    return record.reference is None and other.reference is None and not same_delivery


# Replay


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


def effect(order: Order, head: Head, entry: Entry, contracts: Sequence[Contract]) -> Effect | None:
    """Amount and payout before and after one booked entry; None where no action is concerned."""
    action = order.action(head.action)
    if action is None:
        return None
    at = head.log.index(entry)
    before = head.log[at - 1] if at else None
    return Effect(
        currency=action.currency,
        payout_currency=contracts[entry.contract - 1].currency,
        amount_before=before.amount if before else action.amount,
        amount_after=entry.amount,
        payout_before=before.payout if before else payout_of(action, as_reported(action), contracts),
        payout_after=entry.payout,
        contract=entry.contract,
    )
