"""OpenDocument spreadsheets: read as workbooks are, within the same budgets, and given back as one of today."""

import io
import zipfile
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places
from retour.numbers import TypedMoment, TypedNumber

KIND = "application/vnd.oasis.opendocument.spreadsheet"
SPACE = "urn:oasis:names:tc:opendocument:xmlns"
SPACES = " ".join(f'xmlns:{one}="{SPACE}:{one}:1.0"' for one in ("office", "table", "text", "style"))
HIDDEN = '<style:style style:name="ta2"><style:table-properties table:display="false"/></style:style>'


def cell(text: str = "", more: str = "", repeated: int = 1) -> str:
    again = f' table:number-columns-repeated="{repeated}"' if repeated > 1 else ""
    inside = f"<text:p>{text}</text:p>" if text else ""
    return f"<table:table-cell{again} {more}>{inside}</table:table-cell>"


def number(value: str, kind: str = "float") -> str:
    return cell("shown", f'office:value-type="{kind}" office:value="{value}"')


def row(*cells: str, more: str = "") -> str:
    return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"


HEADER = row(*(cell(name) for name in ("order_id", "change", "amount", "occurred_at", "note")), cell(repeated=1019))


def table(*rows: str, name: str = "Sheet1", style: str = "ta1") -> str:
    end = row(cell(repeated=1024), more='table:number-rows-repeated="1048000"')
    return f'<table:table table:name="{name}" table:style-name="{style}">{"".join(rows)}{end}</table:table>'


def spreadsheet(*tables: str, manifest: str = "<x/>") -> bytes:
    styles = f'<style:style style:name="ta1"/>{HIDDEN}'
    content = (
        f"<office:document-content {SPACES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:spreadsheet>{''.join(tables)}</office:spreadsheet></office:body></office:document-content>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", KIND, zipfile.ZIP_STORED)
        archive.writestr("content.xml", content, zipfile.ZIP_DEFLATED)
        archive.writestr("META-INF/manifest.xml", manifest)
    return out.getvalue()


def found_in(content: bytes, **mapping: Any) -> OpenedFile | Refusal:
    return open_file("x.ods", io.BytesIO(content), Source(name="s", channel=Channel.SFTP, mapping=mapping))


def opened(content: bytes, **mapping: Any) -> OpenedFile:
    found = found_in(content, **mapping)
    assert isinstance(found, OpenedFile), found
    return found


def test_cells_are_read_by_their_types() -> None:
    moment = cell("1.5.26", 'office:value-type="date" office:date-value="2026-05-01T12:00:00"')
    note = "a<text:s text:c='2'/>b</text:p><text:p>c"
    aside = cell("x").replace("<text:p>", "<office:annotation><text:p>never</text:p></office:annotation><text:p>")
    rows = [
        row(cell("A-1"), cell("take_back"), number("12.345"), moment, cell(note)),
        row(cell("A-2"), cell("reverse"), more='table:number-rows-repeated="2" table:visibility="filter"'),
        row(
            number("1003"),
            cell("take_back"),
            number("5", "currency"),
            cell(repeated=1),
            aside,
        ),
        row(cell("Total"), cell(), number("99")),
    ]
    found = opened(spreadsheet(table(HEADER, *rows), table(HEADER, name="Alt", style="ta2")), date="%d.%m.%Y")
    first, second, third, last = found.rows
    assert isinstance(first, Row) and first.place == "Sheet1!2"
    assert first.fields == {
        "order_id": "A-1",
        "change": "take_back",
        "amount": "12.345",
        "occurred_at": "01.05.2026",
        "note": "a  b\nc",
    }
    amount, at = first.fields["amount"], first.fields["occurred_at"]
    assert isinstance(amount, TypedNumber) and isinstance(at, TypedMoment) and at.moment == datetime(2026, 5, 1, 12)
    assert (
        isinstance(second, Row) and isinstance(third, Row) and (second.place, third.place) == ("Sheet1!3", "Sheet1!4")
    )
    assert isinstance(last, Row) and last.fields == {
        "order_id": "1003",
        "change": "take_back",
        "amount": "5",
        "note": "x",
    }
    assert dict(found.skipped) == {"hidden sheet Alt": 1, "hidden row, read all the same": 2, "totals": 1}


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (number("12345678901234567"), "DAMAGED_ID"),
        (cell("3.1.26", 'office:value-type="date" office:date-value="2026-03-01"'), "DAMAGED_ID"),
        (cell("A-1") + cell("", 'table:formula="of:=A1"'), "CELL_NOT_CALCULATED"),
        (cell("A-1") + cell(repeated=1100) + cell("x"), "ROW_WIDTH"),
        (cell("x" * 10_001), "CELL_TOO_LONG"),
    ],
)
def test_what_was_refused_stays_refused_when_it_comes_back_unchanged(cells: str, code: str) -> None:
    content = spreadsheet(table(HEADER, row(cells)))
    for _ in range(2):
        (found,) = opened(content).rows
        assert isinstance(found, Unreadable) and found.code == code
        if code == "CELL_TOO_LONG":
            return
        content = b"".join(rows_at_places(opened(content), {found.place}))


def test_locked_and_damaged_ones_are_named_for_what_they_are() -> None:
    locked = found_in(spreadsheet(table(HEADER), manifest="<manifest:encryption-data/>"))
    assert isinstance(locked, Refusal) and (locked.code, locked.details["case"]) == ("FILE_ENCRYPTED", "PASSWORD")
    good = spreadsheet(table(HEADER, row(cell("A-1"), cell("reverse"))))
    text = found_in(good.replace(b"opendocument.spreadsheet", b"opendocument.text\0\0\0\0\0\0\0"))
    assert isinstance(text, Refusal) and text.code == "UNSUPPORTED_FORMAT"
    for end in range(60, len(good), 7):
        assert isinstance(found_in(good[:end]), Refusal)


@given(st.data())
def test_no_content_raises(drawn: st.DataObject) -> None:
    good = table(HEADER, row(cell("A-1"), cell("reverse"), number("5"))).encode()
    at = drawn.draw(st.integers(0, len(good)))
    noise = drawn.draw(
        st.sampled_from([b"", b"</table:table>", b"<table:table>", b"<table:table-row>", b"&x;", b"<", b"<!DOCTYPE x>"])
    )
    cut = drawn.draw(st.integers(0, 30))
    found = found_in(spreadsheet((good[:at] + noise + good[at + cut :]).decode("utf-8", "replace")))
    assert isinstance(found, Refusal) or list(found.rows) is not None
