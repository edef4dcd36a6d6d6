"""retour act | undo | release | discard: what people decide about actions, records and deliveries."""

import argparse
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.actions import filters
from retour.cli.client import Usage
from retour.cli.deliveries import finished, verdict
from retour.cli.hub import hub_and_program
from retour.cli.ledger import by_other_basis, moved, show_batch
from retour.cli.screen import counted, say, show_json, table

BATCH = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]+")
VALUES = (
    "reason", "note", "disposition", "sku", "line", "amount", "currency", "quantity", "partner_to", "to", "record",
)  # fmt: skip
SENT_AS = {"partner_to": "partner", "to": "status", "record": "undoes"}
"""Where an option is called otherwise, since the filters have the name."""


def act(arguments: argparse.Namespace) -> int:
    """One act on the actions named, or on all that the filters find; rehearsed with --dry-run."""
    hub, program = hub_and_program(arguments)
    wanted = {name: value for name, value in filters(arguments).items() if value is not None}
    if bool(arguments.ids) == bool(wanted):
        raise Usage("Say which actions: their ids, or filters such as --partner and --locks-before, but not both.")
    values = {SENT_AS.get(name, name): getattr(arguments, name) for name in VALUES if getattr(arguments, name)}
    if arguments.act == "raise-limit":
        if len(arguments.ids) != 1:
            raise Usage("The limit is raised for one action at a time: say its id.")
        values["to"] = values.pop("status")
    if arguments.change:
        values["change"] = arguments.change
    path, what = f"/v1/programs/{program}/actions", arguments.act
    if len(arguments.ids) == 1:
        path, document = f"{path}/{quote(arguments.ids[0], safe='')}/{what}", values
    else:
        path = f"{path}/acts"
        document = {"act": what, **values, **({"actions": arguments.ids} if arguments.ids else {"filter": wanted})}
    return told(arguments, hub.post(path, document | form(arguments), dry_run=arguments.dry_run or None))


def form(arguments: argparse.Namespace) -> dict[str, str]:
    """A form has an id of its own, so that asking again after a cut line does nothing twice."""
    return {} if arguments.dry_run else {"reference": f"cli-{secrets.token_hex(8)}"}


def undo(arguments: argparse.Namespace) -> int:
    """A record, or all of a delivery."""
    return settle(arguments, "undo")


def release(arguments: argparse.Namespace) -> int:
    return settle(arguments, "release")


def discard(arguments: argparse.Namespace) -> int:
    return settle(arguments, "discard")


def settle(arguments: argparse.Namespace, what: str) -> int:
    """An id of a batch has a form of its own; any other is that of a record."""
    if BATCH.fullmatch(arguments.id) and what != "undo":
        from retour.cli.decisions import decide

        return decide(arguments, what)
    hub, program = hub_and_program(arguments)
    kind = "batches" if BATCH.fullmatch(arguments.id) else "modifications"
    path = f"/v1/programs/{program}/{kind}/{quote(arguments.id, safe='')}/{what}"
    said = {name: value for name in ("reason", "note") if (value := getattr(arguments, name))}
    answer = hub.post(path, said | form(arguments), dry_run=arguments.dry_run or None)
    if what == "release" and not (arguments.dry_run or arguments.json or verdict(answer)):
        # The decision itself moves nothing; the record that it let go does.
        answer["outcomes"] = [hub.get(path.removesuffix(f"/{what}"))]
    if answer.get("state") == "arriving":
        batch = finished(hub, program, {"id": answer["batch"]})
        show_json(batch) if arguments.json else show_batch(batch)
        return verdict(batch)
    return told(arguments, answer)


def told(arguments: argparse.Namespace, answer: Mapping[str, Any]) -> int:
    if arguments.json:
        show_json(answer)
    else:
        show(answer)
    return verdict(dict(answer))


def show(answer: Mapping[str, Any]) -> None:
    dry = "nothing is written; it would be " if answer.get("dry_run") else ""
    say(f"{answer.get('batch') or 'dry run'}: {dry}{counted(answer.get('counts') or {})}.")
    columns = ("action_id", "outcome", "code")
    rows = (
        (
            *(row.get(column) or row.get("order_id") for column in columns[:1]),
            *(row.get(column) for column in columns[1:]),
            moved(row.get("effect"), "amount"),
            moved(row.get("effect"), "payout") + by_other_basis(row),
            row.get("explanation"),
        )
        for row in answer.get("outcomes", ())
    )
    table((*columns, "amount before → after", "payout before → after", "explanation"), rows)
    if looked := answer.get("looked"):
        say(f"… it looked at the first {looked['records']} of {looked['of']}.", style="dim")
    if answer.get("children"):
        say("")
        children = ((one.get("action_id"), one.get("change"), one.get("outcome")) for one in answer["children"])
        table(("child", "change", "outcome"), children)
    if answer.get("partners"):
        say("")
        partners = (
            (one["partner"], one["actions"], *(one["payout"][name] for name in ("before", "after", "difference")))
            for one in answer["partners"]
        )
        table(("partner", "actions", "payout before", "after", "difference"), partners)
