"""Exchange rates to a program's currency by day: declared, delivered or published (spec 6)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from enum import StrEnum
from functools import cache
from importlib.resources import files

RATE_CONTEXT = Context(prec=12)
"""The precision of rates computed from two others."""
MONDAY_TO_FRIDAY = range(5)


class MissingRatePolicy(StrEnum):
    """What happens to an action without a rate for its day: it is refused, or takes the last rate."""

    REFUSE = "refuse"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate valid from a day until the next one or its own last day."""

    valid_from: date
    rate: Decimal
    until: date | None = None

    def holds_on(self, day: date) -> bool:
        return self.valid_from <= day and (self.until is None or day <= self.until)


def newest_rate(rates: Iterable[Rate], day: date) -> Rate | None:
    """The latest rate valid from `day` or earlier; of equal days the last one given. It may have ended."""
    begun = [rate for rate in rates if rate.valid_from <= day]
    return max(reversed(begun), key=lambda rate: rate.valid_from, default=None)


def rate_on(rates: Iterable[Rate], day: date, missing: MissingRatePolicy) -> Decimal | None:
    """The rate of a day, from rates in the order they were given; None if unknown."""
    found = newest_rate(rates, day)
    return found.rate if found and (found.holds_on(day) or missing is MissingRatePolicy.LAST) else None


def cross_rates(units: Mapping[str, Decimal], currency: str) -> dict[str, Decimal]:
    """The value of each currency in one of them, from the value of a common unit in each."""
    own = units[currency]
    return {other: RATE_CONTEXT.divide(own, amount).normalize() for other, amount in units.items() if other != currency}


# The European Central Bank


@cache
def published_currencies() -> Sequence[str]:
    """The currencies with a daily rate by the ECB, from ecb_currencies.csv."""
    return tuple(files("retour.domain").joinpath("ecb_currencies.csv").read_text("utf-8").split()[1:])


def validity_days(published: date) -> tuple[date, date]:
    """The first and last day on which a rate published in the afternoon of a day is valid.

    It is known before its first day, so all orders of a day have the same rate, whenever they are reported.
    """
    return published + timedelta(days=1), next_publication(published)


def next_publication(day: date) -> date:
    """The first publication day after this one."""
    following = day + timedelta(days=1)
    while not is_publication_day(following):
        following += timedelta(days=1)
    return following


def last_publication(day: date) -> date:
    """The last publication day up to this one."""
    while not is_publication_day(day):
        day -= timedelta(days=1)
    return day


def is_publication_day(day: date) -> bool:
    """Whether the ECB publishes rates: the days on which T2, the euro's payment system, is open.

    Closed: Saturdays, Sundays, 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December.
    """
    closed = {(1, 1), (5, 1), (12, 25), (12, 26)}
    around_easter = easter_sunday(day.year) - timedelta(days=2), easter_sunday(day.year) + timedelta(days=1)
    return day.weekday() in MONDAY_TO_FRIDAY and (day.month, day.day) not in closed and day not in around_easter


def easter_sunday(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones, Butcher)."""
    golden, century, of_century = year % 19, year // 100, year % 100
    skipped, correction = century // 4, (century + 8) // 25
    epact = (19 * golden + century - skipped - (century - correction + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    later = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * later + 114, 31)
    return date(year, month, day + 1)
