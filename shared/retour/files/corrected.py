"""Rows corrected by a person, as JSON lines: the place of the refused row and its new columns.

Columns keep the sender's names, so the source's mapping reads them as it reads a file.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from retour.domain.program import Source
from retour.domain.row import Row, Unreadable, line_place
from retour.files import cells
from retour.files.layout import Layout
from retour.files.opened_file import OpenedFile
from retour.files.partner_layouts import expected_layout, partner_layouts
from retour.files.text import Readable, peekable

LAYOUT = "corrected"

Corrected = tuple[str, Mapping[str, str]]
"""The place of a row and its columns."""


def serialise_rows(rows: Iterable[Corrected]) -> bytes:
    lines = (json.dumps([place, dict(columns)], ensure_ascii=False) for place, columns in rows)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def parse_rows(stream: BinaryIO | Readable) -> Iterator[Corrected]:
    """The corrected rows in file order."""
    for line in peekable(stream):
        place, columns = json.loads(line.decode("utf-8", "surrogatepass"))
        yield place, columns


def open_corrected(stream: BinaryIO | Readable, source: Source, known: str) -> OpenedFile:
    """The corrected rows as an opened file. `known` is the partner layout they are in, if any."""
    return OpenedFile(
        header=(),
        layout=known or LAYOUT,
        rows=rows_as_source_reads(parse_rows(stream), source, known),
        rejected_head=b"",
        encoding="utf-8",
        newline="\n",
    )


def rows_as_source_reads(corrected: Iterable[Corrected], source: Source, known: str) -> Iterator[Row | Unreadable]:
    other = partner_layouts().get(known)
    layout = other.layout if other else expected_layout(source)
    for number, (place, columns) in enumerate(corrected, 1):
        row = make_row(number, place, columns, layout)
        # An item of a split row is corrected on its own.
        if other is None or isinstance(row, Unreadable):
            yield row
        elif line_place(place) != place:
            yield Row(place, row.fields, row.raw, known)
        else:
            yield from other.rows([row], source)


def make_row(number: int, place: str, columns: Mapping[str, str], layout: Layout) -> Row | Unreadable:
    spelling = cells.Spelling(layout)
    filled = {spelling[name]: text for name, value in columns.items() if (text := value.strip())}
    return cells.make_row(place, filled, json.dumps(dict(columns), ensure_ascii=False), number, layout)
