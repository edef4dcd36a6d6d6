"""Terms tried before they hold: what an order would pay, and what a new version would make of what is pending."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from retour.domain.actions.action import Action
from retour.domain.actions.order import Head, Order
from retour.domain.actions.standing import as_of_partner
from retour.domain.calendar import start_of_day
from retour.domain.contracts.contract import Basis, Contract, Paid
from retour.domain.contracts.named_list import Entries
from retour.domain.contracts.versions import terms_at, with_versions_of
from retour.domain.delivery import Channel, Delivery, Kind
from retour.domain.program import Program
from retour.domain.row import Unreadable
from retour.intake import report
from retour.normalise import Wrong

Rests = tuple[tuple[int, int], ...]
"""Of each line the amount and the units that are left."""


@dataclass(frozen=True, slots=True)
class Priced:
    """What one contract version pays for an order, line by line, in minor units of the program's currency."""

    terms: Contract
    action: Action
    rests: Rests
    paid: tuple[Paid, ...]

    @property
    def total(self) -> int:
        return sum(one.amount for one in self.paid)

    @property
    def covers(self) -> bool:
        """Whether the version is for such an order at all."""
        return self.terms.covers(self.action.event_type, self.action.partner)


def priced(terms: Contract, action: Action, rests: Rests) -> Priced:
    return Priced(terms, action, rests, terms.pays(action, rests))


def sold(action: Action) -> Rests:
    """Nothing has come back yet."""
    return tuple((line.amount, line.quantity) for line in action.lines)


def left(head: Head) -> Rests:
    return tuple((rest.amount, rest.quantity) for rest in head.standing.rests)


def invented(
    program: Program, record: Mapping[str, Any], now: datetime, delivered: report.DeliveredRates
) -> Action | Unreadable:
    """An order that nobody reported, as if it were reported now, or on its day if that is still to come."""
    read = report.from_record("", record)
    if isinstance(read, Unreadable):
        return read
    try:
        at = max(now, report.instant_of(read.fields.get("event_time", ""), program))
    except Wrong:
        at = now
    nobody = Delivery(
        id="",
        program=program.id,
        channel=Channel.CONSOLE,
        source="",
        kind=Kind.ACTIONS,
        identity="",
        received_at=at,
        sha256="",
        size=0,
    )
    return report.action(read, program, nobody, delivered)


# A version that is not recorded yet


def with_terms(
    program: Program, document: Mapping[str, Any], now: datetime, lists: Mapping[str, Entries] | None = None
) -> Program:
    """The program with the contract versions that a valid document would add; `lists` are those that were uploaded."""
    return replace(program, contracts=with_versions_of(document, program.contracts, now, lists))


@dataclass(slots=True)
class Effect:
    """What new terms would make of actions that can still change; per partner payouts before and after.

    `looked` counts them, `changed` those whose payout would be another, `by_action` those that keep the version of
    their report whatever comes.
    """

    looked: int = 0
    changed: int = 0
    by_action: int = 0
    partners: dict[str, list[int]] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        return sum(after - before for before, after in self.partners.values())


def effect(chosen: Iterable[tuple[Order, Action, Head]], contracts: Sequence[Contract], now: datetime) -> Effect:
    """If each action were changed, or repriced, once all of these versions are valid. Nothing of it is booked."""
    found = Effect()
    for _, action, head in chosen:
        found.looked += 1
        if contracts[action.contract - 1].basis is Basis.AT_ACTION:
            found.by_action += 1
            continue
        terms = coming(contracts, action.event_type, head.standing.partner, now)
        after = priced(terms, as_of_partner(action, head.standing), left(head)).total if terms else head.payout
        if after != head.payout:
            found.changed += 1
            sums = found.partners.setdefault(head.standing.partner, [0, 0])
            sums[0] += head.payout
            sums[1] += after
    return found


def coming(contracts: Sequence[Contract], event_type: str, partner: str, now: datetime) -> Contract | None:
    """The version that will price once all those known are valid."""
    last = max((start_of_day(one.valid_from, 0, one.time_zone) for one in contracts), default=now)
    return terms_at(contracts, event_type, partner, max(now, last))
