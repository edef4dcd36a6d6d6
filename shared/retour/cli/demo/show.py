"""retour demo, from the curtain to the table."""

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

from retour.cli.client import READY, Hub, NoHub, Refused, Usage, connect
from retour.cli.demo.senders import SENDERS, Answered, Scene
from retour.cli.demo.stage import end_orphan, free_port, merchant_server, running_hub
from retour.cli.demo.story import Return, Seen, Story, actions, differences, tell
from retour.cli.hub import access
from retour.cli.screen import COLOURS, complain, counted, out, progress, say, table
from retour.cli.up import INFRA

SAMPLE = INFRA / "local/sample"
FOLDER = Path(".retour")
WAIT_SECONDS = 90
CHANNELS = {
    "api": "HTTPS call, signed (curl)", "sftp": "SFTP upload (OpenSSH)", "pull": "visit to an FTPS server",
    "email": "mail with a CSV attached", "salesforce": "status change in Salesforce",
}  # fmt: skip


def demo(arguments: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        data = stack.enter_context(own_data())
        port = free_port(arguments.port)
        say("Retour is coming up on this machine …")
        with progress("starting the hub"):
            hub = stack.enter_context(running_hub(data, port, data / "hub.log"))
        merchant = stack.enter_context(merchant_server(folder(data / "merchant"), secrets.token_urlsafe(18)))
        story = tell(SAMPLE / "expected.json")
        hub = applied(hub, story, merchant.options, merchant.password)
        reported(hub, story)
        scene = Scene(hub, story.program, data, merchant)
        seen = shown(scene, story)
        wrong = [sentence for each in story.returns for sentence in differences(each, seen[each.order_id])]
        for sentence in wrong:
            complain(sentence)
        if not wrong:
            say(
                f"All {len(story.returns)} payouts are the ones computed by hand in {SAMPLE.name}/expected.json.",
                style="green",
            )
        if not arguments.exit:
            stay(hub, story, data)
        return 1 if wrong else 0


@contextmanager
def own_data() -> Iterator[Path]:
    """An empty data folder: the demo's own, or where another demo is running a passing one."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with tempfile.TemporaryDirectory(prefix="demo-", dir=FOLDER, ignore_cleanup_errors=True) as passing:
                yield Path(passing).resolve()
            return
        data = (FOLDER / "demo").resolve()
        end_orphan(data)
        shutil.rmtree(data, ignore_errors=True)
        yield folder(data)


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def applied(hub: Hub, story: Story, visit: Any, password: str) -> Hub:
    """The sample program in force, with the merchant's server where it really is."""
    import yaml

    document = yaml.safe_load((SAMPLE / f"{story.program}.yaml").read_text("utf-8"))
    for source in document["sources"].values():
        if source["channel"] == "pull":
            at = source["options"].get("at")
            source["options"] = {**visit, **({"at": at} if at else {})}
    path = f"/v1/programs/{story.program}"
    hub.call("PUT", path, json.dumps(document, default=str).encode())
    for name, source in document["sources"].items():
        if source["channel"] == "pull":
            hub.call("PUT", f"{path}/sources/{name}/secret", json.dumps({"password": password}).encode())
    say(f"Program {story.program} is in force, with {len(document['sources'])} sources.")
    assert hub.folder
    return connect(url=None, key=None, ready_file=str(hub.folder / "ready.json"), data=None)


def reported(hub: Hub, story: Story) -> None:
    now = datetime.now(UTC)
    answer = hub.post(f"/v1/programs/{story.program}/actions", actions(story, now))
    say(f"Reported {len(story.returns)} sales of partners: {counted(answer['counts'])}.")
    if set(answer["counts"]) != {"applied"}:
        first = next((each for each in answer["outcomes"] if each["outcome"] != "applied"), answer)
        raise Refused(0, {"detail": f"A sale was not taken in: {first.get('explanation')}", "code": first.get("code")})


def shown(scene: Scene, story: Story) -> dict[str, Seen]:
    """Every return sent, waited for and in one table."""
    answered: dict[str, Answered] = {}
    seen = {each.order_id: Seen() for each in story.returns}
    with progress("sending", total=len(story.returns)) as bar:
        for each in story.returns:
            bar.say(f"sending: {CHANNELS[each.channel]}")
            try:
                answered[each.order_id] = SENDERS[each.channel](scene, each)
            except (Refused, NoHub, Usage, KeyError) as trouble:
                seen[each.order_id] = Seen(trouble=said(trouble))
            bar.advance()
    with progress("waiting for what becomes of them", total=len(story.returns)) as bar:
        deadline = time.monotonic() + WAIT_SECONDS
        open_ = [each for each in story.returns if each.order_id in answered]
        while open_ and time.monotonic() < deadline:
            for each in list(open_):
                seen[each.order_id] = looked(scene, each, seen[each.order_id], answered[each.order_id])
                if seen[each.order_id].complete:
                    open_.remove(each)
                    bar.advance()
            if open_:
                time.sleep(0.3)
    say("")
    columns = ("channel", "delivery", "order", "outcome", "payout before → after", "the answer was left")
    table(columns, (row(each, seen[each.order_id]) for each in story.returns))
    say("")
    return seen


def said(trouble: Exception) -> str:
    if isinstance(trouble, Refused):
        return trouble.sentence()
    return f"the ready-file lacks {trouble}" if isinstance(trouble, KeyError) else str(trouble)


def looked(scene: Scene, what: Return, before: Seen, answered: Answered) -> Seen:
    """What the hub's own API says about the order now, and whether its sender has an answer."""
    items = scene.hub.items(f"/v1/programs/{scene.program}/actions", 1, order_id=what.order_id)["items"]
    if not items:
        return before
    action = scene.hub.get(f"/v1/programs/{scene.program}/actions/{quote(items[0]['id'], safe='')}")
    records = [each for each in action["history"] if each["channel"] == what.channel]
    if not records:
        return replace(before, state=action["state"], amount=action["amount"], payout=action["payout"])
    record = records[-1]
    effect = record.get("effect") or {}
    return Seen(
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


def row(what: Return, seen: Seen) -> tuple[Any, ...]:
    outcome = Text(seen.outcome or "nothing yet", style=COLOURS.get(seen.outcome, "red"))
    if seen.code:
        outcome.append(f" {seen.code}", style="dim")
    moved = f"{seen.payout_before} → {seen.payout} {what.action['currency']}" if seen.payout_before else ""
    return (
        CHANNELS[what.channel],
        seen.delivery,
        what.order_id,
        outcome,
        moved,
        seen.answer or seen.trouble or "nowhere yet",
    )


def stay(hub: Hub, story: Story, data: Path) -> None:
    """The addresses, and then the hub for whoever wants to try it, until Ctrl-C."""
    ready = hub.ready
    with known_here(data):
        rows: list[tuple[str, str]] = [("API", hub.url), ("OpenAPI", f"{hub.url}/openapi.json")]
        if ready.get("console"):
            rows.append(("console", ready["console"]))
        for what in ("sftp", "smtp"):
            rows.append((what.upper(), f"{ready[what]['host']}:{ready[what]['port']}"))
        rows += [
            ("Salesforce simulator", f"{ready['salesforce_simulator']}/control/"),
            ("embedded AWS", ready["aws_endpoint"]),
        ]
        rows += [("admin key", hub.key), (f"key of {story.program}", ready["programs"][story.program]["api_key"])]
        for name in ready["programs"][story.program]["sources"]:
            known = access(hub, story.program, name)
            shown = known.get("url") or known.get("address") or known.get("user") or known.get("host") or ""
            rows.append((f"source {name}", f"{known.get('channel', '')} {shown}"))
        table(("the hub is up", ""), rows)
        out().print(
            "\nTry it from another terminal:  .venv/bin/retour actions   ·   .venv/bin/retour doctor   ·   "
            f"all secrets are in {data / 'ready.json'}\nCtrl-C stops it.",
            soft_wrap=True,
        )
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            say("Stopping …")


@contextmanager
def known_here(data: Path) -> Iterator[None]:
    """While the demo's hub is up, `retour` in this folder means it, unless another hub is meant already."""
    if READY.exists():
        yield
        return
    READY.unlink(missing_ok=True)  # what is left of a demo that was killed points nowhere
    READY.symlink_to(data / "ready.json")
    try:
        yield
    finally:
        READY.unlink(missing_ok=True)
