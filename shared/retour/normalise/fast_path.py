"""The fast path: one record template per distinct set of shared cells.

The first row of each set takes the slow path, `Normaliser.modification`, which owns the rules. Its record is the
template for the others, of which only their own cells are filled in and hashed. tests/files/test_plain.py compares the
two paths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from operator import itemgetter, methodcaller
from re import Match
from typing import Any, Protocol

from retour.domain.actions.modification import Change, Modification, SetQuantity, SetTotal, TakeBack, content_hash
from retour.domain.program import Source
from retour.domain.row import Row, Unreadable
from retour.files.fast_lines import ROW_FIELDS, FastRow, FastTable
from retour.normalise.columns import CACHE_SIZE, Columns
from retour.normalise.errors import CellError
from retour.normalise.identity import Identities
from retour.normalise.times import Times

OWN_TEXT_FIELDS = ("reference", "action_id", "sku", "line", "note")
IDENTITY_FIELDS = ("reference", "event_type", "sku", "line", "subject")
SHARED_FIELDS = (
    "program", "channel", "source", "namespace", "event_type", "currency", "reason", "disposition", "received_at",
    "doubles", "counts_after", "version",
)  # fmt: skip


class RowNormaliser(Protocol):
    """The part of `Normaliser` used by the fast path."""

    @property
    def source(self) -> Source: ...

    @property
    def columns(self) -> Columns: ...

    @property
    def times(self) -> Times: ...

    @property
    def identities(self) -> Identities: ...

    def modification(self, row: Row) -> Modification | Unreadable: ...


def line_reader(
    reader: RowNormaliser, table: FastTable
) -> "Callable[[FastRow], RowTemplate | Modification | Unreadable]":
    """A reader for a table's plain lines: by templates if possible, else each by the slow path."""
    return RowTemplateCache(reader, table).template_or_record if is_usable(reader, table) else reader.modification


def is_usable(reader: RowNormaliser, table: FastTable) -> bool:
    """Whether the cells of a line fully determine how its record differs from others of its set.

    The normaliser must agree with the table on the columns, no constant may fill empty cells, and amounts must be used
    as written: not rounded, not multiplied by a quantity.
    """
    seen = tuple(reader.columns.field_of(name) or "" for name in table.header)
    filled = reader.columns.constants.keys() & set(ROW_FIELDS) & set(seen)
    mapping = reader.source.mapping
    return seen == table.fields and not filled and not mapping.get("round") and not mapping.get("per_unit")


class RowTemplateCache:
    """The templates of one table's plain lines."""

    def __init__(self, reader: RowNormaliser, table: FastTable) -> None:
        self.reader, self.table = reader, table
        self.identities, self.times = reader.identities, reader.times
        self.met: dict[Any, RowTemplate] = {}
        self.moments: dict[str, datetime | None] = {"": None}
        common = [group for name, group in table.groups.items() if name not in ROW_FIELDS]
        self.common_of: Callable[[Match[str]], Any] = methodcaller("group", *common) if common else empty_cell
        self.time_of: Callable[[Match[str]], str] = (
            itemgetter(table.groups["occurred_at"]) if "occurred_at" in table.groups else empty_cell
        )
        self.keeps_order_ids = reader.identities.keeps_order_ids

    def template_or_record(self, line: FastRow) -> "RowTemplate | Modification | Unreadable":
        """The template of a valid line; otherwise its result by the slow path."""
        found = line.found
        template = self.met.get(self.common_of(found))
        if template is not None and self._is_valid(found):
            return template
        read = self.reader.modification(line)
        if template is None and isinstance(read, Modification) and self._can_be_template(read):
            self.met[self.common_of(found)] = RowTemplate(self, read)
        return read

    def _is_valid(self, found: Match[str]) -> bool:
        """Whether a line's own cells are valid, beyond what the pattern checks."""
        time = self.time_of(found)
        return (time in self.moments or self._is_time(time)) and (self.keeps_order_ids or self._is_order_id(found))

    def _is_time(self, text: str) -> bool:
        try:
            self.moment(text)
        except CellError:
            return False
        return True

    def _is_order_id(self, found: Match[str]) -> bool:
        try:
            return bool(self.order_key(found))
        except CellError:
            return False

    def _can_be_template(self, example: Modification) -> bool:
        """A record that takes nothing back is no template: a difference of zero is valid, a positive one is not."""
        is_nothing = isinstance(example.change, TakeBack) and example.change.amount == 0
        return not is_nothing and len(self.met) < CACHE_SIZE

    def moment(self, text: str) -> datetime | None:
        """The time in a cell, cached: the rows of a file have few distinct times, or all different ones."""
        if text not in self.moments:
            if len(self.moments) == CACHE_SIZE:
                self.moments = {"": None}
            self.moments[text] = self.times.moment(text.strip()) if text.strip() else None
        return self.moments[text]

    def order_key(self, found: Match[str]) -> str:
        order_id = found[self.table.groups["order_id"]]
        return order_id if self.keeps_order_ids else self.identities.order_key_of(order_id)


def empty_cell(_: Match[str]) -> str:
    return ""


@dataclass(frozen=True, eq=False)
class RowTemplate:
    """What the lines of a set share. `example` is the record of the first one."""

    templates: RowTemplateCache
    example: Modification

    def build_record(self, line: Row | Unreadable) -> Modification:
        """Build the record of another line of the set."""
        assert isinstance(line, FastRow)
        templates, identities = self.templates, self.templates.identities
        found, place = line.found, line.place
        same = {**self._shared, **{name: found[group].strip() or None for name, group in self._own}}
        order_key, change = templates.order_key(found), self._change(found)
        occurred_at = templates.moment(templates.time_of(found)) if self._has_time else self.example.occurred_at
        same["subject"] = self._subject or identities.subject_of(None, same["reference"], change)
        by_time = templates.times.fold_time(occurred_at)
        return Modification(
            **same,
            identity=identities.identity_of(place, order_key, **{name: same[name] for name in IDENTITY_FIELDS}),
            content=content_hash(change, self.example.currency),
            provenance=identities.provenance(place),
            order_key=order_key,
            change=change,
            occurred_at=occurred_at,
            orders_by=self.example.received_at if same["subject"] else by_time,
        )

    @cached_property
    def _shared(self) -> dict[str, Any]:
        return {name: getattr(self.example, name) for name in (*SHARED_FIELDS, *OWN_TEXT_FIELDS)}

    @cached_property
    def _subject(self) -> str | None:
        """The subject of all lines of the set; with `references: restate` each line has its own."""
        return self.example.subject if "subject" in self.templates.table.groups else None

    @cached_property
    def _own(self) -> list[tuple[str, int]]:
        return [(name, group) for name, group in self.templates.table.groups.items() if name in OWN_TEXT_FIELDS]

    @cached_property
    def _has_time(self) -> bool:
        return "occurred_at" in self.templates.table.groups

    @cached_property
    def _change(self) -> Callable[[Match[str]], Change]:
        """Builds a line's change from its own amount and quantity, where the table has such columns."""
        kind, groups, mark = self.example.change, self.templates.table.groups, self.templates.table.mark
        of_amount, of_quantity = groups.get("amount", 0), groups.get("quantity", 0)

        def amount(found: Match[str]) -> Any:
            return Decimal(found[of_amount].replace(mark, ".")) if of_amount else getattr(kind, "amount", None)

        def quantity(found: Match[str]) -> Any:
            return int(found[of_quantity]) if of_quantity else getattr(kind, "quantity", None)

        match kind:
            case SetTotal():
                return lambda found: SetTotal(amount(found))
            case SetQuantity():
                return lambda found: SetQuantity(quantity(found), amount(found))
            case TakeBack(of_total=of_total, clamp=clamp):
                return lambda found: TakeBack(amount(found), quantity(found), of_total, clamp)
        return lambda _: kind
