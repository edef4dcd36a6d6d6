"""retour actions: find actions by lock, partner or state, or show one with its history."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.client import ApiError, HubClient
from retour.cli.hub import hub_and_program
from retour.cli.ledger import print_more_hint
from retour.cli.screen import echo, print_facts, print_json, print_table
from retour.cli.statements import payment_text

COLUMNS = ("id", "order_id", "partner", "state", "currency", "amount", "payout", "locks_at", "changes")


def actions(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/actions"
    if arguments.id:
        action = find_action(hub, path, arguments.id, arguments.as_of)
        print_json(action) if arguments.json else show_action(action)
        return 0
    found = hub.items(path, arguments.limit, **action_filters(arguments))
    if arguments.json:
        print_json(found)
        return 0
    print_table(COLUMNS, ([item.get(column) for column in COLUMNS] for item in found["items"]))
    print_more_hint(found)
    return 0


def action_filters(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {
        "partner": arguments.partner,
        "state": arguments.state,
        "event_type": arguments.event_type,
        "locks_after": arguments.locks_after,
        "locks_before": arguments.locks_before,
    }


def find_action(hub: HubClient, path: str, wanted: str, as_of: str | None = None) -> dict[str, Any]:
    """Find an action by its id, else the newest action of the order with that id."""
    try:
        return dict(hub.get(f"{path}/{quote(wanted, safe='')}", as_of=as_of))
    except ApiError as refused:
        if refused.status != 404:
            raise
        items = hub.items(path, 1, order_id=wanted)["items"]
        if not items or items[0]["id"] == wanted:
            raise
        return dict(hub.get(f"{path}/{quote(items[0]['id'], safe='')}", as_of=as_of))


def show_action(action: Mapping[str, Any]) -> None:
    if action.get("as_of"):
        echo(f"As it stood on {action['as_of']}.", style="yellow")
    if action.get("sentence"):
        echo(action["sentence"], style="bold")
    if credit := action.get("credit"):
        echo(credit["why"])
    echo("")
    names = ("id", "order_id", "event_type", "partner", "event_time", "state", "currency", "amount")
    print_facts((name, action.get(name)) for name in names)
    payout = f"{action.get('payout')} {action.get('payout_currency') or ''}".strip()
    print_facts([("payout", payout), ("locks_at", action.get("locks_at")), ("parent", action.get("parent"))])
    if stated := action.get("statement"):
        print_facts([("statement", f"{stated['number']} of {stated['day']}, due on {stated['due']}"),
                     ("payment", payment_text(stated["payment"]))])  # fmt: skip
    if action.get("changes"):
        print_facts(
            [("changes", f"{action['changes']}, {action.get('changes_left', '')} left".removesuffix(",  left"))]
        )
    echo("")
    columns = ("line", "sku", "category", "quantity", "sold", "amount", "payout", "rule")
    rows = (
        [item.get("sold", {}).get("quantity") if column == "sold" else item.get(column) for column in columns]
        for item in action.get("items", ())
    )
    print_table(columns, rows)
    for event in action.get("history", ()):
        echo("")
        show_event(event)


def show_event(event: Mapping[str, Any]) -> None:
    """Print one entry of the history: time and code, effect, source."""
    said = [str(event.get("change", "")), *change_values(event)]
    echo(f"{event.get('applied_at') or event.get('received_at', '')}  {' '.join(said)}  {event.get('outcome', '')}")
    effect = event.get("effect") or {}
    if effect:
        moves = ", ".join(
            f"{what} {effect[what]['before']} → {effect[what]['after']} {effect.get(currency) or effect['currency']}"
            for what, currency in (("amount", "currency"), ("payout", "payout_currency"))
            if effect.get(what)
        )
        terms = event.get("terms") or {}
        by = f" by {terms['name']} v{terms['version']}" if terms else ""
        other = event.get("other_basis")
        otherwise = f" ({other['basis']} would have given {other['payout']})" if other else ""
        echo(f"    {moves}{by}{otherwise}")
    if event.get("explanation"):
        echo(f"    {event['explanation']} [{event.get('code', '')}]")
    place = "/".join(str(event[name]) for name in ("channel", "source", "object", "place") if event.get(name))
    who = f" by {event['sender']}" if event.get("sender") else ""
    echo(f"    {place}{who}  {event.get('id', '')}", style="dim")


def change_values(event: Mapping[str, Any]) -> list[str]:
    names = ("amount", "currency", "quantity", "status", "partner", "undoes", "sku", "line", "reason", "disposition")
    return [str(event[name]) for name in (*names, "note") if event.get(name) not in (None, "")]
