"""Contracts as sentences, with a calculator for real or invented orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.console.setup import explain
from retour.domain.actions.action import Action
from retour.domain.contracts.conditions import OneOf
from retour.domain.contracts.contract import Contract
from retour.domain.program import Program
from retour.domain.row import Unreadable
from retour.previews.terms import (
    LineAmounts,
    PricedOrder,
    hypothetical_action,
    price_order,
    remaining_amounts,
    sold_amounts,
)
from retour.sentences import sentence
from retour.views import action_search

ITEMS_MAX = 3
"""Items of an invented order."""
ORDER_FIELDS = ("event_type", "partner", "day", "promo_code", "customer_status", "country", "payment_method")
ITEM_FIELDS = ("category", "sku", "quantity", "amount")


def current_contracts(context: PageContext) -> list[Contract]:
    """The newest version of every contract still declared."""
    newest = {one.name: one for one in context.program.contracts}
    declared = context.hub.programs.newest_version(context.program.id).document["contracts"]
    return [newest[name] for name in declared]


def in_force(context: PageContext, name: str) -> Contract | None:
    """The version in force today: the one recorded last of those that have begun."""
    begun = (one for one in reversed(context.program.contracts) if one.name == name and one.valid_from <= context.today)
    return next(begun, None)


# Calculator input


@dataclass(frozen=True)
class OrderQuery:
    """An order to price: what is left of a real one, or an invented one; or the error."""

    given: Mapping[str, str]
    orders: Sequence[tuple[Action, LineAmounts]] = ()
    wrong: str = ""
    lines: int = ITEMS_MAX

    def __bool__(self) -> bool:
        return bool(self.orders or self.wrong)


def parse_order_query(context: PageContext, given: Mapping[str, str], program: Program) -> OrderQuery:
    """Parse the form. Without an order or amount there is nothing to price."""
    if name := given.get("order", "").strip():
        chosen = action_search.find_actions(context.hub, context.reader, action_search.ActionFilter(order_id=name))
        orders = [(action, remaining_amounts(head)) for _, action, head in chosen]
        said = context.words.say("Order %(order)s is not known here.", order=name)
        return OrderQuery(given, orders, "" if orders else said)
    items = [
        {name: value for name in ITEM_FIELDS if (value := given.get(f"{name}:{n}", "").strip())}
        for n in range(1, ITEMS_MAX + 1)
    ]
    items = [item for item in items if "amount" in item]
    if not items:
        return OrderQuery(given)
    about = {name: given.get(name, "").strip() for name in ORDER_FIELDS if name != "day"}
    day = given.get("day", "").strip() or context.today.isoformat()
    record: dict[str, Any] = {**about, "order_id": "–", "event_time": f"{day}T00:00:00", "items": items}
    found = hypothetical_action(
        program,
        {name: value for name, value in record.items() if value},
        context.hub.now(),
        context.hub.rates(program.id).on,
    )
    if isinstance(found, Unreadable):
        return OrderQuery(given, wrong=sentence(found.code, found.details, context.words.language))
    return OrderQuery(given, [(found, sold_amounts(found))])


def example_order(context: PageContext, terms: Contract) -> dict[str, str]:
    """An example order that the first rule pays for."""
    first = terms.rules[0]
    partner = min(terms.partners, default=context.words.say("some partner"))
    asks = {ask.word: ask.wanted for ask in first.asks if not ask.negated}
    values = {word: wanted.values for word, wanted in asks.items() if isinstance(wanted, OneOf)}
    fits = {f"{word}:1": values.get(word, ()) for word in ITEM_FIELDS[:2]} | {
        word: values.get(word, ()) for word in ORDER_FIELDS[3:]
    }
    about = {"event_type": terms.event_type, "partner": partner, "day": context.today.isoformat(), "amount:1": "60.00"}
    return about | {name: min(values, default="") for name, values in fits.items()}


# Pages


@dataclass(frozen=True)
class PricingAnswer:
    """An order priced by the version in force and by selected others."""

    action: Action
    due: PricedOrder
    beside: Sequence[PricedOrder] = ()


def contracts_page(context: PageContext) -> Response:
    query, program = context.request.query, context.program
    every = current_contracts(context)
    found = parse_order_query(context, query, program)
    chosen = [one for one in program.contracts if str(one.number) in (query.get("of"), query.get("beside"))]
    answers = [
        PricingAnswer(
            action,
            price_order(due_terms(context, action), action, rests),
            [price_order(one, action, rests) for one in chosen],
        )
        for action, rests in found.orders
    ]
    return context.render(
        "contracts.html",
        422 if found.wrong else 200,
        explain=explain,
        contracts=[(one, in_force(context, one.name)) for one in every],
        every=program.contracts,
        asked=found if found else OrderQuery({**example_order(context, every[0]), **query}),
        answers=answers,
        event_types=sorted(program.event_types),
    )


def due_terms(context: PageContext, action: Action) -> Contract:
    """The version the action was last booked under, or for an invented order the one in force."""
    found = context.reader.action(action.id) if action.delivery else None
    number = found[2].standing.contract if found else action.contract
    return context.program.contracts[number - 1]
