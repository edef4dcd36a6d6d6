"""When an action can no longer change: by the calendar, by the order's status, or by approval (spec 6)."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from retour.domain.calendar import add_months, end_of_month, local_day, start_of_day

OPEN_DAYS_MAX = 730


class Restart(StrEnum):
    """What starts the countdown of a status anew."""

    ANY_CHANGE = "any_change"
    LEAVING = "leaving"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class AfterEvent:
    """Months and days after the event day, or after the end of its month.

    `at_end`: the last of these days still counts. `sticky`: a month's end plus months is a month's end.
    """

    days: int
    months: int = 0
    from_month_end: bool = False
    at_end: bool = True
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class AfterStatus:
    """So many days after the order reached one of these statuses; at the start of that day."""

    days: int
    statuses: frozenset[str]
    restart: Restart = Restart.ANY_CHANGE


@dataclass(frozen=True, slots=True)
class OpenEnded:
    """Until it is approved: then at the end of that day; at latest so many days after the event."""

    days_max: int = OPEN_DAYS_MAX


LockRule = AfterEvent | AfterStatus | OpenEnded


@dataclass(frozen=True, slots=True)
class Countdown:
    """Where an action is on the way to its lock: the instant (None: nothing fixes it yet), its order's status, and
    since when that counts. `first` is when the status counted for the first time."""

    locks_at: datetime | None
    status: str | None = None
    since: datetime | None = None
    first: datetime | None = None


def at_report(rule: LockRule, event_time: datetime, zone: str) -> Countdown:
    """The lock as the report of an action fixes it."""
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
    """The order has this status since `when`. Only a rule that counts from statuses moves the lock by it."""
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
    """Approval locks an open-ended action at the end of that day; it never makes a lock later."""
    if not isinstance(rule, OpenEnded):
        return countdown
    lock = start_of_day(local_day(received_at, zone), 1, zone)
    return replace(countdown, locks_at=min(lock, countdown.locks_at or lock))


def after_reattribution(
    rule: LockRule, countdown: Countdown, event_time: datetime, received_at: datetime, zone: str
) -> Countdown:
    """The countdown under another partner's rule: the lock never gets earlier nor lost, nor comes before the receipt.

    A countdown that runs goes on with the days of the new rule; where that one starts from other statuses, it keeps
    its lock.
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
    """From `day` on the credit is certain: as expected if nothing changes, or at the earliest, moving daily."""

    day: date
    expected: bool


def credit(rule: LockRule, countdown: Countdown, now: datetime, zone: str) -> Credit | None:
    """*Earliest* (today + N, the status not reached) or *expected* (fixed if nothing changes); None: nobody can say."""
    if countdown.locks_at is not None:
        return Credit(local_day(countdown.locks_at, zone), expected=not isinstance(rule, OpenEnded))
    if isinstance(rule, AfterStatus):
        return Credit(local_day(now, zone) + timedelta(days=rule.days), expected=False)
    return None
