"""Who is paid what: the contracts as sentences, and any order priced by them, an existing or an invented one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.api import listing
from retour.console.request import Response
from retour.console.setup import said
from retour.console.visit import Visit
from retour.domain.actions.action import Action
from retour.domain.contracts.conditions import OneOf
from retour.domain.contracts.contract import Contract
from retour.domain.program import Program
from retour.domain.row import Unreadable
from retour.sentences import sentence
from retour.setup.terms import Priced, Rests, invented, left, priced, sold

LINES = 3
"""Items that an order can be invented with."""
ABOUT = ("event_type", "partner", "day", "promo_code", "customer_status", "country", "payment_method")
ITEM = ("category", "sku", "quantity", "amount")


def current(visit: Visit) -> list[Contract]:
    """The newest version of every contract that is still declared."""
    newest = {one.name: one for one in visit.program.contracts}
    declared = visit.hub.programs.newest_version(visit.program.id).document["contracts"]
    return [newest[name] for name in declared]


def in_force(visit: Visit, name: str) -> Contract | None:
    """The version of a contract that decides today: the one recorded last of those that have begun."""
    begun = (one for one in reversed(visit.program.contracts) if one.name == name and one.valid_from <= visit.today)
    return next(begun, None)


# An order to be priced


@dataclass(frozen=True)
class Asked:
    """An order that somebody asks about: what is left of one that exists, or an invented one; or why it is neither."""

    given: Mapping[str, str]
    orders: Sequence[tuple[Action, Rests]] = ()
    wrong: str = ""
    lines: int = LINES

    def __bool__(self) -> bool:
        return bool(self.orders or self.wrong)


def asked(visit: Visit, given: Mapping[str, str], opened: Program) -> Asked:
    """By the fields of a form; nothing is asked where neither an order nor an amount stands in it."""
    if name := given.get("order", "").strip():
        chosen = listing.found(visit.hub, visit.reader, listing.Filter(order_id=name))
        orders = [(action, left(head)) for _, action, head in chosen]
        said = visit.words.say("Order %(order)s is not known here.", order=name)
        return Asked(given, orders, "" if orders else said)
    items = [
        {name: value for name in ITEM if (value := given.get(f"{name}:{n}", "").strip())} for n in range(1, LINES + 1)
    ]
    items = [item for item in items if "amount" in item]
    if not items:
        return Asked(given)
    about = {name: given.get(name, "").strip() for name in ABOUT if name != "day"}
    day = given.get("day", "").strip() or visit.today.isoformat()
    record: dict[str, Any] = {**about, "order_id": "–", "event_time": f"{day}T00:00:00", "items": items}
    found = invented(
        opened, {name: value for name, value in record.items() if value}, visit.hub.now(), visit.hub.rates(opened.id).on
    )
    if isinstance(found, Unreadable):
        return Asked(given, wrong=sentence(found.code, found.details, visit.words.language))
    return Asked(given, [(found, sold(found))])


def usual(visit: Visit, terms: Contract) -> dict[str, str]:
    """An order to begin with, which the first rule pays for: the page shows at once how it is meant."""
    first = terms.rules[0]
    partner = min(terms.partners, default=visit.words.say("some partner"))
    asks = {ask.word: ask.wanted for ask in first.asks if not ask.negated}
    values = {word: wanted.values for word, wanted in asks.items() if isinstance(wanted, OneOf)}
    fits = {f"{word}:1": values.get(word, ()) for word in ITEM[:2]} | {word: values.get(word, ()) for word in ABOUT[3:]}
    about = {"event_type": terms.event_type, "partner": partner, "day": visit.today.isoformat(), "amount:1": "60.00"}
    return about | {name: min(values, default="") for name, values in fits.items()}


# Pages


@dataclass(frozen=True)
class Answer:
    """One order by the version that is due for it, and by those that were chosen beside it."""

    action: Action
    due: Priced
    beside: Sequence[Priced] = ()


def contracts(visit: Visit) -> Response:
    query, program = visit.request.query, visit.program
    every = current(visit)
    found = asked(visit, query, program)
    chosen = [one for one in program.contracts if str(one.number) in (query.get("of"), query.get("beside"))]
    answers = [
        Answer(action, priced(due(visit, action), action, rests), [priced(one, action, rests) for one in chosen])
        for action, rests in found.orders
    ]
    return visit.render(
        "contracts.html",
        422 if found.wrong else 200,
        said=said,
        contracts=[(one, in_force(visit, one.name)) for one in every],
        every=program.contracts,
        asked=found if found else Asked({**usual(visit, every[0]), **query}),
        answers=answers,
        event_types=sorted(program.event_types),
    )


def due(visit: Visit, action: Action) -> Contract:
    """The version that the action was booked under last, or would be if it is invented."""
    found = visit.reader.action(action.id) if action.delivery else None
    number = found[2].standing.contract if found else action.contract
    return visit.program.contracts[number - 1]
