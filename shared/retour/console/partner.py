"""One partner: what is open, by which day; how often its orders come back and why; its terms, and who can see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from retour.console import people, program_counts
from retour.console.page_context import PageContext
from retour.console.partners import FEW_ORDERS, PartnerRow
from retour.console.people import Session, SignInLink
from retour.console.request import Response
from retour.console.setup.contract import current_contracts
from retour.counting.tally import Tally
from retour.domain.contracts.contract import Contract
from retour.views import action_search
from retour.views.action_search import ActionFilter

LATEST = 20


@dataclass(frozen=True)
class MonthSum:
    """What can change until some day of a month, in minor units of a currency."""

    month: date
    currency: str
    actions: int
    payout: int


def show(context: PageContext) -> Response:
    partner = context.request.query.get("id", "")
    at, tally = program_counts.partner_tally(context, partner)
    latest = latest_actions(context, partner)
    if not partner or not (latest or tally.numbers):
        raise context.not_found()
    sessions, links = access(context, partner)
    return context.render(
        "partner.html",
        partner=partner,
        row=PartnerRow(partner, tally),
        known_at=at,
        few=FEW_ORDERS,
        months=month_sums(tally),
        latest=latest,
        contracts=terms_of(context, partner),
        sessions=sessions,
        links=links,
    )


def latest_actions(context: PageContext, partner: str) -> Sequence[Mapping[str, Any]]:
    page = action_search.page_of_actions(context.hub, context.reader, ActionFilter(partner=partner), LATEST)
    found: Sequence[Mapping[str, Any]] = page["items"]
    return found


def month_sums(tally: Tally) -> list[MonthSum]:
    sums: dict[tuple[date, str], list[int]] = {}
    for day, _, currency, actions, payout, _ in tally.by_last_day():
        held = sums.setdefault((day.replace(day=1), currency), [0, 0])
        held[0] += actions
        held[1] += payout
    return [MonthSum(month, currency, *numbers) for (month, currency), numbers in sorted(sums.items())]


def terms_of(context: PageContext, partner: str) -> list[Contract]:
    """The contracts that cover the partner for some event type."""
    types = context.program.event_types
    return [one for one in current_contracts(context) if any(one.covers(name, partner) for name in types)]


def access(context: PageContext, partner: str) -> tuple[list[Session], list[SignInLink]]:
    """Who is signed in to the portal as this partner, and the links that still may be used; for who may know it."""
    if not context.may("set up"):
        return [], []
    program = context.program.id
    sessions = people.open_sessions(context.hub, program)
    links = people.unused_links(context.hub, program)

    def is_theirs(one: Session | SignInLink) -> bool:
        return any(grant.partner == partner and grant.program == program for grant in one.grants)

    return list(filter(is_theirs, sessions)), list(filter(is_theirs, links))
