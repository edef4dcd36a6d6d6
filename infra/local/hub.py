"""The local hub: everything that runs in the cloud, on loopback, started in an order that loses nothing."""

import asyncio
import json
import logging
import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import asyncssh
from botocore.exceptions import ClientError, EndpointConnectionError

from local import replay, salesforce, secrets, sftp, smtp
from local.clock import Clock, ClockControl
from local.data_folder import (
    HOST,
    Ports,
    StartupError,
    certificate_authority,
    create_subfolders,
    front_socket,
    has_free_space,
    load_aws_key,
    load_public_key,
    locked_folder,
    server_tls,
    write_atomically,
)
from local.deploy import DeployedStack, Endpoint, client, deploy
from local.emulator import NO_PROXY_OPENER, emulator
from local.proxy import KEY_HEADER, SIGN_IN, Backend, HubProxy
from retour.store.account_vault import PREFIX as ACCOUNTS_PREFIX
from retour.store.source_state import FACTS_PREFIX, KEPT_DAYS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).resolve().parent / "sample/acme.yaml"
STACK = "retour"
MAIL_DOMAIN = "in.retour.test"
KEY_CHANGE_PATH = re.compile(r"/v1/programs/[^/]+(/sources/[^/]+/secrets?(/.*)?|/keys(/.*)?|/payout-accounts)?")
CONSOLE_WRITE_PATH = re.compile(r"/console/[^/]+/(setup/(program|keys|sources)(/.*)?|money/payees)|/my/account")
DRAIN_SECONDS = 60.0
PAUSE_SECONDS = 10.0
POLL_SECONDS = 10.0
SWEEP_SECONDS = 60.0
THOROUGH_EVERY = 3
FACTS_LAST = timedelta(days=KEPT_DAYS["idempotency"])
CHAOS_SEED = os.environ.get("RETOUR_WHIMS", "")
"""A random seed. If set, events of the SFTP server are as unreliable as those in the cloud may be."""

log = logging.getLogger("retour.local")
T = TypeVar("T")
Say = Callable[[str], None]


class StoppedError(Exception):
    """Ctrl-C or SIGTERM came while the hub was starting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    port: int
    data: Path
    ready_file: Path
    clock_offset_seconds: int | None = None
    auth: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """The deployed stack, accessed as root user."""

    deployed: DeployedStack
    endpoint: Endpoint

    def client(self, service: str) -> Any:
        return client(service, self.endpoint)

    def output(self, name: str) -> str:
        return self.deployed.outputs[name]

    @property
    def bucket(self) -> str:
        return self.output("InboxBucket")

    def send(self, queue: str, message: Mapping[str, str]) -> None:
        self.client("sqs").send_message(QueueUrl=self.output(queue), MessageBody=json.dumps(message))

    def call(self, function: str, event: dict[str, Any]) -> Any:
        return replay.invoke(self.client("lambda"), self.output(function), event)


class Programs:
    """The applied programs, and the access data of their sources.

    `refresh` reads them from the hub's own API, stores changes, and rewrites the ready-file if there is one.
    """

    def __init__(self, settings: Settings, stack: Stack, vault: secrets.Vault, kept: secrets.StoredSecrets):
        self.settings, self.stack, self.vault, self.kept = settings, stack, vault, kept
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.accounts: dict[str, sftp.Account] = {}
        self.changed: list[Callable[[], None]] = []
        self.lock = threading.Lock()

    def refresh(self) -> None:
        with self.lock:
            self.documents = {
                item["program"]: self.document(item["program"]) for item in self.list_items("/v1/programs")
            }
            self.save_secrets(self.vault.sync(self.kept, self.documents))
            self.accounts = {account.user: account for account in self.sftp_accounts()}
            for tell in self.changed:
                tell()

    def save_secrets(self, kept: secrets.StoredSecrets) -> None:
        path = self.settings.data / "secrets.json"
        if kept != self.kept or not path.exists():
            secrets.save(path, kept)
            self.kept = kept

    def sync_secrets(self) -> None:
        """Store secrets that were changed in Parameter Store directly."""
        with self.lock:
            self.save_secrets(self.vault.sync(self.kept, self.documents))

    def keep_changes(self, method: str, path: str, status: int) -> None:
        """Store a change of a program or its keys before it is answered."""
        if status < 300 and KEY_CHANGE_PATH.fullmatch(path):
            self.refresh()

    def account(self, user: str) -> sftp.Account | None:
        return self.accounts.get(user)

    def sources(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for program, document in self.documents.items():
            for name, source in document.get("sources", {}).items():
                yield program, name, source

    def sftp_accounts(self) -> Iterator[sftp.Account]:
        for program, name, source in self.sources():
            if source["channel"] == "sftp":
                given = source.get("options", {}).get("public_keys", ())
                own = load_public_key(self.key_file(program, name))
                yield sftp.Account(f"{program}.{name}", program, name, (*given, own))

    def key_file(self, program: str, source: str) -> Path:
        return self.settings.data / "keys" / f"{program}.{source}"

    def ready_document(self, api: str) -> dict[str, Any]:
        """The programs' part of the ready-file."""
        return {
            program: {
                "api_key": self.kept.programs.get(program, ""),
                "sources": {
                    name: {
                        "channel": source["channel"],
                        "kind": kind_of(source),
                        **self.access(api, program, name, source),
                    }
                    for name, source in document.get("sources", {}).items()
                },
            }
            for program, document in self.documents.items()
        }

    def access(self, api: str, program: str, name: str, source: Mapping[str, Any]) -> dict[str, str]:
        secret = self.vault.source(self.kept, program, name)
        options = source.get("options", {})
        match source["channel"]:
            case "api":
                url = f"{api}/v1/programs/{program}/hooks/{name}"
                told = {"url": url, "secret": next(iter(secret.get("signing", ())), "")}
                return told | ({"callback_secret": secret["callback"][0]} if secret.get("callback") else {})
            case "sftp":
                return {"user": f"{program}.{name}", "private_key_file": str(self.key_file(program, name))}
            case "pull":
                return {"user": options["user"], "secret": secret.get("password", "")}
            case "email":
                token = next(iter(secret.get("tokens", ())), "")
                address = f"{program}.{name}.{token}@{MAIL_DOMAIN}"
                return {"address": address, "sender": options["allow_from"][0]}
            case "salesforce":
                token = next(iter(secret.get("tokens", ())), "")
                return {"url": f"{api}/v1/programs/{program}/salesforce/{name}/{token}"}
        return {}

    def list_items(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            answer = self.call_api("GET", f"{path}?cursor={cursor}" if cursor else path)
            yield from answer["items"]
            cursor = answer.get("next")
            if not cursor:
                return

    def document(self, program: str) -> Mapping[str, Any]:
        answer = self.call_api("GET", f"/v1/programs/{program}")
        found: Mapping[str, Any] = answer.get("document", answer)
        return found

    def apply(self, path: Path) -> None:
        document = path.read_bytes()
        name = re.search(rb"^program:\s*(\S+)", document, re.MULTILINE)
        assert name is not None
        self.call_api("PUT", f"/v1/programs/{name[1].decode()}", document, "application/yaml")

    def call_api(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        headers = {
            "Authorization": f"Bearer {self.kept.admin_key}",
            "Content-Type": kind,
            KEY_HEADER: self.stack.endpoint.key,
        }
        request = urllib.request.Request(self.stack.deployed.api_base + path, body, headers, method=method)
        try:
            with NO_PROXY_OPENER.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode("utf-8", "replace")
            raise StartupError(f"{method} {path} was answered {error.code}: {said}") from error


async def run(settings: Settings, say: Say, stop: threading.Event) -> None:
    """Serve until `stop` is set, then stop everything in order."""

    async def step(call: Callable[..., T], *arguments: Any) -> T:
        """Run a slow step to its end, since a half-started emulator could not be stopped."""
        done = await asyncio.to_thread(call, *arguments)
        if stop.is_set():
            raise StoppedError
        return done

    async with AsyncExitStack() as ending:
        data = ending.enter_context(locked_folder(settings.data))
        settings.ready_file.unlink(missing_ok=True)
        settings.ready_file.parent.mkdir(parents=True, exist_ok=True)
        create_subfolders(data)
        authority = certificate_authority(data / "tls")
        tls = server_tls(authority)
        clock = Clock(data / "clock.json", settings.clock_offset_seconds)
        ports = Ports(settings.port, data / "ports.json")
        front = HubProxy(front_socket(settings.port), tls)
        front.start()
        ending.callback(front.stop)
        api = f"http://{HOST}:{front.server_port}"
        say(f"Retour is starting on {api}")

        outbox = await smtp.listen(ports.listen("outbox"), smtp.Outbox(data / "sent"))
        ending.callback(outbox.close)
        unclean = (data / "running").exists()
        (data / "running").write_text(str(os.getpid()))
        endpoint = await ending.enter_async_context(embedded_aws(settings, ports, api))
        simulator = salesforce.start(
            HOST,
            ports.number("salesforce"),
            ca=authority,
            data=data / "salesforce",
            control_port=ports.number("controls"),
            now=clock.now,
        )
        ending.callback(simulator.stop)
        sftp_door = ports.listen("sftp")
        ending.callback(sftp_door.close)
        ports.save()

        def parameters() -> dict[str, str]:
            return {
                "Local": "true",
                "MailDomain": MAIL_DOMAIN,
                "SftpAddress": f"{HOST}:{ports.number('sftp')}",
                "ApiUrl": api,
                "ClockOffsetSeconds": str(clock.offset_seconds),
                "SalesforceConnect": simulator.connect,
                "SalesforceCa": str(data / "tls/ca.pem"),
            }

        quiet = {"Outward": "off"} if unclean else {}
        stack = await step(deploy_stack, endpoint, parameters() | quiet)
        kept = secrets.load(data / "secrets.json")
        first = not kept.programs
        vault = secrets.Vault(
            stack.output("LedgerTable"),
            f"/retour/{STACK}/",
            stack.client("dynamodb"),
            stack.client("ssm"),
            f"{ACCOUNTS_PREFIX}/{STACK}/",
        )
        programs = Programs(settings, stack, vault, kept)
        await step(vault.restore, kept)
        programs.save_secrets(kept)
        if unclean:
            owed = await step(rebuild_ledger, stack, say, stop)
            stack = await step(deploy_stack, endpoint, parameters())
            programs.stack = stack
            for message in owed:
                await step(stack.send, "AnswersQueue", message)
            await step(run_due_jobs, stack)
        await step(programs.refresh)
        if first and not programs.documents:
            await step(programs.apply, SAMPLE)
            await step(programs.refresh)
        ending.push_async_callback(asyncio.to_thread, pause_large_files, programs.stack)
        await step(resume_interrupted_files, programs)

        events = stack.client("events")
        s3 = stack.client("s3")

        def raise_event(kind: str, detail: str) -> None:
            events.put_events(Entries=[{"Source": "retour.sftp", "DetailType": kind, "Detail": detail}])

        announcer = sftp.EventSender(raise_event, Random(CHAOS_SEED) if CHAOS_SEED else None)
        load_public_key(data / "keys/sftp_host_key")
        door = await sftp.listen(
            sftp_door,
            data / "keys/sftp_host_key",
            programs.account,
            lambda account: sftp.Folder(s3, stack.bucket, f"sftp/{account.program}/{account.source}/"),
            announcer.announce,
            data / "uploading",
        )
        ending.push_async_callback(close_server, door)
        post = smtp.MailQueue(
            data / "mail",
            lambda name, raw: put_object(s3, stack.bucket, f"mail/{name}", raw),
            lambda event: stack.call("InboundEmailFunction", event),
        )
        ending.push_async_callback(post.stop)
        post.resume()
        mail = await smtp.listen(ports.listen("smtp"), smtp.Reception(MAIL_DOMAIN, post.accept), tls)
        ending.callback(mail.close)
        ports.save()

        def mails() -> Any:
            return {"items": smtp.sent_mails(data / "sent"), "next": None}

        def follow() -> None:
            programs.stack = deploy_stack(endpoint, parameters())
            run_due_jobs(programs.stack)

        pages = {"/local/mails": mails, "/v1/mails": mails, "/local/clock": clock.document}
        knobs = {"/local/clock": ClockControl(clock, follow).advance}

        link = [await step(sign_in_link, stack, api)]

        def passed(method: str, path: str, status: int) -> None:
            """Once somebody came in by the link, the ready-file has another; a program applied by hand is kept."""
            programs.keep_changes(method, path, status)
            if path == SIGN_IN and method == "POST" and status == HTTPStatus.SEE_OTHER:
                try:
                    link[0] = sign_in_link(programs.stack, api)
                    tell()
                except Exception:
                    log.exception("the next link to sign in could not be told")
            elif method == "POST" and CONSOLE_WRITE_PATH.fullmatch(path) and status < HTTPStatus.BAD_REQUEST:
                programs.refresh()

        def tell() -> None:
            connect_salesforce(programs, simulator, api)
            ready = {
                "api": api,
                "console": link[0],
                "sftp": {"host": HOST, "port": ports.number("sftp")},
                "smtp": {"host": HOST, "port": ports.number("smtp")},
                "salesforce_simulator": simulator.url,
                "aws_endpoint": endpoint.url,
                "admin_key": programs.kept.admin_key,
                "programs": programs.ready_document(api),
            }
            write_atomically(settings.ready_file, json.dumps(ready, indent=1) + "\n")

        opened = Backend(stack.deployed.api_base, programs.kept.admin_key, passed, pages, knobs=knobs)
        front.open(replace(opened, aws_key=endpoint.key, has_room=lambda: has_free_space(data)))
        programs.changed.append(tell)
        await step(tell)
        ending.callback(settings.ready_file.unlink, missing_ok=True)
        for moved in ports.taken_port_sentences():
            say(moved)
        say(ready_banner(settings, api, ports, simulator.url, endpoint, sorted(programs.documents), link[0]))
        await run_until(stop, programs.sync_secrets, PeriodicSweep(lambda: programs.stack).sweep)
        say("Stopping; what is kept is being saved …")


async def run_until(stop: threading.Event, *rounds: Callable[[], None]) -> None:
    """Wait for `stop`, running the rounds periodically and once more at the end."""
    ended = False
    while not ended:
        ended = await asyncio.to_thread(stop.wait, POLL_SECONDS)
        for look in rounds:
            try:
                await asyncio.to_thread(look)
            except EndpointConnectionError as error:
                raise StartupError("The embedded AWS is gone. Start the hub again: nothing is lost.") from error
            except Exception:
                log.exception("a look at what is kept failed")


@dataclass
class PeriodicSweep:
    """The cloud's retries and hourly sweep, once a minute, since the embedded AWS delivers events only once."""

    stack: Callable[[], Stack]
    last: float = field(default_factory=time.monotonic)
    rounds: int = 0

    def sweep(self) -> None:
        if time.monotonic() - self.last >= SWEEP_SECONDS:
            self.rounds += 1
            asked = {"older_than_seconds": SWEEP_SECONDS, "thoroughly": self.rounds % THOROUGH_EVERY == 0}
            self.stack().call("TickFunction", {"sweep": asked})
            self.last = time.monotonic()


def sign_in_link(stack: Stack, api: str) -> str:
    """A one-time link that signs in the person running the hub."""
    return f"{api}{stack.call('ConsoleFunction', {'sign_in': {'name': 'admin'}})['path']}"


def rebuild_ledger(stack: Stack, say: Say, stop: threading.Event) -> list[dict[str, str]]:
    """Rebuild the ledger from stored deliveries. Returns the replies still owed to senders."""
    s3 = stack.client("s3")
    stored = replay.list_envelopes(s3, stack.bucket)
    say(f"The last run was not shut down cleanly; rebuilding the ledger from {len(stored)} deliveries.")

    def progress(number: int) -> None:
        if stop.is_set():
            raise StoppedError
        if number % 500 == 0:
            say(f"  {number} of {len(stored)}")

    for key, failure in replay.replay(stack.client("lambda"), stack.output("ApiFunction"), stored, progress):
        say(f"  {key} could not be taken in again: {failure}")
    wait_for_queues(stack)
    return list(replay.unanswered(s3, stack.bucket, stored))


def pause_large_files(stack: Stack) -> None:
    """Stop large files in progress, which the emulator would wait for. The next run resumes them."""
    states = stack.client("stepfunctions")
    ways: set[str] = set()
    deadline = time.monotonic() + PAUSE_SECONDS
    while time.monotonic() < deadline:
        running = {"statusFilter": "RUNNING"}
        machines = [one["stateMachineArn"] for one in states.list_state_machines()["stateMachines"]]
        found = [one for arn in machines for one in executions(states, stateMachineArn=arn, **running)]
        ways.update(found)
        runs = [run["mapRunArn"] for way in ways for run in states.list_map_runs(executionArn=way)["mapRuns"]]
        found += [one for run in runs for one in executions(states, mapRunArn=run, **running)]
        if not found:
            return
        for one in found:
            with suppress(ClientError):
                states.stop_execution(executionArn=one)
        time.sleep(0.1)


def executions(states: Any, **of: str) -> list[str]:
    return [one["executionArn"] for one in states.list_executions(**of)["executions"]]


def resume_interrupted_files(programs: Programs) -> None:
    """Resume what the last run left: files whose event was lost, and large files in progress."""
    try:
        programs.call_api("POST", "/v1/redrive", b"{}")
        programs.stack.call("TickFunction", {"sweep": {"older_than_seconds": 0}})
        end_facts(programs.stack.client("s3"), programs.stack.bucket)
    except (StartupError, OSError, replay.FunctionError):
        log.exception("what was on its way when the last run ended may wait for retour redrive")


def end_facts(s3: Any, bucket: str) -> None:
    """Delete stored responses of idempotency keys when those in the table expire (store/source_state.py)."""
    oldest = datetime.now(UTC) - FACTS_LAST
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=FACTS_PREFIX):
        for one in page.get("Contents", ()):
            if one["LastModified"] < oldest:
                s3.delete_object(Bucket=bucket, Key=one["Key"])


def run_due_jobs(stack: Stack) -> None:
    """Run everything that is due now: locks, polls, expiries, statements."""
    for function in ("LockFunction", "TickFunction"):
        try:
            stack.call(function, {})
        except replay.FunctionError:
            log.exception("not everything that became due was looked after")


def wait_for_queues(stack: Stack) -> None:
    """Wait until all queues with outgoing work are empty."""
    sqs = stack.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + DRAIN_SECONDS
    for queue in ("AnswersQueue", "PullsQueue", "WritebacksQueue"):
        while time.monotonic() < deadline:
            counts = sqs.get_queue_attributes(QueueUrl=stack.output(queue), AttributeNames=names)["Attributes"]
            if not any(int(count) for count in counts.values()):
                break
            time.sleep(0.1)


def deploy_stack(endpoint: Endpoint, parameters: Mapping[str, str]) -> Stack:
    stack = Stack(deploy(endpoint, parameters=parameters, root=ROOT, stack=STACK), endpoint)
    allow_sending(endpoint)
    return stack


def allow_sending(endpoint: Endpoint) -> None:
    """Allow sending by SES, which requires verified domains and production access."""
    client("ses", endpoint).verify_domain_identity(Domain=MAIL_DOMAIN)
    client("sesv2", endpoint).put_account_details(
        MailType="TRANSACTIONAL",
        WebsiteURL="https://retour.test",
        ProductionAccessEnabled=True,
        UseCaseDescription="Answers to those who mailed a file.",
    )


@asynccontextmanager
async def embedded_aws(settings: Settings, ports: "Ports", front: str) -> AsyncIterator[Endpoint]:
    """Run the emulator. The mark of a running hub is removed only after its state was saved."""
    data = settings.data / "aws"
    relay = f"{HOST}:{ports.number('outbox')}"
    key = load_aws_key(data / "credentials")
    running = emulator(data, ports.number("aws"), auth=settings.auth, relay=relay, key=key, front=front)
    try:
        endpoint = await asyncio.to_thread(running.__enter__)
    except (RuntimeError, TimeoutError) as error:
        said = f"{str(error)[0].upper()}{str(error)[1:]}"
        raise StartupError(
            f"{said}. If another program has port {ports.number('aws')}, say --port with another one."
        ) from error
    try:
        yield Endpoint(endpoint, key)
    except BaseException:
        await asyncio.to_thread(running.__exit__, None, None, None)
        raise
    await asyncio.to_thread(running.__exit__, None, None, None)
    if not (data / "emulator.pid").exists():
        (settings.data / "running").unlink(missing_ok=True)


def connect_salesforce(programs: Programs, simulator: salesforce.Simulator, api: str) -> None:
    """Configure the simulator as an admin would: the app, and the URL for Outbound Messages."""
    for program, name, source in programs.sources():
        options = source.get("options", {})
        if source["channel"] != "salesforce" or options["org_id"][:15] != simulator.org_id[:15]:
            continue
        secret = programs.vault.source(programs.kept, program, name)
        if "consumer_key" in options and "username" in options and "private_key" in secret:
            key = secrets.public_half(secret["private_key"])
            simulator.register(options["consumer_key"], options["username"], key)
        url = programs.access(api, program, name, source)["url"]
        set_outbound(simulator, {"url": url, "object": options["object"], "watch": [options["fields"]["status"]]})
        return


def set_outbound(simulator: salesforce.Simulator, outbound: Mapping[str, Any]) -> None:
    body = json.dumps(outbound).encode()
    with NO_PROXY_OPENER.open(
        urllib.request.Request(f"{simulator.url}/control/outbound", body, method="POST"), timeout=30
    ):
        pass


def put_object(s3: Any, bucket: str, key: str, body: bytes) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=body)


async def close_server(door: asyncssh.SSHAcceptor) -> None:
    door.close()
    await door.wait_closed()


def kind_of(source: Mapping[str, Any]) -> str:
    match source["channel"]:
        case "api":
            return str(source.get("kind", "standard"))
        case "pull":
            return str(source["options"]["protocol"])
    return ""


def ready_banner(
    settings: Settings, api: str, ports: Ports, simulator: str, endpoint: Endpoint, programs: list[str], console: str
) -> str:
    data = settings.data
    rows = [
        ("Console", f"{console}  (signs you in, once)"),
        ("API", f"{api}  (and https, trusted with {data / 'tls/ca.pem'})"),
        ("SFTP", f"{HOST} port {ports.number('sftp')}  (user <program>.<source>, keys in {data / 'keys'})"),
        ("SMTP", f"{HOST} port {ports.number('smtp')}  (mail for <program>.<source>.<token>@{MAIL_DOMAIN})"),
        ("Salesforce", f"{simulator}/control/  (an organisation to try with)"),
        ("AWS", f"{endpoint}  (embedded; it opens to the key in {data / 'aws/credentials'})"),
        ("Programs", ", ".join(programs) or "none yet: retour program apply FILE"),
        ("Keys", f"{settings.ready_file}  (addresses, keys and secrets; for your eyes only)"),
    ]
    lines = [f"  {name:<11}{text}" for name, text in rows]
    return "\n".join(["", "Retour is ready.", "", *lines, "", "Ctrl-C stops it; everything is kept.", ""])


async def run_until_stopped(settings: Settings, say: Say) -> None:
    """Run the hub until Ctrl-C or SIGTERM, even while it is starting."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await run(settings, say, stop)
    except StoppedError:
        say("Stopped before it was ready.")
