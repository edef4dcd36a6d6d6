"""retour report | send | pull: send data to the hub and show the outcome."""

import argparse
import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.cli import transports
from retour.cli.client import ApiError, HubClient, UsageError, poll
from retour.cli.hub import declared_sources, hub_and_program, pick_only, read_file, source_access
from retour.cli.ledger import show_batch
from retour.cli.screen import echo, format_counts, print_json, print_table, progress_bar

FILE_MAX = 4 * 1024 * 1024
OPEN_STATES = ("arriving", "working")
# Large files take minutes; without progress for this long, stop waiting.
WAIT_SECONDS = 600
ARRIVE_SECONDS = 120
FAILED_OUTCOMES = ("refused", "held")
BATCHES_NAMED = 3


def report(arguments: argparse.Namespace) -> int:
    from retour.cli.actions_file import ActionsFileError, split_file

    try:
        parts = split_file(arguments.file.name, read_file(arguments.file))
    except ActionsFileError as wrong:
        raise UsageError(f"{arguments.file}: {wrong}") from wrong
    if not parts:
        raise UsageError(f"{arguments.file} has no actions.")
    hub, program = hub_and_program(arguments)
    outcomes: list[dict[str, Any]] = []
    with progress_bar("reporting actions", total=sum(part.actions for part in parts)) as bar:
        for part in parts:
            path = f"/v1/programs/{program}/actions"
            answer = hub.call("POST", path, part.body, content_type=part.media_type, again=True).document
            if answer["state"] == "arriving":  # Orders with many lines are stored and processed later.
                answer = wait_until_finished(hub, program, answer)
            if answer["state"] == "refused" and not answer["outcomes"]:
                raise ApiError(0, {"code": answer.get("code"), "detail": answer.get("explanation")})
            outcomes += [with_file_place(outcome, part.skipped) for outcome in answer["outcomes"]]
            bar.advance(part.actions)
    counts = Counter(str(outcome["outcome"]) for outcome in outcomes)
    if arguments.json:
        print_json({"counts": counts, "outcomes": outcomes})
    else:
        echo(f"{len(outcomes)} actions: {format_counts(counts)}.")
        if before := Counter(str(outcome["first"]["batch"]) for outcome in outcomes if outcome.get("first")):
            echo(f"{before.total()} of them had been reported before and are not counted again: {batches_of(before)}.")
        failed = [outcome for outcome in outcomes if outcome["outcome"] in FAILED_OUTCOMES]
        if failed:
            columns = ("record", "order_id", "outcome", "code", "explanation")
            print_table(columns, ([row.get(column) for column in columns] for row in failed))
    return 1 if any(outcome in FAILED_OUTCOMES for outcome in counts) else 0


def batches_of(before: Mapping[str, int]) -> str:
    """The batches that had the first outcomes, with the number of records."""
    named = [f"{count} in batch {batch}" for batch, count in list(before.items())[:BATCHES_NAMED]]
    return ", ".join(named) + (", …" if len(before) > BATCHES_NAMED else "")


def with_file_place(outcome: Mapping[str, Any], skipped: int) -> dict[str, Any]:
    """Convert a place in a piece to one in the whole file."""
    record = str(outcome["record"])
    return {**outcome, "record": str(int(record) + skipped) if record.isdigit() else record}


def send(arguments: argparse.Namespace) -> int:
    body = read_file(arguments.file)
    if arguments.dry_run and arguments.channel != "api":
        raise UsageError("A dry run is asked of the hub itself, which only --channel api can do.")
    hub, program = hub_and_program(arguments)
    source = arguments.source or pick_source(hub, program, arguments.channel)
    name = arguments.file.name
    if arguments.channel == "api":
        batch = upload(hub, program, source, name, body, dry_run=arguments.dry_run)
        if batch["batch"] and arguments.no_wait:
            return print_handover(arguments, source, body, str(batch["batch"]))
        if batch["batch"]:
            batch = wait_until_finished(hub, program, batch)
    else:
        before = batch_ids(hub, program, source)
        with progress_bar(f"sending {name} by {arguments.channel}"):
            if arguments.channel == "sftp":
                transports.upload_by_sftp(sftp_login(arguments, hub, program, source), arguments.file, name)
            else:
                transports.send_mail(mail_envelope(arguments, hub, program, source), name, body)
        if arguments.no_wait:
            return print_handover(arguments, source, body)
        found = wait_for_arrival(hub, program, source, before, sha256=hashlib.sha256(body).hexdigest(), name=name)
        if found is None:
            raise ApiError(0, {"detail": explain_missing(arguments.channel, name)})
        batch = wait_until_finished(hub, program, found)
    if arguments.json:
        print_json(batch)
    else:
        show_batch(batch)
    return exit_code(batch)


def print_handover(arguments: argparse.Namespace, source: str, body: bytes, batch: str = "") -> int:
    """Print what was sent and how to find it, without waiting for the outcome."""
    sent = {
        "name": arguments.file.name,
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "channel": arguments.channel,
        "source": source,
        "batch": batch,
    }
    if arguments.json:
        print_json(sent)
        return 0
    echo(f"{sent['name']} was handed over to {source}: {len(body):,} bytes, SHA-256 {sent['sha256']}.")
    echo(
        f"What becomes of it: retour batches {batch}"
        if batch
        else f"What becomes of it: retour batches --source {source}"
    )
    return 0


def explain_missing(channel: str, name: str) -> str:
    if channel == "email":
        return (
            f"The mail with {name} was taken, but nothing of it arrived within {ARRIVE_SECONDS} seconds. Mail from an "
            "address that the source does not allow is dropped: see `allow_from` in the program, and `retour batches`."
        )
    return f"{name} was uploaded, but the hub has not seen it within {ARRIVE_SECONDS} seconds: `retour doctor`."


def pull(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    chosen = [arguments.source] if arguments.source else sources_of_channel(hub, program, "pull")
    if not chosen:
        raise UsageError(f"Program {program} has no source of channel pull.")
    visits: list[Mapping[str, Any]] = []
    batches: list[dict[str, Any]] = []
    for source in chosen:
        path = f"/v1/programs/{program}/sources/{quote(source, safe='')}"
        with progress_bar(f"visiting the server of {source}"):
            visit = hub.post(f"{path}/pull", {})
            if visit["state"] == "reading":
                visit = visit if arguments.no_wait else wait_for_reconcile(hub, path, visit)
            elif not arguments.no_wait:
                visit = wait_for_pull(hub, path, visit)
                batches += [wait_until_finished(hub, program, {"id": taken["delivery"]}) for taken in visit["fetched"]]
        visits.append(visit)
        if not arguments.json:
            under_way = f"the visit is under way; `retour batches --source {source}` shows what it finds."
            echo(f"{source}: {visit.get('explanation') or under_way}")
    if arguments.json:
        print_json({"visits": visits, "items": batches})
    else:
        for batch in batches:
            show_batch(batch)
    failed = any(visit["state"] == "failed" for visit in visits)
    return 1 if failed or any(exit_code(batch) for batch in batches) else 0


def wait_for_pull(hub: HubClient, path: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Wait for a requested poll and return its report."""
    for source in poll(lambda: hub.get(path), seconds=ARRIVE_SECONDS):
        visit = source.get("last_visit") or {}
        if str(visit.get("started", "")) >= str(asked["asked_at"]):
            return dict(visit)
    raise ApiError(0, {"detail": "The visit is not over yet; `retour doctor` shows its report later."})


def wait_for_reconcile(hub: HubClient, path: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Wait for a requested reconcile until it is complete."""
    for source in poll(lambda: hub.get(path), seconds=ARRIVE_SECONDS):
        found = source.get("last_reconciled") or {}
        if str(found.get("at", "")) >= str(asked["asked_at"]):
            looked_at = f"{found['records']:,} looked at, {found['changed']:,} changes taken in"
            goes_on = "" if found["whole"] else "; the rest is read within a quarter of an hour"
            return {**asked, "explanation": f"{looked_at}{goes_on}.", "last_reconciled": found}
    raise ApiError(0, {"detail": "It is still being read; `retour doctor` shows where it cannot be."})


def upload(
    hub: HubClient, program: str, source: str, name: str, body: bytes, *, dry_run: bool = False
) -> dict[str, Any]:
    """Upload a file, directly or by a pre-signed URL if it is large. Returns its batch."""
    query = {"name": name, "source": source, "dry_run": True if dry_run else None}
    with progress_bar(f"sending {name}"):
        if len(body) <= FILE_MAX:
            answer = hub.call(
                "POST",
                f"/v1/programs/{program}/files",
                body,
                query=query,
                content_type="application/octet-stream",
                again=not dry_run,
            )
            batch: dict[str, Any] = answer.document
        else:
            batch = hub.post(f"/v1/programs/{program}/uploads", None, **query)
            transports.put_to_url(batch["url"], body)
    return batch


def wait_until_finished(hub: HubClient, program: str, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Wait until a batch is done, refused or held, as long as it progresses."""
    identity = batch.get("id") or batch["batch"]
    path = f"/v1/programs/{program}/batches/{identity}"
    with progress_bar(f"{batch.get('name') or identity}: working") as bar:
        seen: Mapping[str, Any] | None = None
        comes_on = True
        while comes_on:
            comes_on = False
            for state in poll(lambda: hub.get(path), seconds=WAIT_SECONDS):
                if state["state"] not in OPEN_STATES:
                    return dict(state)
                far = state.get("progress")
                bar.say(f"{state.get('name') or identity}: {so_far(state)}", far and far["percent"])
                comes_on = comes_on or (far is not None and far != seen)
                seen = far or seen
    raise ApiError(
        0, {"detail": f"{identity} is still being worked on: `retour batches {identity}` shows how far it is."}
    )


def so_far(state: Mapping[str, Any]) -> str:
    """The progress of a file: `12,000 of 200,000 rows, 40 refused, 3 minutes left`."""
    far = state.get("progress")
    if not far:
        return str(state["state"])
    done = far["recorded"] + far["refused"] + far["duplicate"]
    told = [f"{done:,} of {far['total']:,} rows" if far.get("total") else f"{far['read']:,} rows read"]
    told += [f"{far[name]:,} {name}" for name in ("refused", "duplicate") if far[name]]
    if far.get("seconds_left"):
        minutes = -(-far["seconds_left"] // 60)
        told.append("less than a minute left" if minutes <= 1 else f"about {minutes} minutes left")
    return ", ".join(told)


def wait_for_arrival(
    hub: HubClient, program: str, source: str, before: set[str], *, sha256: str, name: str
) -> Mapping[str, Any] | None:
    """Wait for a source's new delivery with this hash or name."""
    with progress_bar(f"{name}: arriving"):
        for items in poll(lambda: recent_batches(hub, program, source), seconds=ARRIVE_SECONDS):
            for item in items:
                if item["id"] not in before and (item.get("sha256") == sha256 or item.get("name") == name):
                    found: Mapping[str, Any] = item
                    return found
    return None


def recent_batches(hub: HubClient, program: str, source: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = hub.items(f"/v1/programs/{program}/batches", 50, source=source)["items"]
    return [item for item in items if item.get("source") == source]


def batch_ids(hub: HubClient, program: str, source: str) -> set[str]:
    return {str(item["id"]) for item in recent_batches(hub, program, source)}


def pick_source(hub: HubClient, program: str, channel: str) -> str:
    """The source of a channel that takes files: the only one, or for the API the one of kind standard."""
    names = sources_of_channel(hub, program, channel)
    if channel == "api" and len(names) > 1:
        declared = declared_sources(hub, program)
        standard = [name for name in names if declared[name].get("kind", "standard") == "standard"]
        names = standard or names
    return pick_only(names, f"source of channel {channel}", "--source")


def sources_of_channel(hub: HubClient, program: str, channel: str) -> list[str]:
    return [name for name, source in declared_sources(hub, program).items() if source["channel"] == channel]


def sftp_login(arguments: argparse.Namespace, hub: HubClient, program: str, source: str) -> transports.Login:
    known = source_access(hub, program, source)
    address = hub.ready.get("sftp", {})
    host, port = host_and_port(arguments.host, address, 22)
    user = arguments.user or known.get("user")
    if not host or not user:
        raise UsageError("Where to? Say --host and --user (and --identity, the private key) of the SFTP server.")
    return transports.Login(
        host=host,
        port=port,
        user=str(user),
        identity=arguments.identity or known.get("private_key_file"),
        known_hosts=hub.folder / "known_hosts" if hub.folder and not arguments.host else None,
    )


def mail_envelope(arguments: argparse.Namespace, hub: HubClient, program: str, source: str) -> transports.Envelope:
    known = source_access(hub, program, source)
    host, port = host_and_port(arguments.host, hub.ready.get("smtp", {}), 25)
    recipient, sender = arguments.to or known.get("address"), arguments.sender or known.get("sender")
    if not host or not recipient or not sender:
        raise UsageError("Say --host of your mail server, --to the address of the source and --from your own address.")
    return transports.Envelope(host=host, port=port, sender=str(sender), recipient=str(recipient))


def host_and_port(said: str | None, known: Mapping[str, Any], usual: int) -> tuple[str, int]:
    if not said:
        return str(known.get("host", "")), int(known.get("port", usual))
    host, _, port = said.partition(":")
    if port and not port.isdigit():
        raise UsageError(f"{said} is no host; write it as sftp.example.com or sftp.example.com:2222.")
    return host, int(port or usual)


def exit_code(batch: Mapping[str, Any]) -> int:
    """1 if the batch or any row was refused or held, also for a repeated batch."""
    counts = batch.get("first_counts") or batch.get("counts", {})
    failed = batch.get("state") in FAILED_OUTCOMES or any(counts.get(outcome) for outcome in FAILED_OUTCOMES)
    return 1 if failed else 0
