"""retour demo: start the servers, play the scenario, and print the results."""

import argparse
import fcntl
import json
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.text import Text

from retour.cli.client import READY_FILE, ApiError, HubClient, HubUnreachableError, UsageError, connect
from retour.cli.demo.scenario import Return, ReturnStatus, Scenario, find_differences, load_scenario, sales_to_report
from retour.cli.demo.senders import SENDERS, AnswerProbe, Demo
from retour.cli.demo.servers import end_orphan, free_port, merchant_server, running_hub
from retour.cli.hub import source_access
from retour.cli.screen import COLOURS, echo, format_counts, print_error, print_table, progress_bar, stdout_console
from retour.cli.up import INFRA

SAMPLE = INFRA / "local/sample"
DEMO_FOLDER = Path(".retour")
WAIT_SECONDS = 90
CHANNELS = {
    "api": "HTTPS call, signed (curl)", "sftp": "SFTP upload (OpenSSH)", "pull": "visit to an FTPS server",
    "email": "mail with a CSV attached", "salesforce": "status change in Salesforce",
}  # fmt: skip


def demo(arguments: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        data = stack.enter_context(demo_data_folder())
        port = free_port(arguments.port)
        echo("Retour is coming up on this machine …")
        with progress_bar("starting the hub"):
            hub = stack.enter_context(running_hub(data, port, data / "hub.log"))
        merchant = stack.enter_context(merchant_server(make_folder(data / "merchant"), secrets.token_urlsafe(18)))
        story = load_scenario(SAMPLE / "expected.json")
        hub = apply_sample(hub, story, merchant.options, merchant.password)
        report_sales(hub, story)
        scene = Demo(hub, story.program, data, merchant)
        seen = play(scene, story)
        wrong = [sentence for each in story.returns for sentence in find_differences(each, seen[each.order_id])]
        for sentence in wrong:
            print_error(sentence)
        if not wrong:
            echo(
                f"All {len(story.returns)} payouts are the ones computed by hand in {SAMPLE.name}/expected.json.",
                style="green",
            )
        if not arguments.exit:
            keep_running(hub, story, data)
        return 1 if wrong else 0


@contextmanager
def demo_data_folder() -> Iterator[Path]:
    """The demo's data folder, or a temporary one if another demo is running."""
    DEMO_FOLDER.mkdir(exist_ok=True)
    with (DEMO_FOLDER / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with tempfile.TemporaryDirectory(prefix="demo-", dir=DEMO_FOLDER, ignore_cleanup_errors=True) as passing:
                yield Path(passing).resolve()
            return
        data = (DEMO_FOLDER / "demo").resolve()
        end_orphan(data)
        shutil.rmtree(data, ignore_errors=True)
        yield make_folder(data)


def make_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def apply_sample(hub: HubClient, scenario: Scenario, visit: Any, password: str) -> HubClient:
    """Apply the sample program with the address of the merchant's server."""
    import yaml

    document = yaml.safe_load((SAMPLE / f"{scenario.program}.yaml").read_text("utf-8"))
    for source in document["sources"].values():
        if source["channel"] == "pull":
            at = source["options"].get("at")
            source["options"] = {**visit, **({"at": at} if at else {})}
    path = f"/v1/programs/{scenario.program}"
    hub.call("PUT", path, json.dumps(document, default=str).encode())
    for name, source in document["sources"].items():
        if source["channel"] == "pull":
            hub.call("PUT", f"{path}/sources/{name}/secret", json.dumps({"password": password}).encode())
    echo(f"Program {scenario.program} is in force, with {len(document['sources'])} sources.")
    assert hub.folder
    return connect(url=None, key=None, ready_file=str(hub.folder / "ready.json"), data=None)


def report_sales(hub: HubClient, scenario: Scenario) -> None:
    now = datetime.now(UTC)
    answer = hub.post(f"/v1/programs/{scenario.program}/actions", sales_to_report(scenario, now))
    echo(f"Reported {len(scenario.returns)} sales of partners: {format_counts(answer['counts'])}.")
    if set(answer["counts"]) != {"applied"}:
        first = next((each for each in answer["outcomes"] if each["outcome"] != "applied"), answer)
        raise ApiError(0, {"detail": f"A sale was not taken in: {first.get('explanation')}", "code": first.get("code")})


def play(demo: Demo, scenario: Scenario) -> dict[str, ReturnStatus]:
    """Send every return, wait for it, and print a table."""
    answered: dict[str, AnswerProbe] = {}
    seen = {each.order_id: ReturnStatus() for each in scenario.returns}
    with progress_bar("sending", total=len(scenario.returns)) as bar:
        for each in scenario.returns:
            bar.say(f"sending: {CHANNELS[each.channel]}")
            try:
                answered[each.order_id] = SENDERS[each.channel](demo, each)
            except (ApiError, HubUnreachableError, UsageError, KeyError) as trouble:
                seen[each.order_id] = ReturnStatus(trouble=describe_trouble(trouble))
            bar.advance()
    with progress_bar("waiting for what becomes of them", total=len(scenario.returns)) as bar:
        deadline = time.monotonic() + WAIT_SECONDS
        open_ = [each for each in scenario.returns if each.order_id in answered]
        while open_ and time.monotonic() < deadline:
            for each in list(open_):
                seen[each.order_id] = look_up(demo, each, seen[each.order_id], answered[each.order_id])
                if seen[each.order_id].is_complete:
                    open_.remove(each)
                    bar.advance()
            if open_:
                time.sleep(0.3)
    echo("")
    columns = ("channel", "delivery", "order", "outcome", "payout before → after", "the answer was left")
    print_table(columns, (table_row(each, seen[each.order_id]) for each in scenario.returns))
    echo("")
    return seen


def describe_trouble(trouble: Exception) -> str:
    if isinstance(trouble, ApiError):
        return trouble.message()
    return f"the ready-file lacks {trouble}" if isinstance(trouble, KeyError) else str(trouble)


def look_up(demo: Demo, item: Return, before: ReturnStatus, answered: AnswerProbe) -> ReturnStatus:
    """The order as the hub's API shows it, and whether the sender has a reply."""
    items = demo.hub.items(f"/v1/programs/{demo.program}/actions", 1, order_id=item.order_id)["items"]
    if not items:
        return before
    action = demo.hub.get(f"/v1/programs/{demo.program}/actions/{quote(items[0]['id'], safe='')}")
    records = [each for each in action["history"] if each["channel"] == item.channel]
    if not records:
        return replace(before, state=action["state"], amount=action["amount"], payout=action["payout"])
    record = records[-1]
    effect = record.get("effect") or {}
    return ReturnStatus(
        delivery=record.get("batch", ""),
        outcome=record["outcome"],
        code=record.get("code") or "",
        explanation=record.get("explanation") or "",
        state=action["state"],
        amount=action["amount"],
        payout_before=effect.get("payout", {}).get("before", ""),
        payout=action["payout"],
        answer=before.answer or answered(),
    )


def table_row(item: Return, seen: ReturnStatus) -> tuple[Any, ...]:
    outcome = Text(seen.outcome or "nothing yet", style=COLOURS.get(seen.outcome, "red"))
    if seen.code:
        outcome.append(f" {seen.code}", style="dim")
    moved = f"{seen.payout_before} → {seen.payout} {item.action['currency']}" if seen.payout_before else ""
    return (
        CHANNELS[item.channel],
        seen.delivery,
        item.order_id,
        outcome,
        moved,
        seen.answer or seen.trouble or "nowhere yet",
    )


def keep_running(hub: HubClient, scenario: Scenario, data: Path) -> None:
    """Print the addresses and keep the hub running until Ctrl-C."""
    ready = hub.ready
    with ready_file_link(data):
        rows: list[tuple[str, str]] = [("API", hub.url), ("OpenAPI", f"{hub.url}/openapi.json")]
        if ready.get("console"):
            rows.append(("console", ready["console"]))
        for what in ("sftp", "smtp"):
            rows.append((what.upper(), f"{ready[what]['host']}:{ready[what]['port']}"))
        rows += [
            ("Salesforce simulator", f"{ready['salesforce_simulator']}/control/"),
            ("embedded AWS", ready["aws_endpoint"]),
        ]
        rows += [("admin key", hub.key), (f"key of {scenario.program}", ready["programs"][scenario.program]["api_key"])]
        for name in ready["programs"][scenario.program]["sources"]:
            known = source_access(hub, scenario.program, name)
            shown = known.get("url") or known.get("address") or known.get("user") or known.get("host") or ""
            rows.append((f"source {name}", f"{known.get('channel', '')} {shown}"))
        print_table(("the hub is up", ""), rows)
        stdout_console().print(
            "\nTry it from another terminal:  .venv/bin/retour actions   ·   .venv/bin/retour doctor   ·   "
            f"all secrets are in {data / 'ready.json'}\nCtrl-C stops it.",
            soft_wrap=True,
        )
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            echo("Stopping …")


@contextmanager
def ready_file_link(data: Path) -> Iterator[None]:
    """While the demo runs, `retour` in this folder uses its hub, unless there is another ready-file."""
    if READY_FILE.exists():
        yield
        return
    READY_FILE.unlink(missing_ok=True)  # left by a killed demo
    READY_FILE.symlink_to(data / "ready.json")
    try:
        yield
    finally:
        READY_FILE.unlink(missing_ok=True)
