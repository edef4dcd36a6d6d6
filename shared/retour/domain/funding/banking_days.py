"""Banking days: the euro area's TARGET calendar and that of the Federal Reserve.

TARGET has six holidays. The Federal Reserve has eleven; one that falls on a Sunday is observed on Monday, one on a
Saturday not at all.
"""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from importlib.resources import files

DAY = timedelta(days=1)
MONDAY, SATURDAY = 0, 5
TARGET, FED = "target", "fed"


@cache
def calendars() -> Mapping[str, str]:
    """The calendar of each country (ISO 3166), from banking_days.json."""
    found: dict[str, str] = json.loads(files("retour.domain.funding").joinpath("banking_days.json").read_text("utf-8"))
    return found


def next_banking_day(day: date, country: str) -> date:
    """The day itself, or the country's next banking day."""
    while not is_banking_day(day, country):
        day += DAY
    return day


def is_banking_day(day: date, country: str) -> bool:
    closed = {TARGET: is_target_holiday, FED: is_fed_holiday}[calendars()[country]]
    return day.weekday() < SATURDAY and not closed(day)


def is_target_holiday(day: date) -> bool:
    sunday = easter(day.year)
    return (day.month, day.day) in {(1, 1), (5, 1), (12, 25), (12, 26)} or day in (sunday - 2 * DAY, sunday + DAY)


def is_fed_holiday(day: date) -> bool:
    fixed = {(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)}
    if (day.month, day.day) in fixed and day.weekday() != SATURDAY:
        return True
    before = day - DAY
    if day.weekday() == MONDAY and (before.month, before.day) in fixed:
        return True
    nth, is_last = (day.day - 1) // 7 + 1, (day + 7 * DAY).month != day.month
    match day.month, day.weekday():
        case ((1 | 2), 0):  # Martin Luther King Jr., Washington
            return nth == 3
        case 5, 0:  # Memorial Day
            return is_last
        case 9, 0:  # Labor Day
            return nth == 1
        case 10, 0:  # Columbus Day
            return nth == 2
        case 11, 3:  # Thanksgiving
            return nth == 4
    return False


@cache
def easter(year: int) -> date:
    """Easter Sunday in the Gregorian calendar (the anonymous algorithm of 1876)."""
    golden, century = year % 19, year // 100
    leap = century // 4
    correction = (century + 8) // 25
    epact = (19 * golden + century - leap - (century - correction + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * ((year % 100) // 4) - epact - (year % 100) % 4) % 7
    late = (golden + 11 * epact + 22 * week) // 451
    month, day = divmod(epact + week - 7 * late + 114, 31)
    return date(year, month, day + 1)
