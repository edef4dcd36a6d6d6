"""XLS workbooks: the same strictness as XLSX, whoever wrote them; within budgets, whatever comes."""

import io
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files import hostile
from tests.files.old_workbooks import (
    END,
    EOF,
    SECTOR,
    bof,
    compound,
    entry,
    format_of,
    formula,
    header,
    narrow,
    number,
    packed,
    record,
    shared,
    stream,
    string,
    strings,
    text,
    workbook,
)

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places
from retour.files.workbook import xls


def found_in(content: bytes, **mapping: Any) -> OpenedFile | Refusal:
    return open_file("x.xls", io.BytesIO(content), Source(name="s", channel=Channel.EMAIL, mapping=mapping))


def opened(content: bytes, **mapping: Any) -> OpenedFile:
    found = found_in(content, **mapping)
    assert isinstance(found, OpenedFile), found
    return found


def rows(content: bytes, **mapping: Any) -> list[Row | Unreadable]:
    return list(opened(content, **mapping).rows)


def refused(content: bytes, **mapping: Any) -> str:
    found = found_in(content, **mapping)
    assert isinstance(found, Refusal), found
    return found.code


HEADER = header("order_id", "amount", "occurred_at", "note")
ORDER = text(1, 0, "A-1")
DAMAGED = "DAMAGED_ID"


def cell_of(cell: bytes, column: str, **options: Any) -> str:
    """What one cell of a row is read as, or why its row is refused."""
    mapping = options.pop("mapping", {})
    (only,) = rows(workbook(("S", HEADER + cell), **options), **mapping)
    return only.fields.get(column, "") if isinstance(only, Row) else only.code


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (5.0, "5"),
        (12.5, "12.5"),
        (0.1 + 0.2, "0.3"),
        (59.969999999999999, "59.97"),
        (0.01, "0.01"),
        (-0.0, "0"),
        (-12.5, "-12.5"),
        (1234567890123.0, "1234567890123"),
        (1e22, "1" + "0" * 22),
        (1e-7, "0.0000001"),
    ],
)
def test_numbers_by_their_digits(written: float, read: str) -> None:
    assert cell_of(ORDER + number(1, 1, written), "amount") == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1000 << 2 | 2, "1000"),
        (1999 << 2 | 3, "19.99"),
        ((-1999 << 2 | 3) & 0xFFFFFFFF, "-19.99"),
        (0x3FF80000, "1.5"),
        (0x3FF80000 | 1, "0.015"),
    ],
)
def test_numbers_in_four_bytes(written: int, read: str) -> None:
    assert cell_of(ORDER + packed(1, 1, written), "amount") == read


def test_several_numbers_in_one_record() -> None:
    cells = record(0xBD, pack("<HHHIHIH", 1, 0, 0, 1042 << 2 | 2, 0, 1999 << 2 | 3, 1))
    (only,) = rows(workbook(("S", HEADER + cells)))
    assert isinstance(only, Row) and dict(only.fields) == {"order_id": "1042", "amount": "19.99"}


def test_numbers_as_the_source_writes_amounts() -> None:
    assert cell_of(ORDER + number(1, 1, 1.234), "amount", mapping={"decimal": ","}) == "1,234"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1234567890123.0, "1234567890123"),
        (4111111111111111.0, "4111111111111111"),
        (4111111111111110.0, DAMAGED),
        (9007199254740993.0, DAMAGED),
        (1.23456789012346e18, DAMAGED),
    ],
)
def test_ids_that_a_spreadsheet_may_have_damaged(written: float, read: str) -> None:
    assert cell_of(number(1, 0, written), "order_id") == read


def test_an_id_written_as_a_power_of_ten_one_that_became_a_date_and_one_that_shows_zeros() -> None:
    assert cell_of(text(1, 0, "1,23457E+12"), "order_id") == DAMAGED
    assert cell_of(number(1, 0, 46082, 1), "order_id", styles=(0, 16)) == DAMAGED
    zeros = format_of(170, "00000000")
    assert cell_of(number(1, 0, 1042, 1), "order_id", styles=(0, 170), extra=zeros) == "00001042"


SINCE_1904 = record(0x22, pack("<H", 1))


@pytest.mark.parametrize(
    ("serial", "extra", "mapping", "read"),
    [
        (46143, b"", {}, "2026-05-01"),
        (46143.395833333336, b"", {}, "2026-05-01T09:30:00"),
        (44681, SINCE_1904, {}, "2026-05-01"),
        (46143, b"", {"date": "%d.%m.%Y"}, "01.05.2026"),
        (59, b"", {}, "59"),
        (-1, b"", {}, "-1"),
    ],
)
def test_dates_by_the_style_of_their_cell(serial: float, extra: bytes, mapping: dict[str, str], read: str) -> None:
    for style, formats in ((14, b""), (171, format_of(171, "[$-407]dd/mm/yyyy\\ hh:mm;@"))):
        cells = ORDER + number(1, 2, serial, 1)
        assert cell_of(cells, "occurred_at", styles=(0, style), extra=extra + formats, mapping=mapping) == read


CALCULATED = record(0x1C1, pack("<II", 0x1C1, 1))
MARK = b"\xff\xff"


def result(kind: int, value: int = 0) -> bytes:
    return bytes([kind, 0, value, 0, 0, 0]) + MARK


@pytest.mark.parametrize(
    ("cell", "extra", "read"),
    [
        (formula(1, 1, pack("<d", 7.5)), b"", "7.5"),
        (formula(1, 1, pack("<d", 0), flags=3), b"", "CELL_NOT_CALCULATED"),
        (formula(1, 1, result(0)) + record(0x207, string("7.25")), b"", "7.25"),
        (formula(1, 1, result(0)) + record(0x4BC, b"\0" * 10) + record(0x207, string("8")), b"", "8"),
        (formula(1, 1, result(0)), b"", "CELL_NOT_CALCULATED"),
        (formula(1, 1, result(3)), b"", "CELL_NOT_CALCULATED"),
        (formula(1, 1, result(3)), CALCULATED, ""),
        (formula(1, 1, result(1, 1)), b"", "TRUE"),
        (formula(1, 1, result(2, 42)), b"", "#N/A"),
    ],
)
def test_formulas_by_the_result_that_was_saved(cell: bytes, extra: bytes, read: str) -> None:
    assert cell_of(ORDER + cell, "amount", extra=extra) == read


def test_every_other_kind_of_cell() -> None:
    assert cell_of(shared(1, 0, 1), "order_id", extra=strings("x", "A-€")) == "A-€"
    assert cell_of(ORDER + record(0x205, pack("<HHHBB", 1, 1, 0, 1, 0)), "amount") == "TRUE"
    assert cell_of(record(0x205, pack("<HHHBB", 1, 0, 0, 42, 1)), "order_id") == DAMAGED
    assert cell_of(ORDER + record(0x201, pack("<HHH", 1, 255, 0)), "order_id") == "A-1", "a blank says nothing"
    assert cell_of(ORDER + text(1, 255, "x"), "order_id") == "ROW_WIDTH"
    assert cell_of(text(1, 0, "A\1"), "order_id") == "NOT_TEXT"
    assert cell_of(ORDER + text(1, 3, "x" * 8000 + "é") + EOF, "note") == "x" * 8000 + "é"
    half = record(0x204, pack("<HHHHB", 1, 0, 0, 2, 1) + b"A\0\0\xd8")
    assert cell_of(half, "order_id") == "ENCODING_UNCLEAR"


def continued(whole: bytes, at: int, wide: bool) -> bytes:
    """A table of strings, broken off within one of its texts and continued."""
    return record(0xFC, whole[:at]) + record(0x3C, bytes([wide]) + whole[at:])


def test_texts_that_are_continued_in_another_record() -> None:
    wide = pack("<II", 2, 2) + string("ab€😀cd") + string("A-2")
    for at in range(11, 11 + 14, 2):
        assert cell_of(shared(1, 0, 0) + shared(1, 3, 1), "order_id", extra=continued(wide, at, True)) == "ab€😀cd"
        assert cell_of(shared(1, 0, 1), "order_id", extra=continued(wide, at, True)) == "A-2"
    # Its second half may be written in signs of another width.
    mixed = record(0xFC, pack("<II", 1, 1) + pack("<HB", 4, 0) + b"ab") + record(0x3C, b"\1" + "€x".encode("utf-16-le"))
    assert cell_of(shared(1, 0, 0), "order_id", extra=mixed) == "ab€x"
    rich = record(0xFC, pack("<IIHBHI", 2, 2, 2, 12, 1, 6) + b"ab" + b"\0" * 10 + string("A-2"))
    assert cell_of(shared(1, 0, 1), "order_id", extra=rich) == "A-2"
    cut = record(0xFC, pack("<II", 2, 2) + string("A-1"))
    assert refused(workbook(("S", HEADER + shared(1, 0, 0)), extra=cut)) == "WORKBOOK_DAMAGED"


def test_the_workbook_of_excel_95_by_its_code_page() -> None:
    cells = b"".join(narrow(0, at, name) for at, name in enumerate((b"order_id", b"note")))
    cells += narrow(1, 0, b"A-1") + narrow(1, 1, b"Gr\xf6\xdfe")
    declared = {"extra": record(0x42, pack("<H", 1252)), "version": 0x500, "name": "Book"}
    (only,) = rows(workbook(("Mai", cells), **declared))
    assert isinstance(only, Row) and only.fields["note"] == "Größe" and only.place == "Mai!2"
    (unknown,) = rows(workbook(("Mai", cells), version=0x500, name="Book"))
    assert isinstance(unknown, Unreadable) and unknown.code == "ENCODING_UNCLEAR"
    either = narrow(0, 0, b"order_id") + narrow(1, 0, "Größe".encode())
    (doubtful,) = rows(workbook(("Mai", either), **declared))
    assert isinstance(doubtful, Unreadable) and doubtful.code == "ENCODING_UNCLEAR"


def test_preamble_gaps_totals_and_the_line_a_person_sees() -> None:
    cells = (
        text(1, 0, "Retouren Mai")
        + header("order_id", "change", row=4)
        + text(6, 0, "A-1")
        + text(6, 1, "reverse")
        + text(65535, 0, "Summe")
        + number(65535, 1, 1)
    )
    found = opened(workbook(("Mai & Juni", cells)))
    assert [row.place for row in found.rows] == ["Mai & Juni!7"]
    assert dict(found.skipped) == {"preamble": 1, "totals": 1}


def test_the_sheet_with_a_header_is_read_and_the_others_told() -> None:
    sheets = (("Info", text(0, 0, "read me")), ("Mai", HEADER + ORDER), ("Alt", HEADER), ("Tief", HEADER))
    found = opened(workbook(*sheets, states=(0, 0, 1, 2)))
    assert [row.place for row in found.rows] == ["Mai!2"]
    assert dict(found.skipped) == {"sheet Info": 1, "hidden sheet Alt": 1, "hidden sheet Tief": 1}


def test_two_sheets_of_rows_are_not_guessed_about() -> None:
    assert refused(workbook(("Mai", HEADER), ("Juni", HEADER))) == "SHEETS_SEVERAL"


def test_a_chart_within_a_sheet_is_no_part_of_it() -> None:
    chart = bof(0x20) + text(1, 1, "not a cell") + EOF
    (only,) = rows(workbook(("S", HEADER + chart + ORDER)))
    assert isinstance(only, Row) and dict(only.fields) == {"order_id": "A-1"}


def test_cells_written_in_any_order_are_read_in_that_of_the_sheet() -> None:
    names = ("order_id", "amount")
    by_column = [text(row, 0, f"A-{row}" if row else names[0]) for row in range(40)]
    by_column += [number(row, 1, row / 4) if row else text(0, 1, names[1]) for row in range(40)]
    found = rows(workbook(("S", b"".join(reversed(by_column)))))
    assert [row.fields["order_id"] for row in found if isinstance(row, Row)] == [f"A-{row}" for row in range(1, 40)]
    assert isinstance(found[6], Row) and found[6].fields["amount"] == "1.75"
    many = HEADER + b"".join(text(row, 0, f"A-{row}") for row in range(1, 61))
    twice = rows(workbook(("S", many + text(61, 0, "A-61") + text(61, 0, "A-62"))))
    assert isinstance(twice[-1], Unreadable) and (twice[-1].code, twice[-1].place) == ("SHEET_BROKEN", "S!62")


def test_refused_rows_come_back_as_a_workbook_that_reads_the_same() -> None:
    cells = header("order_id", "amount", "note", row=1) + text(0, 0, "M") + text(2, 0, "A-1")
    cells += text(3, 0, "00042") + number(3, 1, 1.234) + text(3, 2, '=1+1 "x"\ty\nz')
    columns = {"order_id": "order_id", "amount": "amount"}
    content = workbook(("S", cells))
    before = rows(content, columns=columns, decimal=",")
    again = b"".join(rows_at_places(opened(content, columns=columns, decimal=","), {"S!4"}))
    assert again.startswith(b"PK")
    (after,) = rows(again, columns=columns, decimal=",")
    assert isinstance(after, Row) and isinstance(before[1], Row)
    assert (after.place, after.fields, after.raw) == ("S!3", before[1].fields, before[1].raw)


def test_what_is_protected_or_no_workbook() -> None:
    assert refused(workbook(("S", HEADER), extra=record(0x2F, b"\0" * 6))) == "FILE_ENCRYPTED"
    assert refused(compound(b"", "EncryptedPackage")) == "FILE_ENCRYPTED"
    assert refused(compound(b"", "WordDocument")) == "UNSUPPORTED_FORMAT"
    assert refused(compound(b"", "else")) == "UNSUPPORTED_FORMAT"
    assert refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600) == "WORKBOOK_DAMAGED"
    assert refused(compound(bof(5, 0x400) + EOF)) == "WORKBOOK_OLD"
    assert refused(compound(bof(5) + EOF)) == "WORKBOOK_DAMAGED"


def test_a_file_that_is_cut_off_anywhere_is_refused_whole() -> None:
    good = compound(stream(("S", HEADER + b"".join(text(row, 0, f"A-{row}") for row in range(1, 400)))))
    for end in range(8, len(good) - 1, 509):
        assert refused(good[:end]) in ("WORKBOOK_DAMAGED", "UNSUPPORTED_FORMAT")
    assert refused(workbook(("S", HEADER + ORDER), ends=False)) == "WORKBOOK_DAMAGED"


def small(content: bytes) -> bytes:
    """A compound file whose stream lies in the small sectors, within the root's own stream."""
    size = -(-len(content) // 64)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 10
    inside = -(-len(content) // SECTOR)
    head += pack("<IIIIIIIII", 1, inside, 0, 4096, inside + 1, 1, END, 0, inside + 2) + b"\xff" * 108 * 4
    directory = entry("Root Entry", 5, 0, inside * SECTOR, child=1) + entry("Workbook", 2, 0, len(content))
    following = [*range(1, size), END]
    words = b"".join(pack("<I", one) for one in [*range(1, inside), END, END, END, END])
    table = b"".join(pack("<I", one) for one in following)
    return (
        head + content.ljust(inside * SECTOR, b"\0") + directory.ljust(SECTOR, b"\0")
        + table.ljust(SECTOR, b"\xff") + words.ljust(SECTOR, b"\xff")
    )  # fmt: skip


def test_a_workbook_so_small_that_it_lies_in_small_sectors() -> None:
    (only,) = rows(small(stream(("S", HEADER + ORDER))))
    assert isinstance(only, Row) and dict(only.fields) == {"order_id": "A-1"}


@given(st.lists(st.tuples(st.text(max_size=6), st.floats(0.01, 1e9)), max_size=8))
def test_what_was_put_in_is_read(table: list[tuple[str, float]]) -> None:
    cells = b"".join(
        text(row, 0, f"A{row}") + number(row, 1, amount) + text(row, 3, f"Z{note}Z")
        for row, (note, amount) in enumerate(table, 1)
    )
    for row, (note, amount) in zip(rows(workbook(("S", HEADER + cells))), table, strict=True):
        if isinstance(row, Row):
            assert row.fields["note"] == f"Z{note}Z".strip()
            assert abs(float(row.fields["amount"]) - amount) <= amount * 1e-14
        else:
            assert row.code == "NOT_TEXT" and not note.isprintable()


def looped(content: bytes) -> bytes:
    """The same file with its first sector following itself for ever."""
    table = len(content) - SECTOR * (1 + len(content) // SECTOR // 128)
    at = content.index(pack("<II", 1, 2), table)
    return content[:at] + pack("<I", 0) + content[at + 4 :]


@pytest.mark.slow
def test_hostile_workbooks_stay_within_memory_and_time(tmp_path: Path) -> None:
    good = HEADER + text(1, 0, "A-2")
    long = strings("9" * 9_000)
    everywhere = b"".join(shared(row, column, 0) for row in range(60) for column in range(255))
    bodies: dict[str, tuple[bytes, dict[str, Any]]] = {
        "far cell": (workbook(("S", good + text(65535, 255, "x"))), {"rows": 1, "codes": ["ROW_WIDTH"]}),
        "cells outside of any sheet": (
            workbook(("S", b"".join(text(row, 65535, "x") for row in range(60)))),
            {"refused": "WORKBOOK_DAMAGED"},
        ),
        "loop": (looped(workbook(("S", good))), {"refused": "WORKBOOK_DAMAGED"}),
        "a long text everywhere": (workbook(("S", everywhere), extra=long), {"refused": "HEADER_NOT_FOUND"}),
        "a long text in every row": (
            workbook(("S", good + b"".join(shared(2 + n // 255, n % 255, 0) for n in range(25_500))), extra=long),
            {"rows": 1, "codes": ["CELL_TOO_LONG"] * 5},
        ),
        "many strings": (
            workbook(("S", good), extra=b"".join([
                record(0xFC, pack("<II", 9_000, 9_000)), *[record(0x3C, string("9" * 8_000))] * 9_000,
            ])),
            {"refused": "WORKBOOK_TOO_LARGE"},
        ),
        "strings without end": (
            workbook(("S", good), extra=record(0xFC, pack("<II", 0xFFFFFFFF, 0xFFFFFFFF))),
            {"refused": "WORKBOOK_DAMAGED"},
        ),
        "nothing, often": (
            compound(bof(5) + record(0x999) * 4_000_000),
            {"refused": "WORKBOOK_TOO_LARGE"},
        ),
        "one sheet a hundred times": (
            one_sheet_often(100, good + b"".join(number(2 + n // 200, n % 200, n) for n in range(200_000))),
            {"refused": "WORKBOOK_TOO_LARGE"},
        ),
    }  # fmt: skip
    for name, (body, expected) in bodies.items():
        path = tmp_path / "hostile.xls"
        path.write_bytes(body)
        said = hostile.read_in_subprocess(path, megabytes=400)
        assert {key: said.get(key) for key in expected} == expected, (name, said)
        assert said["megabytes"] < 100, (name, said)


def one_sheet_often(times: int, cells: bytes) -> bytes:
    """A workbook that lists one sheet under many names; all but the first without a header we know."""
    names = [f"S{number:03}" for number in range(times)]
    before = bof(5)
    at = len(before) + times * (4 + 6 + 6) + len(EOF)
    listed = b"".join(record(0x85, pack("<IBB", at, 0, 0) + string(name, 1)) for name in names)
    return compound(before + listed + EOF + bof(0x10) + cells[len(HEADER) :] + EOF)


def test_budgets_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xls, "CELLS_SORTED_MAX", 10)
    cells = b"".join(text(row, 0, f"A-{row}") for row in range(20, 0, -1))
    assert refused(workbook(("S", HEADER + cells))) == "WORKBOOK_TOO_LARGE"


def test_hidden_rows_are_told_of() -> None:
    hidden = record(0x208, pack("<HHHHHHHH", 1, 0, 2, 255, 0, 0, 0x20, 0)) + text(1, 0, "A-1") + text(2, 0, "A-2")
    found = opened(workbook(("S", HEADER + hidden)))
    assert len(list(found.rows)) == 2 and dict(found.skipped) == {"hidden row, read all the same": 1}
