"""The local hub: everything that runs in the cloud, on loopback, in the order that loses nothing."""

import asyncio
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import trustme

from local import replay, salesforce, secrets, sftp, smtp
from local.deploy import Deployed, client, deploy
from local.emulator import emulator
from local.front import Front, Open

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).resolve().parent / "sample/acme.yaml"
HOST = "127.0.0.1"
STACK = "retour"
MAIL_DOMAIN = "in.retour.test"
CHANGES_KEYS = re.compile(r"/v1/programs/[^/]+(/sources/[^/]+/secret|/keys(/.*)?)?")
# Beside the port of the front, so that they are easy to remember and the same after every start.
BESIDE = {"sftp": 22, "smtp": 25, "salesforce": 43, "controls": 44, "aws": 66}
DRAIN_SECONDS = 60.0
WATCH_SECONDS = 10.0

log = logging.getLogger("retour.local")
Say = Callable[[str], None]


class CannotStart(Exception):
    """Why the hub does not start, and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    port: int
    data: Path
    ready_file: Path
    clock_offset_seconds: int = 0
    auth: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """The deployed stack, as its root user sees it."""

    deployed: Deployed
    endpoint: str

    def client(self, service: str) -> Any:
        return client(service, self.endpoint)

    def output(self, name: str) -> str:
        return self.deployed.outputs[name]

    @property
    def bucket(self) -> str:
        return self.output("InboxBucket")

    def call(self, function: str, event: dict[str, Any]) -> Any:
        return replay.call(self.client("lambda"), self.output(function), event)


class Programs:
    """The programs as applied last, and everything that it takes to use their sources.

    `refresh` asks the hub's own API, keeps what is new, and writes the ready-file again once there is one.
    """

    def __init__(self, settings: Settings, stack: Stack, vault: secrets.Vault, kept: secrets.Kept):
        self.settings, self.stack, self.vault, self.kept = settings, stack, vault, kept
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.accounts: dict[str, sftp.Account] = {}
        self.changed: list[Callable[[], None]] = []
        self.lock = threading.Lock()

    def refresh(self) -> None:
        with self.lock:
            self.documents = {item["program"]: self.document(item["program"]) for item in self.pages("/v1/programs")}
            self.keep(self.vault.complete(self.kept, self.documents))
            self.accounts = {account.user: account for account in self.sftp_accounts()}
            for tell in self.changed:
                tell()

    def keep(self, kept: secrets.Kept) -> None:
        path = self.settings.data / "secrets.json"
        if kept != self.kept or not path.exists():
            secrets.save(path, kept)
            self.kept = kept

    def watch(self) -> None:
        """Secrets that somebody set in Secrets Manager itself are kept as well."""
        with self.lock:
            self.keep(self.vault.complete(self.kept, self.documents))

    def passed(self, method: str, path: str, status: int) -> None:
        """Before a change of a program or of its keys is answered, it is kept."""
        if status < 300 and CHANGES_KEYS.fullmatch(path):
            try:
                self.refresh()
            except Exception:
                log.exception("the keys could not be kept after %s %s", method, path)

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
                own = key_pair(self.key_file(program, name))
                yield sftp.Account(f"{program}.{name}", program, name, (*given, own))

    def key_file(self, program: str, source: str) -> Path:
        return self.settings.data / "keys" / f"{program}.{source}"

    def described(self, api: str) -> dict[str, Any]:
        """What the ready-file says of the programs."""
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
                return {"url": url, "secret": next(iter(secret.get("signing", ())), "")}
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

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            answer = self.ask("GET", f"{path}?cursor={cursor}" if cursor else path)
            yield from answer["items"]
            cursor = answer.get("next")
            if not cursor:
                return

    def document(self, program: str) -> Mapping[str, Any]:
        answer = self.ask("GET", f"/v1/programs/{program}")
        found: Mapping[str, Any] = answer.get("document", answer)
        return found

    def apply(self, path: Path) -> None:
        document = path.read_bytes()
        name = re.search(rb"^program:\s*(\S+)", document, re.MULTILINE)
        assert name is not None
        self.ask("PUT", f"/v1/programs/{name[1].decode()}", document, "application/yaml")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self.kept.admin_key}", "Content-Type": kind}
        request = urllib.request.Request(self.stack.deployed.api_base + path, body, headers, method=method)
        try:
            with DIRECT.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode("utf-8", "replace")
            raise CannotStart(f"{method} {path} was answered {error.code}: {said}") from error


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def run(settings: Settings, say: Say, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then ends everything in its order."""
    settings.ready_file.unlink(missing_ok=True)
    async with AsyncExitStack() as ending:
        data = prepared(settings.data)
        ending.enter_context(held(data))
        authority = certificate_authority(data / "tls")
        tls = server_tls(authority)
        ports = Ports(settings.port, data / "ports.json")
        front = Front(front_socket(settings.port), tls)
        front.start()
        ending.callback(front.stop)
        api = f"http://{HOST}:{front.server_port}"
        say(f"Retour is starting on {api}")

        outbox = await smtp.listen(ports.listening("outbox"), smtp.Outbox(data / "sent"))
        ending.callback(outbox.close)
        unclean = (data / "running").exists()
        (data / "running").write_text(str(os.getpid()))
        endpoint = await ending.enter_async_context(embedded_aws(settings, ports))
        simulator = salesforce.start(
            HOST,
            ports.number("salesforce"),
            ca=authority,
            data=data / "salesforce",
            control_port=ports.number("controls"),
            now=lambda: datetime.fromtimestamp(time.time() + settings.clock_offset_seconds, UTC),
        )
        ending.callback(simulator.stop)
        ports.save()

        parameters = {
            "Local": "true",
            "MailDomain": MAIL_DOMAIN,
            "ApiUrl": api,
            "ClockOffsetSeconds": str(settings.clock_offset_seconds),
            "SalesforceConnect": simulator.connect,
            "SalesforceCa": str(data / "tls/ca.pem"),
        }
        quiet = {"Outward": "off"} if unclean else {}
        stack = await asyncio.to_thread(deployed, endpoint, parameters | quiet)
        kept = secrets.load(data / "secrets.json")
        first = not kept.programs
        vault = secrets.Vault(
            stack.output("LedgerTable"),
            f"retour/{STACK}/",
            stack.client("dynamodb"),
            stack.client("secretsmanager"),
        )
        programs = Programs(settings, stack, vault, kept)
        await asyncio.to_thread(vault.put_back, kept)
        programs.keep(kept)
        if unclean:
            await asyncio.to_thread(taken_in_again, stack, say)
            stack = await asyncio.to_thread(deployed, endpoint, parameters)
            programs.stack = stack
        await asyncio.to_thread(programs.refresh)
        if first and not programs.documents:
            await asyncio.to_thread(programs.apply, SAMPLE)
            await asyncio.to_thread(programs.refresh)

        events = stack.client("events")
        s3 = stack.client("s3")

        def uploaded(upload: sftp.Upload) -> None:
            entry = {
                "Source": "aws.transfer",
                "DetailType": "SFTP Server File Upload Completed",
                "Detail": json.dumps(upload.event()),
            }
            events.put_events(Entries=[entry])

        for key in await asyncio.to_thread(lambda: list(replay.unanswered(s3, stack.bucket, sftp.is_temporary))):
            await asyncio.to_thread(uploaded, raised_again(s3, stack.bucket, key))

        door = await sftp.listen(
            ports.listening("sftp"),
            host_key(data / "keys/sftp_host_key"),
            programs.account,
            lambda account: sftp.Folder(s3, stack.bucket, f"sftp/{account.program}/{account.source}/"),
            uploaded,
            data / "uploading",
        )
        ending.push_async_callback(closed, door)
        post = smtp.Delivery(
            data / "mail",
            lambda name, raw: put(s3, stack.bucket, f"mail/{name}", raw),
            lambda event: stack.call("InboundEmailFunction", event),
        )
        ending.push_async_callback(post.stop)
        post.resume()
        mail = await smtp.listen(ports.listening("smtp"), smtp.Reception(MAIL_DOMAIN, post.take), tls)
        ending.callback(mail.close)
        ports.save()

        def mails() -> Any:
            return {"items": smtp.sent_mails(data / "sent"), "next": None}

        pages = {"/local/mails": mails, "/v1/mails": mails}
        front.open(Open(stack.deployed.api_base, programs.kept.admin_key, programs.passed, pages))

        def tell() -> None:
            connect_salesforce(programs, simulator, api)
            write_ready(
                settings.ready_file,
                {
                    "api": api,
                    "console": f"{api}/",
                    "sftp": {"host": HOST, "port": ports.number("sftp")},
                    "smtp": {"host": HOST, "port": ports.number("smtp")},
                    "salesforce_simulator": simulator.url,
                    "aws_endpoint": endpoint,
                    "admin_key": programs.kept.admin_key,
                    "programs": programs.described(api),
                },
            )

        programs.changed.append(tell)
        await asyncio.to_thread(tell)
        ending.callback(settings.ready_file.unlink, missing_ok=True)
        say(addresses(settings, api, ports, simulator.url, endpoint, sorted(programs.documents)))
        await until(stop, programs)
        say("Stopping; what is kept is being saved …")


async def until(stop: asyncio.Event, programs: Programs) -> None:
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), WATCH_SECONDS)
        except TimeoutError:
            try:
                await asyncio.to_thread(programs.watch)
            except Exception as error:
                raise CannotStart(f"The embedded AWS no longer answers ({error}). Start the hub again.") from error


def taken_in_again(stack: Stack, say: Say) -> None:
    s3 = stack.client("s3")
    stored = replay.envelopes(s3, stack.bucket)
    say(f"The last run did not end of itself; {len(stored)} deliveries are taken in again.")

    def progress(number: int) -> None:
        if number % 500 == 0:
            say(f"  {number} of {len(stored)}")

    for key, failure in replay.replay(stack.client("lambda"), stack.output("ApiFunction"), stored, progress):
        say(f"  {key} could not be taken in again: {failure}")
    drained(stack)


def drained(stack: Stack) -> None:
    """Waits until nothing is left in the queues that leads out of the house."""
    sqs = stack.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + DRAIN_SECONDS
    for queue in ("AnswersQueue", "PullsQueue", "WritebacksQueue"):
        while time.monotonic() < deadline:
            counts = sqs.get_queue_attributes(QueueUrl=stack.output(queue), AttributeNames=names)["Attributes"]
            if not any(int(count) for count in counts.values()):
                break
            time.sleep(0.1)


def deployed(endpoint: str, parameters: Mapping[str, str]) -> Stack:
    stack = Stack(deploy(endpoint, parameters=parameters, root=ROOT, stack=STACK), endpoint)
    # SES sends only from domains that proved to be the sender's, and to strangers only outside its sandbox.
    stack.client("ses").verify_domain_identity(Domain=MAIL_DOMAIN)
    stack.client("sesv2").put_account_details(
        MailType="TRANSACTIONAL",
        WebsiteURL="https://retour.test",
        ProductionAccessEnabled=True,
        UseCaseDescription="Answers to those who mailed a file.",
    )
    return stack


@asynccontextmanager
async def embedded_aws(settings: Settings, ports: "Ports") -> AsyncIterator[str]:
    """The emulator; the mark of a running hub goes only after a whole run whose state was saved at its end."""
    data = settings.data / "aws"
    relay = f"{HOST}:{ports.number('outbox')}"
    running = emulator(data, ports.number("aws"), auth=settings.auth, relay=relay)
    endpoint = await asyncio.to_thread(running.__enter__)
    try:
        yield endpoint
    except BaseException:
        await asyncio.to_thread(running.__exit__, None, None, None)
        raise
    await asyncio.to_thread(running.__exit__, None, None, None)
    if not (data / "emulator.pid").exists():
        (settings.data / "running").unlink(missing_ok=True)


def connect_salesforce(programs: Programs, simulator: salesforce.Simulator, api: str) -> None:
    """What an admin does once: knows the app, and says where Outbound Messages go."""
    for program, name, source in programs.sources():
        options = source.get("options", {})
        if source["channel"] != "salesforce" or options["org_id"][:15] != simulator.org_id[:15]:
            continue
        secret = programs.vault.source(programs.kept, program, name)
        if "consumer_key" in options and "username" in options and "private_key" in secret:
            key = secrets.public_half(secret["private_key"])
            simulator.register(options["consumer_key"], options["username"], key)
        url = programs.access(api, program, name, source)["url"]
        control(simulator, {"url": url, "object": options["object"], "watch": [options["fields"]["status"]]})
        return


def control(simulator: salesforce.Simulator, outbound: Mapping[str, Any]) -> None:
    body = json.dumps(outbound).encode()
    with DIRECT.open(urllib.request.Request(f"{simulator.url}/control/outbound", body, method="POST"), timeout=30):
        pass


def raised_again(s3: Any, bucket: str, key: str) -> sftp.Upload:
    head = s3.head_object(Bucket=bucket, Key=key)
    _, program, source, _ = key.split("/", 3)
    at = head["LastModified"]
    return sftp.Upload(
        f"{program}.{source}", bucket, key, head["ContentLength"], head["ETag"].strip('"'), HOST, "", at, at
    )


def put(s3: Any, bucket: str, key: str, body: bytes) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=body)


async def closed(door: asyncssh.SSHAcceptor) -> None:
    door.close()
    await door.wait_closed()


# The data folder


def prepared(data: Path) -> Path:
    """The folder with its rooms, for its owner alone; what an earlier run was just receiving is not there any more."""
    shutil.rmtree(data / "uploading", ignore_errors=True)
    for room in ("", "aws", "keys", "mail", "salesforce", "sent", "tls", "uploading"):
        (data / room).mkdir(parents=True, exist_ok=True, mode=0o700)
    return data


@contextmanager
def held(data: Path) -> Iterator[None]:
    """One hub a folder."""
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"Another hub runs on {data}. Stop it, or say --data with another folder.") from None
        yield


def certificate_authority(folder: Path) -> trustme.CA:
    """The hub's own, made once; whoever trusts ca.pem trusts its HTTPS, its SMTP and its Salesforce simulator."""
    public, private = folder / "ca.pem", folder / "ca.key"
    if public.exists() and private.exists():
        return trustme.CA.from_pem(public.read_bytes(), private.read_bytes())
    authority = trustme.CA(organization_name="Retour local hub")
    write_private(private, authority.private_key_pem.bytes().decode())
    write_private(public, authority.cert_pem.bytes().decode())
    return authority


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("localhost", HOST).configure_cert(context)
    return context


def host_key(path: Path) -> Path:
    key_pair(path)
    return path


def key_pair(path: Path) -> str:
    """The public half of the key in this file, made if there is none."""
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment=path.name)
        write_private(path, key.export_private_key().decode())
    return asyncssh.read_private_key(path).export_public_key().decode().strip()


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, for its owner alone."""
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(fresh, path)


def write_ready(path: Path, ready: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(ready, indent=1) + "\n")


# Ports


def front_socket(port: int) -> socket.socket:
    try:
        return bound(port)
    except OSError as error:
        raise CannotStart(f"Port {port} is taken ({error.strerror}). Say --port with another one.") from None


def bound(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError:
        listening.close()
        raise
    return listening


class Ports:
    """The ports beside the front's: those of the last run, else the usual ones, else any that is free."""

    def __init__(self, front: int, remembered: Path):
        self.remembered = remembered
        usual = {name: front + step for name, step in BESIDE.items()} if 0 < front < 65000 else {}
        last = json.loads(remembered.read_text()) if remembered.exists() else {}
        self.wanted: dict[str, int] = usual | last
        self.taken: dict[str, int] = {}

    def listening(self, name: str) -> socket.socket:
        try:
            found = bound(self.taken.get(name) or self.wanted.get(name, 0))
        except OSError:
            found = bound(0)
        self.taken[name] = int(found.getsockname()[1])
        return found

    def number(self, name: str) -> int:
        """For a server that binds its port itself."""
        if name not in self.taken:
            self.listening(name).close()
        return self.taken[name]

    def save(self) -> None:
        self.remembered.write_text(json.dumps(self.taken))


def kind_of(source: Mapping[str, Any]) -> str:
    match source["channel"]:
        case "api":
            return str(source.get("kind", "standard"))
        case "pull":
            return str(source["options"]["protocol"])
    return ""


def addresses(settings: Settings, api: str, ports: Ports, simulator: str, endpoint: str, programs: list[str]) -> str:
    data = settings.data
    rows = [
        ("API", f"{api}  (and https, trusted with {data / 'tls/ca.pem'})"),
        ("SFTP", f"{HOST} port {ports.number('sftp')}  (user <program>.<source>, keys in {data / 'keys'})"),
        ("SMTP", f"{HOST} port {ports.number('smtp')}  (mail for <program>.<source>.<token>@{MAIL_DOMAIN})"),
        ("Salesforce", f"{simulator}/control/  (an organisation to try with)"),
        ("AWS", f"{endpoint}  (embedded)"),
        ("Programs", ", ".join(programs) or "none yet: retour program apply FILE"),
        ("Keys", f"{settings.ready_file}  (addresses, keys and secrets; for your eyes only)"),
    ]
    lines = [f"  {name:<11}{text}" for name, text in rows]
    return "\n".join(["", "Retour is ready.", "", *lines, "", "Ctrl-C stops it; everything is kept.", ""])


async def until_told(settings: Settings, say: Say) -> None:
    """Runs the hub until Ctrl-C or SIGTERM, even while it is still starting."""
    stop = asyncio.Event()
    running = asyncio.current_task()
    assert running is not None

    def told() -> None:
        if stop.is_set():
            return
        stop.set()
        if not settings.ready_file.exists():
            running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told)
    try:
        await run(settings, say, stop)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
