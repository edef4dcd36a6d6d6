"""Rows of a kind: they say the same in all but what is each one's own, so one of them is read for all of them.

The first of a kind is read the careful way (normalise.py). From its record those of the others are made: what is their
own is put in its place, and hashed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from operator import methodcaller
from re import Match
from typing import Any

from retour.domain.actions.modification import Change, Modification, SetQuantity, SetTotal, TakeBack, content
from retour.domain.row import Row, Unreadable
from retour.files.plain import OWN, Line, Plain
from retour.normalise import Reading, Wrong

KINDS_MAX = 4_096
TEXTS = ("reference", "action_id", "sku", "line", "note")
IDENTIFYING = ("reference", "event_type", "sku", "line")
ALIKE = (
    "program", "channel", "source", "namespace", "event_type", "currency", "reason", "disposition", "received_at",
    "doubles", "counts_after",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Kinds:
    """The kinds met so far among the plain lines of one table, as one reading reads them."""

    reading: Reading
    table: Plain
    met: dict[Any, "Kind"] = field(default_factory=dict)

    @cached_property
    def _usable(self) -> bool:
        """Whether the columns are to the reading what they were taken for, and nothing else fills their empty cells."""
        seen = tuple(self.reading.field_of(name) or "" for name in self.table.header)
        return seen == self.table.fields and not self.reading.constants.keys() & set(OWN) & set(seen)

    def read(self, line: Line) -> "Kind | Modification | Unreadable":
        """The kind of a line that has nothing wrong; else what it reads as, the careful way."""
        common = self._common(line.found)
        kind = self.met.get(common)
        if kind is not None and self._fits(line.found):
            return kind
        read = self.reading.modification(line)
        if kind is None and isinstance(read, Modification) and self._may_stand_for_others(read):
            self.met[common] = Kind(self, read)
        return read

    def _may_stand_for_others(self, example: Modification) -> bool:
        """Not one by which nothing comes back: of differences zero is accepted, and what is above it is not."""
        is_nothing = isinstance(example.change, TakeBack) and example.change.amount == 0
        return self._usable and not is_nothing and len(self.met) < KINDS_MAX

    @cached_property
    def _common(self) -> Callable[[Match[str]], Any]:
        """What tells the kinds apart: the texts that many rows have in common."""
        groups = [group for name, group in self.table.groups.items() if name not in OWN]
        return methodcaller("group", *groups) if groups else lambda _: ""

    def _fits(self, found: Match[str]) -> bool:
        """Whether nothing is wrong with what is a line's own, beyond what its pattern says already."""
        try:
            self.occurred_at(found)
            return self.reading.keeps_order_ids or bool(self.order_key(found))
        except Wrong:
            return False

    @cached_property
    def tells_time(self) -> bool:
        return "occurred_at" in self.table.groups

    def occurred_at(self, found: Match[str]) -> datetime | None:
        text = found[self._occurred_at] if self._occurred_at else ""
        return self.reading.moment_of(text) if text else None

    def order_key(self, found: Match[str]) -> str:
        text = found[self._order_id]
        return text if self.reading.keeps_order_ids else self.reading.order_key_of(text)

    @cached_property
    def _occurred_at(self) -> int:
        return self.table.groups.get("occurred_at", 0)

    @cached_property
    def _order_id(self) -> int:
        return self.table.groups["order_id"]


@dataclass(frozen=True, eq=False)
class Kind:
    """`example` is the record of the first row of this kind."""

    kinds: Kinds
    example: Modification

    def record(self, line: Row | Unreadable) -> Modification:
        """The record of another line of this kind."""
        assert isinstance(line, Line)
        kinds, found, place = self.kinds, line.found, line.place
        same = {**self._same, **{name: found[group] or None for name, group in self._own}}
        order_key, change = kinds.order_key(found), self._change(found)
        occurred_at = kinds.occurred_at(found) if kinds.tells_time else self.example.occurred_at
        return Modification(
            **same,
            identity=kinds.reading.identity_of(place, order_key, **{name: same[name] for name in IDENTIFYING}),
            content=content(change, self.example.currency),
            provenance=kinds.reading.provenance(place),
            order_key=order_key,
            change=change,
            occurred_at=occurred_at,
            orders_by=kinds.reading.orders_by(occurred_at),
        )

    @cached_property
    def _same(self) -> Mapping[str, Any]:
        return {name: getattr(self.example, name) for name in (*ALIKE, *TEXTS)}

    @cached_property
    def _own(self) -> Sequence[tuple[str, int]]:
        return [(name, group) for name, group in self.kinds.table.groups.items() if name in TEXTS]

    @cached_property
    def _change(self) -> Callable[[Match[str]], Change]:
        """What a line changes, as its kind does: by its own amount and quantity, where there are columns of them."""
        kind, groups, mark = self.example.change, self.kinds.table.groups, self.kinds.table.mark
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
