"""retour release | discard | redrive: what a person decides."""

import argparse
from urllib.parse import quote

from retour.cli.client import Usage
from retour.cli.deliveries import finished, verdict
from retour.cli.hub import hub_and_program, hub_of
from retour.cli.ledger import show_batch
from retour.cli.screen import say, show_json


def decide(arguments: argparse.Namespace, what: str) -> int:
    """A whole delivery goes on, or is dropped."""
    if arguments.reason:
        raise Usage("A whole batch is decided upon with --note; --reason is for a single record.")
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/batches/{quote(arguments.id, safe='')}/{what}"
    note = {"note": arguments.note} if arguments.note else {}
    batch = hub.post(path, note, dry_run=arguments.dry_run or None)
    if not arguments.dry_run and what == "release":
        batch = finished(hub, program, {"id": arguments.id})
    if arguments.json:
        show_json(batch)
    elif what == "release" or arguments.dry_run:
        show_batch(batch)
    else:
        say(f"{batch.get('name') or arguments.id} is discarded; nothing of it takes effect.")
    return 0 if what == "discard" else verdict(batch)


def redrive(arguments: argparse.Namespace) -> int:
    moved = hub_of(arguments).post("/v1/redrive", {})["moved"]
    if arguments.json:
        show_json({"moved": moved})
        return 0
    for queue, number in moved.items():
        if number:
            say(f"{queue}: {number} set going again.")
    if not any(moved.values()):
        say("Nothing was set aside.")
    return 0
