"""The journal: double entry, append-only, each entry chained to the one before (spec 8).

What a day holds follows from what is final, stated, approved and confirmed by then, in an order of its own, never from
when somebody looked. So a hub that is rebuilt from its deliveries writes the same journal, byte for byte.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import groupby
from typing import Any

EXPENSE = "commission expense"
FIRST = "0" * 64
"""What stands for the entry before the first."""


class Kind(StrEnum):
    """What an entry books."""

    FINAL = "final"
    STATED = "stated"
    IN_PAYMENT = "in_payment"
    PAID = "paid"
    FAILED = "failed"


def payable(group: str, partner: str) -> str:
    return f"payable:{group}:{partner}"


def stated(group: str, partner: str) -> str:
    return f"stated:{group}:{partner}"


def in_payment(batch: str) -> str:
    return f"in payment:{batch}"


def funding(group: str) -> str:
    return f"funding:{group}"


Amounts = tuple[tuple[str, int], ...]
"""Accounts with what is booked on them in minor units; a debit is positive, and all of an entry come to 0."""
Detail = tuple[str, str, str, int]
"""Group, partner, action and payout of an action that became final."""


@dataclass(frozen=True, slots=True)
class Booking:
    """What is to be booked, before it has its place. `cause` is what it is booked for; `details` the SHA-256 of the
    actions that it sums up."""

    kind: Kind
    cause: str
    amounts: Amounts
    details: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A booking in its place. `before` is the SHA-256 of the entry before."""

    number: int
    day: date
    booking: Booking
    before: str

    def document(self) -> list[Any]:
        """What is read for years: add at the end, never change a place."""
        one = self.booking
        amounts = [list(amount) for amount in one.amounts]
        return [self.number, self.day.isoformat(), one.kind.value, one.cause, amounts, one.details, self.before]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.document(), ensure_ascii=False).encode()).hexdigest()

    @property
    def sum(self) -> int:
        return sum(amount for _, amount in self.booking.amounts)


def entry_from(doc: Sequence[Any]) -> Entry:
    number, day, kind, cause, amounts, details, before = doc
    booking = Booking(Kind(kind), cause, tuple((account, amount) for account, amount in amounts), details)
    return Entry(number, date.fromisoformat(day), booking, before)


def chained(bookings: Iterable[Booking], day: date, number: int, before: str) -> Iterator[Entry]:
    """The bookings of a day in their places, after an entry of this number and hash."""
    for number, one in enumerate(bookings, number + 1):  # noqa: B020
        entry = Entry(number, day, one, before)
        before = entry.sha256
        yield entry


def details_hash(details: Iterable[Detail]) -> str:
    text = json.dumps([[action, payout] for _, _, action, payout in details], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# What is booked


def final_bookings(details: Sequence[Detail]) -> Iterator[Booking]:
    """One of each partner and group; `details` in the order of group, partner and action."""
    for (group, partner), found in groupby(details, key=lambda one: one[:2]):
        some = [*found]
        total = sum(payout for *_, payout in some)
        amounts = ((EXPENSE, total), (payable(group, partner), -total))
        yield Booking(Kind.FINAL, f"{group}:{partner}", amounts, details_hash(some))


def stated_booking(id_: str, group: str, partner: str, total: int) -> Booking:
    return Booking(Kind.STATED, id_, ((payable(group, partner), total), (stated(group, partner), -total)))


def approved_booking(batch: str, group: str, partner: str, amount: int) -> Booking:
    return Booking(Kind.IN_PAYMENT, batch, ((stated(group, partner), amount), (in_payment(batch), -amount)))


def paid_booking(batch: str, group: str, amount: int) -> Booking:
    return Booking(Kind.PAID, batch, ((in_payment(batch), amount), (funding(group), -amount)))


def failed_booking(batch: str, group: str, partner: str, amount: int, *, was_paid: bool) -> Booking:
    """The counter-entry: from where the money stood, back to what is owed."""
    stood = funding(group) if was_paid else in_payment(batch)
    return Booking(Kind.FAILED, batch, ((stood, amount), (stated(group, partner), -amount)))


def balances(entries: Iterable[Entry], into: Mapping[str, int] | None = None) -> dict[str, int]:
    """By account, what all entries come to."""
    found = dict(into or {})
    for entry in entries:
        for account, amount in entry.booking.amounts:
            found[account] = found.get(account, 0) + amount
    return found
