"""Which partners' terms a document changes and when, and which partners would have none (spec 6)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from retour.domain.calendar import local_day, start_of_day
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.versions import terms_at

UNNAMED_PARTNER = ""
"""Stands for all partners that no contract names."""


@dataclass(frozen=True, slots=True)
class PartnerClass:
    """Partners treated alike by every contract. `others` stands for all partners that none names."""

    event_type: str
    partners: tuple[str, ...]

    @property
    def others(self) -> bool:
        return not self.partners

    @property
    def example(self) -> str:
        return self.partners[0] if self.partners else UNNAMED_PARTNER


@dataclass(frozen=True, slots=True)
class TermsChange:
    """A change of terms at a time. None means no terms."""

    holders: PartnerClass
    at: datetime
    before: Contract | None
    after: Contract | None


@dataclass(frozen=True, slots=True)
class Gap:
    """The first day without terms."""

    holders: PartnerClass
    day: date


def terms_changes(before: Sequence[Contract], after: Sequence[Contract], now: datetime) -> list[TermsChange]:
    """What recording a document changes: at once, and on each later day on which terms begin or end."""
    changes: list[TermsChange] = []
    every = [*before, *after]
    for holders in partner_classes(every, {one.event_type for one in every}):
        seen: tuple[int, int] | None = None
        for moment in change_moments(every, now):
            old, new = (terms_at(one, holders.event_type, holders.example, moment) for one in (before, after))
            numbers = (old.number if old else 0, new.number if new else 0)
            stays = old is not None and new is not None and old.does_the_same(new)
            if numbers[0] != numbers[1] and numbers != seen and not stays:
                changes.append(TermsChange(holders, moment, old, new))
            seen = numbers
    return sorted(changes, key=lambda one: (one.at, one.holders.event_type, one.holders.partners))


def coverage_gaps(contracts: Sequence[Contract], event_types: Iterable[str], now: datetime) -> Iterator[Gap]:
    """Partner classes without terms, now or from a later day: the first such day of each."""
    for holders in partner_classes(contracts, event_types):
        for moment in change_moments(contracts, now):
            if terms_at(contracts, holders.event_type, holders.example, moment) is None:
                yield Gap(holders, local_day(moment, contracts[-1].time_zone))
                break


def partner_classes(contracts: Sequence[Contract], event_types: Iterable[str]) -> Iterator[PartnerClass]:
    """The partner classes of each event type, those without a name last."""
    named: dict[str, list[int]] = {}
    for number, one in enumerate(contracts):
        for partner in one.members:
            named.setdefault(partner, []).append(number)
    classes: dict[tuple[int, ...], list[str]] = {}
    for partner, by in sorted(named.items()):
        classes.setdefault(tuple(by), []).append(partner)
    for event_type in sorted(event_types):
        for partners in classes.values():
            yield PartnerClass(event_type, tuple(partners))
        yield PartnerClass(event_type, ())


def change_moments(contracts: Sequence[Contract], now: datetime) -> list[datetime]:
    """Now, and the start of each later day on which terms begin or have ended."""
    days = {(one.valid_from, one.time_zone) for one in contracts}
    days |= {(one.valid_until + timedelta(days=1), one.time_zone) for one in contracts if one.valid_until}
    return [now, *sorted({at for day, zone in days if (at := start_of_day(day, 0, zone)) > now})]
