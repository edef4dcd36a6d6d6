"""Days in a program's time zone, and the month arithmetic of lock rules (spec 6)."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def local_day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def last_day_before(moment: datetime, zone: str) -> date:
    """The local day just before an instant. A period that ends at midnight ends with the day before."""
    return local_day(moment - timedelta(milliseconds=1), zone)


def start_of_day(day: date, days_later: int, zone: str) -> datetime:
    """The first instant of the day `days_later`, in UTC.

    If a clock change skips midnight, the day starts at its first existing instant.
    """
    local = datetime.combine(day + timedelta(days=days_later), time.min, ZoneInfo(zone))
    return local.astimezone(UTC)


def end_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def add_months(day: date, months: int, *, sticky: bool = False) -> date:
    """The same day some months later, capped at the month's length. `sticky`: a month end stays a month end."""
    total = day.year * 12 + day.month - 1 + months
    year, month = divmod(total, 12)
    length = monthrange(year, month + 1)[1]
    stays_at_end = sticky and day == end_of_month(day)
    return date(year, month + 1, length if stays_at_end else min(day.day, length))
