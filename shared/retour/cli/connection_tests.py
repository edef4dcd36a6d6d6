"""retour program test: run a connection test and show its steps as they finish."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.client import HubClient, UsageError, poll
from retour.cli.hub import declared_sources, hub_and_program
from retour.cli.screen import echo, print_json, progress_bar, stdout_console

MARKS = {
    "done": "[green]✓[/]", "warned": "[yellow]![/]", "failed": "[red]✗[/]", "waiting": "[yellow]…[/]", "open": "·",
    "running": "·",
}  # fmt: skip
RUNNING_STATES = ("running", "waiting")
SECONDS = 200
MAIL_SECONDS = 620


def test(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    known = declared_sources(hub, program)
    chosen = arguments.source or [*known]
    if not chosen:
        raise UsageError(f"Program {program} has no source.")
    told = {}
    for source in chosen:
        if not arguments.json:
            echo(f"{source} ({known.get(source, {}).get('channel', 'unknown')})", style="bold")
        told[source] = run_test(hub, program, source, wait=not arguments.no_wait, quiet=arguments.json)
    if arguments.json:
        print_json(told)
    return 1 if any(trial["state"] == "failed" for trial in told.values()) else 0


def run_test(hub: HubClient, program: str, source: str, *, wait: bool, quiet: bool) -> Mapping[str, Any]:
    """Run a connection test. Returns it when it ends, or waits for a person and `wait` is false."""
    path = f"/v1/programs/{program}/sources/{quote(source, safe='')}"
    shown: dict[str, str] = {}
    trial: Mapping[str, Any] = hub.post(f"{path}/test", {})["test"]
    with progress_bar(f"testing {source}"):
        for latest in follow_test(hub, path, trial, wait):
            trial = latest
            if not quiet:
                print_new_steps(trial, shown)
    return trial


def follow_test(hub: HubClient, path: str, trial: Mapping[str, Any], wait: bool) -> Iterator[Mapping[str, Any]]:
    yield trial
    while trial["state"] == "running" or (trial["state"] == "waiting" and wait):
        seconds = SECONDS if trial["state"] == "running" else MAIL_SECONDS
        before = trial
        for answer in poll(lambda: hub.get(path), seconds=seconds, every=0.5):
            trial = answer["test"]
            yield trial
            if trial["state"] not in RUNNING_STATES or trial["state"] != before["state"]:
                break
        else:
            return


def print_new_steps(trial: Mapping[str, Any], shown: dict[str, str]) -> None:
    """Print the steps that have progressed."""
    for step in trial["steps"]:
        said = f"{step['state']} {step['explanation']}"
        if step["state"] in ("open", "running") or shown.get(step["step"]) == said:
            continue
        shown[step["step"]] = said
        stdout_console().print(" ", MARKS[step["state"]], f"{step['what']}: {step['explanation']}", soft_wrap=True)
