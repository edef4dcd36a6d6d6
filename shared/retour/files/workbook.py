"""An XLSX workbook to rows: zip and XML streamed by ourselves, so that no file can make us larger than a budget.

Numbers are taken by their written digits, dates by the style of their cell. The sheet with a header we know is read;
two such sheets are a refusal. Refused rows go back as a workbook of text cells, for a spreadsheet damages ids in CSV.
"""

import posixpath
import re
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from io import BufferedReader
from tempfile import SpooledTemporaryFile
from typing import IO
from xml.parsers import expat
from xml.sax.saxutils import escape

from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files import layout as layouts
from retour.files import table
from retour.files.cells import shown
from retour.files.layout import Layout
from retour.files.opened import Opened
from retour.files.table import CELL_SIGNS, HEADER_WITHIN, Shape
from retour.files.text import TooLarge
from retour.files.unpack import PIECE, RATIO, RATIO_FROM, SPOOL, UNPACKED_BYTES, spooled
from retour.files.xml import TOKEN_BYTES, Doctype, TooDeep, local, parser_of

ENTRIES = 2_000
PART_BYTES = 8 << 20
SHARED_BYTES = 48 << 20
COLUMNS = 1_000
SHEETS = 100
DEPTH = 32
EXACT = 1 << 53
PRECISE = 10**15
DATES = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
NUMBER = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,3})?")
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
SHOWN_DIGITS = Context(prec=15)
LAST_DAY = 2_958_466
DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    LookupError,
)
BROKEN = (expat.ExpatError, Doctype, TooDeep, *DAMAGES)


class Unusable(Exception):
    """A workbook of which nothing can be read; carries the Refusal."""

    def __init__(self, code: str, **details: str) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, details)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One visible sheet: its name and its part of the archive."""

    name: str
    part: str


@dataclass(frozen=True, slots=True)
class Look:
    """How a cell's style changes what its number says: a date, or an id filled up with zeros."""

    date: bool = False
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a sheet: its cells as text up to its last, and what about them is doubtful."""

    number: int
    cells: list[str]
    inexact: Sequence[int] = ()
    far: int = 0
    formula: str = ""
    long: bool = False


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> Opened | Refusal:
    """The rows of a workbook, or why none can be read. Places are `sheet!7`."""
    try:
        book = Book(stream, source)
        return opened(book, layout, prefix)
    except Unusable as unusable:
        return unusable.refusal


def opened(book: "Book", layout: Layout, prefix: str) -> Opened | Refusal:
    skipped = Counter({f"hidden sheet {name[:40]}": 1 for name in book.hidden})
    found: list[tuple[Sheet, Shape, list[Line]]] = []
    for sheet in book.sheets:
        first: list[Line] = []
        try:
            for line in book.lines(sheet):
                if len(first) == HEADER_WITHIN:
                    break
                if any(cell.strip() for cell in line.cells):
                    first.append(line)
        except BROKEN:
            raise Unusable("WORKBOOK_DAMAGED", part=sheet.part) from None
        meant = layouts.meant([trimmed(line.cells) for line in first], layout)
        if isinstance(meant, Refusal):
            return meant
        shape = shape_of(first, meant, f"{prefix}{sheet.name}!") if not meant.positions else None
        if shape is None:
            skipped[f"sheet {sheet.name[:40]}"] += 1
        else:
            found.append((sheet, shape, first))
    if not found:
        expected = sorted(layout.required | layout.identity) if not layout.closed else layout.known
        return Refusal("HEADER_NOT_FOUND", {"lines": str(HEADER_WITHIN), "expected": ", ".join(expected)})
    if len(found) > 1:
        return Refusal("SHEETS_SEVERAL", {"sheets": shown(", ".join(sheet.name for sheet, _, _ in found))})
    sheet, shape, first = found[0]
    layout = shape.layout
    if fault := layouts.fault(shape.header, layout, shape.line):
        return fault
    head = [line.cells for line in first if line.number <= shape.line]
    if len(head) > 1:
        skipped["preamble"] = len(head) - 1
    ids = frozenset(at for at, name in enumerate(shape.header) if name in layout.ids)
    return Opened(
        header=shape.header,
        layout=layout.name,
        rows=rows(book, sheet, shape, ids, skipped),
        rejected_head="".join(f"{text_of(cells)}\n" for cells in head).encode("utf-8", "replace"),
        encoding="utf-8",
        newline="\n",
        delimiter="\t",
        skipped=skipped,
        write=lambda raws: written(sheet.name, head, raws, ids),
    )


def shape_of(first: Sequence[Line], layout: Layout, prefix: str) -> Shape | None:
    """The header among the first rows: the one with most of the names we know, the earliest of equals."""
    best = 0
    shape = None
    for line in first:
        cells = trimmed(line.cells)
        points = layouts.score(cells, layout) if cells else 0
        if points > best:
            best = points
            shape = Shape(layouts.spelled(cells, layout), tuple(cells), line.number, "\t", layout, prefix)
    return shape


def trimmed(cells: Sequence[str]) -> list[str]:
    """A row up to its last cell that says something."""
    kept = list(cells)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def rows(
    book: "Book", sheet: Sheet, shape: Shape, ids: frozenset[int], skipped: Counter[str]
) -> Iterator[Row | Unreadable]:
    """Every row below the header; where the sheet breaks off, one refusal for what would have followed."""
    number = shape.line
    width = len(shape.header)
    try:
        for line in book.lines(sheet):
            if line.number <= shape.line:
                continue
            number = line.number
            cells = line.cells
            if len(cells) < width:
                cells += [""] * (width - len(cells))
            raw = text_of(cells)
            found = fault(line, raw, shape, ids) or table.row_of(cells, raw, number, shape)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                yield found
    except BROKEN:
        yield Unreadable(table.place(shape, number + 1), "SHEET_BROKEN", {"line": str(number + 1)})


def fault(line: Line, raw: str, shape: Shape, ids: frozenset[int]) -> Unreadable | None:
    """What is wrong with a row that only a workbook can have wrong."""
    at = {"line": str(line.number)}
    if line.long:
        return table.unreadable("CELL_TOO_LONG", {**at, "limit": str(CELL_SIGNS)}, line.number, raw, shape)
    if line.far:
        details = {**at, "found": str(line.far), "expected": str(len(shape.header))}
        return table.unreadable("ROW_WIDTH", details, line.number, raw, shape)
    if line.formula:
        return table.unreadable("CELL_NOT_CALCULATED", {**at, "cell": line.formula}, line.number, raw, shape)
    for column in line.inexact:
        if column in ids:
            name, value = shape.header[column], line.cells[column]
            details = {**at, "column": name, "value": value[:40]}
            return table.unreadable("DAMAGED_ID", details, line.number, raw, shape, name)
    if not raw.replace("\t", "").isprintable() and (odd := table.unprintable(raw, line.number, shape)):
        return table.unreadable(odd[0], odd[1], line.number, raw, shape)
    return None


def text_of(cells: Sequence[str]) -> str:
    """Cells as one record of text, tabs between them."""
    text = "\t".join(cells)
    if '"' not in text and "\n" not in text and "\r" not in text and text.count("\t") < len(cells):
        return text
    return "\t".join(
        f'"{cell.replace(chr(34), chr(34) * 2)}"' if any(sign in cell for sign in '"\t\n\r') else cell for cell in cells
    )


class Book:
    """A workbook's parts that matter: its visible sheets, its strings, its styles; each read within its budget."""

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        try:
            packed = spooled(stream)
        except TooLarge:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{UNPACKED_BYTES >> 20} MB") from None
        self.size = packed.seek(0, 2)
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
        self.mark = str(source.mapping.get("decimal") or ".")
        self.pattern = str(source.mapping.get("date") or "")
        self.since_1904 = False
        self.hidden: list[str] = []
        self.sheets = self._sheets(main)
        for sheet in self.sheets:
            self._prove(sheet.part)
        self.looks = self._looks(self._target(self.rels, "styles", f"{self.folder}/styles.xml"))
        self.strings = self._strings(self._target(self.rels, "sharedstrings", f"{self.folder}/sharedstrings.xml"))

    def lines(self, sheet: Sheet) -> Iterator[Line]:
        """The rows of a sheet, from its beginning."""
        with self.archive.open(self.parts[sheet.part]) as part:
            yield from SheetReader(self).lines(part)

    def number(self, text: str, look: Look) -> str:
        """What a cell with this number says."""
        if look.date and (moment := moment_of(text, self.since_1904)):
            return in_pattern(moment, self.pattern)
        plain = decimal_of(text)
        if look.digits and plain.isdigit():
            return plain.zfill(look.digits)
        return plain.replace(".", self.mark) if self.mark != "." else plain

    def _prove(self, part: str) -> None:
        """Read a part through once: it can be unpacked to its end, and is no larger than it may be."""
        entry = self.parts.get(part)
        if entry is None:
            raise Unusable("WORKBOOK_DAMAGED", part=part)
        if entry.flag_bits & 1:
            raise Unusable("WORKBOOK_OLD")
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

    def _strings(self, part: str) -> "Strings":
        strings = Strings()
        if part not in self.parts:
            return strings
        self._prove(part)
        try:
            with self.archive.open(self.parts[part]) as stream:
                for _ in fed(strings.parser, stream):
                    pass
        except BROKEN:
            raise Unusable("WORKBOOK_DAMAGED", part=part) from None
        del strings.parser
        return strings


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


def look_of(number: str, formats: dict[str, str]) -> Look:
    code = formats.get(number, "")
    if not code:
        return Look(date=number.isdigit() and len(number) < 4 and int(number) in DATES)
    if set(code) == {"0"} and len(code) > 1:
        return Look(digits=min(len(code), 32))
    bare = QUOTED.sub("", code).lower().partition(";")[0]
    return Look(date="general" not in bare and any(sign in bare for sign in "ymdhs"))


class Strings:
    """The workbook's shared strings, kept as one run of bytes: a million of them are no more than their text."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.ends = array("L", [0])
        self.parts: list[str] = []
        self.length = 0
        self.collecting = False
        self.phonetic = False
        self.parser = parser_of()
        self.parser.CharacterDataHandler = self._data
        limited(self.parser, self._start, self._end)

    def __getitem__(self, number: int) -> str:
        return self.bytes[self.ends[number] : self.ends[number + 1]].decode()

    def __len__(self) -> int:
        return len(self.ends) - 1

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
            self.bytes += unescaped("".join(self.parts)).encode()
            self.ends.append(len(self.bytes))
            self.parts.clear()
            self.length = 0
            if len(self.bytes) + self.ends.itemsize * len(self.ends) > SHARED_BYTES:
                raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{SHARED_BYTES >> 20} MB")


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
        self.numbers = lru_cache(maxsize=4096)(book.number)
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
        self.done.append(Line(number, cells, row.inexact, 0, "", row.long))
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
            self.row = Building(number)
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
            self.done.append(Line(row.number, row.cells, row.inexact, row.far, row.formula, row.long))
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
            value = dated(value, self.book.pattern)
        else:
            value = unescaped(value)
        if self.formula and not value and kind != "str":
            row.formula = row.formula or f"{letters_of(self.column)}{row.number}"
        if not value:
            return
        cells = row.cells
        if self.column >= COLUMNS:
            if value.strip():
                row.far = self.column + 1
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
        return value


def _no_string() -> str:
    raise ValueError("no number of a string")


def exact(text: str) -> bool:
    """Whether a whole number is surely the one meant: a spreadsheet keeps 15 digits and fills up with zeros."""
    digits = text.lstrip("-")
    if not digits.isdecimal() or len(digits) < 16:
        return True
    return len(digits) == 16 and int(digits) < EXACT and digits[-1] != "0"


def decimal_of(text: str) -> str:
    """A number's digits without exponent; of more than a spreadsheet shows, those that it shows. Else as it stands."""
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return text
    number = Decimal(text)
    if number != number.to_integral_value() and len(number.as_tuple().digits) > SHOWN_DIGITS.prec:
        number = SHOWN_DIGITS.plus(number)
    plain = f"{number:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def moment_of(text: str, since_1904: bool) -> datetime | None:
    """The moment a number stands for, to the millisecond; None before the first day that all programs agree on."""
    text = text.strip()
    if not NUMBER.fullmatch(text) or len(text) > 40:
        return None
    number = Decimal(text)
    if not (0 if since_1904 else 61) <= number < LAST_DAY - (1462 if since_1904 else 0):
        return None
    day = int(number)
    part = int(((number - day) * 86_400_000).to_integral_value())
    return datetime(1904, 1, 1) + timedelta(day - (0 if since_1904 else 1462), milliseconds=part)


def dated(text: str, pattern: str) -> str:
    try:
        return in_pattern(datetime.fromisoformat(text.strip()), pattern)
    except ValueError:
        return text


def in_pattern(moment: datetime, pattern: str) -> str:
    """A date as the source writes its dates, so that it is read like all others."""
    if pattern:
        return moment.strftime(pattern)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0) and moment.tzinfo is None:
        return moment.date().isoformat()
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def column_of(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column - 1


def letters_of(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


# The way back

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
    '<cellXfs count="2"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs></styleSheet>',
}
WORKBOOK = (
    f'{MADE}<workbook xmlns="{NAMESPACE}" xmlns:r="{OFFICE}">'
    '<sheets><sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>'
)


def written(name: str, head: Sequence[Sequence[str]], raws: Iterable[str], ids: frozenset[int]) -> Iterator[bytes]:
    """A workbook of these rows, every cell a text."""
    with SpooledTemporaryFile(SPOOL) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, content in PARTS.items():
                archive.writestr(part, content)
            archive.writestr("xl/workbook.xml", WORKBOOK.format(name=escape(name, {'"': "&quot;"})))
            with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
                sheet.write(f'{MADE}<worksheet xmlns="{NAMESPACE}"><sheetData>'.encode())
                for number, cells in enumerate(_all_cells(head, raws), 1):
                    sheet.write(row_of(number, cells, ids).encode("utf-8", "replace"))
                sheet.write(b"</sheetData></worksheet>")
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def _all_cells(head: Sequence[Sequence[str]], raws: Iterable[str]) -> Iterator[Sequence[str]]:
    yield from head
    for raw in raws:
        cells = table.cells_of(raw, "\t")
        yield cells if isinstance(cells, list) else [raw]


def row_of(number: int, cells: Sequence[str], ids: frozenset[int]) -> str:
    written = "".join(
        f'<c r="{letters_of(at)}{number}"{" s=" + chr(34) + "1" + chr(34) if at in ids else ""} t="inlineStr">'
        f'<is><t xml:space="preserve">{escape(guarded(cell))}</t></is></c>'
        for at, cell in enumerate(cells)
        if cell
    )
    return f'<row r="{number}">{written}</row>'


def guarded(text: str) -> str:
    """A text as a workbook can hold it: signs that XML has not, and what looks like one so written, as `_x000D_`."""
    text = ESCAPED.sub(lambda found: f"_x005F_{found[0][1:]}", text)
    return re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", lambda found: f"_x{ord(found[0]):04X}_", text)
