"""Which rate holds on a day, and the days on which the European Central Bank publishes."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from retour.domain.rates import (
    MissingRatePolicy,
    Rate,
    cross_rates,
    easter_sunday,
    is_publication_day,
    last_publication,
    newest_rate,
    next_publication,
    published_currencies,
    rate_on,
    validity_days,
)


def day(text: str) -> date:
    return date.fromisoformat(text)


RATES = [
    Rate(day("2026-03-01"), Decimal("0.91")),
    Rate(day("2026-01-01"), Decimal("0.90")),
    Rate(day("2026-04-01"), Decimal("0.92"), day("2026-04-30")),
    Rate(day("2026-03-01"), Decimal("0.95")),
]


@pytest.mark.parametrize(
    ("at", "refuse", "last"),
    [
        ("2025-12-31", None, None),
        ("2026-01-01", "0.90", "0.90"),
        ("2026-02-28", "0.90", "0.90"),
        ("2026-03-01", "0.95", "0.95"),
        ("2026-04-01", "0.92", "0.92"),
        ("2026-04-30", "0.92", "0.92"),
        ("2026-05-01", None, "0.92"),
    ],
)
def test_the_rate_that_began_last_holds_and_of_one_day_the_one_told_last(
    at: str, refuse: str | None, last: str | None
) -> None:
    """An ended rate is over the older ones all the same: the open one of March does not come back in May."""
    for missing, right in ((MissingRatePolicy.REFUSE, refuse), (MissingRatePolicy.LAST, last)):
        assert rate_on(RATES, day(at), missing) == (Decimal(right) if right else None)
    assert rate_on([], day(at), MissingRatePolicy.LAST) is None


def test_the_newest_is_told_even_where_it_has_ended() -> None:
    found = newest_rate(RATES, day("2026-12-31"))
    assert found is RATES[2] and not found.holds_on(day("2026-12-31")) and found.holds_on(day("2026-04-30"))
    assert not found.holds_on(day("2026-03-31"))
    assert newest_rate(RATES, day("2025-01-01")) is None


@pytest.mark.parametrize(
    ("year", "sunday"),
    [(1961, "04-02"), (2000, "04-23"), (2008, "03-23"), (2011, "04-24"), (2024, "03-31"), (2025, "04-20"),
     (2026, "04-05"), (2027, "03-28"), (2038, "04-25"), (2049, "04-18")],
)  # fmt: skip
def test_easter(year: int, sunday: str) -> None:
    assert easter_sunday(year) == day(f"{year}-{sunday}")


def test_the_bank_is_closed_on_its_own_holidays_only() -> None:
    """Of 2026, from the bank's calendar of T2: weekends and these six."""
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    closed = {f"{one:%m-%d}" for one in days if one.weekday() < 5 and not is_publication_day(one)}
    assert closed == {"01-01", "04-03", "04-06", "05-01", "12-25"}
    assert not any(is_publication_day(one) for one in days if one.weekday() > 4)
    assert not is_publication_day(date(2025, 12, 26)) and is_publication_day(date(2025, 12, 24))


@pytest.mark.parametrize(
    ("published", "first", "last"),
    [
        ("2026-11-03", "2026-11-04", "2026-11-04"),
        ("2026-11-06", "2026-11-07", "2026-11-09"),
        ("2026-04-02", "2026-04-03", "2026-04-07"),
        ("2026-12-24", "2026-12-25", "2026-12-28"),
        ("2026-12-31", "2027-01-01", "2027-01-04"),
    ],
)
def test_a_published_rate_holds_from_the_day_after_until_the_next_is_out(published: str, first: str, last: str) -> None:
    assert validity_days(day(published)) == (day(first), day(last))
    assert next_publication(day(published)) == day(last)
    assert last_publication(day(last)) == day(last)
    assert last_publication(day(last) - timedelta(days=1)) == day(published)


def test_rates_are_crossed_into_the_programs_currency() -> None:
    units = {"EUR": Decimal(1), "USD": Decimal("1.0842"), "JPY": Decimal("164.50")}
    assert cross_rates(units, "EUR") == {"USD": Decimal("0.922339051835"), "JPY": Decimal("0.00607902735562")}
    assert cross_rates(units, "USD") == {"EUR": Decimal("1.0842"), "JPY": Decimal("0.00659088145897")}


def test_the_bank_publishes_of_thirty_currencies_with_the_euro() -> None:
    assert published_currencies()[:3] == ("EUR", "USD", "JPY") and len(set(published_currencies())) == 30
