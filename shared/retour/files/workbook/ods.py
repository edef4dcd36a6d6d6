"""An OpenDocument spreadsheet (.ods) to rows, streamed as .xlsx is: no file can make us larger than a budget."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BufferedReader
from typing import IO, BinaryIO, cast

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.cells import shown
from retour.files.layout import COLUMNS, Layout
from retour.files.opened import Opened
from retour.files.table import CELL_SIGNS
from retour.files.text import TooLarge
from retour.files.unpack import UNPACKED_BYTES, directory_bytes, read_through, spooled
from retour.files.workbook.sheet import SHEETS, Broken, Line, Sheet, opened
from retour.files.workbook.values import FAR, NO_RESULT, Kept, Look, Unusable, Values, dated, exact
from retour.files.workbook.xlsx import BROKEN, DAMAGES, DIRECTORY_BYTES, fed, limited
from retour.files.xml import local, parser_of
from retour.numbers import Typed, TypedMoment

CONTENT = "content.xml"
REPEATED = 100_000
"""Rows that say the same and are written once."""
DAY_0 = datetime(1899, 12, 30)
NUMBERS = ("float", "currency", "percentage")
PLAIN = Look()


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> Opened | Refusal:
    """The rows of an OpenDocument spreadsheet, or why none can be read."""
    try:
        return opened(Book(stream, source), source, layout, prefix)
    except Unusable as unusable:
        return unusable.refusal


class Book:
    """The visible sheets of a spreadsheet, and their rows."""

    exact = False

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        try:
            packed = spooled(stream)
        except TooLarge:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES >> 20} MB") from None
        if directory_bytes(packed) > DIRECTORY_BYTES:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{DIRECTORY_BYTES >> 20} MB")
        self.values = Values.of(source, since_1904=False)
        self.hidden: list[str] = []
        self.sheets: list[Sheet] = []
        try:
            self.archive = zipfile.ZipFile(packed)
            if b"encryption-data" in self._manifest():
                raise Unusable("FILE_ENCRYPTED", case="PASSWORD")
            self.entry = self.archive.getinfo(CONTENT)
            size = read_through(self.open, CONTENT, self.entry.compress_size, UNPACKED_BYTES)
        except DAMAGES:
            raise Unusable("WORKBOOK_DAMAGED", part=CONTENT) from None
        if isinstance(size, Refusal):
            limit, code = f"{UNPACKED_BYTES >> 20} MB", "WORKBOOK_DAMAGED"
            code = "WORKBOOK_TOO_LARGE" if size.code == "ARCHIVE_TOO_LARGE" else code
            raise Unusable(code, limit=limit, part=CONTENT)
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
        """The names of the sheets; the hidden ones have a style that is not displayed."""
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

        parser = parser_of()
        limited(parser, start, lambda name: None)
        try:
            with self.open() as part:
                for _ in fed(parser, part):
                    if len(tables) > SHEETS:
                        raise Unusable("WORKBOOK_DAMAGED", part=CONTENT)
        except BROKEN:
            if not tables:
                raise Unusable("WORKBOOK_DAMAGED", part=CONTENT) from None
        for number, (name, of_style) in enumerate(tables):
            if of_style in unseen:
                self.hidden.append(shown(name) or "sheet")
            else:
                self.sheets.append(Sheet(shown(name) or "sheet", str(number)))
        if not self.sheets:
            raise Unusable("WORKBOOK_DAMAGED", part=CONTENT)

    def lines(self, sheet: Sheet) -> Iterator[Line]:
        try:
            with self.open() as part:
                yield from Reader(self.values, int(sheet.part)).lines(part)
        except BROKEN:
            raise Broken from None


@dataclass(slots=True)
class Building:
    """A row while its element is open."""

    times: int
    hidden: bool
    cells: list[str] = field(default_factory=list)
    blanks: int = 0
    inexact: list[int] = field(default_factory=list)
    kept: dict[int, Kept] = field(default_factory=dict)
    far: int = 0
    formula: bool = False
    long: bool = False


class Reader:
    """One sheet while it is read: expat's events in, whole rows out."""

    def __init__(self, values: Values, number: int) -> None:
        self.values, self.left = values, number
        self.inside = False
        self.row: Building | None = None
        self.number = 0
        self.done: list[Line] = []
        self.cell: dict[str, str] = {}
        self.text: list[str] = []
        self.length = 0
        self.paragraphs = self.aside = 0
        self.parser = parser_of()
        self.parser.CharacterDataHandler = self._data
        limited(self.parser, self._start, self._end)

    def lines(self, part: IO[bytes]) -> Iterator[Line]:
        for _ in fed(self.parser, part):
            yield from self.done
            self.done.clear()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        if name == "table" and not self.inside:
            self.inside = self.left == 0
            self.left -= 1
        elif not self.inside:
            return
        elif name == "table-row":
            times = count(attributes.get("table:number-rows-repeated"))
            self.row = Building(times, attributes.get("table:visibility", "visible") != "visible")
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
                " " * min(count(attributes.get("text:c")), CELL_SIGNS)
                if name == "s"
                else "\t"
                if name == "tab"
                else "\n"
            )

    def _data(self, text: str) -> None:
        if self.row and self.paragraphs and not self.aside:
            self.length += len(text)
            if self.length <= CELL_SIGNS:
                self.text.append(text)

    def _end(self, name: str) -> None:
        name = local(name)
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

    def _put(self, row: Building) -> None:
        """One cell, as often as it is repeated; blank ones count when another follows."""
        times = count(self.cell.get("table:number-columns-repeated"))
        row.long = row.long or self.length > CELL_SIGNS
        column = len(row.cells) + row.blanks
        value, kept, doubtful = self._value()
        if not value and kept is None:
            row.blanks += times
            return
        if column + times > COLUMNS:
            row.far = column + 1
            row.kept[column] = FAR
            return
        row.cells += [""] * row.blanks + [value] * times
        row.blanks = 0
        for at in range(column, column + times):
            row.formula = row.formula or kept is NO_RESULT
            if kept is not None:
                row.kept[at] = kept
            if doubtful:
                row.inexact.append(at)

    def _value(self) -> tuple[str, Kept | None, bool]:
        """What the cell says, what it goes back as, and whether an id in it may be another than was meant."""
        kind, said = self.cell.get("office:value-type"), "".join(self.text)
        if kind in NUMBERS and (number := self.cell.get("office:value")):
            value = self.values.number(number, PLAIN)
            doubtful = not exact(value)
            return value, self.values.kept(number, PLAIN) if doubtful or isinstance(value, Typed) else None, doubtful
        if kind == "date" and (moment := self.cell.get("office:date-value")):
            value = dated(moment, self.values.pattern)
            return value, serial(value.moment) if isinstance(value, TypedMoment) else None, True
        if kind == "boolean":
            return self.cell.get("office:boolean-value", "").upper(), None, False
        if kind is None and not said and "table:formula" in self.cell:
            return "", NO_RESULT, False
        return self.cell.get("office:string-value") or said, None, False

    def _finish(self, row: Building) -> None:
        if not (row.cells or row.kept or row.long):
            self.number += row.times
            return
        if row.times > REPEATED:
            raise ValueError("more rows than any sheet has")
        for _ in range(row.times):
            self.number += 1
            formula = f"{self.number}" if row.formula else ""
            self.done.append(
                Line(self.number, [*row.cells], row.inexact, row.far, formula, row.long, row.kept, row.hidden)
            )


def serial(moment: datetime) -> Kept:
    """A day as the number that workbooks keep of it."""
    return Kept(f"{(moment.replace(tzinfo=None) - DAY_0) / timedelta(days=1):.10f}".rstrip("0").rstrip("."), date=True)


def count(text: str | None) -> int:
    """How often something is repeated; once where it does not say so."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 1
