"""Unpack archives within limits, without trusting declared sizes."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO, cast

from retour.domain.row import Refusal
from retour.files import names
from retour.files.mail_parts import mail_files
from retour.files.text import FILE_BYTES_MAX, FileTooLargeError, Readable

PACKED_BYTES_MAX = 256 << 20
MAIL_BYTES_MAX = 40 << 20
"""What our receiver takes; a mail is held in memory."""
UNPACKED_BYTES_MAX = FILE_BYTES_MAX
RATIO_MAX = 200
RATIO_FROM = 4 << 20
ENTRIES_MAX = 100
DIRECTORY_BYTES_MAX = 1 << 18
SPOOL_BYTES = 8 << 20
CHUNK_BYTES = 1 << 16
COMPRESSION_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods that can be unpacked in bounded chunks; others need a whole compressed block in memory."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive. `open` starts a new read."""

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The files of an archive to be read, already verified, and the names of skipped ones."""

    members: tuple[Member, ...]
    skipped: Sequence[str]


def unpack(kind: str, name: str, stream: Readable) -> Unpacked | Refusal:
    """The members of a `zip` or `gzip`. All are verified before any row is read, so that a damaged archive has no
    effect.
    """
    try:
        packed = spool(stream)
    except FileTooLargeError:
        return Refusal("FILE_TOO_LARGE", {"line": "1", "limit": str(PACKED_BYTES_MAX >> 20)})
    return _zip(name, packed) if kind == "ZIP" else _gzip(name, packed)


def unpack_mail(stream: Readable) -> Unpacked | Refusal:
    """The files of a saved mail, or of a mailbox, as the members of an archive."""
    raw = bytearray()
    while piece := stream.read(CHUNK_BYTES):
        raw += piece
        if len(raw) > MAIL_BYTES_MAX:
            return Refusal("FILE_TOO_LARGE", {"line": "1", "limit": str(MAIL_BYTES_MAX >> 20)})
    found = mail_files(bytes(raw))
    if found.excess or not found.files:
        return Refusal("MAIL_WITHOUT_FILE")
    members: list[Member] = []
    for file in found.files:
        members.append(Member(_unique_name(file.name, members), partial(BytesIO, file.content)))
    return Unpacked(tuple(members), [f"{names.skip_label(name)} {name}" for name in found.ignored])


def spool(stream: Readable, limit: int = PACKED_BYTES_MAX) -> BinaryIO:
    """Copy a stream into a seekable one: in memory while small, else in a temporary file."""
    copy = SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - lives as long as the rows that are read from it
    size = 0
    while piece := stream.read(CHUNK_BYTES):
        size += len(piece)
        if size > limit:
            copy.close()
            raise FileTooLargeError
        copy.write(piece)
    copy.seek(0)
    return cast(BinaryIO, copy)


def _gzip(name: str, packed: BinaryIO) -> Unpacked | Refusal:
    member = names.safe_name(name.removesuffix(".gz").removesuffix(".GZ"))

    def begin() -> BinaryIO:
        packed.seek(0)
        return cast(BinaryIO, gzip.GzipFile(fileobj=packed, mode="rb"))

    packed_size = packed.seek(0, io.SEEK_END)
    fault = verify_member(begin, member, packed_size, UNPACKED_BYTES_MAX)
    return fault if isinstance(fault, Refusal) else Unpacked((Member(member, begin),), ())


def _zip(name: str, packed: BinaryIO) -> Unpacked | Refusal:
    try:
        archive = open_archive(packed, DIRECTORY_BYTES_MAX)
    except ListTooLongError:
        return Refusal("ARCHIVE_TOO_MANY", {"limit": str(ENTRIES_MAX)})
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error):
        return Refusal("ARCHIVE_DAMAGED", {"member": names.safe_name(name)})
    entries = archive.infolist()
    if len(entries) > ENTRIES_MAX:
        return Refusal("ARCHIVE_TOO_MANY", {"limit": str(ENTRIES_MAX)})
    members: list[Member] = []
    skipped: list[str] = []
    left = UNPACKED_BYTES_MAX
    for entry in entries:
        shown = _unique_name(entry.filename, members)
        if entry.filename.endswith("/"):
            continue
        if names.is_system_file(entry.filename) or names.skip_reason(entry.filename):
            skipped.append(f"{names.skip_label(entry.filename)} {shown}")
            continue
        if entry.flag_bits & 1:
            return Refusal("ARCHIVE_ENCRYPTED", {"member": shown})
        if entry.compress_type not in COMPRESSION_METHODS:
            return Refusal("ARCHIVE_METHOD", {"member": shown})
        begin = _opener(archive, entry)
        size = verify_member(begin, shown, entry.compress_size, left)
        if isinstance(size, Refusal):
            return size
        left -= size
        members.append(Member(shown, begin))
    if not members:
        return Refusal("ARCHIVE_EMPTY", {"skipped": str(len(skipped))})
    return Unpacked(tuple(members), skipped)


class ListTooLongError(Exception):
    """An archive whose list of entries is longer than any that is read."""


@dataclass(frozen=True, slots=True)
class BoundedReads:
    """A file of which no more than `most` bytes are read at once.

    The list of an archive's entries is read in one piece, however long it is and wherever it says how long.
    """

    file: BinaryIO
    most: int

    def read(self, size: int = -1) -> bytes:
        wanted = size if 0 <= size <= self.most else self.most + 1
        piece = self.file.read(wanted)
        if len(piece) > self.most:
            raise ListTooLongError
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True


def open_archive(packed: BinaryIO, list_bytes_max: int) -> zipfile.ZipFile:
    """A ZIP with its list of entries; ListTooLongError, and whatever the standard library raises of a damaged one."""
    return zipfile.ZipFile(cast(IO[bytes], BoundedReads(packed, list_bytes_max)))


def _unique_name(path: str, before: Sequence[Member]) -> str:
    """A unique name for a member, since places of rows refer to it."""
    shown = "/".join(names.safe_name(part) for part in path.split("/") if part) or "file"
    times = 1 + sum(member.name == shown or member.name.startswith(f"{shown} (") for member in before)
    return f"{shown} ({times})" if times > 1 else shown


def _opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def begin() -> BinaryIO:
        return cast(BinaryIO, archive.open(entry))

    return begin


def verify_member(begin: Callable[[], IO[bytes]], name: str, packed: int, limit: int) -> int | Refusal:
    """Read a member to its end, verify its checksum and return its size. Refused as soon as it exceeds its budget."""
    size = 0
    try:
        with begin() as stream:
            while piece := stream.read(CHUNK_BYTES):
                size += len(piece)
                if size > limit or (size > RATIO_FROM and size > RATIO_MAX * max(packed, 1)):
                    return Refusal("ARCHIVE_TOO_LARGE", {"limit": str(UNPACKED_BYTES_MAX >> 20)})
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError):
        return Refusal("ARCHIVE_DAMAGED", {"member": name})
    return size
