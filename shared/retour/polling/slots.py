"""When a source is polled: its times of day, in its own zone."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from retour.domain.program import Source

DEFAULT_TIME = "05:00"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_poll_due(source: Source, now: datetime, last: datetime | None) -> bool:
    """Whether a visit of a source is owed: one of its times of day (in its own zone) has come since the last visit.

    A day has each such moment once: one that the clocks skip in spring counts as if they had not been changed yet,
    one that comes twice in autumn counts the first time. A missed one stays owed until the next.
    """
    owed = latest_slot(source, now)
    if owed is None or last is not None:
        return owed is not None and last is not None and last < owed
    zone = ZoneInfo(source.time_zone)
    return owed.astimezone(zone).date() == now.astimezone(zone).date()


def latest_slot(source: Source, now: datetime) -> datetime | None:
    """The last moment up to now at which a visit was to be made; None within a first week without one."""
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
    """When a source is visited, and when a file is looked for that is expected by a time."""
    at = options.get("at", DEFAULT_TIME)
    by = [options["expect"]["by"]] if "expect" in options else []
    return sorted({time.fromisoformat(one) for one in [*([at] if isinstance(at, str) else at), *by]})


def expected_file_key(day: date) -> str:
    """Where the state of a source notes that the file which it expects on a day was seen."""
    return f"expected-file#{day}"


def local_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
