"""A lock rule as a calendar: every kind of rule, and the days that surprise."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.contracts.lock import AfterEvent, AfterStatus, LockRule, OpenEnded, Restart
from retour.domain.contracts.lock_days import AnomalyKind, CalendarAnomaly, calendar_anomalies, lock_day, lock_days

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("rule", "day", "last", "locked"),
    [
        (AfterEvent(30), "2026-11-01", "2026-12-01", "2026-12-02"),
        (AfterEvent(30, at_end=False), "2026-11-01", "2026-11-30", "2026-12-01"),
        (AfterEvent(2, 1, from_month_end=True), "2027-01-31", "2027-03-02", "2027-03-03"),
        (AfterEvent(0, 1), "2027-01-31", "2027-02-28", "2027-03-01"),
        (AfterEvent(0, 1, sticky=True), "2027-02-28", "2027-03-31", "2027-04-01"),
        (OpenEnded(), "2026-11-01", "2028-10-31", "2028-11-01"),
        (AfterStatus(21, frozenset({"shipped"})), "2026-11-01", "2026-11-21", "2026-11-22"),
        (AfterStatus(0, frozenset({"shipped"}), Restart.NEVER), "2026-11-01", "2026-11-01", "2026-11-01"),
    ],
)
def test_the_last_day_and_the_lock_of_an_order(rule: LockRule, day: str, last: str, locked: str) -> None:
    found = lock_day(rule, date.fromisoformat(day), BERLIN)
    assert (found.last.isoformat(), found.locked_from.isoformat()) == (last, locked)
    assert found.at_midnight == (rule != AfterStatus(0, frozenset({"shipped"}), Restart.NEVER))


def odd(rule: LockRule, first: str, last: str, zone: str = BERLIN) -> list[CalendarAnomaly]:
    return calendar_anomalies(rule, lock_days(rule, date.fromisoformat(first), date.fromisoformat(last), zone))


def test_month_ends_come_together_and_leave_days_out() -> None:
    found = odd(AfterEvent(0, 1), "2027-01-01", "2027-03-31")
    together = [[day.isoformat() for day in one.days] for one in found if one.kind is AnomalyKind.TOGETHER]
    assert together == [["2027-01-28", "2027-01-29", "2027-01-30", "2027-01-31"], ["2027-03-30", "2027-03-31"]]
    skipped = [[day.isoformat() for day in one.days] for one in found if one.kind is AnomalyKind.SKIPPED]
    assert skipped == [["2027-03-30", "2027-03-31", "2027-04-01"]]
    whole_months = odd(AfterEvent(2, 1, from_month_end=True), "2027-01-01", "2027-03-31")
    assert {one.kind for one in whole_months} == {AnomalyKind.LEAP}, "a month that locks at once is no surprise"


def test_a_day_with_another_length_is_named_with_the_orders_that_end_on_it() -> None:
    found = [one for one in odd(AfterEvent(30), "2026-09-01", "2027-03-31") if one.kind is AnomalyKind.CLOCK]
    assert [(one.on, one.hours, one.days) for one in found] == [
        (date(2026, 10, 25), 25, (date(2026, 9, 25),)),
        (date(2027, 3, 28), 23, (date(2027, 2, 26),)),
    ]
    by_month = odd(AfterEvent(28, 0, from_month_end=True), "2027-01-01", "2027-02-28")
    assert [one.days for one in by_month if one.kind is AnomalyKind.CLOCK] == [
        (date(2027, 2, 26), date(2027, 2, 27), date(2027, 2, 28))
    ]


def test_the_next_leap_day_is_told_however_far() -> None:
    for first, year in (("2026-11-01", 2028), ("2028-02-29", 2028), ("2028-03-01", 2032), ("2097-01-01", 2104)):
        (leap,) = [one for one in odd(AfterEvent(0, 12), first, first) if one.kind is AnomalyKind.LEAP]
        assert leap.days == (date(year, 2, 29),)
        assert leap.at is not None and leap.at.astimezone(UTC).year == year + 1


RULES = st.one_of(
    st.builds(AfterEvent, st.integers(0, 60), st.integers(0, 13), st.booleans(), st.booleans(), st.booleans()),
    st.builds(OpenEnded, st.integers(0, 730)),
    st.builds(AfterStatus, st.integers(0, 60), st.just(frozenset({"x", "y"}))),
)
ZONES = st.sampled_from((BERLIN, "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "UTC", "Pacific/Apia"))


@given(rule=RULES, first=st.dates(date(2005, 1, 1), date(2100, 1, 1)), zone=ZONES)
def test_every_rule_has_a_calendar_that_never_goes_back(rule: LockRule, first: date, zone: str) -> None:
    days = lock_days(rule, first, first + timedelta(days=70), zone)
    assert len(days) == 71
    assert all(one.at <= other.at for one, other in pairwise(days))
    assert all(isinstance(one, CalendarAnomaly) and one.days for one in calendar_anomalies(rule, days))
    assert isinstance(days[0].at, datetime)
