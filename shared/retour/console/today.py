"""The start page: what needs attention, what came, what can change until when."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from retour.console import arrivals, deliveries, program_counts
from retour.console.cases import cases, grouped_cases
from retour.console.page_context import PageContext
from retour.console.program_counts import ProgramCounts
from retour.console.request import Response
from retour.console.setup.program import checklist
from retour.console.setup.versions import in_force

WEEKS = 5
CASES = 7
SHADES = 5


# What can change until when


@dataclass(frozen=True)
class Day:
    """`sums`: currency and payout."""

    day: date
    sums: Sequence[tuple[str, int]]
    actions: int
    shade: int


def lock_days(context: PageContext, known: ProgramCounts) -> list[Day]:
    """Payouts that can still change, by the last day on which they can, for the coming weeks."""
    monday = context.today - timedelta(days=context.today.weekday())
    sums: dict[date, Counter[str]] = {}
    actions: Counter[date] = Counter()
    for day, _, currency, count, payout, _ in known.total.by_last_day():
        sums.setdefault(day, Counter())[currency] += payout
        actions[day] += count
    days = [monday + timedelta(days=number) for number in range(7 * WEEKS)]
    own = context.program.currency
    most = max([sums[day][own] for day in days if day in sums], default=0) or 1
    return [
        Day(day, sorted(sums.get(day, {}).items()), actions[day],
            min(max(-(-sums[day][own] * SHADES // most), 1), SHADES) if day in sums else 0)
        for day in days
    ]  # fmt: skip


def today_page(context: PageContext) -> Response:
    found = grouped_cases(context, list(cases(context)), CASES * 2)
    seen = arrivals.load_arrivals(context)
    latest = seen.latest
    if context.request.query.get("block") == "needs":
        return context.render("needs.html", cases=found[:CASES], more=len(found) > CASES, last=next(iter(latest), None))
    steps = list(checklist(context, in_force(context))) if not latest and context.may("set up") else []
    known = program_counts.load_counts(context)
    days = lock_days(context, known)
    return context.render(
        "today.html",
        cases=found[:CASES],
        more=len(found) > CASES,
        last=next(iter(latest), None),
        lines=arrivals.source_rows(context),
        seen=seen,
        items=[deliveries.delivery_line(context, one) for one in latest],
        weeks=[days[start : start + 7] for start in range(0, len(days), 7)],
        day_now=context.today,
        counted=known,
        steps=steps if not all(step.done for step in steps) else [],
    )
