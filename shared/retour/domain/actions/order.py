"""An order with its actions, its records, and what was booked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from retour.domain.actions.action import Action, LifecycleState
from retour.domain.actions.lines import LineBalances
from retour.domain.actions.modification import Discard, Modification, Release, TakeBack, Undo
from retour.domain.actions.outcome import Effect, Outcome
from retour.domain.actions.state import UNASSIGNED_STATE, ActionState, as_of_partner, fold_position, initial_state
from retour.domain.contracts.contract import Contract, LinePayout

NO_ACTION = ""
RULES_VERSION = 2
"""The version of the fold's rules.

2: subjects; amount and units of a line reach zero together; an action keeps the lock rule of its report; a reversal
ends an approval with its lock (docs/decisions.md).
"""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """The booked outcome of a record, with the action's amount and payout after it.

    Only held records have a second entry, with the final decision.
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
class BookedState:
    """The state saved with a head, as lists show it."""

    rests: LineBalances
    is_reversed: bool
    is_approved: bool
    contract: int
    locks_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionHead:
    """The stored state of an action. `version` counts its writes; `final` is set by the fence.

    `rules` is the version of the rules it was folded with, `booked` the state saved under them. `shard` is its part of
    the indexes and never changes.

    The head of `NO_ACTION` books refusals that concern no action, because none is known or the one meant is final.
    """

    action: str
    version: int
    standing: ActionState
    payout: int
    log: tuple[LogEntry, ...] = ()
    sealed: int = 0
    changes: int = 0
    final: datetime | None = None
    rules: int = RULES_VERSION
    booked: BookedState | None = None
    shard: int = 0

    @property
    def locks_at(self) -> datetime | None:
        return self.standing.countdown.locks_at

    def is_locked(self, moment: datetime) -> bool:
        return self.locks_at is not None and moment >= self.locks_at

    def state(self, now: datetime) -> LifecycleState:
        if self.standing.is_reversed:
            return LifecycleState.REVERSED
        if self.is_locked(now):
            return LifecycleState.LOCKED
        return LifecycleState.APPROVED if self.standing.approved else LifecycleState.PENDING

    def last_entry(self, modification_id: str) -> LogEntry | None:
        """The newest entry of a record."""
        return next((entry for entry in reversed(self.log) if entry.id == modification_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The content of an order's partition. Heads not written yet are missing from `heads`."""

    key: str
    actions: Sequence[Action] = ()
    records: Sequence[Modification] = ()
    heads: Mapping[str, ActionHead] = field(default_factory=dict)

    def action(self, action_id: str) -> Action | None:
        return next((action for action in self.actions if action.id == action_id), None)

    def record(self, modification_id: str) -> Modification | None:
        return next((record for record in self.records if record.id == modification_id), None)

    def booking_of(self, modification_id: str) -> tuple[ActionHead, LogEntry] | None:
        """The head and newest entry of a record; None while it waits."""
        for head in self.heads.values():
            entry = head.last_entry(modification_id)
            if entry is not None:
                return head, entry
        return None


def initial_head(action: Action, contracts: Sequence[Contract]) -> ActionHead:
    standing = initial_state(action)
    return ActionHead(action=action.id, version=0, standing=standing, payout=payout_of(action, standing, contracts))


def payout_of(action: Action, standing: ActionState, contracts: Sequence[Contract]) -> int:
    return sum(paid.amount for paid in line_payouts(action, standing, contracts))


def line_payouts(action: Action, standing: ActionState, contracts: Sequence[Contract]) -> tuple[LinePayout, ...]:
    """The commission of each line by the contract version that last priced the lines."""
    rests = [(rest.amount, rest.quantity) for rest in standing.rests]
    return contracts[standing.contract - 1].line_payouts(as_of_partner(action, standing), rests)


def target_record_id(record: Modification) -> str | None:
    """The id of the record that an undo, release or discard refers to."""
    match record.change:
        case Undo(named) | Release(named) | Discard(named):
            return named.rpartition("~")[2]
    return None


def unassigned_head() -> ActionHead:
    """An empty head of `NO_ACTION`."""
    return ActionHead(action=NO_ACTION, version=0, standing=UNASSIGNED_STATE, payout=0)


def with_order_total(order: Order, record: Modification) -> Modification:
    """The record with the order total its amount is a part of, if another record of the order has it."""
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
    first = min(told, key=fold_position, default=None)
    if first is None or not isinstance(first.change, TakeBack):
        return record
    return replace(record, change=replace(change, of_total=first.change.of_total))


def is_waiting_for_total(record: Modification) -> bool:
    """Whether a record waits for an order total. A record that takes nothing needs none."""
    change = record.change
    return isinstance(change, TakeBack) and bool(change.total_of and change.amount) and change.of_total is None


def effect_of(order: Order, head: ActionHead, entry: LogEntry, contracts: Sequence[Contract]) -> Effect | None:
    """Amount and payout before and after an entry; None if it concerns no action."""
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
        payout_before=before.payout if before else payout_of(action, initial_state(action), contracts),
        payout_after=entry.payout,
        contract=entry.contract,
    )
