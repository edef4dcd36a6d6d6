"""Totals of actions: by state, by lock day, and how often and when something was returned.

Parts may be added in any order. Totals are plain numbers that can be stored as JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from retour.domain.actions import payout_details
from retour.domain.actions.action import Action
from retour.domain.actions.make_good import LATE_CODES, affected_head, make_good
from retour.domain.actions.order import NO_ACTION, ActionHead, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.calendar import local_day
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import LockRule, OpenEnded

RETURNS_WINDOW = timedelta(days=90)
"""Period of orders for which returns are counted."""
OPEN_STATES = ("pending", "approved")

Numbers = dict[str, dict[str, list[int]]]


@dataclass
class Tally:
    """Sections of rows of numbers. Sums are in minor units of the currency in the row's name.

    `states` `<state> <currency>`: actions, payout · `locks` `<day> <state> <currency>`: actions, payout, expected part
    · of orders in the window: `orders`: all, reversed · `returns` `<days>`: all, too late · `reasons`: returns ·
    `rules` `<days>`: orders that lock this many days after their event · `late` `<currency>`: changes, what they would
    have taken back.
    """

    numbers: Numbers = field(default_factory=dict)

    def add(self, section: str, row: str, *numbers: int) -> None:
        held = self.numbers.setdefault(section, {}).setdefault(row, [0] * len(numbers))
        for place, number in enumerate(numbers):
            held[place] += number

    def merge(self, other: "Tally") -> None:
        for section, rows in other.numbers.items():
            for row, numbers in rows.items():
                self.add(section, row, *numbers)

    def rows(self, section: str) -> Mapping[str, Sequence[int]]:
        return self.numbers.get(section, {})

    def by_state(self) -> Iterator[tuple[str, str, int, int]]:
        """State, currency, actions and payout."""
        for row, (actions, payout) in sorted(self.rows("states").items()):
            state, currency = row.split(" ")
            yield state, currency, actions, payout

    def payout(self, state: str, currency: str) -> int:
        return self.rows("states").get(f"{state} {currency}", (0, 0))[1]

    def by_lock(self) -> Iterator[tuple[date, str, str, int, int, int]]:
        """Day, state, currency, actions, payout and its expected part, without reversed actions."""
        for row, (actions, payout, expected) in sorted(self.rows("locks").items()):
            day, state, currency = row.split(" ")
            yield date.fromisoformat(day), state, currency, actions, payout, expected

    def by_last_day(self) -> Iterator[tuple[date, str, str, int, int, int]]:
        """The same by the last day for changes: open actions lock at the end of a day."""
        for day, state, currency, *numbers in self.by_lock():
            actions, payout, expected = numbers
            yield day - timedelta(days=1), state, currency, actions, payout, expected

    @property
    def orders(self) -> tuple[int, int]:
        """All orders in the window, and the fully reversed ones."""
        found = self.rows("orders").get("", (0, 0))
        return found[0], found[1]

    @property
    def late(self) -> int:
        return sum(changes for changes, _ in self.rows("late").values())

    def lock_days(self) -> int | None:
        """The median number of days from event to lock."""
        rules = sorted((int(days), count) for days, (count,) in self.rows("rules").items())
        half = sum(count for _, count in rules) / 2
        for days, count in rules:
            half -= count
            if half <= 0:
                return days
        return None


@dataclass(frozen=True, slots=True)
class CountedAction:
    """An action's values at the time of the count."""

    state: str
    payout: int
    locks_at: datetime | None
    event_time: datetime


def count_state(tally: Tally, one: CountedAction, contract: Contract) -> None:
    tally.add("states", f"{one.state} {contract.currency}", 1, one.payout)
    if one.state in OPEN_STATES and one.locks_at is not None:
        day = local_day(one.locks_at, contract.time_zone).isoformat()
        expected = one.payout if is_expected(contract.lock, one.state) else 0
        tally.add("locks", f"{day} {one.state} {contract.currency}", 1, one.payout, expected)


def is_expected(rule: LockRule, state: str) -> bool:
    """Whether the action will lock by itself if nothing changes; open-ended ones only after their approval."""
    return not isinstance(rule, OpenEnded) or state == "approved"


def count_order(tally: Tally, one: CountedAction) -> None:
    """Count an order of the window."""
    tally.add("orders", "", 1, int(one.state == "reversed"))
    if one.locks_at is not None:
        tally.add("rules", str((one.locks_at - one.event_time).days), 1)


def count_returns(tally: Tally, order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract]) -> None:
    """Count the returns of an action, and those that came too late to reduce its payout."""
    for entry, record in payout_details.applied_records(order, head):
        if payout_details.is_reduction(head, action, entry):
            tally.add("returns", str((record.received_at - action.event_time).days), 1, 0)
            tally.add("reasons", record.reason or "OTHER", 1)
    for booked in filter(None, (head, order.heads.get(NO_ACTION))):
        for entry in booked.log:
            late_record = order.record(entry.id)
            if entry.outcome is not Outcome.REFUSED or entry.code not in LATE_CODES or late_record is None:
                continue
            if affected_head(order, booked, late_record).action != action.id:
                continue
            owed = make_good(order, booked, late_record, entry.code, contracts)
            if owed is not None and owed.payout < 0:
                tally.add("returns", str((late_record.received_at - action.event_time).days), 1, 1)
                tally.add("reasons", late_record.reason or "OTHER", 1)
                tally.add("late", owed.payout_currency, 1, -owed.payout)
