"""retour keys: what it takes to use each source, and the secrets that somebody else made."""

import argparse
import getpass
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.client import Hub, Usage
from retour.cli.hub import hub_and_program
from retour.cli.screen import say, show_json, table


def keys(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    if arguments.set:
        return hand_over(hub, program, arguments.source, arguments.set)
    known = hub.ready.get("programs", {}).get(program) or {"sources": hub.get(f"/v1/programs/{program}")["sources"]}
    if arguments.json:
        show_json(known)
        return 0
    if known.get("api_key"):
        say(f"API key of {program}: {known['api_key']}")
    rows = (row for name, access in known["sources"].items() for row in told(name, access))
    table(("source", "what", "value"), rows)
    if not hub.ready:
        say("Secrets were shown once, when the source was applied, and are not shown again.", style="dim")
    return 0


def told(name: str, access: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for what, value in access.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if value not in (None, "", [], {}):
            yield name, what, shown


def hand_over(hub: Hub, program: str, source: str | None, what: str) -> int:
    """A secret comes from the keyboard or from standard input, never from the command line, which everybody sees."""
    if not source:
        raise Usage(f"Of which source? retour keys --source S --set {what}")
    if sys.stdin.isatty() and what == "password":
        value = getpass.getpass(f"{what} of {program}/{source}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise Usage(f"Nothing came on standard input: retour keys --source {source} --set {what} < FILE")
    path = f"/v1/programs/{program}/sources/{quote(source, safe='')}/secret"
    answer = hub.call("PUT", path, json.dumps({what: [value] if what in LISTS else value}).encode()).document
    say(f"{source} now holds: {', '.join(answer['holds'])}.")
    return 0


LISTS = ("signing", "tokens")
