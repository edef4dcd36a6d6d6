"""Real servers on loopback and an in-memory hub, for tests of polling."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from tests.servers.daemons import KINDS, Daemon, Identity, make_identity
from tests.servers.install import install, possible
from tests.settings import IN_MEMORY

from retour.domain.delivery import Channel, Delivery
from retour.domain.program import Program, Source
from retour.remote import FileClient, ftp, sftp


class ProcessKilled(BaseException):
    """The process ended between two steps."""


ACME = Program(
    id="acme", name="Acme", currency="EUR", time_zone="Europe/Berlin", version=1, event_types={}, sources={},
    contracts=(), reasons=frozenset(),
)  # fmt: skip


@dataclass
class MemoryState:
    docs: dict[str, dict[str, Any]]
    step: Callable[[], None]

    def get(self, key: str) -> dict[str, Any] | None:
        return self.docs.get(key)

    def put(self, key: str, doc: Mapping[str, Any]) -> None:
        self.step()
        self.docs[key] = dict(doc)

    def claim(self, key: str, doc: Mapping[str, Any]) -> bool:
        self.step()
        if key in self.docs:
            return False
        self.docs[key] = dict(doc)
        return True

    def delete(self, key: str) -> None:
        self.step()
        self.docs.pop(key, None)


@dataclass
class MemoryInbox:
    step: Callable[[], None]
    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self.step()
        self.objects[key] = body if isinstance(body, bytes) else body.read()
        self.puts.append(key)

    def read(self, key: str) -> bytes:
        return self.objects[key]

    def size(self, key: str) -> int:
        return len(self.objects[key])


class PollTestHub:
    """The part of the hub that polling uses. It can crash at its n-th write."""

    def __init__(self) -> None:
        self.writes_left: int | None = None
        self.docs: dict[str, dict[str, Any]] = {}
        self.inbox = MemoryInbox(self.step)
        self.settings = replace(IN_MEMORY, allow_private_hosts=True)
        self.secrets: dict[str, Any] = {}
        self.sent: list[tuple[str, dict[str, Any], int]] = []
        self.announced: list[Delivery] = []
        self.later = timedelta()

    def step(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise ProcessKilled
            self.writes_left -= 1

    def announce(self, _hub: object, delivery: Delivery) -> None:
        self.step()
        self.announced.append(delivery)

    def real_now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def now(self) -> datetime:
        moment = self.real_now()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def secret(self, _program: str, _source: str) -> Mapping[str, Any]:
        return self.secrets

    def state(self, _program: str, _source: str) -> MemoryState:
        return MemoryState(self.docs, self.step)

    def program(self, _program: str) -> Program | None:
        return None

    def send(self, queue: str, message: dict[str, Any], delay_seconds: int = 0) -> None:
        self.sent.append((queue, message, delay_seconds))


@pytest.fixture
def house() -> PollTestHub:
    return PollTestHub()


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder the servers' account can enter, unlike pytest's own."""
    if reason := possible():
        pytest.skip(reason)
    install()
    folder = Path(tempfile.mkdtemp(prefix="retour-servers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def keys(workshop: Path) -> Identity:
    folder = workshop / "keys"
    folder.mkdir()
    return make_identity(folder)


@pytest.fixture(scope="session")
def start(workshop: Path, keys: Identity) -> Iterator[Callable[[str], Daemon]]:
    """Starts each kind of server on first use."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Daemon] = {}

        def start(kind: str) -> Daemon:
            if kind not in running:
                running[kind] = stack.enter_context(KINDS[kind](workshop / kind, keys))
            running[kind].clear()
            return running[kind]

        yield start


@pytest.fixture(params=sorted(KINDS))
def daemon(request: pytest.FixtureRequest, start: Callable[[str], Daemon]) -> Daemon:
    """Every kind of server in turn, with empty folders."""
    return start(request.param)


@pytest.fixture(scope="session")
def lines() -> Iterator[dict[str, FileClient]]:
    """Sessions that stay logged in across tests."""
    with contextlib.ExitStack() as stack:
        open_lines: dict[str, FileClient] = {}
        yield open_lines
        for server in open_lines.values():
            stack.callback(server.close)


@pytest.fixture
def server(daemon: Daemon, lines: dict[str, FileClient]) -> FileClient:
    """The daemon's shared session. A test must not affect the next one through it."""
    if daemon.name not in lines:
        lines[daemon.name] = log_in(daemon.options, daemon.secret)
    return lines[daemon.name]


def resolve(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def log_in(
    options: Mapping[str, Any], secret: Mapping[str, Any], allow_private: bool = True, timeout: float = 8
) -> FileClient:
    """Log in as a poll does, with the test's resolver and a short timeout."""
    if options["protocol"] == "sftp":
        return sftp.connect(options, secret, timeout=timeout, allow_private=allow_private, resolve=resolve)
    return ftp.connect(options, secret, timeout=timeout, allow_private=allow_private, resolve=resolve)


def source(daemon: Daemon, **options: Any) -> Source:
    return Source(name="erp", channel=Channel.PULL, time_zone="Europe/Berlin", options={**daemon.options, **options})


def fetched(server: FileClient, folder: str, name: str) -> bytes:
    into = io.BytesIO()
    assert server.fetch(folder, name, into) == len(into.getvalue())
    return into.getvalue()
