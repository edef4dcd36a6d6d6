"""retour program check FILE: validate a program, or read a sample of returns as a source would."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.cli import programs
from retour.cli.client import UsageError
from retour.cli.deliveries import FILE_MAX
from retour.cli.hub import hub_and_program, read_file
from retour.cli.screen import echo, format_counts, print_json, print_table, progress_bar

COLUMNS = ("record", "order_id", "explanation", "code", "column")


def check(arguments: argparse.Namespace) -> int:
    if not arguments.source:
        return programs.check(arguments)
    body = read_file(arguments.file)
    if len(body) > FILE_MAX:
        raise UsageError(
            f"A check takes files of up to {FILE_MAX // 1024 // 1024} MB; give it the beginning of the file."
        )
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/sources/{quote(arguments.source, safe='')}/check"
    with progress_bar(f"reading {arguments.file.name}"):
        found = hub.call(
            "POST", path, body, query={"name": arguments.file.name}, content_type="application/octet-stream"
        ).document
    if arguments.json:
        print_json(found)
    else:
        print_check(found)
    return 1 if found["state"] == "refused" or found["counts"].get("refused") else 0


def print_check(found: Mapping[str, Any]) -> None:
    if found["state"] == "refused":
        echo(f"{found['name']} cannot be read: {found['explanation']} [{found['code']}]", style="red")
    else:
        layout = found["layout"]
        known = f" {layout['title']}. {layout['means']}" if layout["title"] else f" Layout: {layout['id']}."
        echo(f"{found['name']}, read as {found['source']} would.{known}")
        first = "the first " if found["sampled"] else ""
        rows, counts = found["counts"]["rows"], {name: found["counts"][name] for name in ("readable", "refused")}
        echo(f"  {first}{rows} rows: {format_counts(counts)}.")
        print_table(("column", "read as"), ((one["column"], one["field"] or "not read") for one in found["columns"]))
        print_rows(found["rows"])
        for warning in found["warnings"]:
            echo(f"  {warning['explanation']} [{warning['code']}]", style="yellow")
        print_readings(found["readings"])
    if "suggestion" in found:
        print_suggestion(found["suggestion"])
    echo("Nothing was written.", style="dim")


def print_rows(rows: Any) -> None:
    print_table(COLUMNS, ([row.get(column) for column in COLUMNS] for row in rows))


def print_readings(found: Any) -> None:
    if not found:
        return
    rows = [
        (
            one["amount_means"] + (" (declared)" if one["declared"] else ""),
            one["example"],
            format_counts(one["counts"]),
            f"{one['total']['payout']['difference']} {one['total']['currency']}",
        )
        for one in found
    ]
    print_table(
        ("if amounts mean", "the first row says", "it would be", "payout"), rows, title="Both readings of the amounts"
    )


def print_suggestion(found: Mapping[str, Any]) -> None:
    echo(found["explanation"], style="bold")
    echo("mapping:")
    for name, value in found["mapping"].items():
        if isinstance(value, dict):
            echo(f"  {name}:")
            for field, column in value.items():
                echo(f"    {field}: {quote_yaml(column)}")
        else:
            echo(f"  {name}: {quote_yaml(value)}")
    for one in found["unsure"]:
        echo(f"  {one['explanation']}", style="yellow")
    if found["rows"]:
        echo("With this mapping the file would read:")
        print_rows(found["rows"])
    print_readings(found.get("readings"))


def quote_yaml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
