"""The fast path: one template per distinct set of shared cells; everything else takes `Normaliser.modification`, which
owns the rules. tests/files/test_plain.py holds the two against each other.

The first row of a shape takes the slow path. Its record is the template for the others: their own cells are filled in,
and hashed.
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
    """What the fast path asks of a `Normaliser`."""

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
    """How the plain lines of a table are read: by templates where that may be, else each by itself."""
    return RowTemplateCache(reader, table).template_or_record if is_usable(reader, table) else reader.modification


def is_usable(reader: RowNormaliser, table: FastTable) -> bool:
    """Whether a line's own cells are all that tells its record from that of another line of its kind.

    The columns must be to the reader what they were taken for, nothing else may fill their empty cells, and an amount
    must count as it stands in its cell: neither rounded, nor times a quantity.
    """
    seen = tuple(reader.columns.field_of(name) or "" for name in table.header)
    filled = reader.columns.constants.keys() & set(ROW_FIELDS) & set(seen)
    mapping = reader.source.mapping
    return seen == table.fields and not filled and not mapping.get("round") and not mapping.get("per_unit")


class RowTemplateCache:
    """The templates made so far for the plain lines of one table, as one normaliser reads them."""

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
        """The template of a line that has nothing wrong; else what it reads as, the careful way."""
        found = line.found
        template = self.met.get(self.common_of(found))
        if template is not None and self._is_valid(found):
            return template
        read = self.reader.modification(line)
        if template is None and isinstance(read, Modification) and self._can_be_template(read):
            self.met[self.common_of(found)] = RowTemplate(self, read)
        return read

    def _is_valid(self, found: Match[str]) -> bool:
        """Whether nothing is wrong with what is a line's own, beyond what its pattern says already."""
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
        """Not one by which nothing comes back: of differences zero is accepted, and what is above it is not."""
        is_nothing = isinstance(example.change, TakeBack) and example.change.amount == 0
        return not is_nothing and len(self.met) < CACHE_SIZE

    def moment(self, text: str) -> datetime | None:
        """The time a cell says. The rows of a file have few of them, or all different ones."""
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
    """What the lines of a kind have in common: `example` is the record of the first of them."""

    templates: RowTemplateCache
    example: Modification

    def build_record(self, line: Row | Unreadable) -> Modification:
        """The record of another line of this kind."""
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
        """The subject that the cells of this kind name; those of a source that restates its references differ."""
        return self.example.subject if "subject" in self.templates.table.groups else None

    @cached_property
    def _own(self) -> list[tuple[str, int]]:
        return [(name, group) for name, group in self.templates.table.groups.items() if name in OWN_TEXT_FIELDS]

    @cached_property
    def _has_time(self) -> bool:
        return "occurred_at" in self.templates.table.groups

    @cached_property
    def _change(self) -> Callable[[Match[str]], Change]:
        """What a line changes, as its kind does: by its own amount and quantity, where there are columns of them."""
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
