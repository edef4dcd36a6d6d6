"""retour program apply | list | show | check"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from retour.cli.client import Usage
from retour.cli.hub import content, hub_of, only, programs
from retour.cli.keys import told
from retour.cli.screen import complain, out, say, show_json, table

NAME = re.compile(rb"""^[{\s]*["']?program["']?\s*:\s*["']?([a-z][a-z0-9-]{1,30})\b""", re.MULTILINE)


def apply(arguments: argparse.Namespace) -> int:
    """The file goes to the hub as it is and the hub judges it, so what it says about a line is about that line."""
    body = content(arguments.file)
    found = NAME.search(body)
    if found is None:
        read(arguments.file, body)
        return 1
    name = found[1].decode()
    answer = hub_of(arguments).call("PUT", f"/v1/programs/{name}", body, content_type=media_type(arguments.file))
    tell(name, answer.document)
    return 0


def tell(name: str, applied: dict[str, Any]) -> None:
    """What is in force, and the secrets of what is new: nobody shows them again."""
    same = "" if applied["changed"] else ", unchanged"
    say(f"Program {name} is in force, version {applied['version']}{same}.", style="green")
    if applied.get("api_key"):
        say(f"Its API key, shown this once: {applied['api_key']}")
    rows = [row for source, made in (applied.get("credentials") or {}).items() for row in told(source, made)]
    if rows:
        say("What its new sources need, shown this once:")
        table(("source", "what", "value"), rows)


def listed(arguments: argparse.Namespace) -> int:
    found = hub_of(arguments).items("/v1/programs", arguments.limit)
    if arguments.json:
        show_json(found)
    else:
        columns = ("program", "name", "currency", "time_zone", "version")
        table(columns, ([item.get(column) for column in columns] for item in found["items"]))
    return 0


def show(arguments: argparse.Namespace) -> int:
    hub = hub_of(arguments)
    name = arguments.program or only(programs(hub), "program", "PROGRAM")
    answer = hub.get(f"/v1/programs/{name}")
    if arguments.json or not sys.stdout.isatty():
        show_json(answer)
    else:
        out().print_json(data=answer)
    return 0


def check(arguments: argparse.Namespace) -> int:
    if read(arguments.file, content(arguments.file)) is None:
        return 1
    say(f"{arguments.file} is right.", style="green")
    return 0


def read(path: Path, body: bytes) -> dict[str, Any] | None:
    """The document; None, after a sentence for each line at fault, when it is wrong."""
    from retour.setup.program_file import read as judged

    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Usage(f"{path} is not UTF-8; save it as UTF-8.") from None
    document = judged(text)
    if isinstance(document, dict):
        return document
    for fault in document:
        complain(f"{path}:{fault}")
    return None


def media_type(path: Path) -> str:
    return "application/json" if path.suffix.lower() == ".json" else "application/yaml"
