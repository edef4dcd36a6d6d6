"""OpenDocument spreadsheets (.ods) to rows, streamed within a memory budget."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BufferedReader
from typing import IO, BinaryIO, cast

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.layout import COLUMNS_MAX, Layout
from retour.files.opened_file import OpenedFile
from retour.files.table import CELL_CHARS_MAX
from retour.files.text import FileTooLargeError
from retour.files.unpack import UNPACKED_BYTES_MAX, ListTooLongError, open_archive, spool, verify_member
from retour.files.workbook.sheet import SHEETS_MAX, BrokenSheetError, Sheet, SheetRow, open_workbook
from retour.files.workbook.values import (
    CELL_BEYOND_LIMIT,
    UNCALCULATED_CELL,
    CellStyle,
    RawCell,
    UnusableWorkbookError,
    Values,
    date_text,
    is_exact,
)
from retour.files.workbook.xlsx import BROKEN_ERRORS, DAMAGE_ERRORS, DIRECTORY_BYTES_MAX, feed, limit_depth
from retour.files.xml import local_name, make_parser
from retour.numbers import TypedMoment, TypedNumber
from retour.sentences import excerpt

CONTENT_PART = "content.xml"
REPEATED_ROWS_MAX = 100_000
"""Maximum repetition of a row that is written once."""
SERIAL_EPOCH = datetime(1899, 12, 30)
NUMBER_TYPES = ("float", "currency", "percentage")
PLAIN_STYLE = CellStyle()


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read an OpenDocument spreadsheet."""
    try:
        return open_workbook(Book(stream, source), source, layout, prefix)
    except UnusableWorkbookError as unusable:
        return unusable.refusal


class Book:
    """The visible sheets of a spreadsheet and their rows."""

    exact = False

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        try:
            packed = spool(stream)
        except FileTooLargeError:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES_MAX >> 20} MB") from None
        self.values = Values.of(source, since_1904=False)
        self.hidden: list[str] = []
        self.sheets: list[Sheet] = []
        try:
            self.archive = open_archive(packed, DIRECTORY_BYTES_MAX)
            if b"encryption-data" in self._manifest():
                raise UnusableWorkbookError("FILE_ENCRYPTED", case="PASSWORD")
            self.entry = self.archive.getinfo(CONTENT_PART)
            size = verify_member(self.open, CONTENT_PART, self.entry.compress_size, UNPACKED_BYTES_MAX)
        except ListTooLongError:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{DIRECTORY_BYTES_MAX >> 20} MB") from None
        except DAMAGE_ERRORS:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=CONTENT_PART) from None
        if isinstance(size, Refusal):
            limit, code = f"{UNPACKED_BYTES_MAX >> 20} MB", "WORKBOOK_DAMAGED"
            code = "WORKBOOK_TOO_LARGE" if size.code == "ARCHIVE_TOO_LARGE" else code
            raise UnusableWorkbookError(code, limit=limit, part=CONTENT_PART)
        self._list()

    def open(self) -> BinaryIO:
        return cast(BinaryIO, self.archive.open(self.entry))

    def _manifest(self) -> bytes:
        try:
            with self.archive.open("META-INF/manifest.xml") as part:
                return part.read(1 << 20)
        except KeyError:
            return b""

    def _list(self) -> None:
        """List the sheets. Hidden ones have a style that is not displayed."""
        tables: list[tuple[str, str]] = []
        unseen: set[str] = set()
        style = ""

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal style
            if name == "style:style":
                style = attributes.get("style:name", "")
            elif name == "style:table-properties" and attributes.get("table:display") == "false":
                unseen.add(style)
            elif name == "table:table":
                tables.append((attributes.get("table:name", ""), attributes.get("table:style-name", "")))

        parser = make_parser()
        limit_depth(parser, start, lambda name: None)
        try:
            with self.open() as part:
                for _ in feed(parser, part):
                    if len(tables) > SHEETS_MAX:
                        raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=CONTENT_PART)
        except BROKEN_ERRORS:
            if not tables:
                raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=CONTENT_PART) from None
        for number, (name, of_style) in enumerate(tables):
            if of_style in unseen:
                self.hidden.append(excerpt(name) or "sheet")
            else:
                self.sheets.append(Sheet(excerpt(name) or "sheet", str(number)))
        if not self.sheets:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=CONTENT_PART)

    def lines(self, sheet: Sheet) -> Iterator[SheetRow]:
        try:
            with self.open() as part:
                yield from Reader(self.values, int(sheet.part)).lines(part)
        except BROKEN_ERRORS:
            raise BrokenSheetError from None


@dataclass(slots=True)
class RowBuilder:
    """A row during parsing."""

    times: int
    hidden: bool
    cells: list[str] = field(default_factory=list)
    blanks: int = 0
    inexact: list[int] = field(default_factory=list)
    kept: dict[int, RawCell] = field(default_factory=dict)
    far: int = 0
    formula: bool = False
    long: bool = False


class Reader:
    """Reads one sheet: expat events in, rows out."""

    def __init__(self, values: Values, number: int) -> None:
        self.values, self.left = values, number
        self.inside = False
        self.row: RowBuilder | None = None
        self.number = 0
        self.done: list[SheetRow] = []
        self.cell: dict[str, str] = {}
        self.text: list[str] = []
        self.length = 0
        self.paragraphs = self.aside = 0
        self.parser = make_parser()
        self.parser.CharacterDataHandler = self._data
        limit_depth(self.parser, self._start, self._end)

    def lines(self, part: IO[bytes]) -> Iterator[SheetRow]:
        for _ in feed(self.parser, part):
            yield from self.done
            self.done.clear()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = local_name(name)
        if name == "table" and not self.inside:
            self.inside = self.left == 0
            self.left -= 1
        elif not self.inside:
            return
        elif name == "table-row":
            times = repeat_count(attributes.get("table:number-rows-repeated"))
            self.row = RowBuilder(times, attributes.get("table:visibility", "visible") != "visible")
        elif name in ("table-cell", "covered-table-cell") and self.row:
            self.cell = attributes if name == "table-cell" else {**attributes, "office:value-type": ""}
            self.text.clear()
            self.length = self.paragraphs = 0
        elif name == "annotation":
            self.aside += 1
        elif name == "p" and not self.aside:
            if self.paragraphs:
                self._data("\n")
            self.paragraphs += 1
        elif name in ("s", "tab", "line-break") and self.paragraphs:
            self._data(
                " " * min(repeat_count(attributes.get("text:c")), CELL_CHARS_MAX)
                if name == "s"
                else "\t"
                if name == "tab"
                else "\n"
            )

    def _data(self, text: str) -> None:
        if self.row and self.paragraphs and not self.aside:
            self.length += len(text)
            if self.length <= CELL_CHARS_MAX:
                self.text.append(text)

    def _end(self, name: str) -> None:
        name = local_name(name)
        if name == "annotation" and self.inside:
            self.aside -= 1
        elif name in ("table-cell", "covered-table-cell") and self.row:
            self._put(self.row)
            self.paragraphs = 0
        elif name == "table-row" and self.row:
            self._finish(self.row)
            self.row = None
        elif name == "table" and self.inside:
            self.inside = False

    def _put(self, row: RowBuilder) -> None:
        """Append a cell as often as it is repeated. Blank cells count if another follows."""
        times = repeat_count(self.cell.get("table:number-columns-repeated"))
        row.long = row.long or self.length > CELL_CHARS_MAX
        column = len(row.cells) + row.blanks
        value, kept, doubtful = self._value()
        if not value and kept is None:
            row.blanks += times
            return
        if column + times > COLUMNS_MAX:
            row.far = column + 1
            row.kept[column] = CELL_BEYOND_LIMIT
            return
        row.cells += [""] * row.blanks + [value] * times
        row.blanks = 0
        for at in range(column, column + times):
            row.formula = row.formula or kept is UNCALCULATED_CELL
            if kept is not None:
                row.kept[at] = kept
            if doubtful:
                row.inexact.append(at)

    def _value(self) -> tuple[str, RawCell | None, bool]:
        """A cell's text, how it is returned in a rejected file, and whether its id may be damaged."""
        kind, said = self.cell.get("office:value-type"), "".join(self.text)
        if kind in NUMBER_TYPES and (number := self.cell.get("office:value")):
            value = self.values.number(number, PLAIN_STYLE)
            doubtful = not is_exact(value)
            return (
                value,
                self.values.kept(number, PLAIN_STYLE) if doubtful or isinstance(value, TypedNumber) else None,
                doubtful,
            )
        if kind == "date" and (moment := self.cell.get("office:date-value")):
            value = date_text(moment, self.values.pattern)
            return value, date_serial(value.moment) if isinstance(value, TypedMoment) else None, True
        if kind == "boolean":
            return self.cell.get("office:boolean-value", "").upper(), None, False
        if kind is None and not said and "table:formula" in self.cell:
            return "", UNCALCULATED_CELL, False
        return self.cell.get("office:string-value") or said, None, False

    def _finish(self, row: RowBuilder) -> None:
        if not (row.cells or row.kept or row.long):
            self.number += row.times
            return
        if row.times > REPEATED_ROWS_MAX:
            raise ValueError("more rows than any sheet has")
        for _ in range(row.times):
            self.number += 1
            formula = f"{self.number}" if row.formula else ""
            self.done.append(
                SheetRow(self.number, [*row.cells], row.inexact, row.far, formula, row.long, row.kept, row.hidden)
            )


def date_serial(moment: datetime) -> RawCell:
    """A date as a workbook's serial number."""
    return RawCell(
        f"{(moment.replace(tzinfo=None) - SERIAL_EPOCH) / timedelta(days=1):.10f}".rstrip("0").rstrip("."), date=True
    )


def repeat_count(text: str | None) -> int:
    """How often a cell or row is repeated; 1 by default."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 1
