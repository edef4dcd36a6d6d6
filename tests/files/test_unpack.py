"""Archives that lie, explode or are broken change nothing."""

import gzip
import io
import struct
import zipfile

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile

ROWS = b"order_id,change\n" + b"".join(b"A-%d,reverse\n" % number for number in range(1000))
SOURCE = Source(name="s", channel=Channel.EMAIL)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def refused(content: bytes) -> str:
    found = open_file("x.zip", io.BytesIO(content), SOURCE)
    assert isinstance(found, Refusal), found
    return found.code


def test_bombs_are_refused_by_what_they_unpack_to() -> None:
    assert refused(gzip.compress(b"order_id,change\n" + b"\n" * (8 << 20))) == "ARCHIVE_TOO_LARGE"
    assert refused(zipped(("a.csv", b"order_id,change\n" + b"\n" * (8 << 20)))) == "ARCHIVE_TOO_LARGE"


def test_a_member_that_understates_its_size_is_damaged() -> None:
    content = zipped(("a.csv", ROWS))
    lie = content.replace(struct.pack("<L", len(ROWS)), struct.pack("<L", 20))
    assert lie != content
    assert refused(lie) == "ARCHIVE_DAMAGED"


@pytest.mark.parametrize("cut", [1, 10, 100, 1000])
def test_cut_archives_are_damaged(cut: int) -> None:
    packed = gzip.compress(ROWS)
    assert refused(packed[:-cut]) == "ARCHIVE_DAMAGED"
    assert refused(zipped(("a.csv", ROWS))[:-cut]) == "ARCHIVE_DAMAGED"


def test_too_many_members() -> None:
    assert refused(zipped(*((f"{number}.csv", b"") for number in range(101)))) == "ARCHIVE_TOO_MANY"


def test_encrypted_members() -> None:
    content = bytearray(zipped(("a.csv", ROWS)))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    assert refused(bytes(content)) == "ARCHIVE_ENCRYPTED"


def test_only_our_answers_and_folders() -> None:
    assert refused(zipped(("result_may.csv.csv", ROWS), ("may/", b""))) == "ARCHIVE_EMPTY"


def test_members_of_one_layout_are_one_file_even_under_one_name() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped(("a.csv", ROWS), ("a.csv", ROWS))
    found = open_file("x.zip", io.BytesIO(content), SOURCE)
    assert isinstance(found, OpenedFile)
    places = [row.place for row in found.rows]
    assert len(set(places)) == len(places) == 2000


def test_every_layer_is_recognised_by_content() -> None:
    for content in (ROWS, gzip.compress(ROWS), zipped(("a", ROWS)), zipped(("a", ROWS), method=zipfile.ZIP_STORED)):
        found = open_file("report.pdf", io.BytesIO(content), SOURCE)
        assert isinstance(found, OpenedFile)
        assert sum(1 for _ in found.rows) == 1000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_unpack_in_pieces_of_any_size_are_refused(method: int) -> None:
    assert refused(zipped(("a.csv", ROWS), method=method)) == "ARCHIVE_METHOD"
