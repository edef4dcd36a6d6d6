"""What was refused stays refused when the rejected file comes back unchanged, whatever its format (spec 7).

A row that cannot be read cannot be read the second time either, for the same reason; one that was refused for what it
says reads the same again. So nothing is taken in by the way back alone.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.files import old_workbooks as xls
from tests.files import test_ods as ods
from tests.files import workbooks as xlsx
from tests.files.test_width import SAMPLES, source_of

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rejected_rows
from retour.numbers import TypedNumber

SOURCE = Source(name="s", channel=Channel.SFTP)
LETTERS = "ABCDEFG"
NAMES = ("order_id", "change", "amount", "occurred_at", "note")


def read(content: bytes, source: Source = SOURCE) -> tuple[OpenedFile, list[Row | Unreadable]]:
    opened = open_file("x", io.BytesIO(content), source)
    assert isinstance(opened, OpenedFile), opened
    return opened, list(opened.rows)


def meaning(row: Row | Unreadable) -> object:
    if isinstance(row, Unreadable):
        return row.code
    return {name: (value, isinstance(value, TypedNumber)) for name, value in row.fields.items()}


def assert_stays(content: bytes, source: Source = SOURCE, refused: Sequence[int] | None = None) -> int:
    """With these rows refused for what they say (all, if none are named), beside those that cannot be read."""
    _, rows = read(content, source)
    chosen = range(len(rows)) if refused is None else refused
    results = [
        Result(
            place=row.place, outcome=Outcome.REFUSED if at in chosen or isinstance(row, Unreadable) else Outcome.APPLIED
        )
        for at, row in enumerate(rows)
    ]
    meant = [meaning(row) for row, result in zip(rows, results, strict=True) if result.outcome is Outcome.REFUSED]
    fresh = open_file("x", io.BytesIO(content), source)
    assert isinstance(fresh, OpenedFile)
    back = b"".join(rejected_rows(fresh, results))
    if not meant:
        return 0
    again = open_file("x", io.BytesIO(back), source)
    if isinstance(again, OpenedFile):
        assert [meaning(row) for row in again.rows] == meant, back[:2000]
    return len(meant)


WITHOUT_HEADER = "awin-plain"
"""Of a file without a header its own rows say how wide it is: short ones alone are read as what they say."""
WHOLE = sorted(
    path
    for path in SAMPLES.rglob("*")
    if path.is_file()
    and WITHOUT_HEADER not in path.parts
    and "hooks" not in path.parts
    and not path.name.endswith((".json", ".md", ".yaml"))
)


@pytest.mark.parametrize("sample", WHOLE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_sample(sample: Path) -> None:
    content, source = sample.read_bytes(), source_of(sample)
    opened = open_file(sample.name, io.BytesIO(content), source)
    if isinstance(opened, OpenedFile):
        assert_stays(content, source)
        assert_stays(content, source, ())
        if sample.suffix not in (".zip", ".gz"):
            assert_stays(gzip.compress(content), source)


TEXTS = (
    "", "A-1", "1.2E+10", "123456789012345678", "00123", "A 1", "1001.0", "#REF!", "12,50", "1,234", "1.234,5", "12.50",
    "2026-11-02", "reverse", "take_back", "x" * 40, 'two "quotes"', "two\nlines", "tab\there", "ä€", "=1+1", "'007",
    " spaces ", "_x0041_", "Total", "order_id", "1;2", "1|2",
)  # fmt: skip
DIGITS = (
    "1", "12.5", "12.345", "123456789012345", "1234567890123456", "12345678901234567", "1.5E+20", "46000", "46000.75",
    "0.1", "-3", "1e-7", "0", "61", "9007199254740993",
)  # fmt: skip
TEXT_ROWS = st.lists(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6), min_size=1, max_size=5)
CELLS = st.one_of(
    st.tuples(st.just("text"), st.sampled_from(TEXTS)),
    st.tuples(st.sampled_from(("number", "day")), st.sampled_from(DIGITS)),
    st.tuples(st.sampled_from(("formula", "bool", "error")), st.just("")),
    st.tuples(st.just("none"), st.just("")),
)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=6), min_size=1, max_size=4)
REFUSED = st.sets(st.integers(0, 4), max_size=4)


def quoted(cell: str, delimiter: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in f'"\n{delimiter}') else cell


@settings(max_examples=25)
@given(
    TEXT_ROWS,
    st.sampled_from(",;\t|"),
    st.sampled_from(("\n", "\r\n")),
    st.sampled_from(("utf-8", "utf-8-sig", "utf-16")),
    REFUSED,
)
def test_lines_of_cells(rows: list[list[str]], delimiter: str, end: str, encoding: str, refused: set[int]) -> None:
    lines = [delimiter.join(NAMES), *(delimiter.join(quoted(cell, delimiter) for cell in row) for row in rows)]
    content = (end.join(lines) + end).encode(encoding)
    assert_stays(content, refused=sorted(refused))
    assert_stays(gzip.compress(content), refused=sorted(refused))


@settings(max_examples=25)
@given(TEXT_ROWS, st.lists(st.sampled_from('",;\n'), max_size=3), REFUSED)
def test_lines_with_quotes_gone_wrong(rows: list[list[str]], odd: list[str], refused: set[int]) -> None:
    lines = [",".join(NAMES), *(",".join(row) + "".join(odd) for row in rows)]
    assert_stays(("\n".join(lines) + "\n").encode(), refused=sorted(refused))


def xlsx_cell(place: str, kind: str, value: str) -> str:
    match kind:
        case "text":
            return xlsx.text(place, value)
        case "number":
            return xlsx.number(place, value)
        case "day":
            return xlsx.number(place, value, 1)
        case "formula":
            return f'<c r="{place}"><f>A1+1</f></c>'
        case "bool":
            return f'<c r="{place}" t="b"><v>1</v></c>'
        case "error":
            return f'<c r="{place}" t="e"><v>#N/A</v></c>'
    return ""


def as_xlsx(rows: list[list[tuple[str, str]]], since_1904: bool = False) -> bytes:
    lines = [
        xlsx.row(at, *(xlsx_cell(f"{LETTERS[column]}{at}", *cell) for column, cell in enumerate(row)))
        for at, row in enumerate(rows, 2)
    ]
    return xlsx.workbook(("Returns", xlsx.header(1, *NAMES) + "".join(lines)), styles=(0, 22), since_1904=since_1904)


@settings(max_examples=25)
@given(ROWS, st.booleans(), REFUSED)
def test_cells_of_a_workbook(rows: list[list[tuple[str, str]]], since_1904: bool, refused: set[int]) -> None:
    assert_stays(as_xlsx(rows, since_1904), refused=sorted(refused))


def xls_cell(at: int, column: int, kind: str, value: str) -> bytes:
    match kind:
        case "text":
            return xls.text(at, column, value)
        case "number":
            return xls.number(at, column, float(value))
        case "day":
            return xls.number(at, column, float(value), 1)
        case "formula":
            return xls.formula(at, column, b"\0" * 8, flags=2)
        case "bool":
            return xls.record(0x205, bytes([at, 0, column, 0, 0, 0, 1, 0]))
        case "error":
            return xls.record(0x205, bytes([at, 0, column, 0, 0, 0, 42, 1]))
    return b""


def as_xls(rows: list[list[tuple[str, str]]]) -> bytes:
    cells = [xls_cell(at, column, *cell) for at, row in enumerate(rows, 1) for column, cell in enumerate(row)]
    return xls.workbook(("Returns", xls.header(*NAMES) + b"".join(cells)), styles=(0, 22))


def ods_cell(kind: str, value: str) -> str:
    match kind:
        case "text":
            return ods.cell(value.replace("&", "").replace("<", ""))
        case "number":
            return ods.number(value)
        case "day":
            return ods.cell("shown", 'office:value-type="date" office:date-value="2026-11-02T10:30:00"')
        case "formula":
            return ods.cell("", 'table:formula="of:=A1"')
        case "bool":
            return ods.cell("TRUE", 'office:value-type="boolean" office:boolean-value="true"')
        case "error":
            return ods.cell("#N/A", 'table:formula="of:=NA()" office:value-type="string"')
    return ods.cell()


def as_ods(rows: list[list[tuple[str, str]]]) -> bytes:
    head = ods.row(*(ods.cell(name) for name in NAMES))
    return ods.spreadsheet(ods.table(head, *(ods.row(*(ods_cell(*cell) for cell in row)) for row in rows)))


@settings(max_examples=25)
@given(ROWS, REFUSED)
def test_cells_of_an_old_workbook(rows: list[list[tuple[str, str]]], refused: set[int]) -> None:
    assert_stays(as_xls(rows), refused=sorted(refused))


@settings(max_examples=25)
@given(ROWS, REFUSED)
def test_cells_of_a_spreadsheet(rows: list[list[tuple[str, str]]], refused: set[int]) -> None:
    assert_stays(as_ods(rows), refused=sorted(refused))


@settings(max_examples=25)
@given(TEXT_ROWS, REFUSED)
def test_cells_of_a_page(rows: list[list[str]], refused: set[int]) -> None:
    def line(cells: Sequence[str]) -> str:
        shown = (cell.replace("&", "&amp;").replace("<", "&lt;") for cell in cells)
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>"

    content = f"<html><body><table>{line(NAMES)}{''.join(map(line, rows))}</table></body></html>"
    assert_stays(content.encode(), refused=sorted(refused))


FIELDS = st.dictionaries(
    st.sampled_from((*NAMES, "zzz", "Order_ID")), st.one_of(st.sampled_from(TEXTS), st.integers(-5, 10**19), st.none())
)
RECORDS = st.lists(st.one_of(FIELDS, st.just("x"), st.just(5)), min_size=1, max_size=4)


@settings(max_examples=25)
@given(RECORDS, st.sampled_from(("list", "lines", "wrapped")), REFUSED)
def test_records_of_json(records: list[object], way: str, refused: set[int]) -> None:
    first = {"order_id": "A-0", "change": "reverse"}
    told = [first, *records]
    content = {
        "list": json.dumps(told),
        "lines": "".join(json.dumps(one) + "\n" for one in told),
        "wrapped": json.dumps({"modifications": told}),
    }[way]
    twice = content.replace('"change": "reverse"', '"change": "reverse", "change": "approve"')
    for text in (content, twice):
        assert_stays(text.encode(), refused=sorted(refused))


ELEMENTS = st.lists(
    st.tuples(st.sampled_from((*NAMES, "zzz", "order_id")), st.sampled_from(TEXTS)), min_size=0, max_size=5
)


@settings(max_examples=25)
@given(st.lists(ELEMENTS, min_size=1, max_size=4), REFUSED)
def test_records_of_xml(records: list[list[tuple[str, str]]], refused: set[int]) -> None:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;")

    told = "".join(
        f"  <modification>{''.join(f'<{name}>{escaped(text)}</{name}>' for name, text in one)}</modification>\n"
        for one in records
    )
    assert_stays(f"<modifications>\n{told}</modifications>\n".encode(), refused=sorted(refused))


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def mailed(content: bytes) -> bytes:
    made = EmailMessage()
    made["From"], made["Date"] = "jane@shop.example", "Mon, 2 Nov 2026 09:00:00 +0000"
    made.set_content("see below\n")
    made.add_attachment(content, maintype="application", subtype="octet-stream", filename="may")
    return made.as_bytes()


@pytest.mark.slow
@settings(max_examples=25)
@given(ROWS, TEXT_ROWS, REFUSED)
def test_whatever_they_are_packed_in(
    cells: list[list[tuple[str, str]]], rows: list[list[str]], refused: set[int]
) -> None:
    lines = [",".join(NAMES), *(",".join(quoted(cell, ",") for cell in row) for row in rows)]
    text = ("\n".join(lines) + "\n").encode()
    for content in (as_xlsx(cells), as_xls(cells), as_ods(cells), text):
        for packed in (zipped(("a", content)), gzip.compress(content), mailed(content)):
            assert_stays(packed, refused=sorted(refused))
    assert_stays(zipped(("a.csv", text), ("b.csv", text)), refused=sorted(refused))
    assert_stays(zipped(("a.xlsx", as_xlsx(cells)), ("b.xlsx", as_xlsx(cells))), refused=sorted(refused))
