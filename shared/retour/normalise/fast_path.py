"""Rows of a kind: they say the same in all but what is each one's own, so one of them is read for all of them.

The first of a kind is read the careful way (reading.py). From its record those of the others are made: what is their
own is put in its place, and hashed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from operator import itemgetter, methodcaller
from re import Match
from typing import Any

from retour.domain.actions.modification import Change, Modification, SetQuantity, SetTotal, TakeBack, content_hash
from retour.domain.row import Row, Unreadable
from retour.files.fast_lines import ROW_FIELDS, FastRow, FastTable
from retour.normalise.reading import CellError, Normaliser

CACHE_SIZE = 4_096
OWN_TEXT_FIELDS = ("reference", "action_id", "sku", "line", "note")
IDENTITY_FIELDS = ("reference", "event_type", "sku", "line", "subject")
SHARED_FIELDS = (
    "program", "channel", "source", "namespace", "event_type", "currency", "reason", "disposition", "received_at",
    "doubles", "counts_after", "version",
)  # fmt: skip


class RowTemplateCache:
    """The kinds met so far among the plain lines of one table, as one reading reads them."""

    def __init__(self, reading: Normaliser, table: FastTable) -> None:
        self.reading, self.table = reading, table
        self.met: dict[Any, RowTemplate] = {}
        self.times: dict[str, datetime | None] = {"": None}
        common = [group for name, group in table.groups.items() if name not in ROW_FIELDS]
        self.common_of: Callable[[Match[str]], Any] = methodcaller("group", *common) if common else empty_cell
        self.time_of: Callable[[Match[str]], str] = (
            itemgetter(table.groups["occurred_at"]) if "occurred_at" in table.groups else empty_cell
        )
        self.keeps_order_ids = reading.keeps_order_ids

    def template_or_record(self, line: FastRow) -> "RowTemplate | Modification | Unreadable":
        """The kind of a line that has nothing wrong; else what it reads as, the careful way."""
        found = line.found
        kind = self.met.get(self.common_of(found))
        if kind is not None and self._is_valid(found):
            return kind
        read = self.reading.modification(line)
        if kind is None and isinstance(read, Modification) and self._can_be_template(read):
            self.met[self.common_of(found)] = RowTemplate(self, read)
        return read

    def _is_valid(self, found: Match[str]) -> bool:
        """Whether nothing is wrong with what is a line's own, beyond what its pattern says already."""
        time = self.time_of(found)
        return (time in self.times or self._is_time(time)) and (self.keeps_order_ids or self._is_order_id(found))

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
        return self._columns_match and not is_nothing and len(self.met) < CACHE_SIZE

    @cached_property
    def _columns_match(self) -> bool:
        """Whether the columns are to the reading what they were taken for, and nothing else fills their empty cells."""
        seen = tuple(self.reading.field_of(name) or "" for name in self.table.header)
        return seen == self.table.fields and not self.reading.constants.keys() & set(ROW_FIELDS) & set(seen)

    def moment(self, text: str) -> datetime | None:
        """The time a cell says. The rows of a file have few of them, or all different ones."""
        if text not in self.times:
            if len(self.times) == CACHE_SIZE:
                self.times = {"": None}
            self.times[text] = self.reading.moment_of(text.strip()) if text.strip() else None
        return self.times[text]

    def order_key(self, found: Match[str]) -> str:
        order_id = found[self.table.groups["order_id"]]
        return order_id if self.keeps_order_ids else self.reading.order_key_of(order_id)


def empty_cell(_: Match[str]) -> str:
    return ""


@dataclass(frozen=True, eq=False)
class RowTemplate:
    """`example` is the record of the first row of this kind."""

    templates: RowTemplateCache
    example: Modification

    def build_record(self, line: Row | Unreadable) -> Modification:
        """The record of another line of this kind."""
        assert isinstance(line, FastRow)
        templates, found, place = self.templates, line.found, line.place
        same = {**self._shared, **{name: found[group].strip() or None for name, group in self._own}}
        order_key, change = templates.order_key(found), self._change(found)
        occurred_at = templates.moment(templates.time_of(found)) if self._has_time else self.example.occurred_at
        same["subject"] = self._subject or templates.reading.subject_of(None, same["reference"], change)
        by_time = templates.reading.fold_time(occurred_at)
        return Modification(
            **same,
            identity=templates.reading.identity_of(place, order_key, **{name: same[name] for name in IDENTITY_FIELDS}),
            content=content_hash(change, self.example.currency),
            provenance=templates.reading.provenance(place),
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
