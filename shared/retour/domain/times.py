"""Instants as text. In the domain an instant is an aware datetime in UTC with milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache


def parse_instant(text: str) -> datetime:
    """Parse ISO 8601 with an offset to UTC, cut to milliseconds. Raises ValueError without an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return truncate_to_milliseconds(moment)


def truncate_to_milliseconds(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@lru_cache(1_024)
def format_instant(moment: datetime) -> str:
    """Format as 2026-11-21T23:24:59.123Z. Cached, since rows of a file share their times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_compact(moment: datetime) -> str:
    """Format as 20261121T232459123Z, which sorts chronologically."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3] + "Z"
