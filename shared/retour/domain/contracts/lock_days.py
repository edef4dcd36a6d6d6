"""A lock rule as a calendar: the lock of each order day, and unusual days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from retour.domain.calendar import last_day_before, local_day, start_of_day
from retour.domain.contracts.lock import AfterEvent, AfterStatus, Countdown, LockRule, after_status, at_report

DAY = timedelta(days=1)
AFFECTED_DAYS_MAX = 3
"""Order days listed per clock change."""


@dataclass(frozen=True, slots=True)
class LockDay:
    """The lock of orders of a day; for rules that count from a status, `day` is when it is reached."""

    day: date
    at: datetime
    zone: str

    @property
    def last(self) -> date:
        """The last day on which such an order can change."""
        return last_day_before(self.at, self.zone)

    @property
    def locked_from(self) -> date:
        return local_day(self.at, self.zone)

    @property
    def at_midnight(self) -> bool:
        """Whether the lock is at midnight, between two days."""
        return self.at == start_of_day(self.locked_from, 0, self.zone)

    @property
    def days(self) -> int:
        return (self.locked_from - self.day).days


def lock_day(rule: LockRule, day: date, zone: str) -> LockDay:
    """The lock of an order placed at noon; of an open-ended one, the latest."""
    noon = datetime.combine(day, time(12), ZoneInfo(zone)).astimezone(UTC)
    if isinstance(rule, AfterStatus):
        counted = after_status(rule, Countdown(None), min(rule.statuses), noon, noon, zone)
    else:
        counted = at_report(rule, noon, zone)
    assert counted.locks_at is not None
    return LockDay(day, counted.locks_at, zone)


def lock_days(rule: LockRule, first: date, last: date, zone: str) -> list[LockDay]:
    return [lock_day(rule, first + n * DAY, zone) for n in range((last - first).days + 1)]


# Unusual days


class AnomalyKind(StrEnum):
    TOGETHER = "together"
    """Orders of several days lock together, because the later month is shorter."""
    SKIPPED = "skipped"
    """Days on which no order locks."""
    CLOCK = "clock"
    """A clock change on the last day of these orders adds or removes an hour."""
    LEAP = "leap"
    """The next leap day."""


@dataclass(frozen=True, slots=True)
class CalendarAnomaly:
    """`days` are order days, or for SKIPPED days without locks. `hours`: the length of a day with a clock change."""

    kind: AnomalyKind
    days: tuple[date, ...]
    at: datetime | None = None
    on: date | None = None
    hours: int = 24


def calendar_anomalies(rule: LockRule, days: Sequence[LockDay]) -> list[CalendarAnomaly]:
    """The unusual days among these, by day."""
    zone = days[0].zone
    found = [*clock_changes(days), *next_leap_day(rule, days[0].day, zone)]
    if not (isinstance(rule, AfterEvent) and rule.from_month_end):
        found += [*shared_lock_days(days), *days_without_lock(days)]
    return sorted(found, key=lambda odd: (odd.on or odd.days[0], odd.kind))


def shared_lock_days(days: Sequence[LockDay]) -> Iterator[CalendarAnomaly]:
    for at, group in groupby(days, key=lambda one: one.at):
        same = tuple(one.day for one in group)
        if len(same) > 1:
            yield CalendarAnomaly(AnomalyKind.TOGETHER, same, at)


def days_without_lock(days: Sequence[LockDay]) -> Iterator[CalendarAnomaly]:
    for one, other in pairwise(days):
        gap = (other.locked_from - one.locked_from).days
        if gap > 1:
            yield CalendarAnomaly(
                AnomalyKind.SKIPPED, tuple(one.locked_from + n * DAY for n in range(1, gap)), on=one.locked_from
            )


def clock_changes(days: Sequence[LockDay]) -> Iterator[CalendarAnomaly]:
    zone = days[0].zone
    by_last: dict[date, list[date]] = {}
    for one in days:
        by_last.setdefault(one.last, []).append(one.day)
    for last, orders in by_last.items():
        length = start_of_day(last, 1, zone) - start_of_day(last, 0, zone)
        if length != DAY:
            hours = round(length / timedelta(hours=1))
            yield CalendarAnomaly(AnomalyKind.CLOCK, tuple(orders[-AFFECTED_DAYS_MAX:]), on=last, hours=hours)


def next_leap_day(rule: LockRule, first: date, zone: str) -> Iterator[CalendarAnomaly]:
    """The next 29 February, however far away."""
    year = next(year for year in range(first.year, first.year + 9) if is_leap(year) and date(year, 2, 29) >= first)
    day = date(year, 2, 29)
    yield CalendarAnomaly(AnomalyKind.LEAP, (day,), lock_day(rule, day, zone).at)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
