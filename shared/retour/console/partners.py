"""Partners from the merchant's view: what is pending, whose orders come back, whether the lock is late enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retour.console import charts, program_counts
from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.counting.rollup import PARTNERS_PER_PAGE
from retour.counting.tally import Tally

FEW_ORDERS = 30
"""Below this many orders a share means nothing."""
REASONS = 2


@dataclass(frozen=True)
class PartnerRow:
    """A partner's figures at the last count."""

    partner: str
    tally: Tally

    @property
    def actions(self) -> int:
        return sum(actions for _, _, actions, _ in self.tally.by_state())

    def sums(self, state: str) -> list[tuple[str, int]]:
        return [(currency, payout) for name, currency, _, payout in self.tally.by_state() if name == state]

    @property
    def orders(self) -> int:
        return self.tally.orders[0]

    @property
    def reversed(self) -> int:
        return self.tally.orders[1]

    @property
    def is_few(self) -> bool:
        return self.orders < FEW_ORDERS

    @property
    def share(self) -> float:
        return self.reversed / self.orders if self.orders else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return charts.wilson_interval(self.reversed, self.orders)

    @property
    def late(self) -> list[tuple[str, int, int]]:
        return [(currency, changes, cost) for currency, (changes, cost) in sorted(self.tally.rows("late").items())]

    @property
    def reasons(self) -> list[tuple[str, float]]:
        return reason_shares(self.tally)[:REASONS]


def partner_row(doc: Mapping[str, Any]) -> PartnerRow:
    return PartnerRow(doc["partner"], Tally(doc["numbers"]))


def reason_shares(tally: Tally) -> list[tuple[str, float]]:
    """The reasons with their share of returns, most frequent first."""
    rows = {reason: count for reason, (count,) in tally.rows("reasons").items()}
    total = sum(rows.values()) or 1
    return sorted(((reason, count / total) for reason, count in rows.items()), key=lambda one: (-one[1], one[0]))


@dataclass(frozen=True)
class ReturnTiming:
    """Days from order to return, as (days, returns, of which too late)."""

    days: list[tuple[int, int, int]]
    lock_days: int | None
    late: list[tuple[str, int, int]]

    @property
    def total(self) -> int:
        return sum(count for _, count, _ in self.days)

    @property
    def too_late(self) -> int:
        return sum(count for _, _, count in self.days)

    @property
    def days_to_99_percent(self) -> int:
        """Days within which 99 % of returns came."""
        left = self.total * 0.99
        for day, count, _ in self.days:
            left -= count
            if left <= 0:
                return day
        return 0


def return_timing(tally: Tally) -> ReturnTiming:
    days = sorted((int(day), count, late) for day, (count, late) in tally.rows("returns").items())
    late = [(currency, changes, cost) for currency, (changes, cost) in sorted(tally.rows("late").items())]
    return ReturnTiming(days, tally.lock_days(), late)


def index(context: PageContext) -> Response:
    """Partners by pending amount, paged, with the share and timing of returns."""
    words, known = context.words, program_counts.load_counts(context)
    asked = context.request.query.get("page", "1")
    number = min(int(asked) - 1 if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0, known.pages - 1)
    page = program_counts.rollup_store(context).page(max(number, 0)) if known.pages else None
    rows = [partner_row(doc) for doc in page["lines"]] if page else []
    orders, back = known.total.orders
    mean = back / orders if orders else 0.0
    largest = [line for line in map(partner_row, known.largest) if line.orders]
    dots = sorted(largest, key=lambda line: (line.is_few, -line.share, line.partner))
    returns = return_timing(known.total)
    return context.render(
        "partners.html",
        counted=known,
        rows=rows,
        start=max(number, 0) * PARTNERS_PER_PAGE,
        earlier=context.here(page=str(number), counted=None) if number > 0 else None,
        later=context.here(page=str(number + 2), counted=None) if number + 1 < known.pages else None,
        few=FEW_ORDERS,
        dots=dots,
        mean=mean,
        orders=orders,
        reversed=back,
        returns=returns,
        reasons=reason_shares(known.total),
        by_partner=charts.interval_chart(words, words.say("Share of orders reversed, by partner"), [
            (line.partner, line.share, *line.interval, line.is_few) for line in dots], mean) if dots else "",
        by_days=charts.histogram(
            words, words.say("Days from order to return"), returns.days, returns.lock_days) if returns.days else "",
    )  # fmt: skip
