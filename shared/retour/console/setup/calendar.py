"""The lock calendar: a year as a chart and a table, one day in words, and the special days."""

from dataclasses import dataclass
from datetime import date, timedelta

from retour.console import charts
from retour.console.page_context import AbortError, PageContext
from retour.console.request import Response
from retour.console.setup import contract, explain
from retour.domain.calendar import add_months, end_of_month
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import AfterStatus, OpenEnded
from retour.domain.contracts.lock_days import LockDay, calendar_anomalies, lock_day, lock_days

MONTHS = 13


@dataclass(frozen=True)
class Month:
    """A row of the table: the locks of orders of the first, middle and last day."""

    first: date
    days: tuple[LockDay, LockDay, LockDay]


def lock_page(context: PageContext) -> Response:
    every = contract.current_contracts(context)
    chosen = next((one for one in every if one.name == context.request.query.get("contract")), every[0])
    picked = picked_day(context, chosen)
    first = context.today.replace(day=1)
    days = lock_days(chosen.lock, first, end_of_month(add_months(first, MONTHS - 1)), chosen.time_zone)
    if not days[0].day <= picked.day <= days[-1].day:
        first = picked.day.replace(day=1)
        days = lock_days(chosen.lock, first, end_of_month(add_months(first, MONTHS - 1)), chosen.time_zone)
    by_day = {one.day: one for one in days}
    starts = [add_months(first, n) for n in range(MONTHS)]
    return context.render(
        "lock.html",
        explain=explain,
        contracts=every,
        chosen=chosen,
        picked=picked,
        before=picked.day - timedelta(days=1),
        after=picked.day + timedelta(days=1),
        days=days,
        picture=charts.lock_chart(context.words, explain.lock_span_sentence(context.words, days), days, picked),
        months=[Month(one, (by_day[one], by_day[one.replace(day=15)], by_day[end_of_month(one)])) for one in starts],
        odd=calendar_anomalies(chosen.lock, days),
        by_status=isinstance(chosen.lock, AfterStatus),
        open_ended=isinstance(chosen.lock, OpenEnded),
    )


def picked_day(context: PageContext, chosen: Contract) -> LockDay:
    """The day in the URL, else today."""
    asked = context.request.query.get("day")
    try:
        day = date.fromisoformat(asked) if asked else context.today
        lock_day(chosen.lock, add_months(day, MONTHS), chosen.time_zone)
        return lock_day(chosen.lock, day, chosen.time_zone)
    except (ValueError, OverflowError):
        raise AbortError(context.problem(422, context.words.say("Not a valid date. Write it as 2026-11-21."))) from None
