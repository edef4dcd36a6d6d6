"""Lock calendars: the published vectors, time zones, and the countdown of a status."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.calendar import add_months, end_of_month, start_of_day
from retour.domain.contracts.lock import (
    AfterEvent,
    AfterStatus,
    Countdown,
    Credit,
    OpenEnded,
    Restart,
    after_status,
    at_report,
    credit,
)

BERLIN = "Europe/Berlin"
ZONES = ["Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "America/Santiago", "UTC"]


def last_day(rule: AfterEvent, day: date, zone: str = "UTC") -> date:
    """The last day on which an action of that day can still change."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    lock = at_report(rule, noon, zone).locks_at
    assert lock is not None
    return (lock - timedelta(milliseconds=1)).astimezone(ZoneInfo(zone)).date()


@pytest.mark.parametrize(
    ("rule", "day", "last"),
    [
        (AfterEvent(27, 0, from_month_end=True), date(2025, 1, 31), date(2025, 2, 27)),
        (AfterEvent(0, 1, from_month_end=True), date(2025, 1, 31), date(2025, 2, 28)),
        (AfterEvent(2, 1, from_month_end=True), date(2025, 1, 31), date(2025, 3, 2)),
        (AfterEvent(15, 1, from_month_end=True), date(2025, 1, 31), date(2025, 3, 15)),
        (AfterEvent(30), date(2025, 1, 31), date(2025, 3, 2)),
        (AfterEvent(27, 0, from_month_end=True), date(2024, 1, 31), date(2024, 2, 27)),
        (AfterEvent(0, 1, from_month_end=True), date(2024, 1, 31), date(2024, 2, 29)),
        (AfterEvent(2, 1, from_month_end=True), date(2024, 1, 31), date(2024, 3, 2)),
        (AfterEvent(15, 1, from_month_end=True), date(2024, 1, 31), date(2024, 3, 15)),
        (AfterEvent(30), date(2024, 1, 31), date(2024, 3, 1)),
        (AfterEvent(30, at_end=False), date(2024, 1, 31), date(2024, 2, 29)),
        (AfterEvent(0, 1, from_month_end=True), date(2025, 2, 10), date(2025, 3, 28)),
        (AfterEvent(0, 1, from_month_end=True, sticky=True), date(2025, 2, 10), date(2025, 3, 31)),
        (AfterEvent(0), date(2025, 6, 1), date(2025, 6, 1)),
    ],
)
def test_the_published_vectors(rule: AfterEvent, day: date, last: date) -> None:
    assert last_day(rule, day) == last


def test_the_zone_of_the_program_decides_the_month() -> None:
    late_in_los_angeles = datetime(2026, 2, 1, 7, 30, tzinfo=UTC)
    rule = AfterEvent(2, 1, from_month_end=True)
    west, utc = (at_report(rule, late_in_los_angeles, zone).locks_at for zone in ("America/Los_Angeles", "UTC"))
    assert west is not None and utc is not None
    assert (west.date(), utc.date()) == (date(2026, 3, 3), date(2026, 3, 31))


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        (date(2026, 3, 29), datetime(2026, 3, 28, 23, tzinfo=UTC)),
        (date(2026, 3, 30), datetime(2026, 3, 29, 22, tzinfo=UTC)),
        (date(2026, 10, 25), datetime(2026, 10, 24, 22, tzinfo=UTC)),
        (date(2026, 10, 26), datetime(2026, 10, 25, 23, tzinfo=UTC)),
    ],
)
def test_days_begin_by_the_local_clock_through_summer_time(day: date, instant: datetime) -> None:
    assert start_of_day(day, 0, BERLIN) == instant


@given(st.dates(date(2000, 1, 1), date(2090, 12, 31)), st.integers(0, 24), st.booleans())
def test_months_added_stay_in_their_month(day: date, months: int, sticky: bool) -> None:
    later = add_months(day, months, sticky=sticky)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day <= day.day or (sticky and later == end_of_month(later))


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 60),
    st.sampled_from(ZONES),
)
def test_a_lock_never_comes_before_its_event_and_days_add_up(event: datetime, days: int, zone: str) -> None:
    lock = at_report(AfterEvent(days), event, zone).locks_at
    longer = at_report(AfterEvent(days + 1), event, zone).locks_at
    assert lock is not None and longer is not None
    assert event < lock < longer
    assert timedelta(hours=22) <= longer - lock <= timedelta(hours=26)


def test_open_ended_locks_at_latest_after_730_days() -> None:
    lock = at_report(OpenEnded(), datetime(2026, 1, 1, 12, tzinfo=UTC), "UTC").locks_at
    assert lock == datetime(2028, 1, 2, tzinfo=UTC)


GAMBIO = AfterStatus(21, frozenset({"shipped"}))


def at(month: int, day: int) -> datetime:
    return datetime(2026, month, day, 12, tzinfo=UTC)


def counted(rule: AfterStatus, *events: tuple[str, datetime]) -> Countdown:
    countdown = Countdown(None)
    for status, when in events:
        countdown = after_status(rule, countdown, status, when, when, "UTC")
    return countdown


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (at(3, 1), Credit(date(2026, 3, 22), False)),
        (at(3, 3), Credit(date(2026, 3, 24), False)),
        (at(3, 4), Credit(date(2026, 3, 25), True)),
        (at(3, 21), Credit(date(2026, 3, 25), True)),
        (at(3, 22), Credit(date(2026, 4, 12), True)),
    ],
)
def test_the_countdown_of_the_published_example(now: datetime, told: Credit) -> None:
    events = [("open", at(3, 1)), ("shipped", at(3, 4)), ("open", at(3, 22)), ("shipped", at(3, 22))]
    assert credit(GAMBIO, counted(GAMBIO, *(event for event in events if event[1] <= now)), now, "UTC") == told


@pytest.mark.parametrize(
    ("restart", "day"),
    [(Restart.ANY_CHANGE, date(2026, 3, 31)), (Restart.LEAVING, date(2026, 3, 25)), (Restart.NEVER, date(2026, 3, 25))],
)
def test_what_restarts_the_countdown(restart: Restart, day: date) -> None:
    rule = AfterStatus(21, frozenset({"shipped", "delivered"}), restart)
    lock = counted(rule, ("shipped", at(3, 4)), ("delivered", at(3, 10))).locks_at
    assert lock is not None and lock.date() == day
    left = counted(rule, ("shipped", at(3, 4)), ("open", at(3, 10)), ("shipped", at(3, 12))).locks_at
    assert left is not None and left.date() == (day if restart is Restart.NEVER else date(2026, 4, 2))


@pytest.mark.parametrize(("days", "lock"), [(0, at(3, 4)), (1, datetime(2026, 3, 5, tzinfo=UTC))])
def test_no_days_or_one_work_and_never_lock_before_the_status_came(days: int, lock: datetime) -> None:
    assert counted(AfterStatus(days, frozenset({"shipped"})), ("shipped", at(3, 4))).locks_at == lock
