"""Charts as SVG, rendered here: static, printable, each with its numbers in a table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from markupsafe import Markup

from retour.console.words import Words

if TYPE_CHECKING:
    from retour.console.actions.detail import PayoutStep
    from retour.domain.contracts.lock_days import LockDay

WIDTH, HEIGHT, LEFT, FOOT = 720, 180, 8, 28


def svg(title: str, inner: Markup, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    frame = '<svg class="chart" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>'
    return Markup(frame).format(width, height, width, height, title, inner)


def payout_chart(
    words: Words,
    steps: "Sequence[PayoutStep]",
    locks_at: datetime | None,
    now: datetime,
    currency: str,
    past: datetime | None = None,
) -> Markup:
    """An action's payout over time, with the lock line, and a line for the moment it is shown at."""
    first, last = steps[0].at, max([now, steps[-1].at, *([locks_at] if locks_at else [])])
    span = max((last - first).total_seconds(), 1.0)
    top = max(max(step.payout for step in steps), 1)

    def x(moment: datetime) -> float:
        return LEFT + (WIDTH - 2 * LEFT) * (moment - first).total_seconds() / span

    def y(payout: int) -> float:
        return 24 + (HEIGHT - FOOT - 24) * (1 - payout / top)

    path, inner = f"M{x(first):.1f} {y(steps[0].payout):.1f}", Markup("")
    for step in steps[1:]:
        path += f"H{x(step.at):.1f}V{y(step.payout):.1f}"
    path += f"H{x(min(now, last)):.1f}"
    is_open = locks_at is not None and locks_at > now
    ahead = f"M{x(now):.1f} {y(steps[-1].payout):.1f}H{x(last):.1f}" if is_open else ""
    base = HEIGHT - FOOT
    inner += Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(LEFT, base, WIDTH - LEFT, base)
    inner += Markup('<path class="mark" d="{}"/><path class="mark ahead" d="{}"/>').format(path, ahead)
    for step in steps:
        inner += Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x(step.at), y(step.payout))
    inner += Markup('<text x="{}" y="{}">{}</text>').format(LEFT, 14, words.minor(steps[0].payout, currency))
    if len(steps) > 1:
        right = min(max(x(steps[-1].at) + 8, LEFT + 110), WIDTH - 110)
        height = max(y(steps[-1].payout) - 8, 14)
        inner += Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(
            right, height, words.minor(steps[-1].payout, currency)
        )
    inner += Markup('<text x="{}" y="{}">{}</text>').format(LEFT, HEIGHT - 8, words.day(first))
    if locks_at is not None:
        at = x(locks_at)
        inner += Markup('<line class="lock" x1="{:.1f}" y1="10" x2="{:.1f}" y2="{}"/>').format(at, at, base)
        inner += Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            at, HEIGHT - 8, "end" if at > WIDTH / 2 else "start", words.open_until(locks_at)
        )
    if past is not None and first <= past <= last:
        inner += Markup('<line class="past" x1="{:.1f}" y1="10" x2="{:.1f}" y2="{}"/>').format(x(past), x(past), base)
    return svg(words.say("The payout over time, up to the lock"), inner)


def day_bars(words: Words, days: Sequence[tuple[str, Mapping[str, int], bool]], name: str) -> Markup:
    """A source's last days by outcome: one bar a day, dashed where something was expected and nothing came."""
    width, height, gap = 12, 32, 2
    most = max([sum(counts.values()) for _, counts, _ in days] or [1]) or 1
    inner = Markup("")
    for number, (_, counts, missing) in enumerate(days):
        left, bottom = number * (width + gap), float(height)
        if missing:
            inner += Markup('<rect class="miss" x="{}" y="2" width="{}" height="{}"/>').format(
                left + 1, width - 2, height - 4
            )
        for outcome, family in OUTCOME_COLOURS:
            count = counts.get(outcome, 0)
            size = count * (height - 2) / most
            if count:
                bottom -= max(size, 1)
                inner += Markup('<rect class="f-{}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
                    family, left, bottom, width, max(size, 1)
                )
        if not counts and not missing:
            inner += Markup('<rect class="f-line" x="{}" y="{}" width="{}" height="1"/>').format(
                left, height - 1, width
            )
    total = sum(sum(counts.values()) for _, counts, _ in days)
    title = words.say("%(name)s: %(total)s rows in 14 days", name=name, total=words.number(total))
    if gaps := sum(missing for _, _, missing in days):
        title += "; " + words.count("%(number)s day without what was expected",
                                    "%(number)s days without what was expected", gaps)  # fmt: skip
    return svg(title, inner, len(days) * (width + gap), height)


OUTCOME_COLOURS = (
    ("applied", "ok"), ("unchanged", "neutral"), ("duplicate", "neutral"), ("superseded", "neutral"),
    ("waiting", "wait"), ("held", "hold"), ("refused", "bad"),
)  # fmt: skip


def column_chart(words: Words, title: str, values: Sequence[tuple[str, int, str]], links: Sequence[str] = ()) -> Markup:
    """(label, value, value in words) as columns from zero."""
    most = max([value for _, value, _ in values] or [1]) or 1
    step = (WIDTH - 2 * LEFT) / max(len(values), 1)
    base = HEIGHT - FOOT
    inner = Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(LEFT, base, WIDTH - LEFT, base)
    for number, (name, value, said) in enumerate(values):
        size = (base - 24) * value / most
        left, width = LEFT + number * step + 2, min(max(step - 4, 2), 64)
        bar = Markup('<rect class="bars" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            left, base - size, width, size
        )
        bar += Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
            left + width / 2, base - size - 6, said if step > 80 else ""
        )
        bar += Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            left + width / 2, HEIGHT - 8, name if step > 34 or number % 4 == 0 else ""
        )
        inner += bar
    return svg(title, inner)


def histogram(words: Words, title: str, days: Sequence[tuple[int, int, int]], lock_days: int | None) -> Markup:
    """(days from order to return, returns, of which too late) with the lock line; what came too late stands out."""
    last = max([*(day for day, _, _ in days), lock_days or 0, 7]) + 1
    size = max(1, -(-last // 40))
    bins = [[0, 0] for _ in range(-(-last // size))]
    for day, count, late in days:
        held = bins[min(max(day, 0) // size, len(bins) - 1)]
        held[0] += count
        held[1] += late
    most, base = max(count for count, _ in bins) or 1, HEIGHT - FOOT
    step = (WIDTH - 2 * LEFT) / len(bins)
    inner = Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(LEFT, base, WIDTH - LEFT, base)
    for number, (count, late) in enumerate(bins):
        bottom = float(base)
        for shade, part in (("bars", count - late), ("late", late)):
            high = (base - 30) * part / most
            bottom -= high
            if part:
                inner += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    shade, LEFT + number * step + 1, bottom, max(step - 2, 1), high
                )
        if number % max(1, len(bins) // 5) == 0:
            inner += Markup('<text x="{:.1f}" y="{}">{}</text>').format(
                LEFT + number * step, HEIGHT - 8, words.number(number * size)
            )
    if lock_days is not None:
        at = LEFT + lock_days / size * step
        inner += Markup('<line class="lock" x1="{:.1f}" y1="18" x2="{:.1f}" y2="{}"/>').format(at, at, base)
        inner += Markup('<text x="{:.1f}" y="14" text-anchor="{}">{}</text>').format(
            at, "end" if at > WIDTH / 2 else "start",
            words.count("locks after %(number)s day", "locks after %(number)s days", lock_days),
        )  # fmt: skip
    return svg(title, inner)


def lock_chart(words: Words, title: str, days: "Sequence[LockDay]", picked: "LockDay") -> Markup:
    """How many days an order can still change, for orders of each day; the picked one marked."""
    step, base, top = (WIDTH - 2 * LEFT) / len(days), HEIGHT - FOOT, max(1, *(one.days for one in days))

    def height(one: "LockDay") -> float:
        return base - (base - 30) * one.days / top

    path = f"M{LEFT} {base}"
    for number, one in enumerate(days):
        path += f"V{height(one):.1f}H{LEFT + (number + 1) * step:.1f}"
    inner = Markup('<path class="area" d="{}V{}Z"/>').format(path, base)
    inner += Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(LEFT, base, WIDTH - LEFT, base)
    for number, one in enumerate(days):
        if one.day.day == 1:
            x = LEFT + number * step
            inner += Markup('<line class="axis" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(x, base, x, base + 6)
            if (one.day.month - days[0].day.month) % 4 == 0 and x < WIDTH - 150:
                inner += Markup('<text x="{:.1f}" y="{}">{}</text>').format(x + 3, HEIGHT - 8, words.month(one.day))
    x = LEFT + ((picked.day - days[0].day).days + 0.5) * step
    inner += Markup('<line class="lock" x1="{:.1f}" y1="22" x2="{:.1f}" y2="{}"/>').format(x, x, base)
    inner += Markup('<text x="{:.1f}" y="18" text-anchor="{}">{}</text>').format(
        x, "end" if x > WIDTH / 2 else "start",
        words.count("%(day)s: %(number)s day", "%(day)s: %(number)s days", picked.days, day=words.day(picked.day)),
    )  # fmt: skip
    return svg(title, inner)


def interval_chart(
    words: Words, title: str, rows: Sequence[tuple[str, float, float, float, bool]], mean: float
) -> Markup:
    """(name, share, low, high, few) as dots with their 95 % interval, and the mean of all as a line."""
    height = 24 * len(rows) + 30
    most = max([high for _, _, _, high, _ in rows] or [1.0]) or 1.0
    left, right = 170, WIDTH - 70

    def x(share: float) -> float:
        return left + (right - left) * share / most

    inner = Markup('<line class="lock" x1="{:.1f}" y1="4" x2="{:.1f}" y2="{}"/>').format(x(mean), x(mean), height - 22)
    for number, (name, share, low, high, few) in enumerate(rows):
        y = 18 + 24 * number
        inner += Markup('<text x="0" y="{}">{}</text>').format(y + 4, name[:24])
        inner += Markup('<line class="mark" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(x(low), y, x(high), y)
        inner += Markup('<circle class="{}" cx="{:.1f}" cy="{}" r="5"/>').format("mark" if few else "dot", x(share), y)
        inner += Markup('<text x="{:.1f}" y="{}">{}</text>').format(right + 8, y + 4, words.percent(share))
    inner += Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
        x(mean), height - 6, words.say("all: %(share)s", share=words.percent(mean))
    )
    return svg(title, inner, WIDTH, height)


def wilson_interval(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not of:
        return 0.0, 0.0
    z, share = 1.96, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    wide = z * ((share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5) / (1 + z * z / of)
    return max(middle - wide, 0.0), min(middle + wide, 1.0)
