"""retour act | undo | release | discard: people's decisions on actions, records and deliveries."""

import argparse
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.actions import action_filters
from retour.cli.client import UsageError
from retour.cli.deliveries import exit_code, wait_until_finished
from retour.cli.hub import hub_and_program
from retour.cli.ledger import format_change, format_other_basis, show_batch
from retour.cli.screen import echo, format_counts, print_json, print_table

BATCH_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]+")
ACT_FIELDS = (
    "reason", "note", "disposition", "sku", "line", "amount", "currency", "quantity", "partner_to", "to", "record",
)  # fmt: skip
FIELD_NAMES = {"partner_to": "partner", "to": "status", "record": "undoes"}
"""Options named differently from their fields, because filters use the name."""


def act(arguments: argparse.Namespace) -> int:
    """Act on the named actions, or on all that match the filters; --dry-run simulates."""
    hub, program = hub_and_program(arguments)
    wanted = {name: value for name, value in action_filters(arguments).items() if value is not None}
    if bool(arguments.ids) == bool(wanted):
        raise UsageError("Name the actions by id or by filters such as --partner and --locks-before, not both.")
    values = {FIELD_NAMES.get(name, name): getattr(arguments, name) for name in ACT_FIELDS if getattr(arguments, name)}
    if arguments.act == "raise-limit":
        if len(arguments.ids) != 1:
            raise UsageError("The limit is raised for one action at a time: say its id.")
        values["to"] = values.pop("status")
    if arguments.change:
        values["change"] = arguments.change
    path, what = f"/v1/programs/{program}/actions", arguments.act
    if len(arguments.ids) == 1:
        path, document = f"{path}/{quote(arguments.ids[0], safe='')}/{what}", values
    else:
        path = f"{path}/acts"
        document = {"act": what, **values, **({"actions": arguments.ids} if arguments.ids else {"filter": wanted})}
    return print_outcome(
        arguments, hub.post(path, document | form_reference(arguments), dry_run=arguments.dry_run or None)
    )


def form_reference(arguments: argparse.Namespace) -> dict[str, str]:
    """A new form id, so that a repeated request has no effect."""
    return {} if arguments.dry_run else {"reference": f"cli-{secrets.token_hex(8)}"}


def undo(arguments: argparse.Namespace) -> int:
    """Undo a record or a delivery."""
    return send_decision(arguments, "undo")


def release(arguments: argparse.Namespace) -> int:
    return send_decision(arguments, "release")


def discard(arguments: argparse.Namespace) -> int:
    return send_decision(arguments, "discard")


def send_decision(arguments: argparse.Namespace, what: str) -> int:
    """Send a decision. Batch ids have their own format; all others are records."""
    if BATCH_ID.fullmatch(arguments.id) and what != "undo":
        from retour.cli.decisions import decide_batch

        return decide_batch(arguments, what)
    hub, program = hub_and_program(arguments)
    kind = "batches" if BATCH_ID.fullmatch(arguments.id) else "modifications"
    path = f"/v1/programs/{program}/{kind}/{quote(arguments.id, safe='')}/{what}"
    said = {name: value for name in ("reason", "note") if (value := getattr(arguments, name))}
    answer = hub.post(path, said | form_reference(arguments), dry_run=arguments.dry_run or None)
    if what == "release" and not (arguments.dry_run or arguments.json or exit_code(answer)):
        # The decision has no effect of its own; the released record has.
        answer["outcomes"] = [hub.get(path.removesuffix(f"/{what}"))]
    if answer.get("state") == "arriving":
        batch = wait_until_finished(hub, program, {"id": answer["batch"]})
        print_json(batch) if arguments.json else show_batch(batch)
        return exit_code(batch)
    return print_outcome(arguments, answer)


def print_outcome(arguments: argparse.Namespace, answer: Mapping[str, Any]) -> int:
    if arguments.json:
        print_json(answer)
    else:
        print_answer(answer)
    return exit_code(dict(answer))


def print_answer(answer: Mapping[str, Any]) -> None:
    dry = "nothing is written; it would be " if answer.get("dry_run") else ""
    echo(f"{answer.get('batch') or 'dry run'}: {dry}{format_counts(answer.get('counts') or {})}.")
    columns = ("action_id", "outcome", "code")
    rows = (
        (
            *(row.get(column) or row.get("order_id") for column in columns[:1]),
            *(row.get(column) for column in columns[1:]),
            format_change(row.get("effect"), "amount"),
            format_change(row.get("effect"), "payout") + format_other_basis(row),
            row.get("explanation"),
        )
        for row in answer.get("outcomes", ())
    )
    print_table((*columns, "amount before → after", "payout before → after", "explanation"), rows)
    if looked := answer.get("looked"):
        echo(f"… it looked at the first {looked['records']} of {looked['of']}.", style="dim")
    if answer.get("children"):
        echo("")
        children = ((one.get("action_id"), one.get("change"), one.get("outcome")) for one in answer["children"])
        print_table(("child", "change", "outcome"), children)
    if answer.get("partners"):
        echo("")
        partners = (
            (one["partner"], one["actions"], *(one["payout"][name] for name in ("before", "after", "difference")))
            for one in answer["partners"]
        )
        print_table(("partner", "actions", "payout before", "after", "difference"), partners)
