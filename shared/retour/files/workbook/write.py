"""Write refused rows as a workbook that reads the same when sent back unchanged.

Cells are text, which spreadsheets leave alone. A number with decimals, one that may have lost digits, a date, and a
formula without result are written as such, so that a row refused because of one is refused again.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from xml.sax.saxutils import escape

from retour.files import table
from retour.files.unpack import CHUNK_BYTES, SPOOL_BYTES
from retour.files.workbook.values import ESCAPED_CHAR, RawCell, letters_of

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = {
    "[Content_Types].xml": f'{XML_DECLARATION}<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{CONTENT_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{CONTENT_TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{CONTENT_TYPE}.styles+xml"/></Types>',
    "_rels/.rels": f'{XML_DECLARATION}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'{XML_DECLARATION}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
    # Number format 49 is text: ids typed into such a column stay as typed.
    "xl/styles.xml": f'{XML_DECLARATION}<styleSheet xmlns="{NAMESPACE}">'
    '<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="22" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs></styleSheet>',
}
WORKBOOK_XML = (
    f'{XML_DECLARATION}<workbook xmlns="{NAMESPACE}" xmlns:r="{OFFICE}">'
    '<sheets><sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>'
)


def write_workbook(
    name: str, head: Sequence[Sequence[str]], raws: Iterable[str], ids: frozenset[int]
) -> Iterator[bytes]:
    """Write a workbook of these rows."""
    with SpooledTemporaryFile(SPOOL_BYTES) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, content in PARTS.items():
                archive.writestr(part, content)
            archive.writestr("xl/workbook.xml", WORKBOOK_XML.format(name=escape(name, {'"': "&quot;"})))
            with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
                sheet.write(f'{XML_DECLARATION}<worksheet xmlns="{NAMESPACE}"><sheetData>'.encode())
                for number, (cells, kept) in enumerate(_rows_with_raw_cells(head, raws), 1):
                    sheet.write(row_xml(number, cells, ids, kept).encode("utf-8", "replace"))
                sheet.write(b"</sheetData></worksheet>")
        file.seek(0)
        while piece := file.read(CHUNK_BYTES):
            yield piece


class RowText(str):
    """A row's text, with the columns whose cells are returned as other than text."""

    kept: Mapping[int, RawCell]

    def __new__(cls, text: str, kept: Mapping[int, RawCell]) -> "RowText":
        made = super().__new__(cls, text)
        made.kept = kept
        return made


def _rows_with_raw_cells(
    head: Sequence[Sequence[str]], raws: Iterable[str]
) -> Iterator[tuple[Sequence[str], Mapping[int, RawCell]]]:
    for cells in head:
        yield cells, {}
    for raw in raws:
        found = table.split_cells(raw, "\t")
        yield (found if isinstance(found, list) else [raw]), (raw.kept if isinstance(raw, RowText) else {})


def row_xml(number: int, cells: Sequence[str], ids: frozenset[int], kept: Mapping[int, RawCell]) -> str:
    texts = {at: cell for at, cell in enumerate(cells) if cell and at not in kept}
    written = (
        raw_cell_xml(at, number, kept[at], ids) if at in kept else text_cell_xml(at, number, texts[at], ids)
        for at in sorted({*texts, *kept})
    )
    return f'<row r="{number}">{"".join(written)}</row>'


def text_cell_xml(at: int, number: int, text: str, ids: frozenset[int]) -> str:
    style = ' s="1"' if at in ids else ""
    return (
        f'<c r="{letters_of(at)}{number}"{style} t="inlineStr">'
        f'<is><t xml:space="preserve">{escape(escape_control(text))}</t></is></c>'
    )


def raw_cell_xml(at: int, number: int, kept: RawCell, ids: frozenset[int]) -> str:
    place = f"{letters_of(at)}{number}"
    if kept.far:
        return text_cell_xml(at, number, "…", ids)
    if kept.formula:
        return f'<c r="{place}"><f>NA()</f></c>'
    style = 2 if kept.date else 1 if at in ids else 0
    return f'<c r="{place}" s="{style}"><v>{escape(kept.number)}</v></c>'


def escape_control(text: str) -> str:
    """Text as a workbook can store it: control characters, and text that looks like an escape, as `_x000D_`."""
    text = ESCAPED_CHAR.sub(lambda found: f"_x005F_{found[0][1:]}", text)
    return re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", lambda found: f"_x{ord(found[0]):04X}_", text)
