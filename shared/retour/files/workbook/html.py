"""The tables of a web page to rows: what many programs save under the name of a workbook (.xls)."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BufferedReader

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.layout import COLUMNS, Layout
from retour.files.opened import Opened
from retour.files.table import CELL_SIGNS
from retour.files.text import HEAD, TooLarge, encoding_of
from retour.files.workbook.sheet import SHEETS, Line, Sheet, opened
from retour.files.workbook.values import Unusable

PAGE_BYTES = 32 << 20
PIECE = 1 << 16
CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
SILENT = ("script", "style", "template", "title")
BREAKS = ("br", "p", "div", "li")


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> Opened | Refusal:
    """The rows of the one table of a page with a header we know, or why none can be read."""
    try:
        return opened(Page(stream, source), source, layout, prefix)
    except Unusable as unusable:
        return unusable.refusal


class Page:
    """A page as a workbook: its tables as sheets, numbered as they stand there."""

    exact = True

    def __init__(self, stream: BufferedReader, source: Source) -> None:
        head = stream.peek(HEAD)[:HEAD]
        charset = CHARSET.search(head)
        encoding = encoding_of(head, source.mapping.get("encoding") or (charset[1].decode() if charset else None))
        if encoding is None:
            raise Unusable("ENCODING_UNCLEAR", line="1")
        try:
            data = stream.read(PAGE_BYTES + 1)
        except TooLarge:
            data = b"x" * (PAGE_BYTES + 1)
        if len(data) > PAGE_BYTES:
            raise Unusable("WORKBOOK_TOO_LARGE", limit=f"{PAGE_BYTES >> 20} MB")
        tables = Tables()
        text = data.decode(encoding.codec, "retour.keep")
        for at in range(0, len(text), PIECE):
            tables.feed(text[at : at + PIECE])
        tables.close()
        self.tables = [table for table in tables.found if table][:SHEETS]
        self.sheets = [Sheet(f"table {number}", str(number)) for number in range(1, len(self.tables) + 1)]
        self.hidden: list[str] = []
        if not self.sheets:
            raise Unusable("PAGE_WITHOUT_TABLE")

    def lines(self, sheet: Sheet) -> Iterator[Line]:
        for number, cells in enumerate(self.tables[int(sheet.part) - 1], 1):
            far = len(cells) if len(cells) > COLUMNS else 0
            yield Line(number, list(cells[:COLUMNS]), far=far, long=any(len(cell) > CELL_SIGNS for cell in cells))


class Tables(HTMLParser):
    """The rows of each table, those of tables within cells apart from them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[list[list[str]]] = []
        self.open: list[list[list[str]]] = []
        self.cell: list[list[str] | None] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
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
        elif tag in BREAKS and self.cell[-1]:
            self.cell[-1].append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT:
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
