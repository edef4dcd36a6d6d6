"""retour lists: the named lists of a program, and a file uploaded as one."""

import argparse
from typing import Any
from urllib.parse import quote

from retour.cli.client import Usage
from retour.cli.hub import content, hub_and_program
from retour.cli.programs import tell_changes
from retour.cli.screen import out, say, show_json, table

COLUMNS = ("name", "entries", "contracts", "sha256")


def lists(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/lists"
    if arguments.put and not arguments.name:
        raise Usage("Say which list it is: retour lists NAME --put FILE.")
    if arguments.put:
        return put(hub.call, f"{path}/{quote(arguments.name, safe='')}", arguments)
    if arguments.name:
        found = hub.call("GET", f"{path}/{quote(arguments.name, safe='')}").body.decode()
        out().print(found, end="", markup=False, highlight=False, soft_wrap=True)
        return 0
    items = hub.get(path)
    if arguments.json:
        show_json(items)
    else:
        table(COLUMNS, ([row(one, name) for name in COLUMNS] for one in items["items"]))
    return 0


def row(one: Any, name: str) -> str:
    return ", ".join(one[name]) if name == "contracts" else one[name][:12] if name == "sha256" else str(one[name])


def put(call: Any, path: str, arguments: argparse.Namespace) -> int:
    query = {"dry_run": arguments.dry_run or None}
    answer = call("PUT", path, content(arguments.put), query=query, content_type="text/plain").document
    if arguments.json:
        show_json(answer)
        return 0
    tell_changes(answer)
    said = f"List {answer['name']}: {answer['entries']} entries, {answer['sha256'][:12]}"
    if arguments.dry_run:
        say(f"{said}. Nothing was written.", style="dim")
    else:
        say(said + ("." if answer["changed"] else ", unchanged."), style="green")
    return 0
