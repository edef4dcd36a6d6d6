"""An XLSX workbook to rows: zip and XML streamed by ourselves, so that no file can make us larger than a budget."""

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
from retour.files.cells import shown
from retour.files.layout import COLUMNS, Layout
from retour.files.opened import Opened
from retour.files.table import CELL_SIGNS
from retour.files.text import TooLarge
from retour.files.unpack import PIECE, RATIO, RATIO_FROM, UNPACKED_BYTES, directory_bytes, spooled
from retour.files.workbook.sheet import SHEETS, Broken, Line, Sheet, opened
from retour.files.workbook.values import (
    ESCAPED,
    FAR,
    NO_RESULT,
    Kept,
    Look,
    Texts,
    Unusable,
    Values,
    column_of,
    dated,
    exact,
    letters_of,
    look_of,
)
from retour.files.xml import TOKEN_BYTES, Doctype, TooDeep, local, parser_of
from retour.numbers import Typed

ENTRIES = 2_000
DIRECTORY_BYTES = 1 << 20
PART_BYTES = 8 << 20
DEPTH = 32
CELL = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")
# A row as all programs write it: known attributes in one order, values without entities, markup or control signs. The
# last group of CELLS takes any sign that is none of that.
ROW_END = b"</row>"
ROW = re.compile(
    rb'\s*<row r="([0-9]{1,8})"(?: spans="[0-9: ]{1,40}")?(?: s="[0-9]{1,5}")?(?: customFormat="[01a-z]{1,5}")?'
    rb'(?: ht="[0-9.]{1,20}")?(?: customHeight="[01a-z]{1,5}")?(?: x14ac:dyDescent="[0-9.]{1,20}")?>'
)
TEXT = "[^<>&\x00-\x1f\ufffe\uffff]+"
CELLS = re.compile(
    '<c r="([A-Z]{1,3})[0-9]{1,7}"(?: s="([0-9]{1,5})")?(?: t="([A-Za-z]{1,9})")?(?:/>|></c>|>'
    f'(?:<v>({TEXT})</v>|<is><t(?: xml:space="preserve")?>({TEXT})</t></is>)</c>)|(.)',
    re.DOTALL,
)
OTHER = 5
MARKED = re.compile(rb"<[!?]")
BEGINNING = re.compile(
    rb"""\s*(?:<\?xml version=["']1.0["'](?: encoding=["'](?i:utf-8)["'])?"""
    rb"""(?: standalone=["'](?:yes|no)["'])?\s*\?>)?[^!?]*\Z"""
)
DAMAGES = (
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
BROKEN = (expat.ExpatError, Doctype, TooDeep, *DAMAGES)


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> Opened | Refusal:
    """The rows of an XLSX workbook, or why none can be read."""
    try:
        return opened(Book(stream, source), source, layout, prefix)
    except Unusable as unusable:
        return unusable.refusal


class Book:
    """A workbook's parts that matter: its visible sheets, its strings, its styles; each read within its budget."""

    exact = False

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        try:
            packed = spooled(stream)
        except TooLarge:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES >> 20} MB") from None
        self.size = packed.seek(0, 2)
        if directory_bytes(packed) > DIRECTORY_BYTES:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=str(ENTRIES))
        try:
            self.archive = zipfile.ZipFile(packed)
        except DAMAGES:
            raise Unusable("WORKBOOK_DAMAGED", part="zip") from None
        self.parts = {entry.filename.lower(): entry for entry in self.archive.infolist()}
        if len(self.archive.infolist()) > ENTRIES:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=str(ENTRIES))
        self.left = UNPACKED_BYTES
        main = self._target("_rels/.rels", "officedocument", "xl/workbook.xml")
        if main not in self.parts:
            raise Unusable("WORKBOOK_OLD" if "xl/workbook.bin" in self.parts else "WORKBOOK_DAMAGED", part=main)
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

    def lines(self, sheet: Sheet) -> Iterator[Line]:
        """The rows of a sheet, from its beginning; Broken where it breaks off."""
        try:
            with self.archive.open(self.parts[sheet.part]) as part:
                yield from SheetReader(self).lines(part)
        except BROKEN:
            raise Broken from None

    def _prove(self, part: str) -> None:
        """Read a part through once: it can be unpacked to its end, and is no larger than it may be."""
        entry = self.parts.get(part)
        if entry is None:
            raise Unusable("WORKBOOK_DAMAGED", part=part)
        if entry.flag_bits & 1:
            raise Unusable("FILE_ENCRYPTED", case="PASSWORD")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # No program writes others, and they are unpacked in pieces of any size.
            raise Unusable("WORKBOOK_DAMAGED", part=part)
        size, packed = 0, max(min(entry.compress_size, self.size), 1)
        try:
            with self.archive.open(entry) as stream:
                while piece := stream.read(PIECE):
                    size += len(piece)
                    if size > self.left or (size > RATIO_FROM and size > RATIO * packed):
                        raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES >> 20} MB, 1:{RATIO}")
        except DAMAGES:
            raise Unusable("WORKBOOK_DAMAGED", part=part) from None
        self.left -= size

    def _elements(self, part: str) -> Iterator[tuple[str, dict[str, str]]]:
        """The elements of a small part, in order; none where there is no such part."""
        entry = self.parts.get(part)
        if entry is None:
            return
        self._prove(part)
        if entry.file_size > PART_BYTES:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{part} {PART_BYTES >> 20} MB")
        found: list[tuple[str, dict[str, str]]] = []
        parser = parser_of()
        limited(parser, lambda name, attributes: found.append((local(name), attributes)), lambda name: None)
        try:
            with self.archive.open(entry) as stream:
                for _ in fed(parser, stream):
                    yield from found
                    found.clear()
        except BROKEN:
            raise Unusable("WORKBOOK_DAMAGED", part=part) from None

    def _target(self, rels: str, kind: str, usual: str) -> str:
        """The part that a list of relations gives for a kind, else where it usually lies."""
        folder = posixpath.dirname(posixpath.dirname(rels))
        for name, attributes in self._elements(rels):
            if name == "Relationship" and attributes.get("Type", "").lower().endswith(f"/{kind}"):
                return resolved(folder, attributes.get("Target", ""))
        return usual

    def _sheets(self, main: str) -> list[Sheet]:
        targets = {
            attributes.get("Id", ""): resolved(self.folder, attributes.get("Target", ""))
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
            title = shown(attributes.get("name", "")) or "sheet"
            if attributes.get("state", "visible") != "visible":
                self.hidden.append(title)
            elif title in {sheet.name for sheet in sheets} or len(sheets) >= SHEETS:
                raise Unusable("WORKBOOK_DAMAGED", part=main)
            else:
                sheets.append(Sheet(title, targets[relation]))
        if not sheets:
            raise Unusable("WORKBOOK_DAMAGED", part=main)
        return sheets

    def _looks(self, part: str) -> list[Look]:
        """For each cell format of the workbook, how it shows a number."""
        formats: dict[str, str] = {}
        looks: list[Look] = []
        inside = False
        for name, attributes in self._elements(part):
            if name == "numFmt":
                formats[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif name in ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
                inside = name == "cellXfs"
            elif name == "xf" and inside:
                looks.append(look_of(attributes.get("numFmtId", "0"), formats))
        return looks

    def _strings(self, part: str) -> Texts:
        reader = StringsReader()
        if part in self.parts:
            self._prove(part)
            try:
                with self.archive.open(self.parts[part]) as stream:
                    for _ in fed(reader.parser, stream):
                        pass
            except BROKEN:
                raise Unusable("WORKBOOK_DAMAGED", part=part) from None
        return reader.found


def fed(parser: expat.XMLParserType, stream: IO[bytes]) -> Iterator[None]:
    """Feed a parser piece by piece; it stops with TooDeep at a tag longer than any can be."""
    size = 0
    while data := stream.read(PIECE):
        parser.Parse(data, False)
        size += len(data)
        if size - parser.CurrentByteIndex > TOKEN_BYTES:
            raise TooDeep
        yield
    parser.Parse(b"", True)
    yield


def limited(
    parser: expat.XMLParserType, start: Callable[[str, dict[str, str]], object], end: Callable[[str], object]
) -> None:
    """Let a parser call these two, down to a bounded depth."""
    depth = 0

    def open_one(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH:
            raise TooDeep
        start(name, attributes)

    def close_one(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name)

    parser.StartElementHandler = open_one
    parser.EndElementHandler = close_one


def resolved(folder: str, target: str) -> str:
    """A relation's target as the name of a part; names of parts are compared without case."""
    path = target[1:] if target.startswith("/") else posixpath.join(folder, target)
    return posixpath.normpath(path).lower()


class StringsReader:
    """The workbook's shared strings while they are read."""

    def __init__(self) -> None:
        self.found = Texts()
        self.parts: list[str] = []
        self.length = 0
        self.collecting = False
        self.phonetic = False
        self.parser = parser_of()
        self.parser.CharacterDataHandler = self._data
        limited(self.parser, self._start, self._end)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        name = local(name)
        if name == "rPh":
            self.phonetic = True
        self.collecting = name == "t" and not self.phonetic

    def _data(self, text: str) -> None:
        if self.collecting:
            self.length += len(text)
            if self.length <= CELL_SIGNS + PIECE:
                self.parts.append(text)

    def _end(self, name: str) -> None:
        name = local(name)
        self.collecting = False
        if name == "rPh":
            self.phonetic = False
        elif name == "si":
            self.found.add(unescaped("".join(self.parts)))
            self.parts.clear()
            self.length = 0


def unescaped(text: str) -> str:
    """What a workbook writes as `_x000D_` as the sign it stands for; half characters stay as written."""
    if "_x" not in text:
        return text
    return ESCAPED.sub(lambda found: found[0] if found[1][0] in "dD" else chr(int(found[1], 16)), text)


@dataclass(slots=True)
class Building:
    """A row while its element is open."""

    number: int
    cells: list[str] = field(default_factory=list)
    inexact: list[int] = field(default_factory=list)
    far: int = 0
    formula: str = ""
    long: bool = False
    kept: dict[int, Kept] = field(default_factory=dict)
    hidden: bool = False


class SheetReader:
    """One sheet while it is read: expat's events in, whole rows out."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.done: list[Line] = []
        self.parser = parser_of()
        self.parser.CharacterDataHandler = self._data
        self.row: Building | None = None
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
        self.plain = Look()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def lines(self, part: IO[bytes]) -> Iterator[Line]:
        """The rows of the sheet. Those written as all programs write them are read without the parser.

        The parser gets everything else, and so sees the same document without these rows; where it is not right
        between two rows, or anything stands there that could hide one (a comment, CDATA), it gets all the rest.
        """
        rest = b""
        fast = True
        while data := part.read(PIECE):
            data = rest + data
            at = 0
            while fast and (end := data.find(ROW_END, at)) != -1:
                end += len(ROW_END)
                if not self._between_rows() or not self._plain_row(data, at, end):
                    piece = data[at:end]
                    self._parse(piece)
                    # What a declaration says about the encoding is the parser's to know.
                    fast = not MARKED.search(piece) if self.sheet_depth else bool(BEGINNING.match(piece))
                    self.sheet_depth = self.depth
                at = end
            rest = data[at:]
            if not fast or len(rest) > TOKEN_BYTES:
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
        if self.parsed - self.parser.CurrentByteIndex > TOKEN_BYTES:
            raise TooDeep

    def _between_rows(self) -> bool:
        return self.row is None and 0 < self.sheet_depth == self.depth

    def _plain_row(self, data: bytes, start: int, end: int) -> bool:
        """Read a row that holds nothing unusual; False, and nothing is changed, if it does."""
        begin = ROW.match(data, start, end)
        if begin is None:
            return False
        try:
            body = data[begin.end() : end - len(ROW_END)].decode()
        except UnicodeDecodeError:
            return False
        number = int(begin[1])
        found = CELLS.findall(body)
        if number <= self.number or (found and found[-1][OTHER]) or any(one[OTHER] for one in found):
            return False
        row = Building(number)
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
                    row.long = row.long or len(value) > CELL_SIGNS
                elif not kind or kind == "n":
                    if len(value) > CELL_SIGNS:
                        return False
                    self.style = style
                    value = self._number(value, row)
                else:
                    return False
            elif text:
                if kind != "inlineStr" or len(text) > CELL_SIGNS:
                    return False
                value = unescaped(text)
            if value:
                if column >= COLUMNS:
                    return False
                if column > len(cells):
                    cells += [""] * (column - len(cells))
                cells.append(value)
        self.number = number
        self.done.append(Line(number, cells, row.inexact, 0, "", row.long, row.kept))
        return True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            raise TooDeep
        if ":" in name:
            name = local(name)
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
            self.row = Building(number, hidden=attributes.get("hidden") in ("1", "true"))
            self.column = -1
        elif name == "f":
            self.formula = True
        elif name == "rPh":
            self.phonetic = True

    def _data(self, text: str) -> None:
        if self.collecting:
            self.length += len(text)
            if self.length <= CELL_SIGNS:
                self.parts.append(text)

    def _end(self, name: str) -> None:
        self.depth -= 1
        if ":" in name:
            name = local(name)
        if name == "c":
            if self.row is not None and (self.valued or self.formula):
                self._cell(self.row)
        elif name == "v" or name == "t":
            self.collecting = False
        elif name == "row" and self.row is not None:
            row = self.row
            line = Line(row.number, row.cells, row.inexact, row.far, row.formula, row.long, row.kept, row.hidden)
            self.done.append(line)
            self.row = None
        elif name == "rPh":
            self.phonetic = False

    def _column(self, place: str) -> int:
        letters = place.rstrip("0123456789")
        column = self.columns.get(letters)
        if column is None:
            if not CELL.fullmatch(place):
                raise ValueError("no place of a cell")
            column = self.columns[letters] = column_of(letters)
        if column <= self.column:
            raise ValueError("cells out of order")
        return column

    def _cell(self, row: Building) -> None:
        value = self.parts[0] if len(self.parts) == 1 else "".join(self.parts)
        kind = self.kind
        if self.length > CELL_SIGNS:
            row.long = True
            return
        if kind == "s":
            value = self.book.strings[int(value)] if value.isdecimal() and len(value) < 10 else _no_string()
            row.long = row.long or len(value) > CELL_SIGNS
        elif kind is None or kind == "n":
            if value:
                value = self._number(value, row)
        elif kind == "b":
            value = {"1": "TRUE", "0": "FALSE"}.get(value.strip(), value)
        elif kind == "d":
            value = dated(value, self.book.values.pattern)
        else:
            value = unescaped(value)
        if self.formula and not value and kind != "str":
            row.formula = row.formula or f"{letters_of(self.column)}{row.number}"
            row.kept[self.column] = NO_RESULT
        if not value:
            return
        cells = row.cells
        if self.column >= COLUMNS:
            if value.strip():
                row.far = self.column + 1
                row.kept[self.column] = FAR
            return
        if self.column > len(cells):
            cells += [""] * (self.column - len(cells))
        cells.append(value)

    def _number(self, text: str, row: Building) -> str:
        style = self.style
        looks = self.book.looks
        look = looks[int(style)] if style.isdecimal() and len(style) < 6 and int(style) < len(looks) else self.plain
        if look is self.plain or not (look.date or look.digits):
            if len(text) < 16 and text.isdecimal() and text.isascii() and text[0] != "0":
                return text
            look = self.plain
        value = self.numbers(text, look)
        if look.date or not exact(value):
            row.inexact.append(self.column)
            row.kept[self.column] = self.book.values.kept(text, look)
        elif isinstance(value, Typed):
            row.kept[self.column] = self.book.values.kept(text, look)
        return value


def _no_string() -> str:
    raise ValueError("no number of a string")
