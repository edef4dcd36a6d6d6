"""The time range of a list: days in the program's time zone, or instants."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from retour.api.authorization import day_bounds
from retour.api.calls import Call, bad_query
from retour.domain.calendar import start_of_day
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.views.paging import ListPosition
from retour.wiring import Hub

DAY_FORMAT = "%Y%m%d"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What was received from one moment on and before another; None where it has no such end."""

    since: datetime | None = None
    until: datetime | None = None

    def contains(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def parse_range(call: Call, program: Program) -> TimeRange:
    """`from` and `to` of a call. A day counts whole: from its first instant, to its last."""
    return TimeRange(parse_bound(call, "from", program, 0), parse_bound(call, "to", program, 1))


def parse_bound(call: Call, name: str, program: Program, days_later: int) -> datetime | None:
    said = call.query.get(name)
    if said is None:
        return None
    try:
        if len(said) == len("2026-11-21"):
            return start_of_day(date.fromisoformat(said), days_later, program.time_zone).astimezone(UTC)
        # A plus sign that nobody encoded arrives as a space.
        return parse_instant(said.replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_query(name, said, "moment") from None


def scan_bounds(hub: Hub, program: Program, call: Call, span: TimeRange) -> tuple[ListPosition, str]:
    """Where a list of deliveries begins, the newest first, and the last day it looks at."""
    today, first = day_bounds(hub, program)
    last = min(today, f"{span.until:{DAY_FORMAT}}") if span.until else today
    return call.start_position(last), max(first, f"{span.since:{DAY_FORMAT}}") if span.since else first
