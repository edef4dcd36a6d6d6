"""retour program check FILE: a program judged line by line, or a sample of returns as a source would read it."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.cli import programs
from retour.cli.client import Usage
from retour.cli.deliveries import FILE_MAX
from retour.cli.hub import content, hub_and_program
from retour.cli.screen import counted, progress, say, show_json, table

COLUMNS = ("record", "order_id", "explanation", "code", "column")


def check(arguments: argparse.Namespace) -> int:
    if not arguments.source:
        return programs.check(arguments)
    body = content(arguments.file)
    if len(body) > FILE_MAX:
        raise Usage(f"A check takes files of up to {FILE_MAX // 1024 // 1024} MB; give it the beginning of the file.")
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/sources/{quote(arguments.source, safe='')}/check"
    with progress(f"reading {arguments.file.name}"):
        found = hub.call(
            "POST", path, body, query={"name": arguments.file.name}, content_type="application/octet-stream"
        ).document
    if arguments.json:
        show_json(found)
    else:
        show(found)
    return 1 if found["state"] == "refused" or found["counts"].get("refused") else 0


def show(found: Mapping[str, Any]) -> None:
    if found["state"] == "refused":
        say(f"{found['name']} cannot be read: {found['explanation']} [{found['code']}]", style="red")
    else:
        layout = found["layout"]
        known = f" {layout['title']}. {layout['means']}" if layout["title"] else f" Layout: {layout['id']}."
        say(f"{found['name']}, read as {found['source']} would.{known}")
        first = "the first " if found["sampled"] else ""
        rows, counts = found["counts"]["rows"], {name: found["counts"][name] for name in ("readable", "refused")}
        say(f"  {first}{rows} rows: {counted(counts)}.")
        table(("column", "read as"), ((one["column"], one["field"] or "not read") for one in found["columns"]))
        rows_told(found["rows"])
        for warning in found["warnings"]:
            say(f"  {warning['explanation']} [{warning['code']}]", style="yellow")
        readings(found["readings"])
    if "suggestion" in found:
        suggestion(found["suggestion"])
    say("Nothing was written.", style="dim")


def rows_told(rows: Any) -> None:
    table(COLUMNS, ([row.get(column) for column in COLUMNS] for row in rows))


def readings(found: Any) -> None:
    if not found:
        return
    rows = [
        (
            one["amount_means"] + (" (declared)" if one["declared"] else ""),
            one["example"],
            counted(one["counts"]),
            f"{one['total']['payout']['difference']} {one['total']['currency']}",
        )
        for one in found
    ]
    table(
        ("if amounts mean", "the first row says", "it would be", "payout"), rows, title="Both readings of the amounts"
    )


def suggestion(found: Mapping[str, Any]) -> None:
    say(found["explanation"], style="bold")
    say("mapping:")
    for name, value in found["mapping"].items():
        if isinstance(value, dict):
            say(f"  {name}:")
            for field, column in value.items():
                say(f"    {field}: {quoted(column)}")
        else:
            say(f"  {name}: {quoted(value)}")
    for one in found["unsure"]:
        say(f"  {one['explanation']}", style="yellow")
    if found["rows"]:
        say("With this mapping the file would read:")
        rows_told(found["rows"])
    readings(found.get("readings"))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
