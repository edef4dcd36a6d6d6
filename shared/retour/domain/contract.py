"""The terms between a program and its partners, in immutable versions (spec 6)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from retour.domain.calendar import start_of_day
from retour.domain.money import half_away


@dataclass(frozen=True, slots=True)
class Payout:
    """A percentage of every commission line, rounded once per line, half away from zero."""

    percent: Decimal

    def of(self, amount: int) -> int:
        return half_away(Decimal(amount) * self.percent / 100)


@dataclass(frozen=True, slots=True)
class Lock:
    """N days after the event day; the last of these days still counts (lock_moment: end)."""

    days_after_event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of the terms for an event type: of the named partners, or of all when none is named.

    `number` counts all contract versions of the program from 1 and is what the ledger books; `version` counts within
    the name.
    """

    number: int
    name: str
    version: int
    event_type: str
    partners: frozenset[str]
    valid_from: date
    recorded_at: datetime
    payout: Payout
    lock: Lock
    time_zone: str

    def locks_at(self, event_time: datetime) -> datetime:
        """The instant from which an action of this event time can no longer change, in UTC."""
        day = event_time.astimezone(ZoneInfo(self.time_zone)).date()
        return start_of_day(day, self.lock.days_after_event + 1, self.time_zone)

    def covers(self, event_type: str, partner: str) -> bool:
        return self.event_type == event_type and (not self.partners or partner in self.partners)

    def valid_at(self, moment: datetime) -> bool:
        return self.recorded_at <= moment and self.valid_from <= moment.astimezone(ZoneInfo(self.time_zone)).date()

    def says_the_same(self, other: "Contract") -> bool:
        return replace(self, number=0, version=0, recorded_at=other.recorded_at) == replace(other, number=0, version=0)


def terms_at(contracts: Iterable[Contract], event_type: str, partner: str, moment: datetime) -> Contract | None:
    """The newest version recorded and valid at that moment; one that names the partner goes before one for all."""
    valid = [c for c in contracts if c.covers(event_type, partner) and c.valid_at(moment)]
    return max(valid, key=lambda c: (bool(c.partners), c.valid_from, c.recorded_at, c.version), default=None)
