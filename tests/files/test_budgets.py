"""What a file may cost before it is refused: a list of a million entries, thousands of names that no field has."""

import io
import json
import struct
import time
import tracemalloc

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


@pytest.mark.parametrize("told", [0xFFFFFFFF, 47_000_000])
def test_a_list_of_a_million_entries_is_not_read(told: int) -> None:
    content = million(told)
    tracemalloc.start()
    before = time.process_time()
    found = open_file("x.zip", io.BytesIO(content), SOURCE)
    taken = time.process_time() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, Refusal) and found.code == "ARCHIVE_TOO_MANY"
    assert taken < SECONDS and peak < BYTES
