"""The content and day of statements: a pure function of final actions and program versions.

No state is kept between statements. A payout counts from when its action was locked and reported. The billing group
that matches in the program version in force at that time takes it, and the versions also give the statement days. So
computing them again, after a crash or in a rebuild, gives the same statements with the same numbers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from retour.domain.calendar import local_day, start_of_day
from retour.domain.funding.billing import BillingGroup, parse_groups

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """A final action and its payout.

    `payout` is in minor units of the program's currency, `amount` in those of the action, `rate` is frozen between
    them. `final` is when it became final, or its lock if it is not.
    """

    action: str
    order_id: str
    event_type: str
    contract: str
    partner: str
    event_time: datetime
    locks_at: datetime
    reported_at: datetime
    amount: int
    currency: str
    rate: Decimal
    payout: int
    final: datetime
    is_reversed: bool = False

    @property
    def counts_at(self) -> datetime:
        """When it can first be stated; an order reported after its lock counts from its report."""
        return max(self.locks_at, self.reported_at)


@dataclass(frozen=True, slots=True)
class BillingVersion:
    """The billing groups of a program version, from its recording on."""

    recorded_at: datetime
    groups: tuple[BillingGroup, ...]

    def group(self, name: str) -> BillingGroup | None:
        return next((one for one in self.groups if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Billing:
    """The billing groups of all program versions, oldest first, from the first that declares any.

    Payouts that counted before were paid otherwise and are never stated.
    """

    versions: tuple[BillingVersion, ...]
    zone: str

    @property
    def begins(self) -> datetime | None:
        return self.versions[0].recorded_at if self.versions else None

    def at(self, moment: datetime) -> BillingVersion | None:
        """The version in force at a time."""
        return next((one for one in reversed(self.versions) if one.recorded_at <= moment), None)

    def group_of(self, payout: Payout) -> str | None:
        """The group of a payout; None if it counted before there were billing groups."""
        version = self.at(payout.counts_at)
        if version is None:
            return None
        fits = (one for one in version.groups if one.takes(payout.contract, payout.event_type, payout.partner))
        return next(fits).name

    def names(self) -> list[str]:
        """All groups ever declared. What a removed one still has to state is stated on its last statement day."""
        return sorted({group.name for version in self.versions for group in version.groups})

    def group_at(self, name: str, day: date) -> BillingGroup | None:
        """A group at the beginning of a day; a removed one in its last form."""
        moment = start_of_day(day, 0, self.zone)
        known = (one.group(name) for one in reversed(self.versions) if one.recorded_at <= moment)
        return next((one for one in known if one is not None), None)

    def statement_days(self, name: str, until: date, since: date | None = None) -> Iterator[date]:
        """The statement days of a group after `since` up to `until`, in order."""
        if self.begins is None:
            return
        day = max(local_day(self.begins, self.zone), since or date.min) + DAY
        while day <= until:
            group = self.group_at(name, day)
            if group is not None and group.statement_day == day.day:
                yield day
            day += DAY

    def previous_day(self, name: str, day: date) -> date | None:
        """The previous statement day; None for the group's first."""
        return max(self.statement_days(name, day - DAY), default=None)


def billing_of(versions: Iterable[tuple[datetime, Mapping[str, Any]]], zone: str) -> Billing:
    """The billing of recorded documents, oldest first."""
    found: list[BillingVersion] = []
    for recorded_at, document in versions:
        if found or "billing_groups" in document:
            groups = parse_groups(document)
            if not found or found[-1].groups != groups:
                found.append(BillingVersion(recorded_at, groups))
    return Billing(tuple(found), zone)


# Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A partner's payouts in a group that counted from `since` up to the beginning of the day and were not stated.

    `total` is their sum, `due` the payment date.
    """

    group: str
    partner: str
    day: date
    since: datetime
    until: datetime
    currency: str
    lines: tuple[Payout, ...]
    total: int
    due: date


def statement(
    billing: Billing,
    name: str,
    day: date,
    partner: str,
    payouts: Iterable[Payout],
    currency: str,
    stated: date | None,
    late: Set[str] = frozenset(),
) -> Statement | None:
    """A partner's statement; None if there is nothing to state, or less than the group's minimum.

    Then everything is left for the next statement. `payouts` are the partner's final ones in any order, possibly of
    other groups; `stated`: the day of the partner's last statement in this group; `late`: actions that belong to an
    earlier statement and came too late for it.
    """
    group = billing.group_at(name, day)
    assert group is not None and billing.begins is not None
    since = start_of_day(stated, 0, billing.zone) if stated else billing.begins
    until = start_of_day(day, 0, billing.zone)

    def counts(one: Payout) -> bool:
        is_new = one.counts_at <= until and (stated is None or since < one.counts_at)
        return (is_new or one.action in late) and billing.group_of(one) == name

    lines = [one for one in payouts if counts(one)]
    total = sum(one.payout for one in lines)
    if total <= 0 or total < group.minimum_payout:
        return None
    return Statement(
        group=name,
        partner=partner,
        day=day,
        since=since,
        until=until,
        currency=currency,
        lines=tuple(sorted(lines, key=lambda one: (one.event_time, one.action))),
        total=total,
        due=group.due(day),
    )


def number_text(series: str, number: int) -> str:
    return f"{series}{number:05d}"


def due_runs(billing: Billing, today: date, done: tuple[date, str] | None) -> Iterator[tuple[date, str]]:
    """Due statement days after `done`, by day and group."""
    since = done[0] - DAY if done else None
    found = ((day, name) for name in billing.names() for day in billing.statement_days(name, today, since))
    yield from sorted(run for run in found if done is None or run > done)


# Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A future statement day of a group. `sums`: number of actions and payout by state."""

    group: str
    day: date
    previous: date | None
    due: date
    sums: Mapping[str, tuple[int, int]]

    @property
    def days(self) -> int | None:
        """The number of days it covers; None for the first."""
        return (self.day - self.previous).days if self.previous else None


def coming(
    billing: Billing, today: date, payouts: Sequence[tuple[Payout, str]], stated: Mapping[str, date], count: int = 2
) -> list[Coming]:
    """The next statement days of every group from today on, with their current content.

    `payouts` have their state (`pending`, `approved`, `locked`). `stated` is the last completed day of each group; what
    counted up to it is stated or was left for the next statement.
    """
    found = []
    for name in billing.names():
        days = []
        year_ahead = billing.statement_days(name, today + 400 * DAY, stated.get(name, today - DAY))
        for day in year_ahead:
            days.append(day)
            if len(days) == count:
                break
        before = stated.get(name)
        for day in days:
            after = start_of_day(before, 0, billing.zone) if before else None
            until = start_of_day(day, 0, billing.zone)
            sums: dict[str, list[int]] = {}
            for one, state in payouts:
                if (
                    (after is None or after < one.counts_at)
                    and one.counts_at <= until
                    and billing.group_of(one) == name
                ):
                    actions = sums.setdefault(state, [0, 0])
                    actions[0] += 1
                    actions[1] += one.payout
            group = billing.group_at(name, day)
            assert group is not None
            found.append(
                Coming(
                    group=name,
                    day=day,
                    previous=before or billing.previous_day(name, day),
                    due=group.due(day),
                    sums={state: (actions, payout) for state, (actions, payout) in sums.items()},
                )
            )
            before = day
    return found
