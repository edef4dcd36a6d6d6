"""Fast path: one compiled regular expression per file accepts lines that cannot be wrong or ambiguous.

A line is plain if it has only ASCII characters, no quotes, undamaged ids, and amounts and quantities in digits. All
other lines take the slow path (table.py, normalise/), which owns the rules and their messages. A test checks that both
paths give the same result for plain lines.
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
# An id that contains a digit is neither a word for "total" nor a column name.
ORDER_ID_CELL = NO_FLOAT + r"(?=[#A-Za-z._/:\-]*+[0-9])#?[0-9A-Za-z][0-9A-Za-z._/:\-]{0,127}+"
ROW_NUMBER = r"[0-9]{0,18}+"
QUANTITY = r"[0-9]{1,6}+"
TIME = r"[ 0-9A-Za-z+:./\-]{0,40}+"
END = r"(?:\r?\n|\r)?"
ROW_FIELDS = ("reference", "order_id", "action_id", "sku", "line", "amount", "quantity", "note", "occurred_at")
"""Fields with a value per row. The other fields repeat across many rows of a file."""


@dataclass(frozen=True, eq=False)
class FastTable:
    """The pattern of a table's plain lines. `fields` has the field of each column, empty for ignored columns."""

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
        """The group number of each field in the pattern."""
        return {field: group for group, field in enumerate(filter(None, self.fields), 1)}


class FastRow(Row):
    """A plain row, parsed on first access. Equal to the `Row` with the same content."""

    # Cheap to construct, since there is one per line.
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
    """Compile the pattern of the plain lines below this header; None if the table can have none.

    `decimal_mark` is the mark detected in the amounts if the source declares none, else empty. Whether plain lines are
    read by the fast path is decided in `normalise.fast_path`.
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
    """The field of each column, spelled as in the layout."""
    columns: Mapping[str, str | Sequence[str]] = source.mapping.get("columns") or {}
    field_of: dict[str, str] = {}
    for field in own_layouts()["modifications"]["columns"]:
        names = columns.get(field, field)
        field_of |= dict.fromkeys((names,) if isinstance(names, str) else names, field)
    return [field_of.get(name, "") for name in header]


def cell_pattern(name: str, field: str, mark: str, places: int) -> str:
    """The pattern of a plain cell. A column without a name has none.

    Three digits after an undeclared mark may be thousands, so such an amount takes the slow path.
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
