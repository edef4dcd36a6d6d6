"""The SFTP server of the local hub, in place of AWS Transfer Family.

One user per source, login by key only. A user sees one folder, the source's prefix of the inbox, and may create
subfolders. A file is stored as one object when its client closes it, then Transfer Family's event is sent; a file whose
connection ends first is not stored. A rename copies and deletes, as in S3.

The object alone counts: S3 sends its own event, and this server's may be late, repeated or missing.
"""

import asyncio
import json
import os
import secrets
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from random import Random
from socket import socket
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import asyncssh
from asyncssh.constants import (
    FILEXFER_TYPE_DIRECTORY,
    FILEXFER_TYPE_REGULAR,
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_TRUNC,
    FXF_WRITE,
)
from botocore.exceptions import BotoCoreError, ClientError

from retour.domain.times import format_instant, truncate_to_milliseconds

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

SIZE_LIMIT = 1024 * 1024 * 1024
LOGIN_SECONDS = 30
NAME_BYTES = 255
DEPTH = 4
GAP_MAX = 64 * 1024 * 1024
"""Maximum gap in front of a write. Clients send several at a time, and none leaves a hole."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and the source whose folder it opens."""

    user: str
    program: str
    source: str
    public_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """A completed upload, or a rename of one with `renamed_from`."""

    program: str
    source: str
    bucket: str
    key: str
    size: int
    client: str
    session: str
    started_at: datetime
    ended_at: datetime
    renamed_from: str = ""

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def kind(self) -> str:
        return "SFTP Server File Rename Completed" if self.renamed_from else "SFTP Server File Upload Completed"

    def event(self) -> dict[str, Any]:
        """The `detail` of Transfer Family's event, without the optional ETag."""
        told = {
            "protocol": "SFTP",
            "client-ip": self.client,
            "failure-code": "",
            "failure-message": "",
            "status-code": "COMPLETED",
            "start-timestamp": format_instant(self.started_at),
            "end-timestamp": format_instant(truncate_to_milliseconds(self.ended_at)),
            "server-id": "s-local",
            "username": f"{self.program}.{self.source}",
            "session-id": self.session,
        }
        path = f"/{self.bucket}/{self.key}"
        if self.renamed_from:
            return told | {"original-file-path": f"/{self.bucket}/{self.renamed_from}", "renamed-file-path": path}
        return told | {"bytes": self.size, "file-path": path}


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Folder:
    """A source's folder: the objects below a prefix of the inbox, named by their paths."""

    s3: "S3Client"
    bucket: str
    prefix: str

    def entries(self, path: str) -> Iterator[Entry]:
        """The direct children of a folder; subfolders end with a slash."""
        prefix = f"{self.prefix}{path}/" if path else self.prefix
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            for inner in page.get("CommonPrefixes", ()):
                yield Entry(inner["Prefix"].removeprefix(prefix), 0, datetime.now(UTC))
            for item in page.get("Contents", ()):
                name = item["Key"].removeprefix(prefix)
                if name:
                    yield Entry(name, item["Size"], item["LastModified"])

    def is_folder(self, path: str) -> bool:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}{path}/", MaxKeys=1)
        return not path or bool(found.get("Contents"))

    def entry(self, name: str) -> Entry | None:
        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=self.prefix + name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return Entry(name, head["ContentLength"], head["LastModified"])

    def put(self, name: str, stream: BinaryIO) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=stream)

    def fetch(self, name: str, into: BinaryIO) -> None:
        self.s3.download_fileobj(self.bucket, self.prefix + name, into)

    def move(self, old: str, new: str) -> None:
        source = {"Bucket": self.bucket, "Key": self.prefix + old}
        self.s3.copy(source, self.bucket, self.prefix + new)  # type: ignore[arg-type]
        self.remove(old)

    def remove(self, name: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=self.prefix + name)


@dataclass(slots=True)
class OpenFile:
    name: str
    scratch: BinaryIO
    writes: bool
    started_at: datetime
    broken: bool = False
    appends: bool = False
    came: int = 0
    """Bytes present at the start or written. A larger file has a hole."""

    @property
    def size(self) -> int:
        self.scratch.flush()
        return os.fstat(self.scratch.fileno()).st_size


class EventSender:
    """Sends Transfer Family's events. With `whims` they may lack optional fields, be late, repeated or missing."""

    OPTIONAL = ("bytes", "client-ip", "session-id", "start-timestamp", "failure-code", "failure-message", "protocol")
    LATEST_SECONDS = 5.0

    def __init__(self, raise_event: Callable[[str, str], None], whims: Random | None = None):
        self.raise_event, self.whims = raise_event, whims

    def announce(self, upload: Upload) -> None:
        detail = upload.event()
        if self.whims is None:
            self.raise_event(upload.kind, json.dumps(detail))
            return
        for _ in range(self.whims.choice((0, 1, 1, 2))):
            told = {
                name: value for name, value in detail.items() if name not in self.OPTIONAL or self.whims.random() < 0.5
            }
            later = self.whims.choice((0.0, self.whims.uniform(0, self.LATEST_SECONDS)))
            timer = threading.Timer(later, self.raise_event, (upload.kind, json.dumps(told)))
            timer.daemon = True
            timer.start()


class SftpSession(asyncssh.SFTPServer):
    """A user's session."""

    def __init__(
        self,
        chan: "asyncssh.SSHServerChannel[bytes]",
        account: Account,
        folder: Folder,
        uploaded: Callable[[Upload], None],
        scratch: Path,
        limit: int,
    ):
        super().__init__(chan)
        self.account, self.folder, self.uploaded = account, folder, uploaded
        self.scratch, self.limit = scratch, limit
        peer = chan.get_extra_info("peername")
        self.client = str(peer[0]) if peer else ""
        self.session = secrets.token_hex(8)

    def exit(self) -> None:
        """Report success like OpenSSH's server, without which `scp` fails."""
        with suppress(OSError):
            self.channel.exit(0)

    def format_user(self, uid: int | None) -> str:
        return "retour"

    def format_group(self, gid: int | None) -> str:
        return "retour"

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        name = file_name(path)
        writes = bool(pflags & (FXF_WRITE | FXF_APPEND))
        if await run_blocking(self.folder.is_folder, name):
            raise asyncssh.SFTPFailure(f"{name} is a folder")
        await self.require_folder(name)
        present = await run_blocking(self.folder.entry, name)
        if present is None and not (writes and pflags & FXF_CREAT):
            raise asyncssh.SFTPNoSuchFile(f"there is no file {name} here")
        if present is not None and writes and pflags & FXF_EXCL:
            raise asyncssh.SFTPFailure(f"{name} exists already")
        scratch = tempfile.TemporaryFile(dir=self.scratch)  # noqa: SIM115 it lives as long as the client's handle
        file = OpenFile(name, scratch, writes, datetime.now(UTC), appends=bool(pflags & FXF_APPEND))
        if present is not None and not pflags & FXF_TRUNC:
            # A resumed, appended or modified file starts from the stored object and is stored again as a whole.
            await run_blocking(self.folder.fetch, name, file.scratch)
            file.came = file.size
        return file

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        file = as_open_file(file_obj)
        file.scratch.seek(offset)
        return file.scratch.read(size)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        file = as_open_file(file_obj)
        if not file.writes:
            raise asyncssh.SFTPPermissionDenied(f"{file.name} was opened for reading")
        size = file.size
        offset = size if file.appends else offset
        if offset + len(data) > self.limit:
            file.broken = True
            raise asyncssh.SFTPFailure(f"a file may have {self.limit // 1024 // 1024} MB here")
        file.came += len(data)
        if offset + len(data) > file.came + GAP_MAX:
            file.broken = True
            raise asyncssh.SFTPFailure("a file is written from its beginning on; so large a hole is no file")
        file.scratch.seek(offset)
        return file.scratch.write(data)

    async def close(self, file_obj: object) -> None:
        file = as_open_file(file_obj)
        # At the end of a connection, open files are closed from within its handling: they are incomplete, and no event
        # is sent.
        abandoned = sys.exc_info()[0] is not None
        try:
            if not file.writes or file.broken or abandoned:
                return
            size = file.size
            if size > file.came:
                raise asyncssh.SFTPFailure(f"of {size} bytes only {file.came} came; a file has no holes")
            file.scratch.seek(0)
            await run_blocking(self.folder.put, file.name, file.scratch)
            await self.announce(file.name, size, file.started_at)
        finally:
            file.scratch.close()

    async def announce(self, name: str, size: int, started_at: datetime, renamed_from: str = "") -> None:
        upload = Upload(
            program=self.account.program,
            source=self.account.source,
            bucket=self.folder.bucket,
            key=self.folder.prefix + name,
            size=size,
            client=self.client,
            session=self.session,
            started_at=started_at,
            ended_at=datetime.now(UTC),
            renamed_from=self.folder.prefix + renamed_from if renamed_from else "",
        )
        await run_blocking(self.uploaded, upload)

    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        if is_root(path):
            return folder_attributes()
        name = file_name(path)
        entry = await run_blocking(self.folder.entry, name)
        if entry is None and await run_blocking(self.folder.is_folder, name):
            return folder_attributes()
        if entry is None:
            raise asyncssh.SFTPNoSuchFile(f"there is no file {name} here")
        return attributes(entry.size, entry.modified_at)

    async def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        return await self.stat(path)

    async def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        file = as_open_file(file_obj)
        return attributes(file.size, file.started_at)

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Accept and ignore modes and times, which objects do not have."""
        await self.stat(path)

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self.stat(path)

    async def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        file = as_open_file(file_obj)
        if attrs.size is not None and file.writes:
            if attrs.size > min(self.limit, file.came + GAP_MAX):
                file.broken = True
                raise asyncssh.SFTPFailure(f"a file may have {self.limit // 1024 // 1024} MB here, and no holes")
            file.scratch.truncate(attrs.size)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        folder = "" if is_root(path) else file_name(path)
        if not await run_blocking(self.folder.is_folder, folder):
            raise asyncssh.SFTPNoSuchFile(f"there is no folder {folder} here")
        for dots in (b".", b".."):
            yield asyncssh.SFTPName(dots, attrs=folder_attributes())
        for entry in await run_blocking(lambda: list(self.folder.entries(folder))):
            if entry.name.endswith("/"):
                yield asyncssh.SFTPName(entry.name.rstrip("/").encode(), attrs=folder_attributes())
            else:
                yield asyncssh.SFTPName(entry.name.encode(), attrs=attributes(entry.size, entry.modified_at))

    async def remove(self, path: bytes) -> None:
        name = file_name(path)
        if await run_blocking(self.folder.entry, name) is None:
            raise asyncssh.SFTPNoSuchFile(f"there is no file {name} here")
        await run_blocking(self.folder.remove, name)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        new = file_name(newpath)
        if await run_blocking(self.folder.entry, new) is not None:
            raise asyncssh.SFTPFileAlreadyExists(f"{new} exists already")
        await self.posix_rename(oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        old, new = file_name(oldpath), file_name(newpath)
        entry = await run_blocking(self.folder.entry, old)
        if entry is None:
            raise asyncssh.SFTPNoSuchFile(f"there is no file {old} here")
        if old == new:
            return
        await self.require_folder(new)
        await run_blocking(self.folder.move, old, new)
        await self.announce(new, entry.size, entry.modified_at, renamed_from=old)

    async def require_folder(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        if not await run_blocking(self.folder.is_folder, folder):
            raise asyncssh.SFTPNoSuchFile(f"there is no folder {folder} here")

    async def realpath(self, path: bytes) -> bytes:
        return b"/" + b"/".join(path_parts(path))

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        name = file_name(path)
        if await run_blocking(self.folder.is_folder, name) or await run_blocking(self.folder.entry, name) is not None:
            raise asyncssh.SFTPFileAlreadyExists(f"{name} exists already")
        await self.require_folder(name)
        await run_blocking(self.folder.put, f"{name}/", BytesIO())

    async def rmdir(self, path: bytes) -> None:
        name = file_name(path)
        if not await run_blocking(self.folder.is_folder, name):
            raise asyncssh.SFTPNoSuchFile(f"there is no folder {name} here")
        if await run_blocking(lambda: any(True for _ in self.folder.entries(name))):
            raise asyncssh.SFTPFailure(f"{name} is not empty")
        await run_blocking(self.folder.remove, f"{name}/")

    def readlink(self, path: bytes) -> bytes:
        raise asyncssh.SFTPNoSuchFile("there are no links here")

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("there are no links here")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("there are no links here")

    def statvfs(self, path: bytes) -> asyncssh.SFTPVFSAttrs:
        raise asyncssh.SFTPOpUnsupported("the folder has no size of its own")

    def fstatvfs(self, file_obj: object) -> asyncssh.SFTPVFSAttrs:
        raise asyncssh.SFTPOpUnsupported("the folder has no size of its own")

    def fsync(self, file_obj: object) -> None:
        """Do nothing: a file is durable when its close is answered."""


class KeyLogin(asyncssh.SSHServer):
    """Accepts users of sources with one of the source's keys."""

    def __init__(self, account: Callable[[str], Account | None]):
        self.account = account

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        account = self.account(username)
        return account is not None and any(is_same_key(line, key) for line in account.public_keys)


def is_same_key(line: str, key: asyncssh.SSHKey) -> bool:
    try:
        return asyncssh.import_public_key(line) == key
    except asyncssh.KeyImportError:
        return False


async def listen(
    listening: socket,
    host_key: Path,
    account: Callable[[str], Account | None],
    folder: Callable[[Account], Folder],
    uploaded: Callable[[Upload], None],
    scratch: Path,
    limit: int = SIZE_LIMIT,
) -> asyncssh.SSHAcceptor:
    """Serve SFTP, and no other SSH feature, until closed."""

    def session(chan: "asyncssh.SSHServerChannel[bytes]") -> SftpSession:
        found = account(str(chan.get_extra_info("username")))
        if found is None:
            raise asyncssh.PermissionDenied("the source of this user is gone")
        return SftpSession(chan, found, folder(found), uploaded, scratch, limit)

    return await asyncssh.listen(
        sock=listening,
        server_factory=lambda: KeyLogin(account),
        server_host_keys=[str(host_key)],
        sftp_factory=session,
        allow_scp=False,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
        line_editor=False,
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=60,
        server_version="retour",
    )


def path_parts(path: bytes) -> list[bytes]:
    """The parts of a path, confined to the folder: `..` never leads above it."""
    found: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del found[-1:]
        elif part not in (b"", b"."):
            found.append(part)
    return found


def is_root(path: bytes) -> bool:
    return not path_parts(path)


def file_name(path: bytes) -> str:
    """The path below the user's folder."""
    parts = path_parts(path)
    if not parts:
        raise asyncssh.SFTPFailure("/ is the folder, not a file")
    if len(parts) > DEPTH:
        raise asyncssh.SFTPFailure(f"folders may lie {DEPTH - 1} deep here")
    try:
        name = b"/".join(parts).decode()
    except UnicodeDecodeError:
        raise asyncssh.SFTPFailure("a file name must be UTF-8") from None
    if any(len(part) > NAME_BYTES for part in parts) or not name.isprintable():
        raise asyncssh.SFTPFailure(f"a file name must be printable and have at most {NAME_BYTES} bytes")
    return name


def as_open_file(file_obj: object) -> OpenFile:
    assert isinstance(file_obj, OpenFile)
    return file_obj


def attributes(size: int, modified_at: datetime) -> asyncssh.SFTPAttrs:
    seconds = int(modified_at.timestamp())
    return asyncssh.SFTPAttrs(
        type=FILEXFER_TYPE_REGULAR,
        size=size,
        uid=0,
        gid=0,
        permissions=stat.S_IFREG | 0o600,
        atime=seconds,
        mtime=seconds,
        nlink=1,
    )


def folder_attributes() -> asyncssh.SFTPAttrs:
    now = int(datetime.now(UTC).timestamp())
    return asyncssh.SFTPAttrs(
        type=FILEXFER_TYPE_DIRECTORY,
        size=0,
        uid=0,
        gid=0,
        permissions=stat.S_IFDIR | 0o700,
        atime=now,
        mtime=now,
        nlink=1,
    )


async def run_blocking(call: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking call in a thread. Storage errors become SFTP failures."""
    try:
        return await asyncio.to_thread(call, *arguments)
    except (BotoCoreError, ClientError, OSError) as error:
        raise asyncssh.SFTPFailure("the file could not be stored or read; try again") from error
