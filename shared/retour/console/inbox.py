"""Cases that only a person can decide: what the decision needs, and what happens without one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour.console.actions.record import send_decision
from retour.console.cases import CASES_SCAN_MAX, KINDS, Case, CaseGroup, grouped_cases, of_kind
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.domain.actions.explain import sentence_details
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.intake import correction
from retour.intake.correction import CorrectionLink
from retour.views import documents, similar_orders
from retour.views.schemas import ModificationDocument

DECISIONS = ("release", "discard")
PAGE = 50
"""Cases per kind and page."""
LOOKUPS_MAX = 20
"""Cases per page whose orders are read."""
COMPARED_FIELDS = (
    "channel", "source", "sender", "reference", "received_at", "occurred_at", "change", "amount", "quantity", "sku",
    "line", "reason", "note",
)  # fmt: skip


@dataclass(frozen=True)
class DuplicatePair:
    """A held record and the one it may repeat. `fields` are those that either has."""

    held: ModificationDocument
    other: ModificationDocument
    fields: Sequence[str]


@dataclass(frozen=True)
class SimilarOrders:
    """Orders a waiting row may have meant, and where it can be corrected; `done` if it was."""

    orders: Sequence[str]
    row: str = ""
    done: CorrectionLink | None = None


@dataclass(frozen=True)
class Card:
    """A case with its details: both records of a possible duplicate, similar orders of a waiting one."""

    case: Case
    order: str = ""
    held: ModificationDocument | None = None
    pair: DuplicatePair | None = None
    near: SimilarOrders | None = None


@dataclass(frozen=True)
class InboxLine:
    """One line of the inbox; `cards` are what opens below it: both records, near misses, or each of many."""

    group: CaseGroup
    cards: Sequence[Card]

    @property
    def card(self) -> Card:
        return self.cards[0]

    @property
    def opens(self) -> bool:
        return len(self.cards) > 1 or bool(self.card.pair or self.card.near)


def index(context: PageContext) -> Response:
    kind, dealt = context.request.query.get("kind", ""), CardBuilder(context)
    listed = {name: list(islice(of_kind(context, name), CASES_SCAN_MAX + 1)) for name in KINDS}
    shown = [case for some in listed.values() for case in some[:CASES_SCAN_MAX]][: CASES_SCAN_MAX * 2]
    later = ""
    if kind in KINDS:
        shown = list(islice(of_kind(context, kind, context.request.query.get("after", "")), PAGE + 1))
        later = context.here(after=shown[PAGE - 1].place, told=None) if len(shown) > PAGE else ""
        shown = shown[:PAGE]
    cards = {case: dealt.card(case) for case in shown}
    settled = Counter(case.kind for case, card in cards.items() if card is None)
    groups = grouped_cases(context, [case for case, card in cards.items() if card is not None])
    lines = [InboxLine(one, [card for case in one.cases if (card := cards[case])]) for one in groups]
    return context.render(
        "inbox.html",
        lines=lines,
        counts={name: CASES_SCAN_MAX if len(some) > CASES_SCAN_MAX else len(some) - settled[name]
                for name, some in listed.items()},
        beyond={name for name, some in listed.items() if len(some) > CASES_SCAN_MAX},
        kind=kind,
        kinds=KINDS,
        later=later,
        told=context.request.query.get("told", ""),
        opened=context.request.query.get("open", ""),
    )  # fmt: skip


@dataclass
class CardBuilder:
    """Builds a page's cards. The orders of the first cases are read, and order id formats sampled once."""

    context: PageContext
    looked_up: int = 0

    def card(self, case: Case) -> Card | None:
        """A card; None if the case was settled meanwhile."""
        if not case.record or self.looked_up >= LOOKUPS_MAX:
            return Card(case)
        self.looked_up += 1
        found = self.context.reader.modification(case.record)
        if found is None:
            return Card(case)
        return self.held(case, *found) if case.kind == "held" else self.waiting(case, *found)

    def held(self, case: Case, order: Order, record: Modification) -> Card | None:
        booked = order.booking_of(record.id)
        if booked is None or booked[1].outcome is not Outcome.HELD or booked[0].final:
            return None
        program = self.context.localized_program
        document = documents.modification_document(order, record, program)
        doubles = sentence_details(order, booked[0], record, program.waiting_days, program.time_zone).get("double", "")
        other = order.record(doubles.partition(", ")[0].rpartition("~")[2])
        return Card(case, order.key, document, self.pair(document, order, other) if other else None)

    def pair(self, document: ModificationDocument, order: Order, other: Modification) -> DuplicatePair:
        twin = documents.modification_document(order, other, self.context.localized_program)
        shown: Sequence[Mapping[str, Any]] = (document, twin)
        return DuplicatePair(document, twin, [name for name in COMPARED_FIELDS if any(one[name] for one in shown)])

    def waiting(self, case: Case, order: Order, record: Modification) -> Card:
        orders = (
            similar_orders.similar_order_ids(self.context.reader, record.order_key, self.shapes)
            if record.order_key
            else []
        )
        if not orders:
            return Card(case)
        header = self.context.reader.deliveries.get(record.provenance.delivery)
        if header is None or not correction.is_correctable(header.delivery):
            return Card(case, near=SimilarOrders(orders))
        links = correction.correction_links(self.context.hub, header.delivery)
        place = record.provenance.place
        row = f"{self.context.base}/deliveries/{header.delivery.id}/row?place={quote(place, safe='')}"
        return Card(case, near=SimilarOrders(orders, row, correction.newest_correction(links, place)))

    @cached_property
    def shapes(self) -> list[similar_orders.OrderIdShape]:
        return similar_orders.order_id_shapes(self.context.hub, self.context.reader)


def decide_held_record(context: PageContext) -> Response:
    """Release or discard a held record."""
    what = context.request.form.get("what", "")
    if what not in DECISIONS:
        raise context.not_found()
    send_decision(context, context.request.form.get("id", ""), what, ("note",))
    return redirect(f"{context.base}/inbox?kind=held&told={what}")
