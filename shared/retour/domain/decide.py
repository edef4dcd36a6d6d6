"""The fold: an order's records, each decided once, become the standing and the log of its actions (spec 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from retour.domain.action import Action, State
from retour.domain.codes import Code
from retour.domain.contract import Contract, terms_at
from retour.domain.modification import Modification, Reverse, SetQuantity, SetStatus, SetTotal
from retour.domain.outcome import Effect, Outcome
from retour.domain.standing import Standing, as_reported, step

CHANGES_MAX = 1_000
CHANGES_WARNED = 900
NO_ACTION = ""
ACCEPTED = (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.SUPERSEDED)
"""What counts in the fold. A superseded record has its place in it too: later ones may build on what it left."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one modification came to, booked once: amount and payout are the action's after it."""

    id: str
    outcome: Outcome
    code: str
    applied_at: datetime
    amount: int
    payout: int
    contract: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of an action after all that was booked. `version` counts its writes.

    The head of `NO_ACTION` books what was refused before it could be said which action it means.
    """

    action: str
    version: int
    standing: Standing
    payout: int
    locks_at: datetime | None
    log: tuple[Entry, ...] = ()
    sealed: int = 0

    @property
    def changes(self) -> int:
        return sum(entry.outcome is Outcome.APPLIED for entry in self.log)

    def state(self, now: datetime) -> State:
        if self.locks_at and now >= self.locks_at and not self.standing.reversal:
            return State.LOCKED
        if self.standing.reversal:
            return State.REVERSED
        return State.APPROVED if self.standing.approved else State.PENDING


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
        """The head and entry that tell what became of a record; None while it waits."""
        for head in self.heads.values():
            for entry in head.log:
                if entry.id == modification_id:
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
    booked = {entry.id for head in heads.values() for entry in head.log}
    for record in sorted(order.records, key=in_order):
        if record.id in booked:
            continue
        meant = action_meant(order.actions, record)
        if meant is None:
            continue
        order = (
            refused_unassigned(order, record, meant, now)
            if isinstance(meant, Code)
            else booked_on(order, meant, record, contracts, now)
        )
    return order


def give_up(order: Order, records: Sequence[Modification], now: datetime) -> Order:
    """The order with these records refused, if they still wait: their action never came."""
    for record in records:
        if order.booked(record.id) is None:
            order = refused_unassigned(order, record, Code.ACTION_NOT_FOUND, now)
    return order


def first_head(action: Action, contracts: Sequence[Contract]) -> Head:
    standing = as_reported(action)
    return Head(
        action=action.id,
        version=0,
        standing=standing,
        payout=payout_of(standing, contracts),
        locks_at=action.locks_at,
    )


def payout_of(standing: Standing, contracts: Sequence[Contract]) -> int:
    """Each line's commission, rounded once per line, by the contract version that priced the lines last."""
    terms = contracts[standing.contract - 1]
    return sum(terms.payout.of(rest.amount) for rest in standing.rests)


def action_meant(actions: Sequence[Action], record: Modification) -> Action | Code | None:
    """The action a record means (spec 4): by its id, else of the order the newest reported before the record came."""
    if record.action_id is not None:
        return next((action for action in actions if action.id == record.action_id), None)
    event_types = {action.event_type for action in actions}
    if record.event_type is None and len(event_types) > 1:
        return Code.EVENT_TYPE_NEEDED
    of_type = [a for a in actions if record.event_type in (None, a.event_type)]
    before = [a for a in of_type if a.reported_at <= record.received_at]
    if before:
        return max(before, key=lambda a: (a.reported_at, a.event_time, a.id))
    return min(of_type, key=lambda a: (a.reported_at, a.event_time, a.id), default=None)


def refused_unassigned(order: Order, record: Modification, code: Code, now: datetime) -> Order:
    """Refused before any action could be named: booked under the order itself."""
    head = order.heads.get(NO_ACTION) or Head(
        action=NO_ACTION, version=0, standing=Standing((), (), 0), payout=0, locks_at=None
    )
    entry = Entry(record.id, Outcome.REFUSED, code, now, 0, 0, 0)
    return replace(order, heads={**order.heads, NO_ACTION: replace(head, log=(*head.log, entry))})


def booked_on(
    order: Order, action: Action, record: Modification, contracts: Sequence[Contract], now: datetime
) -> Order:
    head = order.heads[action.id]
    decision = decide(order, action, head, record, contracts)
    payout = payout_of(decision.standing, contracts)
    entry = Entry(record.id, decision.outcome, decision.code, now, decision.standing.amount, payout, decision.contract)
    after = replace(head, standing=decision.standing, payout=payout, log=(*head.log, entry))
    return replace(order, heads={**order.heads, action.id: after})


def decide(order: Order, action: Action, head: Head, record: Modification, contracts: Sequence[Contract]) -> Decision:
    """One record against one action: refused with a reason a person can check, or its place in the replay."""
    standing = head.standing

    def refused(code: Code) -> Decision:
        return Decision(Outcome.REFUSED, code, standing, standing.contract)

    accepted = accepted_records(order, head)
    holder = reference_holder(order, record)
    if holder is not None:
        if holder.content == record.content:
            return Decision(Outcome.DUPLICATE, "", standing, standing.contract)
        return refused(Code.REFERENCE_REUSED)
    if head.locks_at is not None and record.received_at >= head.locks_at:
        return refused(Code.ACTION_LOCKED)
    if head.changes >= CHANGES_MAX and not isinstance(record.change, SetStatus):
        return refused(Code.MODIFICATION_LIMIT)
    if record.currency is not None and record.currency != action.currency:
        return refused(Code.CURRENCY_MISMATCH)
    terms = terms_at(contracts, action.event_type, action.partner, max(record.received_at, action.reported_at))
    contract = terms.number if terms else standing.contract
    comes_last = all(in_order(other) < in_order(record) for other, _ in accepted)
    result = (
        step(action, standing, record, contract)
        if comes_last
        else replay(action, [*accepted, (record, contract)], warned=record)
    )
    if isinstance(result, Code):
        return refused(result)
    code, after = result.warning or "", replace(result, warning=None)
    if any(supersedes(other, record) for other, _ in accepted):
        return Decision(Outcome.SUPERSEDED, Code.SUPERSEDED, after, contract)
    outcome = Outcome.UNCHANGED if after == standing else Outcome.APPLIED
    if not code and outcome is Outcome.APPLIED and head.changes + 1 >= CHANGES_WARNED:
        code = Code.NEAR_MODIFICATION_LIMIT
    return Decision(outcome, code, after, contract)


def accepted_records(order: Order, head: Head) -> list[tuple[Modification, int]]:
    """What counts, with the contract version each was priced by."""
    contracts = {entry.id: entry.contract for entry in head.log if entry.outcome in ACCEPTED}
    return [(record, contracts[record.id]) for record in order.records if record.id in contracts]


def reference_holder(order: Order, record: Modification) -> Modification | None:
    """The first record of the same identity that was not refused: it holds the reference (spec 4)."""
    rivals = {other.id: other for other in order.records if other.identity == record.identity}
    for head in order.heads.values():
        for entry in head.log:
            if entry.outcome is not Outcome.REFUSED and entry.id in rivals:
                return rivals[entry.id]
    return None


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


def in_order(record: Modification) -> tuple[datetime, datetime, int, str]:
    return record.orders_by, record.received_at, record.provenance.position, record.id


def replay(
    action: Action, accepted: Sequence[tuple[Modification, int]], warned: Modification | None = None
) -> Standing | Code:
    """The standing after these records in their order; the code of the first that cannot be.

    Of warnings only the one about `warned` is kept.
    """
    standing = as_reported(action)
    warning: Code | None = None
    for record, contract in sorted(accepted, key=lambda one: in_order(one[0])):
        after = step(action, standing, record, contract)
        if isinstance(after, Code):
            return after
        if record is warned:
            warning = after.warning
        standing = replace(after, warning=None)
    return replace(standing, warning=warning)


def effect(order: Order, head: Head, entry: Entry, contracts: Sequence[Contract]) -> Effect | None:
    """Amount and payout before and after one booked entry; None where no action is concerned."""
    action = order.action(head.action)
    if action is None:
        return None
    at = head.log.index(entry)
    before = head.log[at - 1] if at else None
    return Effect(
        currency=action.currency,
        amount_before=before.amount if before else action.amount,
        amount_after=entry.amount,
        payout_before=before.payout if before else payout_of(as_reported(action), contracts),
        payout_after=entry.payout,
        contract=entry.contract,
    )


def resume(action: Action, head: Head, records: Sequence[Modification]) -> Head:
    """A head as it was written, its standing worked out again from the records it booked."""
    order = Order(key=action.order_key, records=records)
    standing = replay(action, accepted_records(order, head))
    if isinstance(standing, Code):
        raise ValueError(f"the booked records of {action.id} no longer fold: {standing}")
    return replace(head, standing=standing)
