"""Archives that lie, explode or are broken change nothing."""

import gzip
import io
import struct
import zipfile
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def saved_mail(*files: tuple[str, bytes]) -> bytes:
    made = EmailMessage()
    made["Date"] = "Mon, 2 Nov 2026 09:00:00 +0000"
    made["From"] = "jane@shop.example"
    made.set_content("see below\n")
    for name, content in files:
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


def opened(content: bytes) -> OpenedFile:
    found = open_file("x", io.BytesIO(content), SOURCE)
    assert isinstance(found, OpenedFile), found
    return found


def test_a_saved_mail_is_read_by_its_files_alone_or_in_an_archive() -> None:
    letter = saved_mail(("may.csv", ROWS), ("logo.png", b"\x89PNG..."))
    for content in (letter, zipped(("fw.eml", letter)), gzip.compress(letter)):
        found = opened(content)
        assert sum(1 for _ in found.rows) == 1000
        assert found.skipped == {"ignored logo.png": 1}
    both = opened(zipped(("april.csv", ROWS), ("fw.eml", letter)))
    places = [row.place for row in both.rows]
    assert len(places) == 2000 and (places[0], places[-1]) == ("april.csv:2", "fw.eml/may.csv:1001")


def test_a_saved_mail_without_a_file_is_named() -> None:
    assert refused(saved_mail()) == refused(zipped(("fw.eml", saved_mail()))) == "MAIL_WITHOUT_FILE"
    assert opened(zipped(("may.csv", ROWS), ("fw.eml", saved_mail()))).skipped == {"ignored fw.eml": 1}
    assert refused(saved_mail(("a.zip", zipped(("may.csv", ROWS))))) == "ARCHIVE_NESTED"


OLD_TAR = b"may.csv".ljust(100, b"\0") + b"0000644\0" + b"\0" * 16 + b"00000000040\0" + b"00000000000\0"
OLD_TAR += b"%06o\0 " % (sum(OLD_TAR) + 256)


@pytest.mark.parametrize(
    ("name", "content", "is_ignored"),
    [
        ("letter.docx", zipped(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<w/>")), True),
        ("slides.pptx", zipped(("[Content_Types].xml", b"<x/>"), ("ppt/presentation.xml", b"<p/>")), True),
        ("logo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", True),
        ("may.csv", b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2" + b"\0" * 60, True),
        ("page.html", b"<p>hello</p>", True),
        ("old.tar", OLD_TAR.ljust(512, b"\0"), False),
        ("old.rar", b"Rar!\x1a\x07\1\0" + b"\0" * 90, False),
        ("more.zip", zipped(("june.csv", ROWS)), False),
        ("more.csv.gz", gzip.compress(ROWS), False),
        ("more.csv.Z", b"\x1f\x9d\x90" + b"x" * 90, False),
        ("sheet.numbers", zipped(("Index/Document.iwa", b"x")), False),
        ("winmail.dat", b"\x78\x9f\x3e\x22\1\0", False),
    ],
)
def test_what_an_archive_holds_beside_a_table_is_named_or_refused(name: str, content: bytes, is_ignored: bool) -> None:
    found = open_file("x.zip", io.BytesIO(zipped(("april.csv", ROWS), (name, content))), SOURCE)
    if is_ignored:
        assert isinstance(found, OpenedFile) and found.skipped == {f"ignored {name}": 1}
    else:
        assert isinstance(found, Refusal) and found.details["member"] == name
        assert found.code in ("ARCHIVE_NESTED", "UNSUPPORTED_FORMAT", "FILE_WINMAIL")


HEADER_BLOCKS = st.lists(
    st.tuples(st.sampled_from((b"From", b"Subject", b"order_id", b"Date", b"X-a", b" ", b"")), st.binary(max_size=12)),
    max_size=6,
)


@given(HEADER_BLOCKS, st.binary(max_size=60))
def test_nothing_that_begins_like_a_mail_raises(headers: list[tuple[bytes, bytes]], rest: bytes) -> None:
    content = b"".join(name + b":" + value + b"\r\n" for name, value in headers) + b"\r\n" + rest
    for packed in (content, zipped(("a.eml", content))):
        found = open_file("x", io.BytesIO(packed), SOURCE)
        if isinstance(found, OpenedFile):
            list(found.rows)
