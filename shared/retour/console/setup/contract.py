"""Who is paid what: the contracts as sentences."""

from retour.api import views
from retour.console.request import Response
from retour.console.visit import Visit
from retour.domain.actions.contract import Contract, terms_at


def current(visit: Visit) -> list[Contract]:
    """The newest version of every contract."""
    found: dict[str, Contract] = {}
    for one in visit.program.contracts:
        found[one.name] = one
    return list(found.values())


def contracts(visit: Visit) -> Response:
    asked = visit.request.query.get("order", "").strip()
    paid = []
    if asked:
        order = visit.reader.order_named(asked)
        for action in order.actions:
            head = order.heads.get(action.id)
            if head is not None:
                now = terms_at(visit.program.contracts, action.event_type, head.standing.partner, visit.hub.now())
                document = views.action_document(order, action, head, visit.spoken, visit.hub.now())
                paid.append((document, visit.program.contracts[head.standing.contract - 1], now))
    return visit.render(
        "contracts.html", contracts=current(visit), every=visit.program.contracts, asked=asked, paid=paid
    )
