"""A year of orders: of each day the last possible return, the lock, the statement and the payment, as one picture."""

from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise

from markupsafe import Markup

from retour.console.charts import LEFT, WIDTH, svg
from retour.console.words import Words
from retour.domain.funding.schedule import Timeline

HEIGHT, FOOT, TOP, RIGHT = 280, 42, 14, WIDTH - LEFT
SIDE = 44
"""Room at the left for the days."""
MONTHS_APART = 3

Day = Callable[[Timeline], date | None]
SERIES: Sequence[tuple[str, Day]] = (
    ("paid", lambda one: one.paid),
    ("statement", lambda one: one.statement if one.statement != one.paid else None),
    ("locks", lambda one: one.last_change),
    ("report", lambda one: one.last_report),
)


def orders(words: Words, courses: Sequence[Timeline]) -> Markup:
    """Across: the day of the order. Upwards: days after it. Below the lines, the orders that fail or have no slack."""
    top = max((day - one.event).days for one in courses for day in (one.paid, one.last_report, one.last_change))
    tick = next(step for step in (10, 15, 30, 60, 120, 365) if top / step <= 6 or step == 365)
    top = -(-top // tick) * tick
    step, base = (RIGHT - SIDE) / len(courses), HEIGHT - FOOT

    def x(number: int) -> float:
        return SIDE + number * step

    def y(days: int) -> float:
        return base - (base - TOP) * max(days, 0) / top

    inner = Markup("")
    for days in range(0, top + 1, tick):
        inner += Markup('<line class="axis" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(
            SIDE, y(days), RIGHT, y(days)
        )
        inner += Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(SIDE - 6, y(days) + 4, days)
    for number, one in enumerate(courses):
        if one.event.day == 1:
            inner += Markup('<line class="axis" x1="{0:.1f}" y1="{1}" x2="{0:.1f}" y2="{2}"/>').format(
                x(number), base, base + 6
            )
            if (one.event.month - courses[0].event.month) % MONTHS_APART == 0 and number + 75 < len(courses):
                inner += Markup('<text x="{:.1f}" y="{}">{}</text>').format(
                    x(number) + 3, HEIGHT - 6, words.month(one.event)
                )
    for start, end, kind in spans(courses):
        inner += Markup('<rect class="f-{}" x="{:.1f}" y="{}" width="{:.1f}" height="8"/>').format(
            "bad" if kind < 0 else "wait", x(start), base + 8, max(x(end) - x(start), 3)
        )
    for name, day in SERIES:
        path = line(
            [(x(number), of_day) for number, one in enumerate(courses) if (of_day := height(one, day, y))], step
        )
        if path:
            inner += Markup('<path class="line {}" d="{}"/>').format(name, path)
    return svg(picture_summary(words, courses), inner, WIDTH, HEIGHT)


def height(one: Timeline, day: Day, y: Callable[[int], float]) -> float | None:
    found = day(one)
    return None if found is None else y((found - one.event).days)


def line(points: Sequence[tuple[float, float]], step: float) -> str:
    """A path through the points, with a corner only where it bends; where it jumps, it goes straight up or down."""
    if not points:
        return ""
    path, last_slope = f"M{points[0][0]:.1f} {points[0][1]:.1f}", None
    for (x0, y0), (x1, y1) in pairwise(points):
        slope = round((y1 - y0) / (x1 - x0), 2)
        is_jump = abs(y1 - y0) > 4 * step and y1 < y0
        if slope != last_slope or is_jump:
            path += f"L{x0:.1f} {y0:.1f}"
        if is_jump:
            path += f"L{x1:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
        last_slope = None if is_jump else slope
    end_x, end_y = points[-1]
    return f"{path}L{end_x:.1f} {end_y:.1f}H{end_x + step:.1f}"


def spans(courses: Sequence[Timeline]) -> list[tuple[int, int, int]]:
    """From which order up to before which: they fail (-1) or have no day to spare (0)."""
    found: list[tuple[int, int, int]] = []
    for number, one in enumerate(courses):
        kind = -1 if one.slack < 0 else one.slack
        if kind > 0:
            continue
        if found and found[-1][1] == number and found[-1][2] == kind:
            found[-1] = (found[-1][0], number + 1, kind)
        else:
            found.append((number, number + 1, kind))
    return found


def picture_summary(words: Words, courses: Sequence[Timeline]) -> str:
    """What the picture shows, for who does not see it."""
    failing = sum(one.slack < 0 for one in courses)
    text = words.say(
        "Orders from %(first)s to %(last)s: how many days later the last return can be reported, and the order locks, "
        "is stated and paid.",
        first=words.day(courses[0].event),
        last=words.day(courses[-1].event),
    )
    return f"{text} " + words.count("%(number)s day fails.", "%(number)s days fail.", failing)
