"""Locks: by calendar, by the order's status, or by approval (spec 6)."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from retour.domain.calendar import add_months, end_of_month, local_day, start_of_day

OPEN_DAYS_MAX = 730


class Restart(StrEnum):
    """What restarts the countdown of a status."""

    ANY_CHANGE = "any_change"
    LEAVING = "leaving"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class AfterEvent:
    """Months and days after the event day, or after the end of its month.

    `at_end`: lock at the end of the last day. `sticky`: a month end plus months is a month end.
    """

    days: int
    months: int = 0
    from_month_end: bool = False
    at_end: bool = True
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class AfterStatus:
    """Days after the order reached one of the statuses; locks at the start of that day."""

    days: int
    statuses: frozenset[str]
    restart: Restart = Restart.ANY_CHANGE


@dataclass(frozen=True, slots=True)
class OpenEnded:
    """Locks at the end of the day of approval, or at the latest some days after the event."""

    days_max: int = OPEN_DAYS_MAX


LockRule = AfterEvent | AfterStatus | OpenEnded


@dataclass(frozen=True, slots=True)
class Countdown:
    """The state of an action's lock: its instant (None while nothing fixes it), the order's status, and since when.

    `first` is when the status first counted.
    """

    locks_at: datetime | None
    status: str | None = None
    since: datetime | None = None
    first: datetime | None = None


def at_report(rule: LockRule, event_time: datetime, zone: str) -> Countdown:
    """The lock as fixed by an action's report."""
    day = local_day(event_time, zone)
    match rule:
        case AfterEvent(days, months, from_month_end, at_end, sticky):
            base = end_of_month(day) if from_month_end else day
            last = add_months(base, months, sticky=sticky) + timedelta(days=days)
            return Countdown(start_of_day(last, 1 if at_end else 0, zone))
        case OpenEnded(days_max):
            return Countdown(start_of_day(day, days_max + 1, zone))
        case AfterStatus():
            return Countdown(None)


def after_status(
    rule: LockRule, countdown: Countdown, status: str, when: datetime, received_at: datetime, zone: str
) -> Countdown:
    """The countdown after a status change at `when`. Only rules that count from statuses move the lock."""
    if not isinstance(rule, AfterStatus):
        return replace(countdown, status=status)
    if status not in rule.statuses:
        return Countdown(None, status, None, countdown.first)
    first = countdown.first or when
    counted_already = countdown.status in rule.statuses and countdown.since is not None
    match rule.restart:
        case Restart.NEVER:
            since = first
        case Restart.LEAVING if counted_already:
            since = countdown.since or when
        case _:
            since = when
    lock = start_of_day(local_day(since, zone), rule.days, zone)
    return Countdown(max(lock, received_at), status, since, first)


def after_approval(rule: LockRule, countdown: Countdown, received_at: datetime, zone: str) -> Countdown:
    """Approval locks an open-ended action at the end of the day. It never makes a lock later."""
    if not isinstance(rule, OpenEnded):
        return countdown
    lock = start_of_day(local_day(received_at, zone), 1, zone)
    return replace(countdown, locks_at=min(lock, countdown.locks_at or lock))


def after_reattribution(
    rule: LockRule, countdown: Countdown, event_time: datetime, received_at: datetime, zone: str
) -> Countdown:
    """The countdown under another partner's rule. The lock never gets earlier or lost, nor before the receipt.

    A running countdown continues with the days of the new rule. If that rule counts from other statuses, the lock
    stays.
    """
    if isinstance(rule, AfterStatus):
        if countdown.since is None or countdown.status not in rule.statuses:
            return countdown
        then = start_of_day(local_day(countdown.since, zone), rule.days, zone)
    else:
        fixed = at_report(rule, event_time, zone).locks_at
        then = received_at if fixed is None else fixed
    if countdown.locks_at is None:
        return replace(countdown, locks_at=max(then, received_at))
    return replace(countdown, locks_at=max(then, countdown.locks_at))


@dataclass(frozen=True, slots=True)
class Credit:
    """The day from which the credit is certain: expected if nothing changes, or earliest, moving daily."""

    day: date
    expected: bool


def credit(rule: LockRule, countdown: Countdown, now: datetime, zone: str) -> Credit | None:
    """*Earliest* (today + N, status not reached) or *expected* (fixed if nothing changes); None if unknown."""
    if countdown.locks_at is not None:
        return Credit(local_day(countdown.locks_at, zone), expected=not isinstance(rule, OpenEnded))
    if isinstance(rule, AfterStatus):
        return Credit(local_day(now, zone) + timedelta(days=rule.days), expected=False)
    return None
