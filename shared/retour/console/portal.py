"""The partner portal: the partner's own credit, when it is certain, and why it changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import islice
from typing import Any

from retour.console import program_counts
from retour.console.page_context import PageContext
from retour.console.people import Grant
from retour.console.request import Response, download
from retour.console.spreadsheet import as_csv
from retour.console.words import Words
from retour.counting.tally import OPEN_STATES, Tally
from retour.domain.actions.action import Action, LifecycleState
from retour.domain.actions.order import ActionHead, Order, effect_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.payout_details import credit_date
from retour.domain.funding.payments import PaymentState
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.views import action_search, documents
from retour.views.action_search import ActionFilter
from retour.views.schemas import StatementInShortDocument
from retour.views.statements import StatedActions

PAGE_SCAN_MAX = 50
"""Orders read per page."""
EXPORT_MAX = 3_000
SOON_DAYS = 7
CREDIT_KINDS = ("expected", "earliest", "latest")
COLUMNS = (
    "program", "order_id", "event_time", "state", "amount", "currency", "payout", "payout_currency", "day", "certainty",
)  # fmt: skip


@dataclass(frozen=True)
class PartnerAction:
    """A partner's action. `credit`: when it is certain, and why."""

    program: Program
    order: Order
    action: Action
    head: ActionHead
    state: LifecycleState
    credit: Mapping[str, Any]
    stated: StatementInShortDocument | None = None

    @property
    def certainty(self) -> str:
        """none, certain; expected, earliest or latest while it can change; open if unknown."""
        if self.state is LifecycleState.REVERSED:
            return "none"
        if self.state in (LifecycleState.LOCKED, LifecycleState.PAID):
            return "certain"
        return next((kind for kind in CREDIT_KINDS if kind in self.credit), "open")

    @property
    def day(self) -> str:
        return next((self.credit[kind] for kind in CREDIT_KINDS if kind in self.credit), "")

    @property
    def why(self) -> str:
        return str(self.credit.get("why", ""))

    @property
    def because(self) -> str:
        """The reason for the day in the sentence."""
        return self.why.partition(":")[2].strip()


def partner_grants(context: PageContext) -> list[Grant]:
    found = context.person.own if context.person else []
    if not found:
        raise context.not_found()
    return found


def partner_programs(context: PageContext) -> list[tuple[PageContext, Grant]]:
    """The programs in which this person is a partner, each with its own time zone."""
    found = []
    for grant in partner_grants(context):
        program = context.hub.programs.get(grant.program)
        if program is not None:
            words = Words(context.words.language, program.time_zone, context.words.now)
            found.append((replace(context, opened=program, words=words, memory={}), grant))
    return found


def page_of_actions(context: PageContext, partner: str) -> tuple[list[PartnerAction], str | None]:
    """A page of the partner's own actions by event month, newest first, and the next cursor."""
    filter_ = ActionFilter(partner=partner)
    query, items = context.request.query, []
    is_asked = query.get("program") == context.program.id
    seal = partial(action_search.sign_cursor, context.hub, context.program, filter_)
    start = action_search.verify_cursor(query.get("cursor") or None if is_asked else None, seal)
    for looked, seen in enumerate(action_search.candidates(context.hub, context.reader, filter_, start), 1):
        found = action_search.load_action(context.reader, seen)
        if found and found[2].standing.partner == partner:
            items.append(partner_action(context, *found))
        if looked == PAGE_SCAN_MAX:
            return items, context.here(program=context.program.id, cursor=seal(seen[:2]))
    return items, None


def iter_actions(context: PageContext, partner: str, most: int) -> Iterator[PartnerAction]:
    """Up to `most` of the partner's actions."""
    for seen in islice(
        action_search.candidates(context.hub, context.reader, ActionFilter(partner=partner), None), most
    ):
        found = action_search.load_action(context.reader, seen)
        if found and found[2].standing.partner == partner:
            yield partner_action(context, *found)


def partner_action(context: PageContext, order: Order, action: Action, head: ActionHead) -> PartnerAction:
    now, contracts = context.hub.now(), context.program.contracts
    credit = documents.credit_document(credit_date(order, action, head, contracts, now), context.words.language) or {}
    stated, state = stated_actions(context, head.standing.partner).statement_of(action, head), head.state(now)
    if state is LifecycleState.LOCKED and stated and stated["payment"]["state"] == PaymentState.PAID:
        state = LifecycleState.PAID
    return PartnerAction(context.program, order, action, head, state, credit, stated)


def stated_actions(context: PageContext, partner: str) -> StatedActions:
    """The content of the partner's statements, loaded once per page."""
    place = f"stated#{partner}"
    if place not in context.memory:
        context.memory[place] = StatedActions(context.hub, context.program, partner)
    found: StatedActions = context.memory[place]
    return found


def credit_page(context: PageContext) -> Response:
    """Counted sums of what is certain and what is not, and below them the current orders."""
    blocks = []
    for inner, grant in partner_programs(context):
        items, later = page_of_actions(inner, grant.partner)
        at, tally = program_counts.partner_tally(inner, grant.partner)
        blocks.append({"v": inner, "w": inner.words, "items": items, "later": later, "at": at,
                       "sums": credit_sums(tally, inner.program.currency, inner.today,
                                           stated_actions(inner, grant.partner).sums())})  # fmt: skip
    return context.render("my_credit.html", blocks=blocks, paged="cursor" in context.request.query)


@dataclass(frozen=True)
class CreditSums:
    """Sums of one currency in minor units: open, locked but not stated, stated but not paid, paid.

    `soon`: what becomes certain within a week if nothing changes.
    """

    currency: str
    uncertain: int
    certain: int
    soon: int
    stated: int = 0
    paid: int = 0

    @property
    def locked(self) -> int:
        """Locked sums are from the nightly count, statements are current: what was stated since is subtracted."""
        return max(self.certain - self.stated - self.paid, 0)


def credit_sums(
    tally: Tally, own_currency: str, today: date, on_statements: tuple[int, int] = (0, 0)
) -> list[CreditSums]:
    found = {own_currency: [0, 0, 0]}
    for state, currency, _, payout in tally.by_state():
        of_currency = found.setdefault(currency, [0, 0, 0])
        of_currency[0] += payout if state in OPEN_STATES else 0
        of_currency[1] += payout if state == LifecycleState.LOCKED else 0
    for day, _, currency, _, _, expected in tally.by_lock():
        found[currency][2] += expected if 0 <= (day - today).days <= SOON_DAYS else 0
    return [
        CreditSums(currency, *numbers, *(on_statements if currency == own_currency else ()))
        for currency, numbers in sorted(found.items())
    ]


def credit_csv(context: PageContext) -> Response:
    lines = []
    for inner, grant in partner_programs(context):
        for one in iter_actions(inner, grant.partner, EXPORT_MAX):
            lines.append(
                {
                    "program": one.program.id,
                    "order_id": one.action.order_id,
                    "event_time": format_instant(one.action.event_time),
                    "state": one.state.value,
                    "amount": to_text(one.head.standing.amount, one.action.currency),
                    "currency": one.action.currency,
                    "payout": to_text(one.head.payout, one.program.currency),
                    "payout_currency": one.program.currency,
                    "day": one.day,
                    "certainty": one.certainty,
                }
            )
    return download("credit.csv", as_csv(COLUMNS, lines), "text/csv; charset=utf-8")


def booked_changes(inner: PageContext, items: list[PartnerAction]) -> list[dict[str, Any]]:
    """Every booked change with its reason; never its sender or note."""
    found = []
    for one in items:
        for entry in one.head.log:
            record = one.order.record(entry.id)
            booked = effect_of(one.order, one.head, entry, one.program.contracts)
            if record is None or booked is None or entry.outcome is not Outcome.APPLIED:
                continue
            found.append(
                {
                    "at": entry.applied_at,
                    "action": one.action,
                    "change": record.verb,
                    "reason": record.reason,
                    "effect": documents.effect_document(booked),
                    "status": getattr(record.change, "status", ""),
                }
            )
    return sorted(found, key=lambda change: change["at"], reverse=True)


def changes_page(context: PageContext) -> Response:
    blocks = []
    for inner, grant in partner_programs(context):
        items, later = page_of_actions(inner, grant.partner)
        blocks.append({"v": inner, "w": inner.words, "changes": booked_changes(inner, items), "looked": len(items),
                       "later": later})  # fmt: skip
    return context.render("my_changes.html", blocks=blocks, paged="cursor" in context.request.query)


def order_page(context: PageContext) -> Response:
    """One of the partner's actions; foreign and missing ones are not distinguished."""
    program_id, action_id = context.request.query.get("program", ""), context.request.query.get("id", "")
    for inner, grant in partner_programs(context):
        found = inner.reader.action(action_id) if inner.program.id == program_id else None
        if found and found[2].standing.partner == grant.partner:
            one = partner_action(inner, *found)
            document = documents.action_document(*found, inner.localized_program, context.hub.now())
            return inner.render("my_order.html", one=one, action=document, changes=booked_changes(inner, [one]))
    raise context.not_found()
