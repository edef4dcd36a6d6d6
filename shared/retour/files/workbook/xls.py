"""XLS workbooks (Excel 5 to 2003) to rows, streamed within a memory budget.

A formula is read by its saved result, unless the file says that it must be recalculated first.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from itertools import chain, groupby, islice, pairwise
from math import isfinite
from struct import error as Short
from struct import pack, unpack, unpack_from

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.layout import Layout
from retour.files.opened_file import OpenedFile
from retour.files.table import CELL_CHARS_MAX
from retour.files.text import Encoding, FileTooLargeError, decode_line
from retour.files.unpack import CHUNK_BYTES, PACKED_BYTES_MAX, spool
from retour.files.workbook.compound import Compound, DamagedFileError, Stream
from retour.files.workbook.sheet import SHEETS_MAX, BrokenSheetError, Sheet, SheetRow, open_workbook
from retour.files.workbook.values import (
    EXACT_BELOW,
    UNCALCULATED_CELL,
    CellStyle,
    RawCell,
    SharedStrings,
    UnusableWorkbookError,
    Values,
    is_exact,
    letters_of,
    style_of,
)
from retour.numbers import TypedNumber
from retour.sentences import excerpt

RECORDS_MAX = 3_000_000
"""Maximum records of a workbook, counted once per sheet that refers to them."""
XLS_COLUMNS_MAX = 256
CELLS_SORTED_MAX = 1_000_000
"""Maximum cells of a sheet whose cells are stored out of order."""


class RecordType:
    """The record types that are read."""

    BOF, EOF, CONTINUE = 0x809, 0x0A, 0x3C
    FILEPASS, CODEPAGE, DATEMODE, RECALCID = 0x2F, 0x42, 0x22, 0x1C1
    FORMAT, XF, BOUNDSHEET, SST = 0x41E, 0xE0, 0x85, 0xFC
    NUMBER, RK, MULRK = 0x203, 0x27E, 0xBD
    LABELSST, LABEL, RSTRING, BOOLERR = 0xFD, 0x204, 0xD6, 0x205
    ROW = 0x208
    FORMULA, SHRFMLA, ARRAY, TABLE, STRING = 0x06, 0x4BC, 0x221, 0x236, 0x207


CELL_RECORDS = frozenset(
    (
        *(
            RecordType.NUMBER,
            RecordType.RK,
            RecordType.MULRK,
            RecordType.LABELSST,
            RecordType.LABEL,
            RecordType.RSTRING,
        ),
        *(RecordType.BOOLERR, RecordType.FORMULA),
    )
)
BETWEEN_FORMULA_AND_TEXT = frozenset((RecordType.SHRFMLA, RecordType.ARRAY, RecordType.TABLE))
"""Records that may stand between a formula and its text result."""
EXCEL_97, EXCEL_5 = 0x600, 0x500
GLOBALS, WORKSHEET = 0x05, 0x10
HIDDEN_ROW_FLAG = 0x20
"""Flag of a hidden row."""
RECALCULATE_FLAG = 2
"""Flag of a formula to be recalculated on opening. Its saved result is unreliable."""
ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}
CODECS = {10000: "mac_roman", 32768: "mac_roman", 32769: "cp1252"}
# Other documents in compound files, by their characteristic stream.
OTHER_DOCUMENTS = {"WordDocument": "DOC", "PowerPoint Document": "PPT", "__properties_version1.0": "MSG"}
PLAIN_STYLE = CellStyle()
CELL_READ_BYTES = 1 << 10
"""Bytes read for a single cell."""
BROKEN_ERRORS = (DamagedFileError, Short, LookupError, ValueError)


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read an XLS workbook."""
    try:
        return open_workbook(Book(stream, source), source, layout, prefix)
    except UnusableWorkbookError as unusable:
        return unusable.refusal


@dataclass(frozen=True, slots=True)
class Cell:
    """A non-blank cell. `number` is its numeric value; `missing` marks a formula without a saved result."""

    row: int
    column: int
    text: str = ""
    number: float | None = None
    style: int = 0
    missing: bool = False


class Records:
    """The records of the workbook stream from an offset on."""

    def __init__(self, stream: Stream, at: int, piece: int = CHUNK_BYTES) -> None:
        self.stream, self.end, self.piece = stream, at, piece
        self.held, self.place = b"", 0

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, offset, content) of each record. Raises DamagedFileError if the stream ends early."""
        while True:
            yield self.next()

    def next(self) -> tuple[int, int, bytes]:
        self._have(4)
        at = self.end - len(self.held) + self.place
        kind, size = unpack_from("<HH", self.held, self.place)
        self._have(4 + size)
        start = self.place + 4
        self.place = start + size
        return kind, at, self.held[start : self.place]

    def kind(self) -> int:
        """The type of the next record."""
        self._have(4)
        return int(unpack_from("<H", self.held, self.place)[0])

    def continued(self) -> Iterator[bytes]:
        """The contents of the CONTINUE records after the current one."""
        while self.kind() == RecordType.CONTINUE:
            yield self.next()[2]

    def _have(self, size: int) -> None:
        if len(self.held) - self.place < size:
            more = self.stream.read(self.end, max(self.piece, size))
            self.held = self.held[self.place :] + more
            self.end += len(more)
            self.place = 0
            if len(self.held) < size:
                raise DamagedFileError("record")


@dataclass
class ContinuedContent:
    """The content of a record and its continuations as one buffer."""

    more: Iterator[bytes]
    now: bytes = b""
    at: int = 0

    def next(self) -> None:
        self.now, self.at = next(self.more, b""), 0
        if not self.now:
            raise DamagedFileError("text")

    def take(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            if self.at == len(self.now):
                self.next()
            piece = self.now[self.at : self.at + size - len(taken)]
            self.at += len(piece)
            taken += piece
        return taken

    def skip(self, size: int) -> None:
        while size > (left := len(self.now) - self.at):
            size -= left
            self.next()
        self.at += size

    def text(self, wide: int) -> str:
        """A string of Excel 97 and later; its length field has `wide` bytes."""
        (length,) = unpack("<H" if wide == 2 else "<B", self.take(wide))
        (flags,) = self.take(1)
        (runs,) = unpack("<H", self.take(2)) if flags & 8 else (0,)
        (phonetic,) = unpack("<I", self.take(4)) if flags & 4 else (0,)
        signs: list[str] = []
        left = length
        while left:
            if self.at == len(self.now):
                # A continued string repeats the flag for one or two bytes per character.
                self.next()
                (flags,) = self.take(1)
            width = 2 if flags & 1 else 1
            some = min(left, (len(self.now) - self.at) // width)
            if not some:
                raise DamagedFileError("text")
            piece = self.now[self.at : self.at + some * width]
            signs.append(piece.decode("utf-16-le", "surrogatepass") if width == 2 else piece.decode("latin-1"))
            self.at += some * width
            left -= some
        self.skip(4 * runs + phonetic)
        # A surrogate pair may have been split; a lone surrogate is invalid.
        return "".join(signs).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "retour.keep")


class Book:
    """A workbook's visible sheets, strings and styles."""

    exact = False

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        self.stream = workbook_in(stream)
        self.version = 0
        self.encoding = Encoding("ascii", fallback=True)
        self.since_1904 = self.calculated = False
        self.hidden: list[str] = []
        self.sheets: list[Sheet] = []
        self.starts: dict[str, int] = {}
        self.orders: dict[str, array[int] | None] = {}
        self.out_of_sight: set[tuple[str, int]] = set()
        self.strings = SharedStrings()
        self.left = RECORDS_MAX
        formats: dict[str, str] = {}
        styles: list[str] = []
        try:
            self._read_globals(formats, styles)
        except BROKEN_ERRORS:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part="Workbook") from None
        if not self.sheets:
            raise UnusableWorkbookError("WORKBOOK_DAMAGED", part="Workbook")
        self.looks = [style_of(style, formats) for style in styles]
        self.values = Values.of(source, self.since_1904)
        self.number = lru_cache(maxsize=4096)(self._number)

    def lines(self, sheet: Sheet) -> Iterator[SheetRow]:
        """The non-empty rows of a sheet. Raises BrokenSheetError where it cannot be read further."""
        try:
            if sheet.part not in self.orders:
                self.orders[sheet.part] = self._order(sheet)
            for row, cells in groupby(self._cells(sheet), key=lambda cell: cell.row):
                yield self._line(row + 1, cells, (sheet.part, row) in self.out_of_sight)
        except BROKEN_ERRORS:
            raise BrokenSheetError from None

    # Workbook globals

    def _read_globals(self, formats: dict[str, str], styles: list[str]) -> None:
        records = Records(self.stream, 0)
        kind, _, content = records.next()
        self.version, scope = unpack_from("<HH", content)
        if kind != RecordType.BOF or self.version not in (EXCEL_97, EXCEL_5) or scope != GLOBALS:
            raise UnusableWorkbookError("WORKBOOK_OLD")
        for kind, _, content in records:
            self._spend()
            match kind:
                case RecordType.EOF:
                    return
                case RecordType.FILEPASS:
                    raise UnusableWorkbookError("FILE_ENCRYPTED", case="PASSWORD")
                case RecordType.CODEPAGE:
                    self.encoding = Encoding(codec_of(*unpack_from("<H", content)), fallback=True)
                case RecordType.DATEMODE:
                    self.since_1904 = content[:1] == b"\x01"
                case RecordType.RECALCID:
                    self.calculated = True
                case RecordType.FORMAT:
                    wide = 2 if self.version == EXCEL_97 else 1
                    formats[str(unpack_from("<H", content)[0])] = self._text(content[2:], wide)
                case RecordType.XF:
                    styles.append(str(unpack_from("<H", content, 2)[0]))
                case RecordType.BOUNDSHEET:
                    self._list(content)
                case RecordType.SST:
                    self._share(ContinuedContent(chain([content], records.continued())))

    def _list(self, content: bytes) -> None:
        start, state, kind = unpack_from("<IBB", content)
        if kind != 0:  # A chart or a macro sheet.
            return
        title = excerpt(self._text(content[6:], 1)) or "sheet"
        if state & 3:
            self.hidden.append(title)
        elif title in self.starts or len(self.sheets) >= SHEETS_MAX:
            raise DamagedFileError("sheets")
        else:
            self.sheets.append(Sheet(title, title))
            self.starts[title] = start

    def _share(self, pieces: ContinuedContent) -> None:
        _, count = unpack("<II", pieces.take(8))
        for _ in range(count):
            self.strings.add(pieces.text(2))

    def _text(self, content: bytes, wide: int, more: Iterable[bytes] = ()) -> str:
        """A string whose length field has `wide` bytes."""
        if self.version == EXCEL_97:
            return ContinuedContent(chain([content], more)).text(wide)
        (length,) = unpack_from("<H" if wide == 2 else "<B", content)
        if len(content) < wide + length:
            raise DamagedFileError("text")
        return decode_line(content[wide : wide + length], self.encoding)

    # Sheets

    def _records(self, records: Records, first: bool = False) -> Iterator[tuple[int, int, bytes]]:
        """The records of one sheet without those of embedded charts. `first` counts them."""
        depth = 0
        for kind, at, content in records:
            if first:
                self._spend()
            if kind == RecordType.BOF:
                depth += 1
                if depth == 1 and unpack_from("<H", content, 2)[0] != WORKSHEET:
                    raise DamagedFileError("sheet")
            elif not depth:
                raise DamagedFileError("sheet")
            elif kind == RecordType.EOF:
                depth -= 1
                if not depth:
                    return
            elif depth == 1:
                yield kind, at, content

    def _order(self, sheet: Sheet) -> "array[int] | None":
        """The offsets of a sheet's cells in row order, or None if they are stored in order."""

        def keys() -> Iterator[int]:
            for kind, at, content in self._records(Records(self.stream, self.starts[sheet.part]), first=True):
                if kind in CELL_RECORDS:
                    row, column = unpack_from("<HH", content)
                    yield row << 48 | column << 32 | at
                elif kind == RecordType.ROW and len(content) >= 14 and content[12] & HIDDEN_ROW_FLAG:
                    self.out_of_sight.add((sheet.part, unpack_from("<H", content)[0]))

        if all(one < other for one, other in pairwise(keys())):
            return None
        found = array("Q", islice(keys(), CELLS_SORTED_MAX + 1))
        if len(found) > CELLS_SORTED_MAX:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{CELLS_SORTED_MAX:,}")
        return array("Q", sorted(found))

    def _cells(self, sheet: Sheet) -> Iterator[Cell]:
        order = self.orders[sheet.part]
        if order is None:
            records = Records(self.stream, self.starts[sheet.part])
            for kind, _, content in self._records(records):
                if kind in CELL_RECORDS:
                    yield from self._cell(kind, content, records)
            return
        for key in order:
            records = Records(self.stream, key & 0xFFFFFFFF, CELL_READ_BYTES)
            kind, _, content = records.next()
            yield from self._cell(kind, content, records)

    def _cell(self, kind: int, content: bytes, records: Records) -> Iterator[Cell]:
        row, column, style = unpack_from("<HHH", content)
        match kind:
            case RecordType.NUMBER:
                yield Cell(row, column, number=unpack_from("<d", content, 6)[0], style=style)
            case RecordType.RK:
                yield Cell(row, column, number=decode_rk(*unpack_from("<I", content, 6)), style=style)
            case RecordType.MULRK:
                for step, at in enumerate(range(4, len(content) - 7, 6)):
                    style, packed = unpack_from("<HI", content, at)
                    yield Cell(row, column + step, number=decode_rk(packed), style=style)
            case RecordType.LABELSST:
                yield Cell(row, column, self.strings[unpack_from("<I", content, 6)[0]])
            case RecordType.LABEL | RecordType.RSTRING:
                yield Cell(row, column, self._text(content[6:], 2, records.continued()))
            case RecordType.BOOLERR:
                yield Cell(row, column, boolean_or_error(content[6], content[7]))
            case RecordType.FORMULA:
                yield self._result(row, column, style, content, records)

    def _result(self, row: int, column: int, style: int, content: bytes, records: Records) -> Cell:
        """A formula's cell, by its saved result."""
        result = content[6:14]
        if unpack_from("<H", content, 14)[0] & RECALCULATE_FLAG:
            return Cell(row, column, missing=True)
        if result[6:] != b"\xff\xff":
            return Cell(row, column, number=unpack("<d", result)[0], style=style)
        match result[0]:
            case 0:
                while records.kind() in BETWEEN_FORMULA_AND_TEXT:
                    records.next()
                if records.kind() != RecordType.STRING:
                    return Cell(row, column, missing=True)
                _, _, text = records.next()
                return Cell(row, column, self._text(text, 2, records.continued()))
            case 1 | 2:
                return Cell(row, column, boolean_or_error(result[2], result[0] == 2))
            case 3:
                # An empty text result; meaningless in a workbook that was never calculated.
                return Cell(row, column, missing=not self.calculated)
        raise DamagedFileError("formula")

    def _line(self, number: int, found: Iterable[Cell], hidden: bool) -> SheetRow:
        cells: list[str] = []
        inexact: list[int] = []
        formula = ""
        long = False
        kept: dict[int, RawCell] = {}
        for cell in found:
            if not len(cells) <= cell.column < XLS_COLUMNS_MAX:
                raise DamagedFileError("two cells in one place, or one outside of any sheet")
            text = cell.text
            if cell.number is not None:
                text, doubtful = self.number(cell.number, cell.style)
                if doubtful:
                    inexact.append(cell.column)
                if doubtful or isinstance(text, TypedNumber):
                    kept[cell.column] = self.values.kept(digits_of(cell.number), self._look(cell.style))
            if cell.missing:
                formula = formula or f"{letters_of(cell.column)}{number}"
                kept[cell.column] = UNCALCULATED_CELL
            long = long or len(text) > CELL_CHARS_MAX
            if text:
                cells += [""] * (cell.column - len(cells))
                cells.append(text)
        return SheetRow(number, cells, inexact, 0, formula, long, kept, hidden)

    def _number(self, number: float, style: int) -> tuple[str, bool]:
        """A number's text in this style, and whether it may differ from what was meant."""
        look = self._look(style)
        said = self.values.number(digits_of(number), look)
        return said, look.date or not is_exact(said)

    def _look(self, style: int) -> CellStyle:
        return self.looks[style] if style < len(self.looks) else PLAIN_STYLE

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{RECORDS_MAX:,}")


def workbook_in(stream: BufferedReader) -> Stream:
    """The workbook stream of a compound file."""
    try:
        packed = Compound(spool(stream))
        name = next((name for name in ("Workbook", "Book") if name in packed.entries), "")
        if "EncryptedPackage" in packed.entries:
            raise UnusableWorkbookError("FILE_ENCRYPTED", case="PASSWORD")
        if not name:
            raise UnusableWorkbookError(
                "UNSUPPORTED_FORMAT",
                found=next((OTHER_DOCUMENTS[one] for one in packed.entries if one in OTHER_DOCUMENTS), "OLE2"),
            )
        return packed.stream(name)
    except FileTooLargeError:
        raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{PACKED_BYTES_MAX >> 20} MB") from None
    except DamagedFileError:
        raise UnusableWorkbookError("WORKBOOK_DAMAGED", part="OLE2") from None


def codec_of(codepage: int) -> str:
    """The codec of a code page. ASCII if unknown, so that other characters are refused row by row."""
    name = CODECS.get(codepage, f"cp{codepage}")
    try:
        "a".encode(name)
    except LookupError:
        return "ascii"
    return name


def decode_rk(packed: int) -> float:
    """Decode an RK number: 4 bytes with an integer or the upper half of a double; two flag bits say which."""
    if packed & 2:
        number = float(((packed ^ 0x80000000) - 0x80000000) >> 2)
    else:
        (number,) = unpack("<d", pack("<II", 0, packed & 0xFFFFFFFC))
    return number / 100 if packed & 1 else number


def digits_of(number: float) -> str:
    if not isfinite(number):
        raise DamagedFileError("number")
    return str(int(number)) if number.is_integer() and abs(number) < EXACT_BELOW else repr(number)


def boolean_or_error(value: int, is_error: int) -> str:
    if is_error:
        return ERRORS[value]
    return "TRUE" if value else "FALSE"
