"""Compound files (OLE2, Office until 2003): their streams, with bounded sector chains."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import error as Short
from struct import unpack_from
from typing import BinaryIO

HEADER_BYTES = 512
LISTED_IN_HEADER = 109
ENTRY_BYTES = 128
DIRECTORY_BYTES = 4 << 20
MINI_SHIFT = 6
SMALL_STREAM_BYTES = 4096
FIRST_SPECIAL_SECTOR = 0xFFFFFFFA
"""Numbers from here on are markers, not sectors: end of chain, free, and sectors of the tables."""
NO_ENTRY = 0xFFFFFFFF
STREAM, ROOT = 2, 5


class DamagedFileError(Exception):
    """A compound file, or one of its streams, is inconsistent."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream with random access."""

    file: BinaryIO
    places: "array[int]"
    shift: int
    size: int

    def read(self, at: int, size: int) -> bytes:
        """Up to `size` bytes from offset `at`; fewer at the end."""
        end = min(at + size, self.size)
        pieces = []
        while at < end:
            sector, offset = at >> self.shift, at & ((1 << self.shift) - 1)
            last = sector
            # Consecutive sectors of a stream are usually adjacent in the file: read them at once.
            while (last + 1) << self.shift < end and self.places[last + 1] == self.places[last] + (1 << self.shift):
                last += 1
            want = min(((last + 1) << self.shift), end) - at
            self.file.seek(self.places[sector] + offset)
            piece = self.file.read(want)
            if len(piece) < want:
                raise DamagedFileError("cut off")
            pieces.append(piece)
            at += want
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory entry: a stream's first sector and its size."""

    start: int
    size: int


class Compound:
    """The top-level streams of a compound file by name."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(HEADER_BYTES)
        try:
            self.shift, self.mini_shift = unpack_from("<HH", head, 30)
            directory, cutoff, mini, difat = (unpack_from("<I", head, at)[0] for at in (48, 56, 60, 68))
            listed = array("I", head[76:HEADER_BYTES]) if len(head) == HEADER_BYTES else array("I")
        except Short:
            raise DamagedFileError("header") from None
        if self.shift not in (9, 12) or self.mini_shift != MINI_SHIFT or cutoff != SMALL_STREAM_BYTES or not listed:
            raise DamagedFileError("header")
        self.count = max(0, -(-size >> self.shift) - 1)
        self.next = self._table(listed, difat)
        self.mini = mini
        self.root, self.entries = self._directory(directory)

    def stream(self, name: str) -> Stream:
        entry = self.entries[name]
        if entry.size >= SMALL_STREAM_BYTES:
            return self._stream(entry)
        inside = self._stream(self.root)
        if inside.size > self.count << self.shift:
            raise DamagedFileError("small streams")
        following = self._words(self.chain(self.mini, self.next, self.count))
        chain = self.chain(entry.start, following, len(following))
        places = array("Q")
        for number in chain:
            sector, offset = (number << MINI_SHIFT) >> self.shift, (number << MINI_SHIFT) & ((1 << self.shift) - 1)
            if sector >= len(inside.places):
                raise DamagedFileError("small streams")
            places.append(inside.places[sector] + offset)
        return check_length(Stream(self.file, places, MINI_SHIFT, entry.size))

    def _stream(self, entry: DirectoryEntry) -> Stream:
        sectors = self.chain(entry.start, self.next, self.count)
        places = array("Q", (self._place(sector) for sector in sectors))
        return check_length(Stream(self.file, places, self.shift, entry.size))

    def chain(self, start: int, following: "array[int]", most: int) -> "array[int]":
        """The sectors of a chain in order. A repeated sector is an error, which bounds its length."""
        found = array("I")
        while start < FIRST_SPECIAL_SECTOR:
            if start >= len(following) or len(found) >= most:
                raise DamagedFileError("chain")
            found.append(start)
            start = following[start]
        return found

    def _table(self, listed: "array[int]", difat: int) -> "array[int]":
        """The file allocation table: for each sector the next one."""
        tables = array("I", (one for one in listed if one < FIRST_SPECIAL_SECTOR))
        for _ in range(self.count):
            if difat >= FIRST_SPECIAL_SECTOR:
                break
            more = self._words(array("I", [difat]))
            tables.extend(one for one in more[:-1] if one < FIRST_SPECIAL_SECTOR)
            difat = more[-1]
        if len(tables) << (self.shift - 2) > self.count + (LISTED_IN_HEADER << (self.shift - 2)):
            raise DamagedFileError("table")
        return self._words(tables)

    def _words(self, sectors: "array[int]") -> "array[int]":
        words = array("I")
        for sector in sectors:
            words.frombytes(self._sector(sector))
        return words

    def _directory(self, start: int) -> tuple[DirectoryEntry, Mapping[str, DirectoryEntry]]:
        sectors = self.chain(start, self.next, self.count)
        if len(sectors) << self.shift > DIRECTORY_BYTES:
            raise DamagedFileError("directory")
        listed = b"".join(map(self._sector, sectors))
        if len(listed) < ENTRY_BYTES or listed[66] != ROOT:
            raise DamagedFileError("directory")
        found = {}
        (child,) = unpack_from("<I", listed, 76)
        for at in sibling_offsets(listed, child):
            length, kind = unpack_from("<HB", listed, at + 64)
            if kind == STREAM and 2 <= length <= 64:
                name = listed[at : at + length - 2].decode("utf-16-le", "replace")
                found[name] = entry_at(listed, at, self.shift)
        return entry_at(listed, 0, self.shift), found

    def _sector(self, sector: int) -> bytes:
        self.file.seek(self._place(sector))
        data = self.file.read(1 << self.shift)
        if len(data) < 1 << self.shift:
            raise DamagedFileError("cut off")
        return data

    def _place(self, sector: int) -> int:
        place: int = (sector + 1) << self.shift
        return place


def check_length(stream: Stream) -> Stream:
    if stream.size > len(stream.places) << stream.shift:
        raise DamagedFileError("cut off")
    return stream


def entry_at(listed: bytes, at: int, shift: int) -> DirectoryEntry:
    # With 512-byte sectors sizes are 4 bytes; the next 4 may be garbage.
    return DirectoryEntry(*unpack_from("<II" if shift == 9 else "<IQ", listed, at + 116))


def sibling_offsets(listed: bytes, child: int) -> Iterator[int]:
    """The offsets of one folder's entries, a tree of left and right siblings, each visited once."""
    seen: set[int] = set()
    left = [child]
    while left:
        number = left.pop()
        if number == NO_ENTRY or number in seen or (number + 1) * ENTRY_BYTES > len(listed):
            continue
        seen.add(number)
        yield number * ENTRY_BYTES
        left += unpack_from("<II", listed, number * ENTRY_BYTES + 68)
