"""Whatever is in a table, every line is a row, is refused with its place, or is counted as skipped."""

import gzip
import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places
from retour.sentences import LANGUAGES, sentence

SIGNS = st.text(alphabet="aZ1\",; \t\x00\u00a0\u00e9\u20ac='+E#.\r\ufeff", max_size=14)
BODIES = st.lists(st.one_of(SIGNS, st.sampled_from(('A-1,x,"', '"', 'A-2,"b', "A-3,c,d", '"e\'e",f,"g"'))), max_size=12)
ENDS = st.sampled_from(("\n", "\r\n"))
ENCODINGS = st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "cp1252"))
HEADER = "order_id,change,note"


def source(**mapping: Any) -> Source:
    return Source(name="s", channel=Channel.SFTP, mapping=mapping)


def opened(content: bytes, **mapping: Any) -> OpenedFile:
    found = open_file("x.csv", io.BytesIO(content), source(**mapping))
    assert isinstance(found, OpenedFile), found
    return found


def rows(content: bytes, **mapping: Any) -> list[Row | Unreadable]:
    return list(opened(content, **mapping).rows)


def content_of(lines: list[str], end: str, encoding: str) -> bytes:
    return end.join([HEADER, *lines, ""]).encode(encoding, "replace")


def telling(text: str) -> list[str]:
    """The lines that say anything: what is only blanks, separators and quotes may be skipped."""
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip(' ,"\r\t\x1a\u00a0')]


@given(BODIES, ENDS, ENCODINGS)
@settings(max_examples=300, deadline=None)
def test_no_line_is_lost_or_read_twice(lines: list[str], end: str, encoding: str) -> None:
    found = opened(content_of(lines, end, encoding), encoding="cp1252" if encoding == "cp1252" else None)
    text = content_of(lines, end, encoding).decode(encoding).partition(end)[2]
    assert telling("".join(row.raw for row in found.rows)) == telling(text)


@given(BODIES, ENDS, ENCODINGS, st.sets(st.integers(0, 12)))
@settings(max_examples=300, deadline=None)
def test_rejected_rows_read_again_as_they_were(lines: list[str], end: str, encoding: str, refused: set[int]) -> None:
    mapping = {"encoding": "cp1252"} if encoding == "cp1252" else {}
    content = content_of(lines, end, encoding)
    first = rows(content, **mapping)
    places = {row.place for number, row in enumerate(first) if number in refused}
    kept = [row for row in first if row.place in places or isinstance(row, Unreadable)]
    again = b"".join(rows_at_places(opened(content, **mapping), places))
    assert [essence(row) for row in rows(again, **mapping)] == [essence(row) for row in kept]
    assert again.startswith(content[: content.index("note".encode(encoding)[-1:])])


def essence(row: Row | Unreadable) -> tuple[str, str | Mapping[str, str]]:
    return row.raw.rstrip("\r\n"), row.fields if isinstance(row, Row) else row.code


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise(content: bytes) -> None:
    for data in (
        content,
        b"order_id,change\n" + content,
        b"\xff\xfe" + "order_id,change\n".encode("utf-16-le") + content,
    ):
        found = open_file("x", io.BytesIO(data), source())
        if isinstance(found, OpenedFile):
            list(found.rows)


def test_bytes_that_are_no_text_are_given_back_exactly() -> None:
    content = b"order_id,change,note\nA-1,reverse,\xff\xfe\xf4\x8f\xbf\xbf\nA-2,reverse,fine\n"
    first, second = rows(content)
    assert isinstance(first, Unreadable)
    assert first.code == "ENCODING_UNCLEAR"
    first.raw.encode()
    assert isinstance(second, Row)
    assert b"".join(rows_at_places(opened(content), ())) == content.replace(b"A-2,reverse,fine\n", b"")


def test_neighbours_are_not_swallowed_by_a_quote_that_closes_in_another_row() -> None:
    content = b'order_id,change,note\nA-1,reverse,"oops\nA-2,reverse,x\nA-3,reverse,y"\nA-4,reverse,z\n'
    assert [(row.place, getattr(row, "code", "")) for row in rows(content)] == [
        (str(line), "QUOTE_NOT_CLOSED") for line in (2, 3, 4, 5)
    ]


def test_a_note_over_several_lines_is_one_row() -> None:
    content = b'order_id,change,note\r\nA-1,reverse,"first, with comma\r\n\r\nthird"\r\nA-2,reverse,\r\n'
    first, second = rows(content)
    assert isinstance(first, Row)
    assert (first.place, first.fields["note"]) == ("2", "first, with comma\n\nthird")
    assert second.place == "5"


def test_a_line_beyond_all_measure_is_refused_and_the_next_is_read() -> None:
    long = b"A-1,reverse," + b"x" * 3_000_000 + b"\n"
    first, second = rows(b"order_id,change,note\n" + long + b"A-2,reverse,\n")
    assert isinstance(first, Unreadable)
    assert (first.code, first.raw) == ("CELL_TOO_LONG", "")
    assert second.place == "3"


def test_a_long_cell_is_refused_and_given_back() -> None:
    long = "A-1,reverse," + "x" * 20_000 + "\n"
    (row,) = rows(f"order_id,change,note\n{long}".encode())
    assert isinstance(row, Unreadable)
    assert (row.code, row.column, row.raw, row.order) == ("CELL_TOO_LONG", "note", long, "A-1")


def test_declared_bytes_that_read_as_utf_8_too_are_not_guessed() -> None:
    (row,) = rows(b"order_id,change,note\nA-1,reverse,\xc3\xa9\n", encoding="cp1252")
    assert isinstance(row, Unreadable)
    assert row.code == "ENCODING_UNCLEAR"


def test_an_unknown_encoding_is_a_refusal() -> None:
    for encoding in ("klingon", "base64", "utf-7-imap"):
        found = open_file("x", io.BytesIO(b"order_id,change\n"), source(encoding=encoding))
        assert isinstance(found, Refusal)
        assert found.code == "ENCODING_UNCLEAR"


def test_the_declared_delimiter_wins() -> None:
    found = open_file("x", io.BytesIO(b"order_id,change\nA-1,reverse\n"), source(delimiter=";"))
    assert isinstance(found, Refusal)
    (row,) = rows(b"order_id|change\nA-1|reverse\n", delimiter="|")
    assert isinstance(row, Row)


def test_mapped_columns_come_in_the_mapping_s_spelling() -> None:
    columns = {"order_id": "Bestell-Nr.", "amount": "Betrag", "note": "Notiz"}
    (row,) = rows(b"Kunde;BESTELL-NR.;betrag \nx;A-1;5\n", columns=columns)
    assert isinstance(row, Row)
    assert row.fields == {"Kunde": "x", "Bestell-Nr.": "A-1", "Betrag": "5"}


class Endless:
    """A file of so many rows that is never in memory as a whole."""

    def __init__(self, count: int) -> None:
        self.pieces = self.made(count)

    def made(self, count: int) -> Iterator[bytes]:
        yield b"order_id,change,note\n"
        for number in range(0, count, 100):
            yield b"".join(b'A-%d,reverse,"a note"\n' % at for at in range(number, number + 100))

    def read(self, _size: int, /) -> bytes:
        return next(self.pieces, b"")


class Stream(Endless):
    left = b""

    def read(self, size: int, /) -> bytes:
        data = self.left or next(self.pieces, b"")
        self.left = data[size:]
        return data[:size]


@pytest.mark.slow
def test_memory_is_flat_in_rows() -> None:
    def peak(count: int) -> int:
        found = open_file("x", Stream(count), source())  # type: ignore[arg-type]
        assert isinstance(found, OpenedFile)
        tracemalloc.start()
        assert sum(1 for _ in found.rows) == count
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(40_000) < peak(1_000) + 100_000


def test_what_follows_an_unclosed_quote_is_given_back_to_the_byte() -> None:
    content = b'order_id,change,note\nA-1,reverse,"open\n\n \nA-2,reverse,x\r\nA-3'
    assert b"".join(rows_at_places(opened(content), ())) == content


def test_very_many_columns_are_no_header_and_cost_no_time() -> None:
    started = time.process_time()
    for content in ("order_id," + "x," * 90_000 + "\n", ("order_id," * 9_000 + "\n") * 50):
        found = open_file("x.csv", io.BytesIO(content.encode()), source())
        assert isinstance(found, Refusal) and found.code == "HEADER_NOT_FOUND"
    assert time.process_time() - started < 5


def test_a_file_in_utf_8_on_a_source_of_another_encoding_is_told_just_that() -> None:
    content = "order_id,change,note\nA-1,reverse,Größe\nA-2,reverse,plain\n".encode()
    refused, read = rows(content, encoding="cp1252")
    assert isinstance(refused, Unreadable) and isinstance(read, Row)
    for language in LANGUAGES:
        says = sentence(refused.code, refused.details, language)
        assert "UTF-8" in says and "cp1252" in says


def test_archives_of_tar_and_locked_files_are_named_for_what_they_are() -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("may.csv")
        archive.addfile(member, io.BytesIO())
    for content in (tar.getvalue(), gzip.compress(tar.getvalue())):
        found = open_file("x", io.BytesIO(content), source())
        assert isinstance(found, Refusal) and "tar archive" in sentence(found.code, found.details)
    found = open_file("x", io.BytesIO(b"\x00\x01\x02\x03\x04\x05\x06\x07" * 40), source())
    assert isinstance(found, Refusal) and "neither text nor a workbook" in sentence(found.code, found.details)


def test_a_header_again_and_lines_of_totals_of_many_kinds_are_no_rows() -> None:
    totals = [
        "Total,,12",
        "TOTAL (3),,",
        "Grand total:,,12.00",
        "Summe EUR,,12",
        "Anzahl: 3,,",
        "End of report,,",
        "Sous-total,,",
    ]
    content = "\n".join(["order_id,change,note", "A-1,reverse,x", *totals, "order_id,change,note", "Total-7,reverse,x"])
    found = opened(content.encode())
    assert [row.fields["order_id"] for row in found.rows if isinstance(row, Row)] == ["A-1", "Total-7"]
    assert found.skipped == {"totals": len(totals), "repeated header": 1}


def test_a_second_byte_order_mark_before_the_header_is_none_of_it() -> None:
    (row,) = rows("\ufeff\ufefforder_id,change\nA-1,reverse\n".encode())
    assert isinstance(row, Row) and row.fields["order_id"] == "A-1"


@pytest.mark.parametrize(
    ("sign", "told"), [("\r", "consistent line endings"), ("\ufeff", "byte order mark"), ("\x00", "U+0000")]
)
def test_a_sign_that_no_text_has_is_told_by_where_it_comes_from(sign: str, told: str) -> None:
    (row,) = rows(f"order_id,change\nA-1{sign},reverse\n".encode())
    assert isinstance(row, Unreadable) and row.code == "NOT_TEXT"
    assert told in sentence(row.code, row.details)
