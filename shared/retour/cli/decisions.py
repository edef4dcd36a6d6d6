"""retour release | discard | redrive: what a person decides."""

import argparse
from urllib.parse import quote

from retour.cli.deliveries import finished, verdict
from retour.cli.hub import hub_and_program, hub_of
from retour.cli.ledger import show_batch
from retour.cli.screen import say, show_json


def release(arguments: argparse.Namespace) -> int:
    return decide(arguments, "release")


def discard(arguments: argparse.Namespace) -> int:
    return decide(arguments, "discard")


def decide(arguments: argparse.Namespace, what: str) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/batches/{quote(arguments.id, safe='')}/{what}"
    batch = hub.post(path, {})
    if what == "discard":
        say(f"{batch.get('name') or arguments.id} is discarded; nothing of it takes effect.")
        return 0
    batch = finished(hub, program, {"id": arguments.id})
    show_batch(batch)
    return verdict(batch)


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
