"""HTML tables to rows. Many programs save them as .xls."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BufferedReader

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.layout import COLUMNS_MAX, Layout
from retour.files.opened_file import OpenedFile
from retour.files.table import CELL_CHARS_MAX
from retour.files.text import SNIFF_BYTES, FileTooLargeError, detect_encoding
from retour.files.workbook.sheet import SHEETS_MAX, Sheet, SheetRow, open_workbook
from retour.files.workbook.values import UnusableWorkbookError

PAGE_BYTES_MAX = 32 << 20
CHUNK_CHARS = 1 << 16
CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
SKIPPED_TAGS = ("script", "style", "template", "title")
BREAK_TAGS = ("br", "p", "div", "li")


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read the one table of a page with a known header."""
    try:
        return open_workbook(Page(stream, source), source, layout, prefix)
    except UnusableWorkbookError as unusable:
        return unusable.refusal


class Page:
    """A page as a workbook: its tables are numbered sheets."""

    exact = True

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        head = stream.peek(SNIFF_BYTES)[:SNIFF_BYTES]
        charset = CHARSET.search(head)
        encoding = detect_encoding(head, source.mapping.get("encoding") or (charset[1].decode() if charset else None))
        if encoding is None:
            raise UnusableWorkbookError("ENCODING_UNCLEAR", line="1")
        try:
            data = stream.read(PAGE_BYTES_MAX + 1)
        except FileTooLargeError:
            data = b"x" * (PAGE_BYTES_MAX + 1)
        if len(data) > PAGE_BYTES_MAX:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{PAGE_BYTES_MAX >> 20} MB")
        tables = TableParser()
        text = data.decode(encoding.codec, "retour.keep")
        for at in range(0, len(text), CHUNK_CHARS):
            tables.feed(text[at : at + CHUNK_CHARS])
        tables.close()
        self.tables = [table for table in tables.found if table][:SHEETS_MAX]
        self.sheets = [Sheet(f"table {number}", str(number)) for number in range(1, len(self.tables) + 1)]
        self.hidden: list[str] = []
        if not self.sheets:
            raise UnusableWorkbookError("PAGE_WITHOUT_TABLE")

    def lines(self, sheet: Sheet) -> Iterator[SheetRow]:
        for number, cells in enumerate(self.tables[int(sheet.part) - 1], 1):
            far = len(cells) if len(cells) > COLUMNS_MAX else 0
            yield SheetRow(
                number, list(cells[:COLUMNS_MAX]), far=far, long=any(len(cell) > CELL_CHARS_MAX for cell in cells)
            )


class TableParser(HTMLParser):
    """Collects the rows of each table. Nested tables are kept separate."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[list[list[str]]] = []
        self.open: list[list[list[str]]] = []
        self.cell: list[list[str] | None] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in SKIPPED_TAGS:
            self.silent += 1
        elif tag == "table":
            table: list[list[str]] = []
            self.found.append(table)
            self.open.append(table)
            self.cell.append(None)
        elif not self.open:
            return
        elif tag == "tr":
            self.end_cell()
            self.open[-1].append([])
        elif tag in ("td", "th"):
            self.end_cell()
            if not self.open[-1]:
                self.open[-1].append([])
            self.cell[-1] = []
        elif tag in BREAK_TAGS and self.cell[-1]:
            self.cell[-1].append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED_TAGS:
            self.silent = max(self.silent - 1, 0)
        elif tag in ("td", "th", "tr") and self.open:
            self.end_cell()
        elif tag == "table" and self.open:
            self.end_cell()
            self.open.pop()
            self.cell.pop()

    def handle_data(self, data: str) -> None:
        if self.cell and self.cell[-1] is not None and not self.silent:
            self.cell[-1].append(data)

    def end_cell(self) -> None:
        if (parts := self.cell[-1]) is not None:
            self.open[-1][-1].append(" ".join("".join(parts).split()))
            self.cell[-1] = None
