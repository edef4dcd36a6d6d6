"""An SFTP client on asyncssh: approved host keys only, outdated algorithms only if the source names them."""

import asyncio
import contextlib
import stat
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar

import asyncssh
from asyncssh.encryption import get_default_encryption_algs, get_encryption_algs
from asyncssh.kex import get_default_kex_algs, get_kex_algs
from asyncssh.mac import get_default_mac_algs, get_mac_algs
from asyncssh.public_key import get_default_public_key_algs, get_public_key_algs

from retour.remote import (
    RemoteError,
    RemoteFile,
    StepObserver,
    address,
    decode_name,
    encode_name,
    ignore_step,
    sanitise_message,
)

T = TypeVar("T")
BLOCK_BYTES = 1 << 22
ATTEMPTS = 3
OUTDATED = ("gss-", "sha1", "md5", "-cbc", "arcfour", "blowfish", "cast128", "3des", "ssh-rsa", "ssh-dss", "umac-64")
RSA = ("rsa-sha2-512", "rsa-sha2-256")
ALGORITHMS_OF_KEY = {"ssh-rsa": RSA}


class SftpClient:
    """A FileClient by SFTP with an event loop of its own. Created by `connect`."""

    def __init__(self, log_in: Callable[[], Coroutine[Any, Any, asyncssh.SSHClientConnection]], timeout: float) -> None:
        self._log_in = log_in
        self._timeout = timeout
        self._wire: dict[str, str] = {}
        self._loop = asyncio.Runner()
        self._connection: asyncssh.SSHClientConnection | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._connection = self._loop.run(self._log_in())
        with remote_errors("open SFTP"):
            self._client = self._wait(self._connection.start_sftp_client(path_encoding="latin-1"))

    def _wait(self, work: Awaitable[T]) -> T:
        return self._loop.run(asyncio.wait_for(work, self._timeout))

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[RemoteFile]:
        found = []
        try:
            entries = self._wait(self._client.readdir(encode_name(folder or ".")))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPPermissionDenied) as error:
            raise RemoteError("FOLDER_NOT_FOUND", folder=folder, said=sanitise_message(error)) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise remote_error(f"list {folder}", error) from error
        for entry in entries:
            wire = str(entry.filename)
            name = decode_name(wire)
            kind = stat.S_IFMT(entry.attrs.permissions or 0)
            if kind in (0, stat.S_IFREG):
                self._wire[name] = wire
                found.append(remote_file(name, entry.attrs))
            elif kind == stat.S_IFLNK:
                self._wire[name] = wire
                if not wanted(name):
                    found.append(RemoteFile(name, None, None))
                elif (target := self.stat(folder, name)) is not None:
                    found.append(target)
        return found

    def stat(self, folder: str, name: str) -> RemoteFile | None:
        with remote_errors(f"look at {name}"):
            try:
                attrs = self._wait(self._client.stat(self._path(folder, name)))
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                return None
        return remote_file(name, attrs) if stat.S_IFMT(attrs.permissions or 0) in (0, stat.S_IFREG) else None

    def fetch(self, folder: str, name: str, into: BinaryIO) -> int:
        got = 0
        before = self.stat(folder, name)
        for attempt in range(ATTEMPTS):
            try:
                for block in self._blocks(self._path(folder, name), got):
                    into.write(block)
                    got += len(block)
                problem = f"{got} of {before.size if before else 0} bytes came"
                if before is None or before.size is None or got == before.size:
                    return got
            except (asyncssh.ConnectionLost, asyncssh.SFTPConnectionLost, OSError, TimeoutError) as error:
                problem = sanitise_message(error) or type(error).__name__
            except asyncssh.Error as error:
                raise RemoteError("REFUSED", doing=f"fetch {name}", said=sanitise_message(error)) from error
            if attempt + 1 < ATTEMPTS:
                self._hang_up()
                self._start()
                if self.stat(folder, name) != before:
                    raise RemoteError("CHANGED", name=name)
        raise RemoteError("INCOMPLETE", name=name, said=problem)

    def _blocks(self, path: str, start: int) -> Iterator[bytes]:
        file = self._wait(self._client.open(path, "rb"))
        try:
            while isinstance(block := self._wait(file.read(BLOCK_BYTES, start)), bytes) and block:
                start += len(block)
                yield block
        finally:
            with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
                self._wait(file.close())

    def put(self, folder: str, name: str, body: bytes) -> None:
        """Upload and rename; upload directly if the server refuses the temporary name or the rename."""
        temporary, final = self._path(folder, f"{name}.part"), self._path(folder, name)
        with remote_errors(f"put {name}"):
            try:
                self._put_and_rename(temporary, final, body)
            except asyncssh.SFTPError as refused:
                if isinstance(refused, asyncssh.SFTPConnectionLost):
                    raise
                with contextlib.suppress(asyncssh.SFTPError):
                    self._wait(self._client.remove(temporary))
                try:
                    self._wait(self._store(final, body))
                except asyncssh.SFTPError:
                    raise refused from None  # The first refusal says what is wrong.

    def _put_and_rename(self, temporary: str, final: str, body: bytes) -> None:
        try:
            self._wait(self._store(temporary, body))
        except asyncssh.SFTPError as refused:
            try:
                self._wait(self._client.remove(temporary))  # left by an interrupted attempt; rename does not overwrite
                self._wait(self._store(temporary, body))
            except asyncssh.SFTPError:
                raise refused from None
        try:
            self._wait(self._client.posix_rename(temporary, final))
        except asyncssh.SFTPError as refused:
            with contextlib.suppress(asyncssh.SFTPError):
                self._wait(self._client.remove(final))  # our own earlier reply
            try:
                self._wait(self._client.rename(temporary, final))
            except asyncssh.SFTPError:
                raise refused from None

    def move(self, folder: str, name: str, to: str) -> None:
        """Move to a folder below this one, or to an absolute one. An existing file of that name is not replaced."""
        there = to if to.startswith("/") or folder in ("", ".") else f"{folder.rstrip('/')}/{to}"
        with remote_errors(f"move {name} to {to}"):
            self._wait(self._client.rename(self._path(folder, name), self._path(there, name)))

    async def _store(self, path: str, body: bytes) -> None:
        async with self._client.open(path, "wb") as file:
            await file.write(body)
        size = (await self._client.stat(path)).size
        if size is not None and size != len(body):
            raise RemoteError("INCOMPLETE", name=decode_name(path), said=f"{size} of {len(body)} bytes")

    def delete(self, folder: str, name: str) -> None:
        with remote_errors(f"delete {name}"):
            self._wait(self._client.remove(self._path(folder, name)))

    def close(self) -> None:
        self._hang_up()
        self._loop.close()

    def _hang_up(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
                connection.abort()
                self._wait(connection.wait_closed())

    def _path(self, folder: str, name: str) -> str:
        wire = self._wire.get(name, encode_name(name))
        return f"{encode_name(folder).rstrip('/') or ''}/{wire}" if folder not in ("", ".") else wire


def remote_file(name: str, attrs: asyncssh.SFTPAttrs) -> RemoteFile:
    if attrs.mtime is None:
        return RemoteFile(name, attrs.size, None)
    modified = datetime.fromtimestamp(int(attrs.mtime), UTC)
    return RemoteFile(name, attrs.size, modified, modified.strftime("%Y%m%d%H%M%S"))


@contextlib.contextmanager
def remote_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise remote_error(doing, error) from error


def remote_error(doing: str, error: Exception) -> RemoteError:
    refused = isinstance(error, asyncssh.SFTPError) and not isinstance(error, asyncssh.SFTPConnectionLost)
    code = "REFUSED" if refused else "CONNECTION_BROKEN"
    return RemoteError(code, doing=doing, said=sanitise_message(error) or type(error).__name__)


class HostKeyPins(asyncssh.SSHClient):
    """Accepts approved host keys only, and keeps the key that was presented instead."""

    def __init__(self, approved: Sequence[asyncssh.SSHKey]) -> None:
        self.approved = approved
        self.shown: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key
        return any(key.public_data == approved.public_data for approved in self.approved)


def connect(
    options: Mapping[str, Any],
    secret: Mapping[str, str],
    *,
    timeout: float,
    allow_private: bool = False,
    resolve: address.Resolve = address.resolve,
    watch: StepObserver = ignore_step,
) -> SftpClient:
    """Log in as the source's options say, with the stored key or password."""
    host, port = options["host"], int(options.get("port", 22))
    password = secret.get("password") or None
    approved = [parse_host_key(line) for line in options.get("host_keys", ())]
    keys = [parse_private_key(secret)] if secret.get("private_key") else []
    if not password and not keys:
        raise RemoteError("NO_CREDENTIALS", lasting=True)
    algorithms = allowed_algorithms(options.get("legacy_algorithms", ()), approved)

    async def log_in() -> asyncssh.SSHClientConnection:
        pins = HostKeyPins(approved)
        plug = address.connect(host, port, timeout, allow_private=allow_private, resolve=resolve)
        plug.setblocking(False)
        watch("connect", {"host": host, "port": port})
        try:
            connection = await asyncio.wait_for(
                asyncssh.connect(
                    host,
                    port,
                    sock=plug,
                    client_factory=lambda: pins,
                    known_hosts=([], [], []),
                    username=options["user"],
                    password=password,
                    client_keys=keys or None,
                    agent_path=None,
                    config=None,
                    gss_kex=False,
                    gss_auth=False,
                    login_timeout=timeout,
                    keepalive_interval=timeout,
                    **algorithms,
                ),
                timeout,
            )
        except BaseException as error:
            plug.close()
            if isinstance(error, asyncssh.PermissionDenied) and pins.shown is not None:
                watch("trust", key_facts(pins.shown))
            raise explain_failure(error, host, port, options["user"], pins, password) from error
        watch("trust", key_facts(pins.shown) if pins.shown else {})
        watch("login", {"host": host, "user": options["user"]})
        return connection

    return SftpClient(log_in, timeout)


def explain_failure(
    error: BaseException, host: str, port: int, user: str, pins: HostKeyPins, password: str | None
) -> BaseException:
    """The error of a failed login with a message an admin can act on."""
    said = sanitise_message(error, password or "") or type(error).__name__
    match error:
        case asyncssh.HostKeyNotVerifiable() if pins.shown is not None:
            return host_key_error(host, pins.shown, bool(pins.approved))
        case asyncssh.PermissionDenied():
            return RemoteError("LOGIN_REFUSED", lasting=True, host=host, user=user, said=f"{said}.")
        case asyncssh.KeyExchangeFailed():
            offered = sanitise_message(str(error).rpartition(" received ")[2])
            return RemoteError("NO_COMMON_ALGORITHM", lasting=True, host=host, said=offered)
        case asyncssh.Error() | OSError() | TimeoutError():
            return RemoteError("NOT_STARTED", host=host, port=port, said=said)
    return error


def host_key_error(host: str, key: asyncssh.SSHKey, others: bool) -> RemoteError:
    code = "HOST_KEY_CHANGED" if others else "HOST_KEY_NOT_APPROVED"
    line = " ".join(key.export_public_key("openssh").decode().split()[:2])
    return RemoteError(code, lasting=True, host=host, line=line, **key_facts(key))


def key_facts(key: asyncssh.SSHKey) -> dict[str, Any]:
    """The server's host key data for comparison by a person."""
    return {"fingerprint": key.get_fingerprint(), "algorithm": key.get_algorithm()}


def parse_host_key(line: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError) as error:
        right = "ssh-ed25519 AAAA…"
        raise RemoteError(
            "BAD_OPTION", lasting=True, option="host_keys", said=sanitise_message(error), right=right
        ) from error


def parse_private_key(secret: Mapping[str, str]) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(secret["private_key"], secret.get("passphrase"))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        raise RemoteError("BAD_PRIVATE_KEY", lasting=True) from error


def allowed_algorithms(named: Sequence[str], approved: Sequence[asyncssh.SSHKey]) -> dict[str, list[str]]:
    """The algorithms to offer: asyncssh's defaults without outdated ones, plus those the source names.

    Approved host key types come first, so that a server with several keys presents one of them.
    """
    every = {
        "kex_algs": (get_default_kex_algs(), get_kex_algs()),
        "encryption_algs": (get_default_encryption_algs(), get_encryption_algs()),
        "mac_algs": (get_default_mac_algs(), get_mac_algs()),
        "server_host_key_algs": (get_default_public_key_algs(), get_public_key_algs()),
    }
    known = {name.decode() for _, names in every.values() for name in names}
    unknown = [name for name in named if name not in known]
    if unknown:
        said = f"{sanitise_message(unknown[0])} is no SSH algorithm we know"
        raise RemoteError(
            "BAD_OPTION", lasting=True, option="legacy_algorithms", said=said, right="diffie-hellman-group14-sha1"
        )
    chosen: dict[str, list[str]] = {}
    for kind, (usual, possible) in every.items():
        names = [name.decode() for name in usual if not any(part in name.decode() for part in OUTDATED)]
        names += [name for name in named if name.encode() in possible and name not in names]
        chosen[kind] = names
    hosts = chosen["server_host_key_algs"]
    first = [name for key in approved for name in ALGORITHMS_OF_KEY.get(key.get_algorithm(), (key.get_algorithm(),))]
    chosen["server_host_key_algs"] = list(dict.fromkeys([*(name for name in first if name in hosts), *hosts]))
    return chosen
