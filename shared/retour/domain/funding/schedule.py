"""The dates of an order: last change, last report of its return, statement, payment (spec 8).

Days are in the program's time zone. Banking days are ignored here: they only delay payments, so what is safe without
them stays safe.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from retour.domain.calendar import add_months, end_of_month
from retour.domain.contracts.lock import AfterEvent, AfterStatus, LockRule, OpenEnded

DAY = timedelta(days=1)
MONTH_DAY_MAX = 28
"""The last day that every month has."""


@dataclass(frozen=True, slots=True)
class ReturnWindow:
    """How long the return of an order can be reported.

    `window_days`: the buyer's time to return it; `lag_days`: until the sender reports it; `cadence_days`: between two
    deliveries of the sender; `skew_days`: how much later the sender's day may end than the program's.
    """

    window_days: int
    lag_days: int = 0
    cadence_days: int = 0
    skew_days: int = 0

    @property
    def days(self) -> int:
        return self.window_days + self.lag_days + self.cadence_days + self.skew_days


# Payment rules


@dataclass(frozen=True, slots=True)
class AfterStatement:
    """Days after the statement; 0 is its day."""

    days: int = 0


@dataclass(frozen=True, slots=True)
class OnDay:
    """The first such day of a month from the statement on; without statements, after the last day for changes."""

    day: int


@dataclass(frozen=True, slots=True)
class NextDay:
    """The day after the statement; without statements, after the last day for changes."""


@dataclass(frozen=True, slots=True)
class AfterMonthEnd:
    """Days after the end of the month of the lock, but not before the statement."""

    days: int


@dataclass(frozen=True, slots=True)
class AtLock:
    """At the lock, which is the end of the last day for changes. Needs no statement."""


PayRule = AfterStatement | OnDay | NextDay | AfterMonthEnd | AtLock


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides whether payments are safe. Without `statement_day`, nothing waits for a statement.

    `AfterStatement` requires a statement day, `AtLock` forbids one (`is_whole`).
    """

    lock: LockRule
    returns: ReturnWindow
    statement_day: int | None = None
    pays: PayRule = field(default_factory=NextDay)

    @property
    def is_whole(self) -> bool:
        match self.pays:
            case AfterStatement():
                return self.statement_day is not None
            case AtLock():
                return self.statement_day is None
        return True


@dataclass(frozen=True, slots=True)
class Timeline:
    """The dates of an order. `last_change`: last day for changes; `last_report`: last report of a return."""

    event: date
    last_change: date
    last_report: date
    statement: date | None
    paid: date
    at_lock: bool = False

    @property
    def change_margin(self) -> int:
        """Days from the last report to the last change; negative if a return comes after the lock."""
        return (self.last_change - self.last_report).days

    @property
    def paid_margin(self) -> int:
        """Days from the last report to the payment; at least 1 if the payment is in time."""
        return (self.paid - self.last_report).days

    @property
    def slack(self) -> int:
        """By how many days everything could be later and still be safe; negative if it is unsafe."""
        margins = [self.change_margin, self.paid_margin - 1]
        if not self.at_lock and self.paid <= self.last_change:
            margins.append((self.paid - self.last_change).days - 1)
        return min(margins)

    @property
    def has_late_return(self) -> bool:
        """Whether a return can be reported after the lock."""
        return self.change_margin < 0

    @property
    def has_early_money(self) -> bool:
        """Whether money leaves while a return can be reported or the order can change."""
        return self.paid <= self.last_report or (not self.at_lock and self.paid <= self.last_change)


def timeline(policy: Policy, event: date) -> Timeline:
    """The timeline of an order. The policy must be complete."""
    last_change = last_change_day(policy.lock, event)
    statement = statement_after(last_change, policy.statement_day) if policy.statement_day else None
    return Timeline(
        event=event,
        last_change=last_change,
        last_report=event + timedelta(days=policy.returns.days),
        statement=statement,
        paid=payment_of(policy.pays, last_change, statement),
        at_lock=isinstance(policy.pays, AtLock),
    )


def last_change_day(rule: LockRule, event: date) -> date:
    """The last day on which an order can change.

    Statuses and approvals are assumed on the order's own day, the earliest possibility.
    """
    match rule:
        case AfterEvent(days, months, from_month_end, at_end, sticky):
            base = end_of_month(event) if from_month_end else event
            return add_months(base, months, sticky=sticky) + timedelta(days=days if at_end else days - 1)
        case AfterStatus(days):
            return event + timedelta(days=max(days - 1, 0))
        case OpenEnded():
            return event


def statement_after(last_change: date, day: int) -> date:
    """The statement day for an order: the first day N after its last change, as it takes what locked before."""
    this_month = last_change.replace(day=day)
    return this_month if this_month > last_change else add_months(this_month, 1)


def payment_of(pays: PayRule, last_change: date, statement: date | None) -> date:
    first = statement or last_change + DAY
    match pays:
        case AfterStatement(days):
            assert statement is not None, "a payment after the statement needs a statement day"
            return statement + timedelta(days=days)
        case OnDay(day):
            this_month = first.replace(day=day)
            return this_month if this_month >= first else add_months(this_month, 1)
        case NextDay():
            return (statement or last_change) + DAY
        case AfterMonthEnd(days):
            due = end_of_month(last_change) + timedelta(days=days)
            return max(due, statement) if statement else due
        case AtLock():
            return last_change
