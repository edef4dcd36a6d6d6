"""From when and to when a list goes: days of the program's time zone, or instants."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from retour.api.admission import days
from retour.api.calls import Call, bad_query
from retour.api.paging import Place
from retour.domain.calendar import start_of_day
from retour.domain.program import Program
from retour.domain.times import instant
from retour.wiring import Hub

DAY = "%Y%m%d"


@dataclass(frozen=True, slots=True)
class Span:
    """What was received from one moment on and before another; None where it has no such end."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def span_of(call: Call, opened: Program) -> Span:
    """`from` and `to` of a call. A day counts whole: from its first instant, to its last."""
    return Span(moment_of(call, "from", opened, 0), moment_of(call, "to", opened, 1))


def moment_of(call: Call, name: str, opened: Program, days_later: int) -> datetime | None:
    said = call.query.get(name)
    if said is None:
        return None
    try:
        if len(said) == len("2026-11-21"):
            return start_of_day(date.fromisoformat(said), days_later, opened.time_zone).astimezone(UTC)
        # A plus sign that nobody encoded arrives as a space.
        return instant(said.replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_query(name, said, "moment") from None


def walk(hub: Hub, opened: Program, call: Call, span: Span) -> tuple[Place, str]:
    """Where a list of deliveries begins, the newest first, and the last day it looks at."""
    today, first = days(hub, opened)
    last = min(today, f"{span.until:{DAY}}") if span.until else today
    return call.place(last), max(first, f"{span.since:{DAY}}") if span.since else first
