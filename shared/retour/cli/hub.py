"""Which hub and which program a command means."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retour.cli.client import Hub, Refused, Usage, connect


def hub_of(arguments: argparse.Namespace, program: str | None = None) -> Hub:
    return connect(
        url=arguments.url, key=arguments.key, ready_file=arguments.ready_file, data=arguments.data, program=program
    )


def hub_and_program(arguments: argparse.Namespace) -> tuple[Hub, str]:
    """The program that was named, or the only one there is."""
    hub = hub_of(arguments)
    program = arguments.program or only(programs(hub), "program", "--program")
    return hub_of(arguments, program), program


def programs(hub: Hub) -> list[str]:
    return [str(item["program"]) for item in hub.items("/v1/programs", 0)["items"]]


def sources(hub: Hub, program: str) -> Mapping[str, Mapping[str, Any]]:
    """The sources of a program as its document declares them."""
    found: Mapping[str, Mapping[str, Any]] = document(hub, program).get("sources", {})
    return found


def document(hub: Hub, program: str) -> Mapping[str, Any]:
    """The program as it was applied last."""
    answer = hub.get(f"/v1/programs/{program}")
    inner: Mapping[str, Any] = answer.get("document", answer)
    return inner


def access(hub: Hub, program: str, source: str) -> Mapping[str, Any]:
    """What a local hub says it takes to use a source; nothing for a hub elsewhere."""
    found: Mapping[str, Any] = hub.ready.get("programs", {}).get(program, {}).get("sources", {}).get(source, {})
    return found


def only(names: list[str], what: str, option: str) -> str:
    match names:
        case [name]:
            return name
        case []:
            raise Usage(f"There is no {what} here yet.")
        case _:
            raise Usage(f"Which {what}? Say {option} with one of: {', '.join(sorted(names))}.")


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}.") from error


def whether(found: Any) -> bool:
    """Whether the hub knows it: False where it says 404."""
    try:
        found()
    except Refused as refused:
        if refused.status == 404:
            return False
        raise
    return True
