"""The time range of a list: days in the program's time zone, or instants."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from retour.domain.calendar import start_of_day
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.ports import ReadPorts
from retour.views.paging import ListPosition, day_bounds, parse_cursor
from retour.views.parameters import bad_query

DAY_FORMAT = "%Y%m%d"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Receipt times from `since` (included) to `until` (excluded). None is unbounded."""

    since: datetime | None = None
    until: datetime | None = None

    def contains(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def parse_range(query: Mapping[str, str], program: Program) -> TimeRange:
    """Parse `from` and `to`. A day includes all of its instants."""
    return TimeRange(parse_bound(query, "from", program, 0), parse_bound(query, "to", program, 1))


def parse_bound(query: Mapping[str, str], name: str, program: Program, days_later: int) -> datetime | None:
    said = query.get(name)
    if said is None:
        return None
    try:
        if len(said) == len("2026-11-21"):
            return start_of_day(date.fromisoformat(said), days_later, program.time_zone).astimezone(UTC)
        # An unencoded plus sign arrives as a space.
        return parse_instant(said.replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_query(name, said, "moment") from None


def scan_bounds(ports: ReadPorts, program: Program, cursor: str | None, span: TimeRange) -> tuple[ListPosition, str]:
    """The position at which a list of deliveries starts or continues, newest first, and its last day."""
    today, first = day_bounds(ports, program)
    last = min(today, f"{span.until:{DAY_FORMAT}}") if span.until else today
    start = parse_cursor(cursor) if cursor else ListPosition(last)
    if start is None:
        raise bad_query("cursor", cursor or "", "cursor")
    return start, max(first, f"{span.since:{DAY_FORMAT}}") if span.since else first
