"""retour statements: list statements, show one with its lines, or download its CSV."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retour.cli.client import UsageError
from retour.cli.hub import hub_and_program
from retour.cli.screen import echo, print_facts, print_json, print_table


def statements(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/statements"
    if arguments.id is None:
        if arguments.csv:
            raise UsageError("Which statement? `retour statements` lists them; say its ID before --csv.")
        found = hub.items(path, arguments.limit, partner=arguments.partner, billing_group=arguments.group)
        print_json(found) if arguments.json else print_statements(found["items"])
        return 0
    one = f"{path}/{quote(arguments.id, safe='~')}"
    if arguments.csv:
        body = hub.call("GET", f"{one}/csv").body
        save(arguments.csv, body)
        return 0
    found = hub.get(one)
    print_json(found) if arguments.json else show(found)
    return 0


def payment_text(payment: Mapping[str, Any]) -> str:
    """`paid on 2026-12-15 in 2026-12-15~0a1b2c3d4e5f`; empty if it is in no batch."""
    if payment["state"] == "open":
        return ""
    day = f" on {payment['day']}" if payment["day"] else ""
    reason = f" ({payment['reason']})" if payment["reason"] else ""
    return f"{payment['state'].replace('_', ' ')}{day} in {payment['batch']}{reason}"


def save(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    echo(f"Wrote {path}.", style="green")


def print_statements(items: list[dict[str, Any]]) -> None:
    columns = ("number", "partner", "billing_group", "day", "actions", "total", "currency", "due")
    rows = ([*(item[column] for column in columns), item["payment"]["state"], item["id"]] for item in items)
    print_table((*columns, "payment", "id"), rows)


def show(found: dict[str, Any]) -> None:
    echo(f"{found['number']}: {found['total']} {found['currency']} to {found['partner']}, due on {found['due']}.")
    names = ("billing_group", "day", "since", "until", "issued_at")
    facts = [(name.replace("_", " "), found[name]) for name in names]
    print_facts([*facts, ("payment", payment_text(found["payment"]))])
    columns = ("action_id", "order_id", "event_time", "locked_at", "state", "amount", "currency", "payout")
    print_table(columns, ([line[column] for column in columns] for line in found["lines"]))
    if len(found["lines"]) < found["actions"]:
        echo(f"{len(found['lines'])} of {found['actions']} lines; --csv FILE has all.")


def billing_groups(arguments: argparse.Namespace) -> int:
    """The groups in force with their next statements; with a file, those of that program."""
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/billing-groups"
    found = hub.post(path, {"draft": text_of(arguments.file)}) if arguments.file else hub.get(path)
    if arguments.json:
        print_json(found)
        return 0
    if not found["declared"]:
        echo("The program declares no billing groups: no statements are made.", style="yellow")
    columns = ("name", "statement_day", "paid", "minimum_payout", "series")
    print_table(columns, ([one[column] for column in columns] for one in found["items"]))
    tell_coming(found)
    return 0


def tell_coming(found: Mapping[str, Any]) -> None:
    """Print the next statements of each group."""
    rows = [(one["billing_group"], one["day"], one["days"] or "", one["actions"], one["payout"], one["due"])
            for one in found["coming"]]  # fmt: skip
    columns = ("billing group", "next statement", "days in it", "actions", "payout", "due")
    print_table(columns, rows, title="The next statements, as it stands")
    if not found["complete"]:
        echo("More actions than can be looked at are to come; the sums are too small.")


def text_of(path: Path) -> str:
    from retour.cli.hub import read_file

    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8; save it as UTF-8.") from None
