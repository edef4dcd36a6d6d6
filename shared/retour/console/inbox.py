"""What only a person can decide: each case with what it takes to decide it, and what happens if nobody does."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from urllib.parse import quote

from retour.api import documents, near
from retour.api.documents import Document
from retour.console.actions.record import settled
from retour.console.request import Response, to
from retour.console.today import KINDS, LOOKED_AT, Case, of_kind
from retour.console.visit import Visit
from retour.domain.actions.explain import details
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.intake import correction
from retour.intake.correction import Link

DECISIONS = ("release", "discard")
PAGE = 50
"""Cases of one kind shown at once."""
LOOKED_UP = 20
"""Cases of a page of which the orders are looked at."""
COMPARED = (
    "channel", "source", "sender", "reference", "received_at", "occurred_at", "change", "amount", "quantity", "sku",
    "line", "reason", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A held record beside the one it looks like; `fields` are those that one of them has."""

    held: Document
    other: Document
    fields: Sequence[str]


@dataclass(frozen=True)
class Near:
    """Orders that a waiting row may have meant, and where it can be corrected; `done` where it was."""

    orders: Sequence[str]
    row: str = ""
    done: Link | None = None


@dataclass(frozen=True)
class Card:
    """A case, with what there is to look at: of a possible duplicate both records, of a waiting one near misses."""

    case: Case
    order: str = ""
    held: Document | None = None
    pair: Pair | None = None
    near: Near | None = None


def index(visit: Visit) -> Response:
    kind, dealt = visit.request.query.get("kind", ""), Cards(visit)
    listed = {name: list(islice(of_kind(visit, name), LOOKED_AT + 1)) for name in KINDS}
    shown = [case for some in listed.values() for case in some[:LOOKED_AT]][: LOOKED_AT * 2]
    later = ""
    if kind in KINDS:
        shown = list(islice(of_kind(visit, kind, visit.request.query.get("after", "")), PAGE + 1))
        later = visit.here(after=shown[PAGE - 1].place, told=None) if len(shown) > PAGE else ""
        shown = shown[:PAGE]
    cards = [(case, dealt.card(case)) for case in shown]
    settled = Counter(case.kind for case, card in cards if card is None)
    return visit.render(
        "inbox.html",
        cards=[card for _, card in cards if card is not None],
        counts={name: min(len(some), LOOKED_AT) - settled[name] for name, some in listed.items()},
        beyond={name for name, some in listed.items() if len(some) > LOOKED_AT},
        kind=kind,
        kinds=KINDS,
        later=later,
        told=visit.request.query.get("told", ""),
    )


@dataclass
class Cards:
    """One visit's cards: the orders of the first cases are looked up, and how order ids look here once."""

    visit: Visit
    looked_up: int = 0

    def card(self, case: Case) -> Card | None:
        """None for a case that was settled meanwhile."""
        if not case.record or self.looked_up >= LOOKED_UP:
            return Card(case)
        self.looked_up += 1
        found = self.visit.reader.modification(case.record)
        if found is None:
            return Card(case)
        return self.held(case, *found) if case.kind == "held" else self.waiting(case, *found)

    def held(self, case: Case, order: Order, record: Modification) -> Card | None:
        booked = order.booked(record.id)
        if booked is None or booked[1].outcome is not Outcome.HELD or booked[0].final:
            return None
        program = self.visit.spoken
        document = documents.modification_document(order, record, program)
        doubles = details(order, booked[0], record, program.waiting_days).get("double", "")
        other = order.record(doubles.partition(", ")[0].rpartition("~")[2])
        return Card(case, order.key, document, self.pair(document, order, other) if other else None)

    def pair(self, document: Document, order: Order, other: Modification) -> Pair:
        twin = documents.modification_document(order, other, self.visit.spoken)
        return Pair(document, twin, [name for name in COMPARED if document[name] or twin[name]])

    def waiting(self, case: Case, order: Order, record: Modification) -> Card:
        orders = near.near_orders(self.visit.reader, record.order_key, self.shapes) if record.order_key else []
        if not orders:
            return Card(case)
        header = self.visit.reader.deliveries.get(record.provenance.delivery)
        if header is None or not correction.is_correctable(header.delivery):
            return Card(case, near=Near(orders))
        links = correction.links(self.visit.hub, header.delivery)
        place = record.provenance.place
        row = f"{self.visit.base}/deliveries/{header.delivery.id}/row?place={quote(place, safe='')}"
        return Card(case, near=Near(orders, row, correction.corrected_by(links, place)))

    @cached_property
    def shapes(self) -> list[near.Shape]:
        return near.shapes(self.visit.hub, self.visit.reader)


def settle(visit: Visit) -> Response:
    """A held record let go on, or dropped."""
    what = visit.request.form.get("what", "")
    if what not in DECISIONS:
        raise visit.not_found()
    settled(visit, visit.request.form.get("id", ""), what, ("note",))
    return to(f"{visit.base}/inbox?kind=held&told={what}")
