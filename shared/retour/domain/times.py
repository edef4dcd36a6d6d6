"""Instants as text. Inside the domain an instant is an aware datetime in UTC, cut to the millisecond."""

from datetime import UTC, datetime
from functools import lru_cache


def parse_instant(text: str) -> datetime:
    """An ISO 8601 text with an offset, as UTC to the millisecond. ValueError without one: a zone is never guessed."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return truncate_to_milliseconds(moment)


def truncate_to_milliseconds(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@lru_cache(1_024)
def format_instant(moment: datetime) -> str:
    """2026-11-21T23:24:59.123Z; the rows of one file share most of their moments."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_compact(moment: datetime) -> str:
    """20261121T232459123Z: sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3] + "Z"
