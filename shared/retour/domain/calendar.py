"""Days in a program's own time zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def start_of_day(day: date, days_later: int, zone: str) -> datetime:
    """The first instant of the day that many days later, in UTC.

    Where a clock change skips midnight, the day starts at the first instant that exists.
    """
    local = datetime.combine(day + timedelta(days=days_later), time.min, ZoneInfo(zone))
    return local.astimezone(UTC)
