"""Prove for every date that the lock leaves time for the last return, and find what would make a lock safe.

The Gregorian calendar repeats every 400 years (146,097 dates), so trying all of them is a proof. An order's dates
depend on its month, its day and which of the years around it are leap years. Years alike in that are tried once and
counted (the tests try every date and find the same).
"""

from calendar import isleap, monthrange
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import lru_cache

from retour.domain.contracts.lock import OPEN_DAYS_MAX, AfterEvent, AfterStatus, LockRule, OpenEnded
from retour.domain.funding.schedule import MONTH_DAY_MAX, AfterMonthEnd, AfterStatement, Policy, Timeline, timeline

CYCLE_YEARS = 400
CYCLE_DATES = 146_097
FIX_DAYS_MAX = 62
EVENT_DAYS_MAX, MONTH_END_DAYS_MAX = OPEN_DAYS_MAX, 366
CACHED = 512


class Verdict(StrEnum):
    """SAFE: at least one day of slack; TIGHT: none, but no date fails; UNSAFE: some date fails."""

    SAFE = "safe"
    TIGHT = "tight"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Proof:
    """The result over all dates.

    `late_returns` have a return after the lock, `early_money` a payment before the last possible return or change; a
    date may have both. `slack` is the smallest of all dates; `by_slack` counts the dates with less than one day.
    """

    policy: Policy
    unsafe: int
    tight: int
    late_returns: int
    early_money: int
    change_margin: int
    paid_margin: int
    slack: int
    by_slack: tuple[tuple[int, int], ...]

    @property
    def verdict(self) -> Verdict:
        return Verdict.UNSAFE if self.unsafe else Verdict.TIGHT if self.tight else Verdict.SAFE


@lru_cache(CACHED)
def prove(policy: Policy) -> Proof:
    """Try every date of 400 years. The policy must be complete (`is_whole`)."""
    slacks: Counter[int] = Counter()
    late_returns = early_money = 0
    change_margin = paid_margin = OPEN_DAYS_MAX * 4
    for year, years in year_kinds(years_ahead(policy)):
        for one in timelines(policy, year):
            slacks[one.slack] += years
            late_returns += years * one.has_late_return
            early_money += years * one.has_early_money
            change_margin, paid_margin = min(change_margin, one.change_margin), min(paid_margin, one.paid_margin)
    assert slacks.total() == CYCLE_DATES
    return Proof(
        policy=policy,
        unsafe=sum(dates for slack, dates in slacks.items() if slack < 0),
        tight=slacks[0],
        late_returns=late_returns,
        early_money=early_money,
        change_margin=change_margin,
        paid_margin=paid_margin,
        slack=min(slacks),
        by_slack=tuple((slack, dates) for slack, dates in sorted(slacks.items()) if slack < 1),
    )


def years_ahead(policy: Policy) -> int:
    """The maximum number of calendar years from an order to its payment."""
    lock, pays = policy.lock, policy.pays
    months = lock.months if isinstance(lock, AfterEvent) else 0
    days = 0 if isinstance(lock, OpenEnded) else lock.days
    waits = pays.days if isinstance(pays, AfterStatement | AfterMonthEnd) else 0
    furthest = 31 * months + days + policy.returns.days + waits + 4 * 31
    return 2 + furthest // 365


@lru_cache
def year_kinds(ahead: int) -> tuple[tuple[int, int], ...]:
    """A representative of each kind of year (by leap years from it on), with the number of such years."""
    alike: dict[tuple[bool, ...], list[int]] = {}
    for year in range(2000, 2000 + CYCLE_YEARS):
        alike.setdefault(tuple(isleap(year + n) for n in range(ahead)), []).append(year)
    return tuple((years[0], len(years)) for years in alike.values())


def timelines(policy: Policy, year: int) -> Iterator[Timeline]:
    """The timelines of every day of a year."""
    for month in range(1, 13):
        for day in range(1, monthrange(year, month)[1] + 1):
            yield timeline(policy, date(year, month, day))


def worst_timeline(policy: Policy, since: date) -> Timeline:
    """The first order from a day on with the least slack of all dates."""
    least = prove(policy).slack
    for year in range(since.year, since.year + CYCLE_YEARS):
        for one in timelines(policy, year):
            if one.event >= since and one.slack == least:
                return one
    raise AssertionError("the calendar repeats every 400 years")


# Fixes and weaknesses


@dataclass(frozen=True, slots=True)
class Fix:
    """The policy after the smallest improving change; `days` is how much later it locks."""

    policy: Policy
    days: int
    verdict: Verdict


def smallest_fix(policy: Policy, slack: int = 0) -> Fix | None:
    """The smallest delay of the lock after which every date has `slack` days; None if there is none.

    If the later lock would miss its statement and so delay the payment by a month, the statement day is moved by as
    little as possible.
    """
    found = prove(policy)
    if found.slack >= slack:
        return None
    for days in range(max(1, slack - found.change_margin), FIX_DAYS_MAX + 1):
        later = with_later_lock(policy.lock, days)
        if later is None:
            return None
        moved = with_statement_day(replace(policy, lock=later), days, policy)
        proof = prove(moved)
        if proof.slack >= slack:
            return Fix(moved, days, proof.verdict)
    return None


def with_later_lock(rule: LockRule, days: int) -> LockRule | None:
    """The lock some days later; None if a contract could not express it."""
    match rule:
        case AfterEvent():
            most = MONTH_END_DAYS_MAX if rule.from_month_end else EVENT_DAYS_MAX
            return replace(rule, days=rule.days + days) if rule.days + days <= most else None
        case AfterStatus():
            return replace(rule, days=rule.days + days) if rule.days + days <= EVENT_DAYS_MAX else None
    return None


def with_statement_day(later: Policy, days: int, before: Policy) -> Policy:
    """Move the statement day by at most `days` so that the worst order is paid soonest."""
    day = before.statement_day
    if day is None:
        return later
    event = worst_timeline(before, date(2001, 1, 1)).event
    choices = [replace(later, statement_day=day + n) for n in range(days + 1) if day + n <= MONTH_DAY_MAX]
    return min(choices, key=lambda one: timeline(one, event).paid)


@dataclass(frozen=True, slots=True)
class Weakness:
    """A change that makes a policy unsafe.

    `what`: `skew` (the sender's day ends a day later than the program's) or `lock_at_start` (the last day does not
    count).
    """

    what: str
    proof: Proof


def weaknesses(policy: Policy) -> list[Weakness]:
    """Small changes that make the policy unsafe; empty if it already is."""
    if prove(policy).verdict is Verdict.UNSAFE:
        return []
    returns, lock = policy.returns, policy.lock
    changed = [("skew", replace(policy, returns=replace(returns, skew_days=returns.skew_days + 1)))]
    if isinstance(lock, AfterEvent) and lock.at_end:
        changed.append(("lock_at_start", replace(policy, lock=replace(lock, at_end=False))))
    found = [Weakness(what, prove(one)) for what, one in changed]
    return [one for one in found if one.proof.verdict is Verdict.UNSAFE]
