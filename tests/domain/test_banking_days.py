"""Banking days, as the European Central Bank and the Federal Reserve publish them."""

from datetime import date, timedelta

import pytest

from retour.domain.funding.banking_days import calendars, easter, is_banking_day, next_banking_day
from retour.domain.funding.billing import parse_group

TARGET = {
    2025: ("01-01", "04-18", "04-21", "05-01", "12-25", "12-26"),
    2026: ("01-01", "04-03", "04-06", "05-01", "12-25"),
    2027: ("01-01", "03-26", "03-29"),
    2028: ("04-14", "04-17", "05-01", "12-25", "12-26"),
}
FED = {
    2025: ("01-01", "01-20", "02-17", "05-26", "06-19", "07-04", "09-01", "10-13", "11-11", "11-27", "12-25"),
    2026: ("01-01", "01-19", "02-16", "05-25", "06-19", "09-07", "10-12", "11-11", "11-26", "12-25"),
    2027: ("01-01", "01-18", "02-15", "05-31", "07-05", "09-06", "10-11", "11-11", "11-25"),
    2028: ("01-17", "02-21", "05-29", "06-19", "07-04", "09-04", "10-09", "11-23", "12-25"),
}


@pytest.mark.parametrize(("country", "published"), [("DE", TARGET), ("US", FED)])
def test_every_weekday_on_which_banks_rest(country: str, published: dict[int, tuple[str, ...]]) -> None:
    for year, closed in published.items():
        days = (date(year, 1, 1) + timedelta(days=n) for n in range(365))
        found = tuple(f"{day:%m-%d}" for day in days if day.weekday() < 5 and not is_banking_day(day, country))
        assert found == closed, year


@pytest.mark.parametrize(
    ("year", "sunday"),
    [(1818, (3, 22)), (1943, (4, 25)), (1954, (4, 18)), (2000, (4, 23)), (2026, (4, 5)), (2038, (4, 25))],
)
def test_easter(year: int, sunday: tuple[int, int]) -> None:
    assert easter(year) == date(year, *sunday)


def test_a_due_date_moves_to_the_next_banking_day() -> None:
    assert next_banking_day(date(2026, 4, 3), "DE") == date(2026, 4, 7), "over Easter"
    assert next_banking_day(date(2026, 4, 3), "US") == date(2026, 4, 3)
    assert next_banking_day(date(2026, 12, 4), "DE") == date(2026, 12, 4)
    group = parse_group("vip", {"business_days": "FR", "paid": {"days_after_statement": 2}}, "EUR")
    assert group.due(date(2026, 12, 24)) == date(2026, 12, 28)
    assert parse_group("vip", {"paid": {"days_after_statement": 2}}, "EUR").due(date(2026, 12, 24)) == date(
        2026, 12, 26
    )


def test_every_country_has_a_calendar() -> None:
    assert {"DE", "FR", "AT", "US"} <= set(calendars()) and all(
        is_banking_day(date(2026, 12, 2), one) for one in calendars()
    )
