"""What a partner sees: their own credit, when it is certain, and why it moved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import islice
from typing import Any

from retour.api import documents, listing
from retour.api.listing import Filter
from retour.console import counted
from retour.console.people import Grant
from retour.console.request import Response, download
from retour.console.spreadsheet import as_csv
from retour.console.visit import Visit
from retour.console.words import Words
from retour.domain.actions.action import Action, State
from retour.domain.actions.order import Head, Order, effect
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.paid import credited
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import text
from retour.schedule.tally import OPEN, Tally

PAGE = 50
"""Orders looked at for a page."""
IN_A_FILE = 3_000
SOON_DAYS = 7
KINDS = ("expected", "earliest", "latest")
COLUMNS = (
    "program", "order_id", "event_time", "state", "amount", "currency", "payout", "payout_currency", "day", "certainty",
)  # fmt: skip


@dataclass(frozen=True)
class Own:
    """One action of the partner's own. `credit`: from when it is certain, as the core says, and why."""

    program: Program
    order: Order
    action: Action
    head: Head
    state: State
    credit: Mapping[str, str]

    @property
    def certainty(self) -> str:
        """none, certain; or expected, earliest, latest, as long as it can change; open while nobody can say."""
        if self.state is State.REVERSED:
            return "none"
        if self.state in (State.LOCKED, State.PAID):
            return "certain"
        return next((kind for kind in KINDS if kind in self.credit), "open")

    @property
    def day(self) -> str:
        return next((self.credit[kind] for kind in KINDS if kind in self.credit), "")

    @property
    def why(self) -> str:
        return self.credit.get("why", "")

    @property
    def because(self) -> str:
        """What stands behind the day in the sentence that says why."""
        return self.why.partition(":")[2].strip()


def grants(visit: Visit) -> list[Grant]:
    found = visit.person.own if visit.person else []
    if not found:
        raise visit.not_found()
    return found


def opened(visit: Visit) -> list[tuple[Visit, Grant]]:
    """The programs this person is a partner in, each with the words of its own time zone."""
    found = []
    for grant in grants(visit):
        program = visit.hub.programs.get(grant.program)
        if program is not None:
            words = Words(visit.words.language, program.time_zone, visit.words.now)
            found.append((replace(visit, opened=program, words=words, memory={}), grant))
    return found


def shown(visit: Visit, partner: str) -> tuple[list[Own], str | None]:
    """A page of what this partner is credited now, and nobody else's, by event month, newest first; and the next."""
    filter_ = Filter(partner=partner)
    query, items = visit.request.query, []
    is_asked = query.get("program") == visit.program.id
    seal = partial(listing.sealed, visit.hub, visit.program, filter_)
    cursor = {"cursor": query["cursor"]} if is_asked and query.get("cursor") else {}
    start = listing.opened_cursor(visit.call(query=cursor), seal)
    for looked, seen in enumerate(listing.candidates(visit.hub, visit.reader, filter_, start), 1):
        found = listing.looked_up(visit.reader, seen)
        if found and found[2].standing.partner == partner:
            items.append(own(visit, *found))
        if looked == PAGE:
            return items, visit.here(program=visit.program.id, cursor=seal(seen[:2]))
    return items, None


def every(visit: Visit, partner: str, most: int) -> Iterator[Own]:
    """All of them, up to so many."""
    for seen in islice(listing.candidates(visit.hub, visit.reader, Filter(partner=partner), None), most):
        found = listing.looked_up(visit.reader, seen)
        if found and found[2].standing.partner == partner:
            yield own(visit, *found)


def own(visit: Visit, order: Order, action: Action, head: Head) -> Own:
    now, contracts = visit.hub.now(), visit.program.contracts
    credit = documents.credit_document(credited(order, action, head, contracts, now), visit.words.language) or {}
    return Own(visit.program, order, action, head, head.state(now), credit)


def credit(visit: Visit) -> Response:
    """What is certain and what is not, in sums as they were counted; below them every order as it is now."""
    blocks = []
    for inner, grant in opened(visit):
        items, later = shown(inner, grant.partner)
        at, tally = counted.of_partner(inner, grant.partner)
        blocks.append({"v": inner, "w": inner.words, "items": items, "later": later, "at": at,
                       "sums": sums(tally, inner.program.currency, inner.today)})  # fmt: skip
    return visit.render("my_credit.html", blocks=blocks, paged="cursor" in visit.request.query)


@dataclass(frozen=True)
class Sums:
    """Of one currency, in minor units. `soon`: what becomes certain within a week if nothing changes."""

    currency: str
    uncertain: int
    certain: int
    soon: int


def sums(tally: Tally, own_currency: str, today: date) -> list[Sums]:
    found = {own_currency: [0, 0, 0]}
    for state, currency, _, payout in tally.by_state():
        of_currency = found.setdefault(currency, [0, 0, 0])
        of_currency[0] += payout if state in OPEN else 0
        of_currency[1] += payout if state == State.LOCKED else 0
    for day, _, currency, _, _, expected in tally.by_lock():
        found[currency][2] += expected if 0 <= (day - today).days <= SOON_DAYS else 0
    return [Sums(currency, *numbers) for currency, numbers in sorted(found.items())]


def credit_csv(visit: Visit) -> Response:
    lines = []
    for inner, grant in opened(visit):
        for one in every(inner, grant.partner, IN_A_FILE):
            lines.append(
                {
                    "program": one.program.id,
                    "order_id": one.action.order_id,
                    "event_time": text(one.action.event_time),
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


def changed(inner: Visit, items: list[Own]) -> list[dict[str, Any]]:
    """Every booked change, with its reason in the partner's language; never who sent it or what they noted."""
    found = []
    for one in items:
        for entry in one.head.log:
            record = one.order.record(entry.id)
            booked = effect(one.order, one.head, entry, one.program.contracts)
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


def changes(visit: Visit) -> Response:
    blocks = []
    for inner, grant in opened(visit):
        items, later = shown(inner, grant.partner)
        blocks.append({"v": inner, "w": inner.words, "changes": changed(inner, items), "looked": len(items),
                       "later": later})  # fmt: skip
    return visit.render("my_changes.html", blocks=blocks, paged="cursor" in visit.request.query)


def order(visit: Visit) -> Response:
    """One action of their own; another's and a missing one look the same."""
    program_id, action_id = visit.request.query.get("program", ""), visit.request.query.get("id", "")
    for inner, grant in opened(visit):
        found = inner.reader.action(action_id) if inner.program.id == program_id else None
        if found and found[2].standing.partner == grant.partner:
            one = own(inner, *found)
            document = documents.action_document(*found, inner.spoken, visit.hub.now())
            return inner.render("my_order.html", one=one, action=document, changes=changed(inner, [one]))
    raise visit.not_found()
