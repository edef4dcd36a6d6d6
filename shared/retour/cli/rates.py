"""retour rates: send exchange rates, and show those in force."""

import argparse
from pathlib import Path
from typing import Any

from retour.cli.client import ApiError
from retour.cli.hub import hub_and_program, read_file
from retour.cli.screen import echo, format_counts, print_json, print_table


def rates(arguments: argparse.Namespace) -> int:
    """Send a file; without one, show the rates of a day, by default today."""
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/rates"
    if arguments.file is None:
        found = hub.get(path, day=arguments.day)
        print_json(found) if arguments.json else print_rates(found)
        return 0
    media_type, body = media_type_of(arguments.file), read_file(arguments.file)
    query = {"dry_run": "true"} if arguments.dry_run else {}
    answer = hub.call("POST", path, body, query=query, content_type=media_type).document
    if answer["state"] == "refused" and not answer["outcomes"]:
        raise ApiError(0, {"code": answer.get("code"), "detail": answer.get("explanation")})
    failed = [one for one in answer["outcomes"] if one["outcome"] == "refused"]
    if arguments.json:
        print_json(answer)
    else:
        dry = "nothing is written; it would be " if arguments.dry_run else ""
        echo(f"{answer.get('batch') or 'dry run'}: {dry}{format_counts(answer['counts'])}.")
        if failed:
            columns = ("record", "code", "explanation")
            print_table(columns, ([row.get(column) for column in columns] for row in failed))
    return 1 if failed else 0


def media_type_of(path: Path) -> str:
    return "application/json" if path.suffix.lower() == ".json" else "text/csv"


def print_rates(found: dict[str, Any]) -> None:
    columns = ("currency", "rate", "from", "until", "batch")
    rows = ([one[column] or "" for column in columns] for one in found["items"])
    echo(f"One unit of each currency in {found['currency']} on {found['day']}:")
    print_table(columns, rows)
    for one in found["items"]:
        if not one["holds"]:
            echo(f"No rate of {one['currency']} holds on that day.", style="yellow")
