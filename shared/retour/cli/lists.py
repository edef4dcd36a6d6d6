"""retour lists: the named lists of a program, and a file uploaded as one."""

import argparse
from typing import Any
from urllib.parse import quote

from retour.cli.client import UsageError
from retour.cli.hub import hub_and_program, read_file
from retour.cli.programs import print_term_changes
from retour.cli.screen import echo, print_json, print_table, stdout_console

COLUMNS = ("name", "entries", "contracts", "sha256")


def lists(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/lists"
    if arguments.put and not arguments.name:
        raise UsageError("Say which list it is: retour lists NAME --put FILE.")
    if arguments.put:
        return upload_list(hub.call, f"{path}/{quote(arguments.name, safe='')}", arguments)
    if arguments.name:
        found = hub.call("GET", f"{path}/{quote(arguments.name, safe='')}").body.decode()
        stdout_console().print(found, end="", markup=False, highlight=False, soft_wrap=True)
        return 0
    items = hub.get(path)
    if arguments.json:
        print_json(items)
    else:
        print_table(COLUMNS, ([cell_text(one, name) for name in COLUMNS] for one in items["items"]))
    return 0


def cell_text(one: Any, name: str) -> str:
    return ", ".join(one[name]) if name == "contracts" else one[name][:12] if name == "sha256" else str(one[name])


def upload_list(call: Any, path: str, arguments: argparse.Namespace) -> int:
    query = {"dry_run": arguments.dry_run or None}
    answer = call("PUT", path, read_file(arguments.put), query=query, content_type="text/plain").document
    if arguments.json:
        print_json(answer)
        return 0
    print_term_changes(answer)
    said = f"List {answer['name']}: {answer['entries']} entries, {answer['sha256'][:12]}"
    if arguments.dry_run:
        echo(f"{said}. Nothing was written.", style="dim")
    else:
        echo(said + ("." if answer["changed"] else ", unchanged."), style="green")
    return 0
