"""A workbook made of rows that were refused: sent back unchanged, it says what it said.

Cells are texts, in which a spreadsheet changes nothing. A number with decimals, one that may have lost digits, a day
and a formula without result go back as such, so that what was refused for it is not taken for a text that is right.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from xml.sax.saxutils import escape

from retour.files import table
from retour.files.unpack import PIECE, SPOOL
from retour.files.workbook.values import ESCAPED, Kept, letters_of

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
MADE = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
CONTENT = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = {
    "[Content_Types].xml": f'{MADE}<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{CONTENT}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{CONTENT}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{CONTENT}.styles+xml"/></Types>',
    "_rels/.rels": f'{MADE}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'{MADE}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
    # Format 49 is text: what a person types into a column of ids stays as typed.
    "xl/styles.xml": f'{MADE}<styleSheet xmlns="{NAMESPACE}">'
    '<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="22" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs></styleSheet>',
}
WORKBOOK = (
    f'{MADE}<workbook xmlns="{NAMESPACE}" xmlns:r="{OFFICE}">'
    '<sheets><sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>'
)


def written(name: str, head: Sequence[Sequence[str]], raws: Iterable[str], ids: frozenset[int]) -> Iterator[bytes]:
    """A workbook of these rows."""
    with SpooledTemporaryFile(SPOOL) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, content in PARTS.items():
                archive.writestr(part, content)
            archive.writestr("xl/workbook.xml", WORKBOOK.format(name=escape(name, {'"': "&quot;"})))
            with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
                sheet.write(f'{MADE}<worksheet xmlns="{NAMESPACE}"><sheetData>'.encode())
                for number, (cells, kept) in enumerate(_all_cells(head, raws), 1):
                    sheet.write(row_of(number, cells, ids, kept).encode("utf-8", "replace"))
                sheet.write(b"</sheetData></worksheet>")
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


class Cells(str):
    """The text of a row, with what some of its cells go back as, by their column."""

    kept: Mapping[int, Kept]

    def __new__(cls, text: str, kept: Mapping[int, Kept]) -> "Cells":
        made = super().__new__(cls, text)
        made.kept = kept
        return made


def _all_cells(
    head: Sequence[Sequence[str]], raws: Iterable[str]
) -> Iterator[tuple[Sequence[str], Mapping[int, Kept]]]:
    for cells in head:
        yield cells, {}
    for raw in raws:
        found = table.cells_of(raw, "\t")
        yield (found if isinstance(found, list) else [raw]), (raw.kept if isinstance(raw, Cells) else {})


def row_of(number: int, cells: Sequence[str], ids: frozenset[int], kept: Mapping[int, Kept]) -> str:
    texts = {at: cell for at, cell in enumerate(cells) if cell and at not in kept}
    written = (
        kept_cell(at, number, kept[at], ids) if at in kept else text_cell(at, number, texts[at], ids)
        for at in sorted({*texts, *kept})
    )
    return f'<row r="{number}">{"".join(written)}</row>'


def text_cell(at: int, number: int, text: str, ids: frozenset[int]) -> str:
    style = ' s="1"' if at in ids else ""
    return (
        f'<c r="{letters_of(at)}{number}"{style} t="inlineStr">'
        f'<is><t xml:space="preserve">{escape(guarded(text))}</t></is></c>'
    )


def kept_cell(at: int, number: int, kept: Kept, ids: frozenset[int]) -> str:
    place = f"{letters_of(at)}{number}"
    if kept.far:
        return text_cell(at, number, "…", ids)
    if kept.formula:
        return f'<c r="{place}"><f>NA()</f></c>'
    style = 2 if kept.date else 1 if at in ids else 0
    return f'<c r="{place}" s="{style}"><v>{escape(kept.number)}</v></c>'


def guarded(text: str) -> str:
    """A text as a workbook can hold it: signs that XML has not, and what looks like one so written, as `_x000D_`."""
    text = ESCAPED.sub(lambda found: f"_x005F_{found[0][1:]}", text)
    return re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", lambda found: f"_x{ord(found[0]):04X}_", text)
