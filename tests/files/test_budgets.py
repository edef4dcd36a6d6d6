"""What a file may cost before it is refused: a list of a million entries, thousands of names that no field has."""

import io
import json
import struct
import time
import tracemalloc
import zlib
from functools import partial

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile

SOURCE = Source(name="s", channel=Channel.SFTP)
SECONDS = 5
BYTES = 64 << 20
"""Besides the file itself."""
NAMES = [f"n{number:05}x" for number in range(5_000)]
TOGETHER = "".join(f"<{name}>1</{name}>" for name in NAMES)
ATTRIBUTES = " ".join(f"{name}='1'     " for name in NAMES)
APART = "".join(f"<modification><order_id>A-1</order_id><{name}>1</{name}></modification>" for name in NAMES[:1_300])
UNKNOWN = {
    "one element": f"<modifications><modification>{TOGETHER}</modification></modifications>",
    "attributes": f"<modifications><modification {ATTRIBUTES}/></modifications>",
    "many elements": f"<modifications>{APART}</modifications>",
    "one object": json.dumps([dict.fromkeys(NAMES, "1")]),
    "many objects": json.dumps([{"order_id": "A-1", name: "1"} for name in NAMES[:2_500]]),
    "lines": "".join(json.dumps({"order_id": "A-1", name: "1"}) + "\n" for name in NAMES[:2_500]),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_names_that_no_field_has_are_refused_in_time(case: str) -> None:
    content = UNKNOWN[case].encode()
    assert 80_000 < len(content) < 130_000
    before = time.process_time()
    opened = open_file("x", io.BytesIO(content), SOURCE)
    assert isinstance(opened, OpenedFile)
    found = list(opened.rows)
    assert time.process_time() - before < SECONDS
    assert {row.code for row in found if isinstance(row, Unreadable)} == {"UNKNOWN_FIELD"} and found


def million(told: int) -> bytes:
    """An archive of a million entries that says its list is so long."""
    count = 1_000_000
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    listed = entry * count
    wide = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(listed), len(local))
    where = struct.pack("<IQI", 0, len(local) + len(listed), 1)
    ends = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, told, 0xFFFFFFFF, 0)
    return local + listed + b"PK\x06\x06" + wide + b"PK\x06\x07" + where + b"PK\x05\x06" + ends


def million_elsewhere(kind: str, first: bytes = b"") -> bytes:
    """The same, with a second mark of the end where a reader may look for the length of the list, and find none."""
    count = 1_000_000
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    listed = entry * count
    at = len(first) + len(local)
    match kind:
        case "in its place":
            told = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(listed), 0x06054B50, 0)
            return first + local + listed + b"PK\x05\x06" + told
        case "in the locator":
            wide = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(listed), at)
            where = b"PK\x06\x07" + struct.pack("<I", 0) + b"PK\x06\x06\0\0\0\0" + struct.pack("<I", 1)
            told = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 40)
            return first + local + listed + wide + where + b"PK\x05\x06" + told + b"\0" * 40
        case "in the comment":
            told = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(listed), at, 34)
            return first + local + listed + b"PK\x05\x06" + told + b"PK\x05\x06" + b"\1" * 30
    told = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(listed), at, 0)
    return first + local + listed + b"PK\x05\x06" + told + b"x" * 60_000


def member(name: bytes, content: bytes) -> bytes:
    sizes = (zlib.crc32(content), len(content), len(content), len(name), 0)
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, *sizes) + name + content


WORKBOOK = member(b"[Content_Types].xml", b"<x/>")
SPREADSHEET = member(b"mimetype", b"application/vnd.oasis.opendocument.spreadsheet")
PLACES = ("in its place", "in the locator", "in the comment", "before the end")
MILLIONS = {
    "32 bits": (lambda: million(47_000_000), "ARCHIVE_TOO_MANY"),
    "64 bits": (lambda: million(0xFFFFFFFF), "ARCHIVE_TOO_MANY"),
    **{place: (partial(million_elsewhere, place), "ARCHIVE_TOO_MANY") for place in PLACES},
    "workbook": (lambda: million_elsewhere("in its place", WORKBOOK), "WORKBOOK_TOO_LARGE"),
    "spreadsheet": (lambda: million_elsewhere("in the locator", SPREADSHEET), "WORKBOOK_TOO_LARGE"),
}


@pytest.mark.parametrize("case", MILLIONS)
def test_a_list_of_a_million_entries_is_not_read(case: str) -> None:
    make, code = MILLIONS[case]
    content = make()
    tracemalloc.start()
    before = time.process_time()
    found = open_file("x.zip", io.BytesIO(content), SOURCE)
    taken = time.process_time() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, Refusal) and found.code == code
    assert taken < SECONDS and peak < BYTES
