"""retour payments: propose, approve, export and confirm payment batches."""

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retour.cli.client import HubClient, UsageError
from retour.cli.hub import hub_and_program, read_file
from retour.cli.screen import echo, print_facts, print_json, print_table
from retour.cli.statements import save

Hub = HubClient
FILE_NAME = re.compile(r'filename="([A-Za-z0-9_.-]+)"')


def payments(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/payments"
    act = ACTS.get(arguments.act or "")
    if act is not None:
        if arguments.act != "propose" and not arguments.id:
            raise UsageError(f"Which batch? `retour payments` lists them; then `retour payments {arguments.act} ID`.")
        return act(hub, path, arguments)
    if arguments.id:
        raise UsageError(f"{arguments.act} is no act. Right are: propose, approve ID, export ID, confirm ID FILE.")
    if arguments.act is None:
        found = hub.items(path, arguments.limit)
        print_json(found) if arguments.json else print_batches(found["items"])
        return 0
    show(hub.get(place(path, arguments.act)), arguments)
    return 0


def place(path: str, id_: str) -> str:
    return f"{path}/{quote(id_, safe='~')}"


def propose(hub: Hub, path: str, arguments: argparse.Namespace) -> int:
    asked = {"day": arguments.day, "billing_group": arguments.group, "partners": arguments.partner}
    given = {name: value for name, value in asked.items() if value}
    dry = {"dry_run": True} if arguments.dry_run else {}
    show(hub.post(f"{path}/propose", given, **dry), arguments)
    return 0


def approve(hub: Hub, path: str, arguments: argparse.Namespace) -> int:
    """Approve exactly the contents shown; refused if they have changed meanwhile."""
    one = place(path, arguments.id)
    looked = hub.get(one)
    show(hub.post(f"{one}/approve", {"contents": looked["contents"]}), arguments)
    return 0


def export(hub: Hub, path: str, arguments: argparse.Namespace) -> int:
    answer = hub.call("GET", f"{place(path, arguments.id)}/export", query={"format": arguments.format})
    named = FILE_NAME.search(answer.headers.get("content-disposition", ""))
    save(arguments.out or arguments.file or Path(named[1] if named else f"payments.{arguments.format}"), answer.body)
    return 0


def confirm(hub: Hub, path: str, arguments: argparse.Namespace) -> int:
    """Exit code 1 if any row was refused."""
    one, query = f"{place(path, arguments.id)}/confirm", {"dry_run": True} if arguments.dry_run else {}
    day = {"day": arguments.day} if arguments.day else {}
    if arguments.file:
        body = read_file(arguments.file)
        kind = "application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/csv"
        found = hub.call("POST", one, body, query=query, content_type=kind).document
    elif arguments.failed:
        found = hub.post(one, {"status": "failed", "reason": arguments.failed, **day}, **query)
    elif arguments.paid:
        found = hub.post(one, {"status": "paid", **day}, **query)
    else:
        raise UsageError("What became of it? Say a FILE, --paid, or --failed REASON.")
    if arguments.json:
        print_json(found)
    else:
        columns = ("record", "partner", "outcome", "status", "code", "explanation")
        print_table(columns, ([row.get(column, "") for column in columns] for row in found["outcomes"]))
        batch = found["payment_batch"]
        echo(f"{batch['id']}: {batch['paid']} of {batch['transfers']} paid, {batch['failed']} failed.")
    return 1 if found["counts"].get("refused") else 0


ACTS: Mapping[str, Callable[[Hub, str, argparse.Namespace], int]] = {
    "propose": propose, "approve": approve, "export": export, "confirm": confirm,
}  # fmt: skip


def print_batches(items: list[dict[str, Any]]) -> None:
    columns = ("id", "state", "day", "transfers", "total", "currency", "left_out", "paid", "failed", "proposed_by",
               "approved_by")  # fmt: skip
    print_table(
        [column.replace("_", " ") for column in columns], ([one[column] for column in columns] for one in items)
    )


def show(found: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(found)
        return
    echo(f"{found['id']}: {found['total']} {found['currency']} to {found['transfers']} partners on {found['day']}, "
         f"{found['state']}.")  # fmt: skip
    names = ("proposed_by", "proposed_at", "approved_by", "approved_at")
    print_facts([(name.replace("_", " "), found[name]) for name in names])
    columns = ("partner", "billing group", "amount", "account", "statements", "state", "settled", "reason")
    rows = ((one["partner"], one["billing_group"], one["amount"], f"…{one['account']}",
             [each["number"] for each in one["statements"]], one["state"], one["settled_on"], one["reason"])
            for one in found["payments"])  # fmt: skip
    print_table(columns, rows)
    for one in found["payments"]:
        for note in one["notes"]:
            echo(f"{one['partner']}: {note}", style="yellow")
    if found["left_out_of_it"]:
        rows_ = (
            (one["partner"], one["billing_group"], one["amount"], one["explanation"]) for one in found["left_out_of_it"]
        )
        print_table(("partner", "billing group", "amount", "why"), rows_, title="Not in it")
