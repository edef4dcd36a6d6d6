"""Map columns to fields, and limit what a field may contain."""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from retour.domain.delivery import DeliveryKind
from retour.domain.program import Source
from retour.domain.row import Row
from retour.files.layout import fold_name
from retour.normalise.errors import CellError

FIELDS = (
    "reference", "order_id", "action_id", "event_type", "sku", "line", "change", "amount", "currency", "quantity",
    "status", "partner", "undoes", "reason", "disposition", "note", "occurred_at", "subject", "version",
)  # fmt: skip
ADAPTER_FIELDS = ("order_total", "total_of", "source_version", "rank", "prices", "names", "part_of", "excess")
"""Fields that only adapters fill.

`names`: other names of the order, separated by spaces; without `order_id` the record is filed under them. `part_of`:
the subject that states the sum of this one and others. `excess`: as the source's option. `total_of`: the name of the
total that the amount is a part of, if the message does not contain it. `rank`: the order of one-way states, for
versions of the same second. `prices`: the amount in the payload's other currencies, as JSON: `[{"currency", "amount",
"order_total"?}]`.
"""
MAPPED_ONLY_FIELDS = ("subject", "version")
"""Fields that need an explicit mapping if there is one, since a merchant's own columns may have these names."""
KEY_BYTES_MAX = 128
TEXT_MAX = 500
CACHE_SIZE = 4_096
"""Parsed values cached per normaliser."""


@dataclass(frozen=True)
class Columns:
    """The columns of a source's rows. With the `kind` of a webhook, adapter fields are known too."""

    source: Source
    kind: str

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The field of each normalised column name: the source's own names, else Retour's."""
        named = self.source.mapping.get("columns", {})
        adapted = ADAPTER_FIELDS if self.kind in (DeliveryKind.HOOK, DeliveryKind.SALESFORCE) else ()
        hidden = {*named, *(MAPPED_ONLY_FIELDS if named else ())}
        own = {fold_name(field): field for field in (*FIELDS, *adapted) if field not in hidden}
        return own | {
            fold_name(column): field
            for field, columns in named.items()
            for column in ([columns] if isinstance(columns, str) else columns)
        }

    @cached_property
    def constants(self) -> Mapping[str, str]:
        return {field: str(value) for field, value in self.source.mapping.get("constants", {}).items()}

    @cached_property
    def field_of(self) -> Callable[[str], str | None]:
        """A function from the sender's column name to its field; None for unknown columns."""
        return lru_cache(CACHE_SIZE)(lambda column: self.fields.get(fold_name(column)))

    def cells(self, row: Row) -> dict[str, str]:
        """The row's values by field."""
        cells = {**self.constants}
        field_of = self.field_of
        for column, text in row.fields.items():
            field = field_of(column)
            if field and (text := text.strip()):
                cells[field] = text
        return cells

    def sender_column(self, field: str, row: Row) -> str:
        """The sender's name of a field's column: as in the row, else as in the source's mapping."""
        named = self.source.mapping.get("columns", {}).get(field, field)
        own = named if isinstance(named, str) else next(iter(named), field)
        return next((column for column in row.fields if self.field_of(column) == field), own)


def bounded_text(cells: Mapping[str, str], field: str, most: int = KEY_BYTES_MAX) -> str | None:
    """A cell's text in NFC, at most `most` bytes; None if empty."""
    text = cells.get(field)
    if text is None:
        return None
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if len(text) > most or len(text.encode()) > most or not (text.isprintable() or field == "note"):
        raise CellError("TEXT_UNUSABLE", field, field=field, bytes=str(most))
    return text


def required_text(cells: Mapping[str, str], field: str, verb: str) -> str:
    """The text of a cell that a change requires."""
    text = bounded_text(cells, field)
    if text is None:
        raise CellError("FIELD_NEEDED", field, field=field, change=verb)
    return text
