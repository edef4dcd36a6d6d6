"""XLSX workbooks to rows: zip and XML streamed within a memory budget."""

import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from io import BufferedReader
from typing import IO
from xml.parsers import expat

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.layout import COLUMNS_MAX, Layout
from retour.files.opened_file import OpenedFile
from retour.files.table import CELL_CHARS_MAX
from retour.files.text import FileTooLargeError
from retour.files.unpack import (
    CHUNK_BYTES,
    RATIO_FROM,
    RATIO_MAX,
    UNPACKED_BYTES_MAX,
    ListTooLongError,
    open_archive,
    spool,
)
from retour.files.workbook.sheet import SHEETS_MAX, BrokenSheetError, Sheet, SheetRow, open_workbook
from retour.files.workbook.values import (
    CELL_BEYOND_LIMIT,
    ESCAPED_CHAR,
    UNCALCULATED_CELL,
    CellStyle,
    RawCell,
    SharedStrings,
    UnusableWorkbookError,
    Values,
    column_of,
    date_text,
    is_exact,
    letters_of,
    style_of,
)
from retour.files.xml import TOKEN_BYTES_MAX, DoctypeError, NestingError, local_name, make_parser
from retour.numbers import TypedNumber
from retour.sentences import excerpt

ENTRIES_MAX = 2_000
DIRECTORY_BYTES_MAX = 1 << 20
PART_BYTES_MAX = 8 << 20
DEPTH_MAX = 32
OTHER_DOCUMENTS = {"word/document.xml": "DOCX", "ppt/presentation.xml": "PPTX", "visio/document.xml": "VSDX"}
"""Other documents that are packed in the same way, by a part that each of them has."""
CELL_PLACE = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")
# A row as common programs write it: known attributes in a fixed order, values without entities, markup or control
# characters. The last group of CELLS matches any other character.
ROW_END = b"</row>"
ROW_START = re.compile(
    rb'\s*<row r="([0-9]{1,8})"(?: spans="[0-9: ]{1,40}")?(?: s="[0-9]{1,5}")?(?: customFormat="[01a-z]{1,5}")?'
    rb'(?: ht="[0-9.]{1,20}")?(?: customHeight="[01a-z]{1,5}")?(?: x14ac:dyDescent="[0-9.]{1,20}")?>'
)
PLAIN_TEXT = "[^<>&\x00-\x1f\ufffe\uffff]+"
PLAIN_CELLS = re.compile(
    '<c r="([A-Z]{1,3})[0-9]{1,7}"(?: s="([0-9]{1,5})")?(?: t="([A-Za-z]{1,9})")?(?:/>|></c>|>'
    f'(?:<v>({PLAIN_TEXT})</v>|<is><t(?: xml:space="preserve")?>({PLAIN_TEXT})</t></is>)</c>)|(.)',
    re.DOTALL,
)
OTHER_GROUP = 5
MARKUP = re.compile(rb"<[!?]")
DOCUMENT_START = re.compile(
    rb"""\s*(?:<\?xml version=["']1.0["'](?: encoding=["'](?i:utf-8)["'])?"""
    rb"""(?: standalone=["'](?:yes|no)["'])?\s*\?>)?[^!?]*\Z"""
)
DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    LookupError,
    struct.error,
)
BROKEN_ERRORS = (expat.ExpatError, DoctypeError, NestingError, *DAMAGE_ERRORS)


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read an XLSX workbook."""
    try:
        return open_workbook(Book(stream, source), source, layout, prefix)
    except UnusableWorkbookError as unusable:
        return unusable.refusal


class Book:
    """The parts of a workbook that are needed: visible sheets, strings, styles; each read within its budget."""

    exact = False

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        try:
            packed = spool(stream)
        except FileTooLargeError:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES_MAX >> 20} MB") from None
        self.size = packed.seek(0, 2)
        try:
            self.archive = open_archive(packed, DIRECTORY_BYTES_MAX)
        except ListTooLongError:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=str(ENTRIES_MAX)) from None
        except DAMAGE_ERRORS:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part="zip") from None
        self.parts = {entry.filename.lower(): entry for entry in self.archive.infolist()}
        if len(self.archive.infolist()) > ENTRIES_MAX:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=str(ENTRIES_MAX))
        self.left = UNPACKED_BYTES_MAX
        main = self._target("_rels/.rels", "officedocument", "xl/workbook.xml")
        if main not in self.parts:
            if other := next((kind for part, kind in OTHER_DOCUMENTS.items() if part in self.parts), ""):
                raise UnusableWorkbookError("UNSUPPORTED_FORMAT", found=other)
            raise UnusableWorkbookError(
                "WORKBOOK_OLD" if "xl/workbook.bin" in self.parts else "WORKBOOK_DAMAGED", part=main
            )
        self.folder, name = posixpath.split(main)
        self.rels = f"{self.folder}/_rels/{name}.rels"
        self.since_1904 = False
        self.hidden: list[str] = []
        self.sheets = self._sheets(main)
        self.values = Values.of(source, self.since_1904)
        for sheet in self.sheets:
            self._prove(sheet.part)
        self.looks = self._looks(self._target(self.rels, "styles", f"{self.folder}/styles.xml"))
        self.strings = self._strings(self._target(self.rels, "sharedstrings", f"{self.folder}/sharedstrings.xml"))

    def lines(self, sheet: Sheet) -> Iterator[SheetRow]:
        """The rows of a sheet. Raises BrokenSheetError where it cannot be read further."""
        try:
            with self.archive.open(self.parts[sheet.part]) as part:
                yield from SheetReader(self).lines(part)
        except BROKEN_ERRORS:
            raise BrokenSheetError from None

    def _prove(self, part: str) -> None:
        """Read a part once to verify that it can be unpacked and does not exceed its limit."""
        entry = self.parts.get(part)
        if entry is None:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=part)
        if entry.flag_bits & 1:
            raise UnusableWorkbookError("FILE_ENCRYPTED", case="PASSWORD")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # No program writes other methods, and they cannot be unpacked in bounded chunks.
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=part)
        size, packed = 0, max(min(entry.compress_size, self.size), 1)
        try:
            with self.archive.open(entry) as stream:
                while piece := stream.read(CHUNK_BYTES):
                    size += len(piece)
                    if size > self.left or (size > RATIO_FROM and size > RATIO_MAX * packed):
                        raise UnusableWorkbookError(
                            "WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES_MAX >> 20} MB, 1:{RATIO_MAX}"
                        )
        except DAMAGE_ERRORS:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=part) from None
        self.left -= size

    def _elements(self, part: str) -> Iterator[tuple[str, dict[str, str]]]:
        """The elements of a small part in order; none if the part is missing."""
        entry = self.parts.get(part)
        if entry is None:
            return
        self._prove(part)
        if entry.file_size > PART_BYTES_MAX:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{part} {PART_BYTES_MAX >> 20} MB")
        found: list[tuple[str, dict[str, str]]] = []
        parser = make_parser()
        limit_depth(parser, lambda name, attributes: found.append((local_name(name), attributes)), lambda name: None)
        try:
            with self.archive.open(entry) as stream:
                for _ in feed(parser, stream):
                    yield from found
                    found.clear()
        except BROKEN_ERRORS:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=part) from None

    def _target(self, rels: str, kind: str, usual: str) -> str:
        """The part named by a relationship of this type, else its usual path."""
        folder = posixpath.dirname(posixpath.dirname(rels))
        for name, attributes in self._elements(rels):
            if name == "Relationship" and attributes.get("Type", "").lower().endswith(f"/{kind}"):
                return resolve_part(folder, attributes.get("Target", ""))
        return usual

    def _sheets(self, main: str) -> list[Sheet]:
        targets = {
            attributes.get("Id", ""): resolve_part(self.folder, attributes.get("Target", ""))
            for name, attributes in self._elements(self.rels)
            if name == "Relationship" and attributes.get("Type", "").lower().endswith("/worksheet")
        }
        sheets: list[Sheet] = []
        for name, attributes in self._elements(main):
            if name == "workbookPr":
                self.since_1904 = attributes.get("date1904", "") in ("1", "true")
            if name != "sheet":
                continue
            relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            if relation not in targets:
                continue
            title = excerpt(attributes.get("name", "")) or "sheet"
            if attributes.get("state", "visible") != "visible":
                self.hidden.append(title)
            elif title in {sheet.name for sheet in sheets} or len(sheets) >= SHEETS_MAX:
                raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=main)
            else:
                sheets.append(Sheet(title, targets[relation]))
        if not sheets:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=main)
        return sheets

    def _looks(self, part: str) -> list[CellStyle]:
        """The style of each cell format of the workbook."""
        formats: dict[str, str] = {}
        looks: list[CellStyle] = []
        inside = False
        for name, attributes in self._elements(part):
            if name == "numFmt":
                formats[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif name in ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
                inside = name == "cellXfs"
            elif name == "xf" and inside:
                looks.append(style_of(attributes.get("numFmtId", "0"), formats))
        return looks

    def _strings(self, part: str) -> SharedStrings:
        reader = StringsReader()
        if part in self.parts:
            self._prove(part)
            try:
                with self.archive.open(self.parts[part]) as stream:
                    for _ in feed(reader.parser, stream):
                        pass
            except BROKEN_ERRORS:
                raise UnusableWorkbookError("WORKBOOK_DAMAGED", part=part) from None
        return reader.found


def feed(parser: expat.XMLParserType, stream: IO[bytes]) -> Iterator[None]:
    """Feed a parser in chunks. Stops with an error at a tag longer than the limit."""
    size = 0
    while data := stream.read(CHUNK_BYTES):
        parser.Parse(data, False)
        size += len(data)
        if size - parser.CurrentByteIndex > TOKEN_BYTES_MAX:
            raise NestingError
        yield
    parser.Parse(b"", True)
    yield


def limit_depth(
    parser: expat.XMLParserType, start: Callable[[str, dict[str, str]], object], end: Callable[[str], object]
) -> None:
    """Call `start` and `end` for elements down to a bounded depth."""
    depth = 0

    def open_one(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise NestingError
        start(name, attributes)

    def close_one(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name)

    parser.StartElementHandler = open_one
    parser.EndElementHandler = close_one


def resolve_part(folder: str, target: str) -> str:
    """The part name of a relationship target. Part names are case-insensitive."""
    path = target[1:] if target.startswith("/") else posixpath.join(folder, target)
    return posixpath.normpath(path).lower()


class StringsReader:
    """Reads the workbook's shared strings."""

    def __init__(self) -> None:
        self.found = SharedStrings()
        self.parts: list[str] = []
        self.length = 0
        self.collecting = False
        self.phonetic = False
        self.parser = make_parser()
        self.parser.CharacterDataHandler = self._data
        limit_depth(self.parser, self._start, self._end)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        name = local_name(name)
        if name == "rPh":
            self.phonetic = True
        self.collecting = name == "t" and not self.phonetic

    def _data(self, text: str) -> None:
        if self.collecting:
            self.length += len(text)
            if self.length <= CELL_CHARS_MAX + CHUNK_BYTES:
                self.parts.append(text)

    def _end(self, name: str) -> None:
        name = local_name(name)
        self.collecting = False
        if name == "rPh":
            self.phonetic = False
        elif name == "si":
            self.found.add(unescape("".join(self.parts)))
            self.parts.clear()
            self.length = 0


def unescape(text: str) -> str:
    """Replace escapes such as `_x000D_` with their characters. Lone surrogates stay escaped."""
    if "_x" not in text:
        return text
    return ESCAPED_CHAR.sub(lambda found: found[0] if found[1][0] in "dD" else chr(int(found[1], 16)), text)


@dataclass(slots=True)
class RowBuilder:
    """A row during parsing."""

    number: int
    cells: list[str] = field(default_factory=list)
    inexact: list[int] = field(default_factory=list)
    far: int = 0
    formula: str = ""
    long: bool = False
    kept: dict[int, RawCell] = field(default_factory=dict)
    hidden: bool = False


class SheetReader:
    """Reads one sheet: expat events in, rows out."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.done: list[SheetRow] = []
        self.parser = make_parser()
        self.parser.CharacterDataHandler = self._data
        self.row: RowBuilder | None = None
        self.number = 0
        self.depth = 0
        self.column = -1
        self.kind: str | None = None
        self.style = ""
        self.parts: list[str] = []
        self.length = 0
        self.collecting = self.valued = self.formula = self.phonetic = False
        self.columns: dict[str, int] = {}
        self.parsed = 0
        self.sheet_depth = 0
        self.numbers = lru_cache(maxsize=4096)(book.values.number)
        self.names: dict[str, str] = {}
        self.plain = CellStyle()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def lines(self, part: IO[bytes]) -> Iterator[SheetRow]:
        """The rows of the sheet. Rows in the common form are read by regular expression, without the parser.

        The parser receives everything else, so it sees the same document without those rows. If anything between two
        rows is malformed or could hide one (a comment, CDATA), the parser receives all of the rest.
        """
        rest = b""
        fast = True
        while data := part.read(CHUNK_BYTES):
            data = rest + data
            at = 0
            while fast and (end := data.find(ROW_END, at)) != -1:
                end += len(ROW_END)
                if not self._between_rows() or not self._plain_row(data, at, end):
                    piece = data[at:end]
                    self._parse(piece)
                    # The encoding declaration is left to the parser.
                    fast = not MARKUP.search(piece) if self.sheet_depth else bool(DOCUMENT_START.match(piece))
                    self.sheet_depth = self.depth
                at = end
            rest = data[at:]
            if not fast or len(rest) > TOKEN_BYTES_MAX:
                fast = False
                self._parse(rest)
                rest = b""
            yield from self.done
            self.done.clear()
        self._parse(rest)
        self.parser.Parse(b"", True)
        yield from self.done
        self.done.clear()

    def _parse(self, data: bytes) -> None:
        self.parser.Parse(data, False)
        self.parsed += len(data)
        if self.parsed - self.parser.CurrentByteIndex > TOKEN_BYTES_MAX:
            raise NestingError

    def _between_rows(self) -> bool:
        return self.row is None and 0 < self.sheet_depth == self.depth

    def _plain_row(self, data: bytes, start: int, end: int) -> bool:
        """Read a row in the common form. False, without side effects, if it is not."""
        begin = ROW_START.match(data, start, end)
        if begin is None:
            return False
        try:
            body = data[begin.end() : end - len(ROW_END)].decode()
        except UnicodeDecodeError:
            return False
        number = int(begin[1])
        found = PLAIN_CELLS.findall(body)
        if number <= self.number or (found and found[-1][OTHER_GROUP]) or any(one[OTHER_GROUP] for one in found):
            return False
        row = RowBuilder(number)
        self.column = -1
        self.formula = False
        columns, strings, cells = self.columns, self.book.strings, row.cells
        count = len(strings)
        for letters, style, kind, value, text, _ in found:
            column = columns.get(letters)
            if column is None:
                column = columns[letters] = column_of(letters)
            if column <= self.column:
                return False
            self.column = column
            if value:
                if kind == "s":
                    if not value.isdecimal() or len(value) > 9 or (place := int(value)) >= count:
                        return False
                    value = strings[place]
                    row.long = row.long or len(value) > CELL_CHARS_MAX
                elif not kind or kind == "n":
                    if len(value) > CELL_CHARS_MAX:
                        return False
                    self.style = style
                    value = self._number(value, row)
                else:
                    return False
            elif text:
                if kind != "inlineStr" or len(text) > CELL_CHARS_MAX:
                    return False
                value = unescape(text)
            if value:
                if column >= COLUMNS_MAX:
                    return False
                if column > len(cells):
                    cells += [""] * (column - len(cells))
                cells.append(value)
        self.number = number
        self.done.append(SheetRow(number, cells, row.inexact, 0, "", row.long, row.kept))
        return True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise NestingError
        if ":" in name:
            name = local_name(name)
        if name == "c":
            place = attributes.get("r")
            self.column = self.column + 1 if place is None else self._column(place)
            self.kind = attributes.get("t")
            self.style = attributes.get("s", "")
            self.parts.clear()
            self.length = 0
            self.valued = self.formula = False
        elif name == "v" or (name == "t" and not self.phonetic):
            self.collecting = self.valued = True
        elif name == "row":
            given = attributes.get("r")
            number = int(given) if given and given.isdecimal() and len(given) < 9 else self.number + 1
            if number <= self.number:
                raise ValueError("rows out of order")
            self.number = number
            self.row = RowBuilder(number, hidden=attributes.get("hidden") in ("1", "true"))
            self.column = -1
        elif name == "f":
            self.formula = True
        elif name == "rPh":
            self.phonetic = True

    def _data(self, text: str) -> None:
        if self.collecting:
            self.length += len(text)
            if self.length <= CELL_CHARS_MAX:
                self.parts.append(text)

    def _end(self, name: str) -> None:
        self.depth -= 1
        if ":" in name:
            name = local_name(name)
        if name == "c":
            if self.row is not None and (self.valued or self.formula):
                self._cell(self.row)
        elif name == "v" or name == "t":
            self.collecting = False
        elif name == "row" and self.row is not None:
            row = self.row
            line = SheetRow(row.number, row.cells, row.inexact, row.far, row.formula, row.long, row.kept, row.hidden)
            self.done.append(line)
            self.row = None
        elif name == "rPh":
            self.phonetic = False

    def _column(self, place: str) -> int:
        letters = place.rstrip("0123456789")
        column = self.columns.get(letters)
        if column is None:
            if not CELL_PLACE.fullmatch(place):
                raise ValueError("no place of a cell")
            column = self.columns[letters] = column_of(letters)
        if column <= self.column:
            raise ValueError("cells out of order")
        return column

    def _cell(self, row: RowBuilder) -> None:
        value = self.parts[0] if len(self.parts) == 1 else "".join(self.parts)
        kind = self.kind
        if self.length > CELL_CHARS_MAX:
            row.long = True
            return
        if kind == "s":
            value = self.book.strings[int(value)] if value.isdecimal() and len(value) < 10 else _raise_no_string()
            row.long = row.long or len(value) > CELL_CHARS_MAX
        elif kind is None or kind == "n":
            if value:
                value = self._number(value, row)
        elif kind == "b":
            value = {"1": "TRUE", "0": "FALSE"}.get(value.strip(), value)
        elif kind == "d":
            value = date_text(value, self.book.values.pattern)
        else:
            value = unescape(value)
        if self.formula and not value and kind != "str":
            row.formula = row.formula or f"{letters_of(self.column)}{row.number}"
            row.kept[self.column] = UNCALCULATED_CELL
        if not value:
            return
        cells = row.cells
        if self.column >= COLUMNS_MAX:
            if value.strip():
                row.far = self.column + 1
                row.kept[self.column] = CELL_BEYOND_LIMIT
            return
        if self.column > len(cells):
            cells += [""] * (self.column - len(cells))
        cells.append(value)

    def _number(self, text: str, row: RowBuilder) -> str:
        style = self.style
        looks = self.book.looks
        look = looks[int(style)] if style.isdecimal() and len(style) < 6 and int(style) < len(looks) else self.plain
        if look is self.plain or not (look.date or look.digits):
            if len(text) < 16 and text.isdecimal() and text.isascii() and text[0] != "0":
                return text
            look = self.plain
        value = self.numbers(text, look)
        if look.date or not is_exact(value):
            row.inexact.append(self.column)
            row.kept[self.column] = self.book.values.kept(text, look)
        elif isinstance(value, TypedNumber):
            row.kept[self.column] = self.book.values.kept(text, look)
        return value


def _raise_no_string() -> str:
    raise ValueError("no number of a string")
