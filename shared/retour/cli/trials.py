"""retour program test: a source's connection tried for real, its steps shown as they are done."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.client import Hub, Usage, until
from retour.cli.hub import hub_and_program, sources
from retour.cli.screen import out, progress, say, show_json

MARKS = {
    "done": "[green]✓[/]", "warned": "[yellow]![/]", "failed": "[red]✗[/]", "waiting": "[yellow]…[/]", "open": "·",
    "running": "·",
}  # fmt: skip
UNDER_WAY = ("running", "waiting")
SECONDS = 200
MAIL_SECONDS = 620


def test(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    known = sources(hub, program)
    chosen = arguments.source or [*known]
    if not chosen:
        raise Usage(f"Program {program} has no source.")
    told = {}
    for source in chosen:
        if not arguments.json:
            say(f"{source} ({known.get(source, {}).get('channel', 'unknown')})", style="bold")
        told[source] = tried(hub, program, source, wait=not arguments.no_wait, quiet=arguments.json)
    if arguments.json:
        show_json(told)
    return 1 if any(trial["state"] == "failed" for trial in told.values()) else 0


def tried(hub: Hub, program: str, source: str, *, wait: bool, quiet: bool) -> Mapping[str, Any]:
    """The trial when it is over, or when it waits for somebody and we shall not."""
    path = f"/v1/programs/{program}/sources/{quote(source, safe='')}"
    shown: dict[str, str] = {}
    trial: Mapping[str, Any] = hub.post(f"{path}/test", {})["test"]
    with progress(f"testing {source}"):
        for latest in followed(hub, path, trial, wait):
            trial = latest
            if not quiet:
                show_news(trial, shown)
    return trial


def followed(hub: Hub, path: str, trial: Mapping[str, Any], wait: bool) -> Iterator[Mapping[str, Any]]:
    yield trial
    while trial["state"] == "running" or (trial["state"] == "waiting" and wait):
        seconds = SECONDS if trial["state"] == "running" else MAIL_SECONDS
        before = trial
        for answer in until(lambda: hub.get(path), seconds=seconds, every=0.5):
            trial = answer["test"]
            yield trial
            if trial["state"] not in UNDER_WAY or trial["state"] != before["state"]:
                break
        else:
            return


def show_news(trial: Mapping[str, Any], shown: dict[str, str]) -> None:
    """The steps that came further since the last look."""
    for step in trial["steps"]:
        said = f"{step['state']} {step['explanation']}"
        if step["state"] in ("open", "running") or shown.get(step["step"]) == said:
            continue
        shown[step["step"]] = said
        out().print(" ", MARKS[step["state"]], f"{step['what']}: {step['explanation']}", soft_wrap=True)
