"""retour release | discard | correct | forget | redrive: people's decisions."""

import argparse
from typing import Any
from urllib.parse import quote

from retour.cli.acts import print_outcome
from retour.cli.client import UsageError
from retour.cli.deliveries import exit_code, wait_until_finished
from retour.cli.hub import connect_hub, hub_and_program
from retour.cli.ledger import show_batch
from retour.cli.screen import echo, print_json


def decide_batch(arguments: argparse.Namespace, what: str) -> int:
    """Release or discard a delivery."""
    if arguments.reason:
        raise UsageError("A whole batch is decided upon with --note; --reason is for a single record.")
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/batches/{quote(arguments.id, safe='')}/{what}"
    note = {"note": arguments.note} if arguments.note else {}
    batch = hub.post(path, note, dry_run=arguments.dry_run or None)
    if not arguments.dry_run and what == "release":
        batch = wait_until_finished(hub, program, {"id": arguments.id})
    if arguments.json:
        print_json(batch)
    elif what == "release" or arguments.dry_run:
        show_batch(batch)
    else:
        echo(f"{batch.get('name') or arguments.id} is discarded; nothing of it takes effect.")
    return 0 if what == "discard" else exit_code(batch)


def correct(arguments: argparse.Namespace) -> int:
    """Send refused rows again, one with new fields or many with a replaced value."""
    hub, program = hub_and_program(arguments)
    if bool(arguments.set) == bool(arguments.row and arguments.field):
        raise UsageError("Say either --set COLUMN OLD NEW, or --row PLACE with --field COLUMN=VALUE.")
    said: dict[str, Any]
    if arguments.set:
        said = {"set": dict(zip(("column", "from", "to"), arguments.set, strict=True))}
    else:
        pairs = [field.partition("=") for field in arguments.field]
        if not all(sign for _, sign, _ in pairs):
            raise UsageError("A field is COLUMN=VALUE, such as --field amount=20.00.")
        said = {"rows": [{"record": arguments.row, "fields": {name: value for name, _, value in pairs}}]}
    path = f"/v1/programs/{program}/batches/{quote(arguments.id, safe='')}/corrections"
    answer = hub.post(path, said, dry_run=arguments.dry_run or None)
    return print_outcome(arguments, answer)


def forget(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/forget"
    asked = {"order_id": arguments.order} if arguments.order else {"customer": arguments.customer}
    bodies, day = 0, None
    while True:
        answer = hub.post(path, asked | ({"day": day} if day else {}))
        bodies, day = bodies + answer["bodies"], answer["next"]
        if not day:
            break
    if arguments.json:
        print_json({"bodies": bodies})
    else:
        echo(f"{bodies} bodies ended. What was read from them stays, and their hashes.")
    return 0


def redrive(arguments: argparse.Namespace) -> int:
    moved = connect_hub(arguments).post("/v1/redrive", {})["moved"]
    if arguments.json:
        print_json({"moved": moved})
        return 0
    for queue, number in moved.items():
        if number:
            echo(f"{queue}: {number} set going again.")
    if not any(moved.values()):
        echo("Nothing was set aside.")
    return 0
