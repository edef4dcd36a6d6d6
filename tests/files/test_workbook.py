"""Workbooks: what a person sees in a cell is what is read, or the row is refused; within budgets, whatever comes."""

import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files import hostile
from tests.files.workbooks import header, number, row, shared, text, workbook

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places
from retour.files.workbook.sheet import record_text
from retour.files.workbook.write import write_workbook
from retour.numbers import TypedMoment, TypedNumber


def found_in(content: bytes, **mapping: Any) -> OpenedFile | Refusal:
    return open_file("x.xlsx", io.BytesIO(content), Source(name="s", channel=Channel.EMAIL, mapping=mapping))


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


HEADER = header(1, "order_id", "amount", "occurred_at")


def cell_of(cell: str, column: str, **options: Any) -> str:
    mapping = options.pop("mapping", {})
    (only,) = rows(workbook(("S", HEADER + row(2, cell)), **options), **mapping)
    return only.fields.get(column, "") if isinstance(only, Row) else only.code


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("5", "5"),
        ("5.0", "5"),
        ("12.5", "12.5"),
        ("0.30000000000000004", "0.3"),
        ("59.969999999999999", "59.97"),
        ("1E-2", "0.01"),
        ("1.5E+3", "1500"),
        ("-0", "0"),
        ("-12.50", "-12.5"),
        ("1234567890123", "1234567890123"),
        ("1e5000000", "1e5000000"),
        ("NaN", "NaN"),
        ("1E+300", "1" + "0" * 300),
    ],
)
def test_numbers_by_their_digits(written: str, read: str) -> None:
    assert cell_of(number("B2", written), "amount") == read


def test_numbers_as_the_source_writes_amounts() -> None:
    assert cell_of(number("B2", "1.234"), "amount", mapping={"decimal": ","}) == "1,234"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1234567890123", "1234567890123"),
        ("4111111111111111", "4111111111111111"),
        ("4111111111111110", "DAMAGED_ID"),
        ("9007199254740993", "DAMAGED_ID"),
        ("1.23456789012346E+18", "DAMAGED_ID"),
        ("123456789012345678901234567890", "DAMAGED_ID"),
    ],
)
def test_ids_that_a_spreadsheet_may_have_damaged(written: str, read: str) -> None:
    assert cell_of(number("A2", written), "order_id") == read


def test_an_id_that_became_a_date_and_one_that_shows_zeros() -> None:
    assert cell_of(number("A2", "46082", 1), "order_id", styles=(0, 16)) == "DAMAGED_ID"
    formats = '<numFmt numFmtId="170" formatCode="00000000"/>'
    assert cell_of(number("A2", "1042", 1), "order_id", styles=(0, 170), formats=formats) == "00001042"


@pytest.mark.parametrize(
    ("serial", "options", "read"),
    [
        ("46143", {}, "2026-05-01"),
        ("46143.395833333336", {}, "2026-05-01T09:30:00"),
        ("46143.3958333449", {}, "2026-05-01T09:30:00.001"),
        ("44681", {"since_1904": True}, "2026-05-01"),
        ("46143", {"mapping": {"date": "%d.%m.%Y"}}, "01.05.2026"),
        ("59", {}, "59"),
        ("-1", {}, "-1"),
        ("99999999", {}, "99999999"),
    ],
)
def test_dates_by_the_style_of_their_cell(serial: str, options: dict[str, Any], read: str) -> None:
    for style, formats in ((14, ""), (171, '<numFmt numFmtId="171" formatCode="[$-407]dd/mm/yyyy\\ hh:mm;@"/>')):
        assert cell_of(number("C2", serial, 1), "occurred_at", styles=(0, style), formats=formats, **options) == read


def test_what_is_no_date_format() -> None:
    for code in ("General", '0.00" days"', "#,##0.00 [$€-407]", "[Red]0", "0.00_d"):
        formats = f'<numFmt numFmtId="171" formatCode="{code.replace(chr(34), "&quot;")}"/>'
        assert cell_of(number("C2", "46143", 1), "occurred_at", styles=(0, 171), formats=formats) == "46143"


def test_every_kind_of_cell() -> None:
    strings = "<si><t>A-1</t></si><si><r><t>12</t></r><r><t xml:space='preserve'>.50</t></r><rPh><t>no</t></rPh></si>"
    cells = (shared("A2", 0), shared("B2", 1), '<c r="C2" t="d"><v>2026-05-01T00:00:00</v></c>')
    (only,) = rows(workbook(("S", HEADER + row(2, *cells)), strings=strings))
    assert isinstance(only, Row)
    assert dict(only.fields) == {"order_id": "A-1", "amount": "12.50", "occurred_at": "2026-05-01"}
    assert cell_of('<c r="B2" t="b"><v>1</v></c>', "amount") == "TRUE"
    assert cell_of('<c r="B2" t="e"><v>#N/A</v></c>', "amount") == "#N/A"
    assert cell_of('<c r="A2" t="e"><v>#N/A</v></c>', "order_id") == "DAMAGED_ID"
    assert cell_of('<c r="B2" t="str"><f>A1&amp;"x"</f><v>7.5</v></c>', "amount") == "7.5"
    assert cell_of('<c r="B2"><f>SUM(C1:C9)</f></c>', "amount") == "CELL_NOT_CALCULATED"
    assert cell_of(text("A2", "a_x005F_x0041_b"), "order_id") == "a_x0041_b"
    assert cell_of(text("A2", "a_x0001_b"), "order_id") == "NOT_TEXT"
    assert cell_of(text("A2", "a_xD800_b"), "order_id") == "a_xD800_b"


def test_preamble_gaps_totals_and_the_line_a_person_sees() -> None:
    content = (
        row(2, text("A2", "Retouren Mai"))
        + header(5, "order_id", "change")
        + row(7, text("A7", "A-1"), text("B7", "reverse"))
        + row(8)
        + row(1048576, text("A1048576", "Summe"), number("B1048576", "1"))
    )
    found = opened(workbook(("Mai & Juni", content)))
    assert [row_.place for row_ in found.rows] == ["Mai & Juni!7"]
    assert dict(found.skipped) == {"preamble": 1, "blank": 1, "totals": 1}


def test_the_sheet_with_a_header_is_read_and_the_others_told() -> None:
    notes = row(1, text("A1", "read me"))
    content = workbook(
        ("Info", notes),
        ("Mai", HEADER + row(2, text("A2", "A-1"))),
        ("Alt", HEADER),
        states=("visible", "visible", "hidden"),
    )
    found = opened(content)
    assert [row_.place for row_ in found.rows] == ["Mai!2"]
    assert dict(found.skipped) == {"sheet Info": 1, "hidden sheet Alt": 1}


def test_two_sheets_of_rows_are_not_guessed_about() -> None:
    assert refused(workbook(("Mai", HEADER), ("Juni", HEADER))) == "SHEETS_SEVERAL"


def test_refused_rows_come_back_as_a_workbook_that_reads_the_same() -> None:
    content = workbook(
        ("S", row(1, text("A1", "M")) + header(2, "order_id", "amount", "note", "x") + row(3, text("A3", "A-1")) + row(
            4, text("A4", "00042"), number("B4", "1.234"), text("C4", '=1+1 "x"\ty\nz_x0041_'), text("D4", " s "),
        )),
    )  # fmt: skip
    columns = {"order_id": "order_id", "amount": "amount"}
    before = rows(content, columns=columns, decimal=",")
    again = b"".join(rows_at_places(opened(content, columns=columns, decimal=","), {"S!4"}))
    (after,) = rows(again, columns=columns, decimal=",")
    assert isinstance(after, Row) and isinstance(before[1], Row)
    assert (after.place, after.fields, after.raw) == ("S!3", before[1].fields, before[1].raw)


def test_what_is_no_workbook() -> None:
    good = workbook(("S", HEADER))
    assert refused(good[:-30]) == "WORKBOOK_DAMAGED"
    for at in range(40, len(good) - 200, 97):
        found = found_in(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        assert isinstance(found, Refusal | OpenedFile)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.bin", b"\0")
    assert refused(out.getvalue()) == "WORKBOOK_OLD"


def test_a_sheet_that_breaks_off_says_so() -> None:
    lines = HEADER + "".join(row(at, text(f"A{at}", f"A-{at}")) for at in range(2, 80))
    broken = f'<?xml version="1.0"?><worksheet><sheetData>{lines}<row r="80"><c r="A80" t="s"><v>9</v>'
    found = rows(workbook(("S", broken)))
    assert len(found) == 79
    assert isinstance(found[-1], Unreadable) and (found[-1].code, found[-1].place) == ("SHEET_BROKEN", "S!80")


DOCTYPE = '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "ha">]><worksheet><sheetData/></worksheet>'


def test_no_dtd_in_any_part() -> None:
    assert refused(workbook(("S", DOCTYPE))) == "WORKBOOK_DAMAGED"
    entity = '<?xml version="1.0"?><!DOCTYPE s SYSTEM "file:///etc/passwd"><sst/>'
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(("S", HEADER)))) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            after.writestr(name, entity if name.endswith("sharedStrings.xml") else before.read(name))
    assert refused(out.getvalue()) == "WORKBOOK_DAMAGED"


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=6)] * 3), max_size=8))
def test_what_is_written_reads_the_same(table: list[tuple[str, str, str]]) -> None:
    head = [["order_id", "amount", "note"]]
    raws = [record_text([f"A{first}Z", second, third]) for first, second, third in table]
    found = rows(b"".join(write_workbook("S", head, raws, frozenset((0,)))))
    assert [row_.raw.replace("\r\n", "\n").replace("\r", "\n") for row_ in found] == [
        raw.replace("\r\n", "\n").replace("\r", "\n") for raw in raws
    ]


@pytest.mark.slow
def test_hostile_workbooks_stay_within_memory_and_time(tmp_path: Path) -> None:
    good = HEADER + row(2, text("A2", "A-1"))
    bodies: dict[str, tuple[bytes, dict[str, Any]]] = {
        "phantom cell": (
            workbook(("S", good + row(1048576, text("A1048576", "A-2"), text("XFD1048576", "x")))),
            {"rows": 1, "codes": ["ROW_WIDTH"]},
        ),
        "phantom style": (
            workbook(("S", good + row(1048576, '<c r="XFD1048576" s="0"/>'))),
            {"rows": 1, "codes": []},
        ),
        "long cell": (
            workbook(("S", good + row(3, text("A3", "9" * (64 << 20))))),
            {"refused": "WORKBOOK_TOO_LARGE"},
        ),
        "packed otherwise": (
            workbook(("S", good + row(3, text("A3", "9" * (64 << 20)))), method=zipfile.ZIP_BZIP2),
            {"refused": "WORKBOOK_DAMAGED"},
        ),
        "long cell stored": (
            workbook(("S", good + row(3, text("A3", "9" * (100 << 20)))), method=zipfile.ZIP_STORED),
            {"rows": 1, "codes": ["CELL_TOO_LONG"]},
        ),
        "long attribute": (
            workbook(("S", good + f'<row r="{"9" * (50 << 20)}">'), method=zipfile.ZIP_STORED),
            {"refused": "WORKBOOK_DAMAGED"},
        ),
        "deep": (
            workbook(("S", good + "<a>" * 2_000_000), method=zipfile.ZIP_STORED),
            {"refused": "WORKBOOK_DAMAGED"},
        ),
        "many strings": (
            workbook(("S", good), strings=f"<si><t>{'9' * 9_000}</t></si>" * 6_000, method=zipfile.ZIP_STORED),
            {"refused": "WORKBOOK_TOO_LARGE"},
        ),
        "bomb": (
            workbook(("S", good + "<row/>" * 20_000_000)),
            {"refused": "WORKBOOK_TOO_LARGE"},
        ),
    }  # fmt: skip
    for name, (body, expected) in bodies.items():
        path = tmp_path / "hostile.xlsx"
        path.write_bytes(body)
        said = hostile.read_in_subprocess(path, megabytes=400)
        assert {key: said.get(key) for key in expected} == expected, (name, said)
        assert said["megabytes"] < 100, (name, said)


MAPPED = {"columns": {"order_id": "nr", "amount": "betrag", "note": "wort"}, "decimal": ","}
CODES = {
    "a number of 17 digits": (number("A2", "12345678901234567"), "DAMAGED_ID"),
    "a number as programs shorten it": (number("A2", "1.234567890123457e+16"), "DAMAGED_ID"),
    "a day made of an id": (number("A2", "40603", 1), "DAMAGED_ID"),
    "a formula without result": (text("A2", "A-1") + '<c r="B2"><f>SUM(B1)</f></c>', "CELL_NOT_CALCULATED"),
    "an error": ('<c r="A2" t="e"><v>#REF!</v></c>', "DAMAGED_ID"),
    "a cell far beyond": (text("A2", "A-1") + text("ALM2", "x"), "ROW_WIDTH"),
}


@pytest.mark.parametrize("case", CODES)
@pytest.mark.parametrize("since_1904", [False, True])
def test_what_was_refused_stays_refused_when_it_comes_back_unchanged(case: str, since_1904: bool) -> None:
    cells, code = CODES[case]
    sheet = header(1, "order_id", "amount", "change") + row(2, cells)
    content = workbook(("S", sheet), styles=(0, 14), since_1904=since_1904)
    for _ in range(3):
        (found,) = rows(content)
        assert isinstance(found, Unreadable) and found.code == code
        content = b"".join(rows_at_places(opened(content), {found.place}))


def test_a_number_stays_a_number_and_an_id_of_digits_a_text() -> None:
    sheet = header(1, "nr", "betrag", "wort") + row(
        2, number("A2", "1001"), number("B2", "12.345"), number("C2", "0.5")
    )
    content = workbook(("S", sheet))
    for _ in range(2):
        (found,) = rows(content, **MAPPED)
        assert isinstance(found, Row) and found.fields == {"nr": "1001", "betrag": "12,345", "wort": "0,5"}
        amount = found.fields["betrag"]
        assert isinstance(amount, TypedNumber) and amount.digits == "12.345"
        content = b"".join(rows_at_places(opened(content, **MAPPED), {found.place}))


def test_a_line_of_totals_may_be_a_formula_without_result() -> None:
    sheet = HEADER + row(2, text("A2", "A-1")) + row(3, text("A3", "Total"), '<c r="B3"><f>SUM(B2:B2)</f></c>')
    found = opened(workbook(("S", sheet)))
    assert len(list(found.rows)) == 1 and found.skipped["totals"] == 1


@pytest.mark.parametrize("pattern", ["", "%d.%m.%Y", ["%d.%m.%Y", "%d/%m/%Y"]])
def test_a_day_with_a_time_keeps_it_however_the_source_writes_days(pattern: Any) -> None:
    sheet = HEADER + row(2, text("A2", "A-1"), number("B2", "5"), number("C2", "46143.5", 1))
    mapping = {"date": pattern} if pattern else {}
    (found,) = rows(workbook(("S", sheet), styles=(0, 22)), **mapping)
    assert isinstance(found, Row)
    moment = found.fields["occurred_at"]
    assert isinstance(moment, TypedMoment) and moment.moment == datetime(2026, 5, 1, 12)


def test_hidden_rows_are_read_and_told_of() -> None:
    hidden = row(2, text("A2", "A-1")).replace('<row r="2">', '<row r="2" hidden="1">')
    found = opened(workbook(("S", HEADER + hidden + row(3, text("A3", "A-2")))))
    assert [one.fields for one in found.rows if isinstance(one, Row)] == [{"order_id": "A-1"}, {"order_id": "A-2"}]
    assert dict(found.skipped) == {"hidden row, read all the same": 1}
