"""Resolve the hub and program of a command."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retour.cli.client import ApiError, HubClient, UsageError, connect


def connect_hub(arguments: argparse.Namespace, program: str | None = None) -> HubClient:
    return connect(
        url=arguments.url, key=arguments.key, ready_file=arguments.ready_file, data=arguments.data, program=program
    )


def hub_and_program(arguments: argparse.Namespace) -> tuple[HubClient, str]:
    """The named program, or the only one."""
    hub = connect_hub(arguments)
    program = arguments.program or pick_only(program_ids(hub), "program", "--program")
    return connect_hub(arguments, program), program


def program_ids(hub: HubClient) -> list[str]:
    return [str(item["program"]) for item in hub.items("/v1/programs", 0)["items"]]


def declared_sources(hub: HubClient, program: str) -> Mapping[str, Mapping[str, Any]]:
    """The sources declared in a program."""
    found: Mapping[str, Mapping[str, Any]] = program_document(hub, program).get("sources", {})
    return found


def program_document(hub: HubClient, program: str) -> Mapping[str, Any]:
    """The newest version of a program's document."""
    answer = hub.get(f"/v1/programs/{program}")
    inner: Mapping[str, Any] = answer.get("document", answer)
    return inner


def source_access(hub: HubClient, program: str, source: str) -> Mapping[str, Any]:
    """A local hub's access data of a source; empty for other hubs."""
    found: Mapping[str, Any] = hub.ready.get("programs", {}).get(program, {}).get("sources", {}).get(source, {})
    return found


def pick_only(names: list[str], what: str, option: str) -> str:
    match names:
        case [name]:
            return name
        case []:
            raise UsageError(f"There is no {what} here yet.")
        case _:
            raise UsageError(f"Which {what}? Say {option} with one of: {', '.join(sorted(names))}.")


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def hub_knows(found: Any) -> bool:
    """Whether the hub has it: False on 404."""
    try:
        found()
    except ApiError as refused:
        if refused.status == 404:
            return False
        raise
    return True
