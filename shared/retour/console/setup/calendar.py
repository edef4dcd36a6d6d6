"""When an order of a day locks."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from retour.console.request import Response
from retour.console.setup import contract
from retour.console.visit import Stop, Visit
from retour.domain.actions.contract import Contract
from retour.domain.actions.lock import AfterEvent, at_report
from retour.domain.calendar import end_of_month, local_day

MONTHS = 13


@dataclass(frozen=True)
class Locked:
    """An order of this day, and from when it can no longer change."""

    day: date
    at: datetime | None


def lock(visit: Visit) -> Response:
    every = contract.current(visit)
    chosen = next((one for one in every if one.name == visit.request.query.get("contract")), every[0])
    today = local_day(visit.hub.now(), visit.program.time_zone)
    try:
        day = date.fromisoformat(visit.request.query.get("day", "")) if visit.request.query.get("day") else today
        picked = locked(visit, chosen, day)
    except (ValueError, OverflowError):
        raise Stop(visit.problem(422, visit.words.say("This is no day; 2026-11-21 is one."))) from None
    months = []
    month = today.replace(day=1)
    for _ in range(MONTHS):
        last = end_of_month(month)
        months.append((month, [locked(visit, chosen, one) for one in (month, month.replace(day=15), last)]))
        month = last + timedelta(days=1)
    return visit.render(
        "lock.html",
        contracts=every,
        chosen=chosen,
        picked=picked,
        months=months,
        by_event=isinstance(chosen.lock, AfterEvent),
    )


def locked(visit: Visit, contract: Contract, day: date) -> Locked:
    noon = datetime.combine(day, time(12), ZoneInfo(contract.time_zone)).astimezone(UTC)
    return Locked(day, at_report(contract.lock, noon, contract.time_zone).locks_at)
