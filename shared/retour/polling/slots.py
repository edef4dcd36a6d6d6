"""When a source is polled: at its times of day, in its own time zone."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from retour.domain.program import Source

DEFAULT_TIME = "05:00"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_poll_due(source: Source, now: datetime, last: datetime | None) -> bool:
    """Whether one of a source's times of day has passed since the last poll.

    Each time occurs once a day: one skipped by a clock change counts as if there were no change, one repeated counts
    the first time. A missed poll stays due until the next.
    """
    owed = latest_slot(source, now)
    if owed is None or last is not None:
        return owed is not None and last is not None and last < owed
    zone = ZoneInfo(source.time_zone)
    return owed.astimezone(zone).date() == now.astimezone(zone).date()


def latest_slot(source: Source, now: datetime) -> datetime | None:
    """The latest scheduled time up to now; None if there is none within a week."""
    zone = ZoneInfo(source.time_zone)
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(8)]
    slots = [
        local_moment(day, at, zone) for day in days if is_polled_on(source, day) for at in times_of_day(source.options)
    ]
    return max((slot for slot in slots if slot <= now), default=None)


def is_polled_on(source: Source, day: date) -> bool:
    return WEEKDAYS[day.weekday()] in (source.options.get("weekdays") or WEEKDAYS)


def times_of_day(options: Mapping[str, Any]) -> list[time]:
    """The times of day of polls, and of expected files."""
    at = options.get("at", DEFAULT_TIME)
    by = [options["expect"]["by"]] if "expect" in options else []
    return sorted({time.fromisoformat(one) for one in [*([at] if isinstance(at, str) else at), *by]})


def expected_file_key(day: date) -> str:
    """The state key that records that the day's expected file was seen."""
    return f"expected-file#{day}"


def local_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
