"""Fast path: one compiled regular expression per file accepts lines that cannot be wrong or ambiguous.

A line is plain if it has ASCII characters only, no quotes, ids that no spreadsheet has damaged, and amounts and
quantities in digits. Any other line is not an error: it takes the slow path (table.py, normalise/), which owns the
rules and their messages. A test checks that both paths read plain lines alike.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from retour.domain.program import Source
from retour.domain.row import Row
from retour.files.layout import Layout, fold_name, own_layouts

DELIMITERS = (",", ";", "\t", "|")
COLUMNS_MAX = 60
ID_CHARS = r"0-9A-Za-z._/:@()&*\-"
NO_FLOAT = r"(?![0-9]++\.0(?:[,;|\t\r\n]|$))"
ID_CELL = rf"{NO_FLOAT}[{ID_CHARS}]{{0,128}}+"
TEXT_CELL = rf"[ {ID_CHARS}]{{0,64}}+"
# An id with a digit is neither the word for a total nor the name of a column.
ORDER_ID_CELL = NO_FLOAT + r"(?=[#A-Za-z._/:\-]*+[0-9])#?[0-9A-Za-z][0-9A-Za-z._/:\-]{0,127}+"
ROW_NUMBER = r"[0-9]{0,18}+"
QUANTITY = r"[0-9]{1,6}+"
TIME = r"[ 0-9A-Za-z+:./\-]{0,40}+"
END = r"(?:\r?\n|\r)?"
ROW_FIELDS = ("reference", "order_id", "action_id", "sku", "line", "amount", "quantity", "note", "occurred_at")
"""What is each row's own; in all other fields many rows of a file say the same."""


@dataclass(frozen=True, eq=False)
class FastTable:
    """What the plain lines of one table are like. `fields` are what its columns are to us, empty where nothing."""

    pattern: re.Pattern[str]
    header: tuple[str, ...]
    fields: tuple[str, ...]
    delimiter: str
    mark: str
    prefix: str

    @cached_property
    def match(self) -> Callable[[str], re.Match[str] | None]:
        return self.pattern.fullmatch

    @cached_property
    def groups(self) -> Mapping[str, int]:
        """The group of the pattern that holds a field."""
        return {field: group for group, field in enumerate(filter(None, self.fields), 1)}


class FastRow(Row):
    """A plain row, taken apart when somebody asks; it equals the row that says the same."""

    # As quick to make as any object: there is one for each line.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__
    layout = ""

    def __init__(self, table: FastTable, number: int, found: re.Match[str]) -> None:
        self.table, self.number, self.found = table, number, found

    @property
    def place(self) -> str:
        return f"{self.table.prefix}{self.number}"

    @property
    def raw(self) -> str:
        return self.found.string

    @cached_property
    def fields(self) -> Mapping[str, str]:
        cells = self.raw.rstrip("\r\n").split(self.table.delimiter)
        named = zip(self.table.header, cells, strict=True)
        return {name: value for name, cell in named if name and (value := cell.strip())}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and (self.place, self.fields, self.raw, self.layout) == (
            *(other.place, other.fields, other.raw, other.layout),
        )

    __hash__ = None  # type: ignore[assignment]


def compile_fast_table(
    header: Sequence[str],
    written: Sequence[str],
    delimiter: str,
    prefix: str,
    source: Source,
    layout: Layout,
    *,
    decimal_mark: str,
) -> FastTable | None:
    """What plain lines below this header are like; None where no line of the table can be told at one stroke.

    `decimal_mark` is what its amounts are seen to have, where the source does not say; empty where they have none. What
    a plain line means is not asked here: `normalise.fast_path` decides whether it is read as such.
    """
    fields = tuple(column_fields(header, source))
    own = [field for field in fields if field]
    mark = source.mapping.get("decimal") or "."
    if layout.owner or "order_id" not in own or len(set(own)) < len(own) or not 1 < len(fields) <= COLUMNS_MAX:
        return None
    order = fields.index("order_id")
    if header[order] not in layout.identity or any(sign.isdigit() for sign in fold_name(written[order])):
        return None
    if delimiter not in DELIMITERS or mark not in ".," or mark == delimiter or decimal_mark == ",":
        return None
    places = 3 if "decimal" in source.mapping else 2
    cells = [cell_pattern(name, field, mark, places) for name, field in zip(header, fields, strict=True)]
    cells[0] = cells[0] or ROW_NUMBER
    grouped = (f"({one})" if field else one for one, field in zip(cells, fields, strict=True))
    return FastTable(
        re.compile(re.escape(delimiter).join(grouped) + END), tuple(header), fields, delimiter, mark, prefix
    )


def column_fields(header: Sequence[str], source: Source) -> Sequence[str]:
    """The field of each column, in the spelling of its layout."""
    columns: Mapping[str, str | Sequence[str]] = source.mapping.get("columns") or {}
    field_of: dict[str, str] = {}
    for field in own_layouts()["modifications"]["columns"]:
        names = columns.get(field, field)
        field_of |= dict.fromkeys((names,) if isinstance(names, str) else names, field)
    return [field_of.get(name, "") for name in header]


def cell_pattern(name: str, field: str, mark: str, places: int) -> str:
    """What a plain cell of a column is like; below no name there is none.

    Three places after a mark that nobody declared may be thousands: such an amount goes the careful way.
    """
    match field:
        case "order_id":
            return ORDER_ID_CELL
        case "reference" | "action_id" | "sku" | "line":
            return ID_CELL
        case "amount":
            return rf"[0-9]{{1,12}}+(?:{re.escape(mark)}[0-9]{{1,{places}}}+)?+"
        case "quantity":
            return QUANTITY
        case "occurred_at":
            return TIME
        case "":
            return TEXT_CELL if name else ""
    return TEXT_CELL
