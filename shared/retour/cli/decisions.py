"""retour release | discard | redrive: what a person decides."""

import argparse
from typing import Any
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
    # A modification's id begins with its order key and a tilde, a batch's with its day.
    kind = "modifications" if "~" in arguments.id else "batches"
    path = f"/v1/programs/{program}/{kind}/{quote(arguments.id, safe='')}/{what}"
    answer: Any = hub.post(path, {"note": arguments.note} if arguments.note else {})
    if kind == "batches" and what == "release":
        batch = finished(hub, program, {"id": arguments.id})
        show_batch(batch)
        return verdict(batch)
    say(str(answer.get("explanation") or f"{arguments.id}: {answer.get('outcome') or answer.get('state') or 'done'}."))
    return 0


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
