"""The days of an order's money: until when it can change, until when its return can be reported, stated, paid (spec 8).

Days are those of the program's time zone. Statements and payments know nothing of banking days here: moving a payment
to the next banking day only makes it later, and what is safe without it stays safe.
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
    """For how long the return of an order can still be told of.

    `window_days`: in which the buyer may return it; `lag_days`: until the sender reports that; `cadence_days`: between
    two deliveries of the sender; `skew_days`: by which the sender's day may end later than the program's.
    """

    window_days: int
    lag_days: int = 0
    cadence_days: int = 0
    skew_days: int = 0

    @property
    def days(self) -> int:
        return self.window_days + self.lag_days + self.cadence_days + self.skew_days


# When it is paid


@dataclass(frozen=True, slots=True)
class AfterStatement:
    """So many days after the statement; 0: on its day."""

    days: int = 0


@dataclass(frozen=True, slots=True)
class OnDay:
    """On this day of a month: the first one from the statement on; without statements, the first after the last day on
    which the order can change."""

    day: int


@dataclass(frozen=True, slots=True)
class NextDay:
    """The day after the statement; without statements, after the last day on which the order can change."""


@dataclass(frozen=True, slots=True)
class AfterMonthEnd:
    """So many days after the end of the month in which it locks, but never before its statement."""

    days: int


@dataclass(frozen=True, slots=True)
class AtLock:
    """The moment it locks, at the end of the last day on which it can change; there is no statement to wait for."""


PayRule = AfterStatement | OnDay | NextDay | AfterMonthEnd | AtLock


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides whether paying is safe. `statement_day` None: nothing waits for a statement.

    `AfterStatement` asks for a statement day, `AtLock` for none (`is_whole`).
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
    """What an order of one day goes through. `last_change` is the last day on which it can change, `last_report` the
    last on which its return can still be reported."""

    event: date
    last_change: date
    last_report: date
    statement: date | None
    paid: date
    at_lock: bool = False

    @property
    def change_margin(self) -> int:
        """Days between the last report of a return and the last change; below zero a return comes after the lock."""
        return (self.last_change - self.last_report).days

    @property
    def paid_margin(self) -> int:
        """Days between the last report of a return and the payment; the payment is in time from one on."""
        return (self.paid - self.last_report).days

    @property
    def slack(self) -> int:
        """By how many days everything could be later and still be right; below zero it is wrong by so many."""
        margins = [self.change_margin, self.paid_margin - 1]
        if not self.at_lock and self.paid <= self.last_change:
            margins.append((self.paid - self.last_change).days - 1)
        return min(margins)

    @property
    def has_late_return(self) -> bool:
        """A return can be reported when the order is locked already."""
        return self.change_margin < 0

    @property
    def has_early_money(self) -> bool:
        """The money leaves while a return can still be reported, or the order can still change."""
        return self.paid <= self.last_report or (not self.at_lock and self.paid <= self.last_change)


def timeline(policy: Policy, event: date) -> Timeline:
    """An order of this day; the policy is whole."""
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
    """The last day on which an order of a day can change.

    What the calendar does not say is taken as early as it can be: the status is reached, the approval given on the very
    day of the order.
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
    """A statement of day N takes what locked before that day of the month: the first day N after the last change."""
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
