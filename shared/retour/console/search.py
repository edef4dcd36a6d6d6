"""The search: a whole id leads to what it names; partners and parts of ids are listed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from retour.console import deliveries, labels, program_counts
from retour.console.arrivals import DAYS
from retour.console.cases import delivery_link, record_link
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.store import bulk
from retour.views import action_search, paging
from retour.views.action_search import ActionFilter

PART_CHARS_MIN = 3
"""Shorter parts of ids are in too many to be of use."""
PARTNER_PAGES_MAX = 5
FOUND_MAX = 20
"""Of each kind, as many as a person reads."""


@dataclass(frozen=True)
class Match:
    """Something whose name has what was asked for in it. `beside` says which one it is."""

    name: str
    link: str
    beside: str = ""


@dataclass(frozen=True)
class Matches:
    """`looked` is how many open actions were looked at for parts of ids, `cut` whether there are more of them."""

    partners: list[Match]
    actions: list[Match]
    deliveries: list[Match]
    looked: int
    cut: bool

    def __bool__(self) -> bool:
        return bool(self.partners or self.actions or self.deliveries)


def search(context: PageContext) -> Response:
    given = context.request.query.get("q", "").strip()
    asked = given.lstrip("#")
    if not asked:
        return redirect(f"{context.base}/today")
    if found := named(context, asked, given):
        return redirect(found)
    matches = find_parts(context, asked)
    return context.render("nothing.html", 200 if matches else 404, asked=asked, matches=matches, days=DAYS)


def named(context: PageContext, asked: str, given: str) -> str:
    """The address of what has exactly this id, or name; empty where there is nothing."""
    reader = context.reader
    if paging.is_delivery_id(asked) and reader.deliveries.get(asked):
        return delivery_link(context, asked)
    if "~" in asked and reader.modification(asked):
        return record_link(context, asked)
    if reader.action(asked):
        return f"{context.base}/action?id={quote(asked, safe='')}"
    order = reader.order_by_id(given)
    if len(order.actions) == 1 and order.actions[0].id in order.heads:
        return f"{context.base}/action?id={quote(order.actions[0].id, safe='')}"
    if order.actions:
        return f"{context.base}/actions?order_id={quote(asked, safe='')}"
    if order.records:
        return record_link(context, order.records[0].public_id)
    if program_counts.rollup_store(context).partner(asked):
        return partner_link(context, asked)
    recent = deliveries.recent_headers(context, DAYS)
    same = [one for one in recent if asked.lower() in (one.delivery.sha256, one.delivery.name.lower())]
    return delivery_link(context, same[0].delivery.id) if same else ""


def partner_link(context: PageContext, partner: str) -> str:
    return f"{context.base}/partner?id={quote(partner, safe='')}"


def find_parts(context: PageContext, asked: str) -> Matches:
    """Partners by a part of their id, open actions and recent deliveries by a part of theirs."""
    part = asked.casefold()
    partners = islice((one for one in partners_known(context) if part in one.casefold()), FOUND_MAX)
    found = [Match(one, partner_link(context, one)) for one in partners]
    if len(part) < PART_CHARS_MIN:
        return Matches(found, [], [], 0, False)
    most = action_search.HEADS_MAX
    seen = list(islice(action_search.candidates(context.hub, context.reader, ActionFilter(open_only=True), None), most))
    fitting = [one for one in seen if part in one[2].casefold() or part in one[3].casefold()][:FOUND_MAX]
    listed = bulk.load_listed_actions(context.hub.ledger(context.program), [one[2:] for one in fitting])
    actions = [
        Match(one.action.order_id, f"{context.base}/action?id={quote(one.action.id, safe='')}", one.partner)
        for one in listed
    ]
    headers = (
        one
        for one in deliveries.recent_headers(context, DAYS)
        if part in one.delivery.name.casefold() or part in one.delivery.id.casefold()
    )
    files = [
        Match(one.delivery.name or labels.kind(context.words, one.delivery.kind),
              delivery_link(context, one.delivery.id), context.words.moment(one.delivery.received_at))
        for one in islice(headers, FOUND_MAX)
    ]  # fmt: skip
    return Matches(found, actions, files, len(seen), len(seen) == most)


def partners_known(context: PageContext) -> Iterator[str]:
    """Those that the newest count knows, the largest first, as far as a page looks."""
    store, known = program_counts.rollup_store(context), program_counts.load_counts(context)
    for number in range(min(known.pages, PARTNER_PAGES_MAX)):
        yield from (doc["partner"] for doc in (store.page(number) or {"lines": ()})["lines"])
