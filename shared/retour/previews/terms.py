"""Preview terms: what an order would be paid, and how a new version affects pending actions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from retour.domain.actions.action import Action
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.state import as_of_partner
from retour.domain.calendar import start_of_day
from retour.domain.contracts.contract import Contract, LinePayout, TermsBasis
from retour.domain.contracts.named_list import Entries
from retour.domain.contracts.versions import terms_at, with_versions_of
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.row import Unreadable
from retour.intake import action_reports
from retour.normalise import CellError

LineAmounts = tuple[tuple[int, int], ...]
"""The remaining amount and units of each line."""


@dataclass(frozen=True, slots=True)
class PricedOrder:
    """The payout of an order by one contract version, by line, in minor units of the program's currency."""

    terms: Contract
    action: Action
    rests: LineAmounts
    paid: tuple[LinePayout, ...]

    @property
    def total(self) -> int:
        return sum(one.amount for one in self.paid)

    @property
    def covers(self) -> bool:
        """Whether the version covers such an order."""
        return self.terms.covers(self.action.event_type, self.action.partner)


def price_order(terms: Contract, action: Action, rests: LineAmounts) -> PricedOrder:
    return PricedOrder(terms, action, rests, terms.line_payouts(action, rests))


def sold_amounts(action: Action) -> LineAmounts:
    """The amounts as sold, without returns."""
    return tuple((line.amount, line.quantity) for line in action.lines)


def remaining_amounts(head: ActionHead) -> LineAmounts:
    return tuple((rest.amount, rest.quantity) for rest in head.standing.rests)


def hypothetical_action(
    program: Program, record: Mapping[str, Any], now: datetime, delivered: action_reports.DeliveredRates
) -> Action | Unreadable:
    """An unreported order, as if reported now, or on its event day if that is in the future."""
    read = action_reports.from_record("", record)
    if isinstance(read, Unreadable):
        return read
    try:
        at = max(now, action_reports.parse_event_time(read.fields.get("event_time", ""), program))
    except CellError:
        at = now
    nobody = Delivery.create(
        b"", received_at=at, program=program.id, channel=Channel.CONSOLE, source="", kind=DeliveryKind.ACTIONS
    )
    return action_reports.action_from_report(read, program, nobody, delivered)


# Versions not recorded yet


def with_terms(
    program: Program, document: Mapping[str, Any], now: datetime, lists: Mapping[str, Entries] | None = None
) -> Program:
    """The program with the contract versions that a valid document would add. `lists` are the uploaded ones."""
    return replace(program, contracts=with_versions_of(document, program.contracts, now, lists))


@dataclass(slots=True)
class TermsEffect:
    """The effect of new terms on actions that can still change: payouts per partner before and after.

    `looked`: actions examined; `changed`: those with another payout; `by_action`: those that keep the version of their
    report.
    """

    looked: int = 0
    changed: int = 0
    by_action: int = 0
    partners: dict[str, list[int]] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        return sum(after - before for before, after in self.partners.values())


def terms_effect(
    chosen: Iterable[tuple[Order, Action, ActionHead]], contracts: Sequence[Contract], now: datetime
) -> TermsEffect:
    """The effect if each action changed, or was repriced, once all these versions are valid. Nothing is booked."""
    found = TermsEffect()
    for _, action, head in chosen:
        found.looked += 1
        if contracts[action.contract - 1].basis is TermsBasis.AT_ACTION:
            found.by_action += 1
            continue
        terms = future_terms(contracts, action.event_type, head.standing.partner, now)
        after = (
            price_order(terms, as_of_partner(action, head.standing), remaining_amounts(head)).total
            if terms
            else head.payout
        )
        if after != head.payout:
            found.changed += 1
            sums = found.partners.setdefault(head.standing.partner, [0, 0])
            sums[0] += head.payout
            sums[1] += after
    return found


def future_terms(contracts: Sequence[Contract], event_type: str, partner: str, now: datetime) -> Contract | None:
    """The version that prices changes once all known versions are valid."""
    last = max((start_of_day(one.valid_from, 0, one.time_zone) for one in contracts), default=now)
    return terms_at(contracts, event_type, partner, max(now, last))
