"""An order with its actions, its records and what was booked of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from retour.domain.actions.action import Action, State
from retour.domain.actions.lines import Rests
from retour.domain.actions.modification import Discard, Modification, Release, TakeBack, Undo
from retour.domain.actions.outcome import Effect, Outcome
from retour.domain.actions.standing import UNASSIGNED, Standing, as_of_partner, as_reported, place_of
from retour.domain.contracts.contract import Contract, Paid

NO_ACTION = ""
RULES = 2
"""The number of the rules by which actions are folded. 2: subjects; amount and units of a line reach zero together; the
lock rule of the report stays; a reversal ends an approval with its lock (docs/decisions.md)."""


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
class Booked:
    """How an action stood when its head was written: what lists show of it."""

    rests: Rests
    is_reversed: bool
    is_approved: bool
    contract: int
    locks_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of an action after all that was booked. `version` counts its writes, `final` is set by the fence.

    `rules` is the number of the rules it was folded by, and `booked` what was written of it under those. `shard` says
    in which part of the indexes it lies, and stays.

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
    rules: int = RULES
    booked: Booked | None = None
    shard: int = 0

    @property
    def locks_at(self) -> datetime | None:
        return self.standing.countdown.locks_at

    def locked(self, moment: datetime) -> bool:
        return self.locks_at is not None and moment >= self.locks_at

    def state(self, now: datetime) -> State:
        if self.standing.is_reversed:
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


def first_head(action: Action, contracts: Sequence[Contract]) -> Head:
    standing = as_reported(action)
    return Head(action=action.id, version=0, standing=standing, payout=payout_of(action, standing, contracts))


def payout_of(action: Action, standing: Standing, contracts: Sequence[Contract]) -> int:
    return sum(paid.amount for paid in paid_lines(action, standing, contracts))


def paid_lines(action: Action, standing: Standing, contracts: Sequence[Contract]) -> tuple[Paid, ...]:
    """Each line's commission by the contract version that priced the lines last."""
    rests = [(rest.amount, rest.quantity) for rest in standing.rests]
    return contracts[standing.contract - 1].pays(as_of_partner(action, standing), rests)


def named_record(record: Modification) -> str | None:
    """The id of the record that an undo, a release or a discard speaks of."""
    match record.change:
        case Undo(named) | Release(named) | Discard(named):
            return named.rpartition("~")[2]
    return None


def unassigned_head() -> Head:
    """The head of no action, before anything is booked under it."""
    return Head(action=NO_ACTION, version=0, standing=UNASSIGNED, payout=0)


def with_total(order: Order, record: Modification) -> Modification:
    """The record with the order total its amount is a part of, where another message of the order told that."""
    change = record.change
    if not isinstance(change, TakeBack) or change.total_of is None or change.of_total is not None:
        return record
    name = (record.namespace, change.total_of)
    told = [
        other
        for other in order.records
        if isinstance(other.change, TakeBack)
        and (other.namespace, other.change.total_of) == name
        and other.change.of_total is not None
    ]
    first = min(told, key=place_of, default=None)
    if first is None or not isinstance(first.change, TakeBack):
        return record
    return replace(record, change=replace(change, of_total=first.change.of_total))


def lacks_total(record: Modification) -> bool:
    """Whether a record waits for the order total that its amount is a part of; nothing needs no total."""
    change = record.change
    return isinstance(change, TakeBack) and bool(change.total_of and change.amount) and change.of_total is None


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
