"""retour doctor: check everything in reach and say what to do about problems."""

import argparse
import smtplib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from retour.cli import transports
from retour.cli.client import ApiError, HubClient, HubUnreachableError, UsageError
from retour.cli.hub import connect_hub
from retour.cli.screen import echo, print_facts, print_json, progress_bar, stdout_console

OK, WARNING, FAILED = "ok", "warning", "failed"
MARKS = {OK: "[green]✓[/]", WARNING: "[yellow]![/]", FAILED: "[red]✗[/]"}
SECONDS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `fix` says what to do about a problem."""

    name: str
    state: str
    detail: str = ""
    fix: str = ""


CHECK_FIELDS = ("name", "state", "detail", "fix")


def doctor(arguments: argparse.Namespace) -> int:
    hub = connect_hub(arguments)
    if arguments.mail:
        return print_mails(hub, as_json=arguments.json)
    found: list[Check] = []
    with progress_bar("checking") as bar:
        for name, look in all_checks(hub):
            bar.say(f"checking {name}")
            found += look()
    if arguments.json:
        print_json({"checks": [asdict(check) for check in found]})
    else:
        console = stdout_console()
        for check in found:
            console.print(MARKS.get(check.state, "·"), f"{check.name}: {check.detail}", soft_wrap=True)
            if check.fix and check.state != OK:
                console.print("   →", check.fix, style="bold", soft_wrap=True, markup=False)
        counts = Counter(check.state for check in found)
        well = counts[OK] == len(found)
        echo("Everything in reach is well." if well else f"{counts[FAILED]} failed, {counts[WARNING]} to look at.")
    return 1 if any(check.state == FAILED for check in found) else 0


def all_checks(hub: HubClient) -> Iterator[tuple[str, Callable[[], list[Check]]]]:
    yield "the API", lambda: [api_check(hub)]
    yield "the inside of the hub", lambda: hub_checks(hub)
    if "sftp" in hub.ready:
        for program, source, access in sources_of_channel(hub, "sftp"):
            yield f"SFTP of {source}", lambda p=program, s=source, a=access: [sftp_check(hub, p, s, a)]  # type: ignore[misc]
    if "smtp" in hub.ready:
        yield "SMTP", lambda: [smtp_check(hub.ready["smtp"])]


def sources_of_channel(hub: HubClient, channel: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for program, body in hub.ready.get("programs", {}).items():
        for source, access in body.get("sources", {}).items():
            if access.get("channel") == channel:
                yield program, source, access


def api_check(hub: HubClient) -> Check:
    hub.call("GET", "/healthz")
    return Check("API", OK, hub.url)


def hub_checks(hub: HubClient) -> list[Check]:
    """Checks of the hub's queues, deliveries and sources."""
    try:
        said = hub.get("/v1/doctor")
    except ApiError as refused:
        if refused.status in (401, 403):
            return [Check("key", FAILED, "it does not open this hub", "Give another with --key, or set RETOUR_KEY.")]
        return [Check("inside", FAILED, refused.message(), "Look into the log of the function `api`.")]
    return [Check(**{name: str(each.get(name, "")) for name in CHECK_FIELDS}) for each in said["checks"]]


def sftp_check(hub: HubClient, program: str, source: str, access: Mapping[str, Any]) -> Check:
    """Log in with the source's own key, by the OpenSSH client."""
    name = f"SFTP login of {program}/{source}"
    where = hub.ready["sftp"]
    known_hosts = hub.folder / "known_hosts" if hub.folder else None
    login = transports.Login(
        host=where["host"], port=where["port"], user=access["user"], identity=access.get("private_key_file"),
        known_hosts=known_hosts,
    )  # fmt: skip
    try:
        ended = transports.run_sftp(login, "ls\n")
    except (HubUnreachableError, UsageError) as wrong:
        return Check(name, WARNING, str(wrong))
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        if "REMOTE HOST IDENTIFICATION" in ended.stderr or "Host key verification" in ended.stderr:
            return Check(
                name,
                FAILED,
                "the server has another host key than before",
                f"If the data folder is new: rm {known_hosts}",
            )
        return Check(name, FAILED, said, "Is the private key the one whose public key the source declares?")
    return Check(name, OK, f"{login.user}@{login.host}:{login.port}")


def smtp_check(where: Mapping[str, Any]) -> Check:
    try:
        with smtplib.SMTP(where["host"], where["port"], timeout=SECONDS) as server:
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        return Check(
            "SMTP", FAILED, f"nobody answers at {where['host']}:{where['port']} ({error})", "Start the hub again."
        )
    return Check("SMTP", OK, f"{where['host']}:{where['port']}")


def print_mails(hub: HubClient, *, as_json: bool) -> int:
    found = sent_mails(hub)
    if as_json:
        print_json({"items": found})
    elif not found:
        echo("No mail was sent yet.")
    else:
        for item in found:
            print_facts((name, item[name]) for name in ("at", "to", "subject", "attachments"))
            echo(str(item.get("text", "")).strip() + "\n")
    return 0


def sent_mails(hub: HubClient) -> list[dict[str, Any]]:
    """Mails sent by a local hub, newest last."""
    found: list[dict[str, Any]] = hub.get("/v1/mails").get("items", [])
    return found
