"""The rows of a workbook, independent of its file format.

The sheet with a known header is read; two such sheets are refused. Refused rows are returned as a workbook of text
cells, since spreadsheets damage ids in CSV.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files import layout as layouts
from retour.files import table
from retour.files.layout import Layout
from retour.files.opened_file import OpenedFile
from retour.files.table import CELL_CHARS_MAX, HEADER_LINES_MAX, TableShape
from retour.files.text import LINE_CHARS_MAX
from retour.files.workbook.values import CELL_BEYOND_LIMIT, RawCell, UnusableWorkbookError
from retour.files.workbook.write import RowText, write_workbook
from retour.sentences import excerpt

SHEETS_MAX = 100
HIDDEN_ROW = "hidden row, read all the same"


class BrokenSheetError(Exception):
    """A sheet cannot be read beyond this point."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A visible sheet: its name and its part of the archive."""

    name: str
    part: str


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A sheet's row: its cells as text without trailing blanks, their doubts, and how they are returned."""

    number: int
    cells: list[str]
    inexact: Sequence[int] = ()
    far: int = 0
    formula: str = ""
    long: bool = False
    kept: Mapping[int, RawCell] = field(default_factory=dict)
    hidden: bool = False


class Book(Protocol):
    """A workbook: its visible sheets with their rows, and the names of the others.

    `exact`: rows include blank cells, so a row of another width has shifted.
    """

    exact: bool
    sheets: list[Sheet]
    hidden: list[str]

    def lines(self, sheet: Sheet) -> Iterator[SheetRow]:
        """The rows of a sheet. Raises BrokenSheetError where it cannot be read further."""


def open_workbook(book: Book, source: Source, layout: Layout, prefix: str) -> OpenedFile | Refusal:
    """Read a workbook's rows. Places are `sheet!7`."""
    skipped = Counter({f"hidden sheet {name[:40]}": 1 for name in book.hidden})
    found: list[tuple[Sheet, TableShape, list[SheetRow]]] = []
    for sheet in book.sheets:
        first: list[SheetRow] = []
        try:
            for line in limit_row_length(book.lines(sheet)):
                if len(first) == HEADER_LINES_MAX:
                    break
                if any(cell.strip() for cell in line.cells):
                    first.append(line)
        except BrokenSheetError:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=sheet.part) from None
        meant = layouts.identify_layout([trim_blank_end(line.cells) for line in first], layout)
        if isinstance(meant, Refusal):
            return meant
        shape = find_header(first, meant, f"{prefix}{sheet.name}!") if not meant.positions else None
        if shape is None:
            skipped[f"sheet {sheet.name[:40]}"] += 1
        else:
            found.append((sheet, shape, first))
    if not found:
        expected = sorted(layout.required | layout.identity) if not layout.closed else layout.known
        return Refusal("HEADER_NOT_FOUND", {"lines": str(HEADER_LINES_MAX), "expected": ", ".join(expected)})
    if len(found) > 1:
        return Refusal("SHEETS_SEVERAL", {"sheets": excerpt(", ".join(sheet.name for sheet, _, _ in found))})
    sheet, shape, first = found[0]
    layout = shape.layout
    if fault := layouts.header_fault(shape.header, layout, shape.line):
        return fault
    shape = table.with_decimal_mark(
        shape, (align_cells(book, line, shape) for line in first if line.number > shape.line), source
    )
    head = [line.cells for line in first if line.number <= shape.line]
    if len(head) > 1:
        skipped["preamble"] = len(head) - 1
    ids = frozenset(at for at, name in enumerate(shape.header) if name in layout.ids)
    return OpenedFile(
        header=shape.header,
        layout=layout.name,
        rows=sheet_rows(book, sheet, shape, ids, skipped),
        rejected_head="".join(f"{record_text(cells)}\n" for cells in head).encode("utf-8", "replace"),
        encoding="utf-8",
        newline="\n",
        delimiter="\t",
        mark=shape.mark,
        skipped=skipped,
        write=lambda raws: write_workbook(sheet.name, head, raws, ids),
    )


def limit_row_length(lines: Iterator[SheetRow]) -> Iterator[SheetRow]:
    """Replace a row whose text exceeds the record limit with a marker of its fault."""
    for line in lines:
        yield line if sum(map(len, line.cells)) <= LINE_CHARS_MAX else replace(line, cells=[], long=True)


def find_header(first: Sequence[SheetRow], layout: Layout, prefix: str) -> TableShape | None:
    """The header among the first rows: the one with the most known names, the earliest if equal."""
    best = 0
    shape = None
    for line in first:
        cells = trim_blank_end(line.cells)
        points = layouts.header_score(cells, layout) if cells else 0
        if points > best:
            best = points
            shape = TableShape(layouts.spell_header(cells, layout), tuple(cells), line.number, "\t", layout, prefix)
    return shape


def align_cells(book: Book, line: SheetRow, shape: TableShape) -> list[str]:
    """A row's cells below the columns of the header; missing ones are blank."""
    if book.exact:
        return line.cells
    width = len(shape.header)
    cells = [*line.cells, *[""] * (width - len(line.cells))]
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    return cells


def trim_blank_end(cells: Sequence[str]) -> list[str]:
    """A row without trailing blank cells."""
    kept = list(cells)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def sheet_rows(
    book: Book, sheet: Sheet, shape: TableShape, ids: frozenset[int], skipped: Counter[str]
) -> Iterator[Row | Unreadable]:
    """The rows below the header. If the sheet cannot be read further, one refusal stands for the rest."""
    number = shape.line
    try:
        for line in limit_row_length(book.lines(sheet)):
            if line.number <= shape.line:
                continue
            number = line.number
            cells = align_cells(book, line, shape)
            # In a workbook a short row is padded, so one of another width gets a cell that no row has.
            odd = {max(len(cells), len(shape.header)): CELL_BEYOND_LIMIT} if len(cells) != len(shape.header) else {}
            raw = RowText(record_text(cells), {**line.kept, **odd} if book.exact else line.kept)
            found: Row | Unreadable | str
            if not line.far and table.is_totals(cells, shape):
                found = "totals"
            else:
                found = row_fault(line, raw, shape, ids) or table.make_row(cells, raw, number, shape)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                # Hidden rows are refused: whoever filtered the sheet may not have meant to send them.
                if line.hidden:
                    skipped[HIDDEN_ROW] += 1
                yield found
    except BrokenSheetError:
        yield Unreadable(table.row_place(shape, number + 1), "SHEET_BROKEN", {"line": str(number + 1)})


def row_fault(line: SheetRow, raw: str, shape: TableShape, ids: frozenset[int]) -> Unreadable | None:
    """A fault that only rows of workbooks can have, or None."""
    at = {"line": str(line.number)}
    if line.long:
        return table.make_unreadable("CELL_TOO_LONG", {**at, "limit": str(CELL_CHARS_MAX)}, line.number, raw, shape)
    if line.far:
        details = {**at, "found": str(line.far), "expected": str(len(shape.header))}
        return table.make_unreadable("ROW_WIDTH", details, line.number, raw, shape)
    if line.formula:
        return table.make_unreadable("CELL_NOT_CALCULATED", {**at, "cell": line.formula}, line.number, raw, shape)
    for column in line.inexact:
        if column in ids:
            name, value = shape.header[column], line.cells[column]
            details = {**at, "column": name, "value": value[:40]}
            return table.make_unreadable("DAMAGED_ID", details, line.number, raw, shape, name)
    if not raw.replace("\t", "").isprintable() and (odd := table.unprintable_fault(raw, line.number, shape)):
        return table.make_unreadable(odd[0], odd[1], line.number, raw, shape)
    return None


def record_text(cells: Sequence[str]) -> str:
    """Cells as one line of text, separated by tabs."""
    text = "\t".join(cells)
    if '"' not in text and "\n" not in text and "\r" not in text and text.count("\t") < len(cells):
        return text
    return "\t".join(
        f'"{cell.replace(chr(34), chr(34) * 2)}"' if any(sign in cell for sign in '"\t\n\r') else cell for cell in cells
    )
