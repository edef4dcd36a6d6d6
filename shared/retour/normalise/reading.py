"""Read the rows of one delivery, each into a record or the reason why not."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import MappingProxyType

from retour.domain.actions.modification import Discard, Modification, Release, content_hash, has_amount
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.row import ABSENT, Row, Unreadable, line_place
from retour.files.fast_lines import FastRow, FastTable
from retour.normalise import fast_path
from retour.normalise.amounts import Amounts
from retour.normalise.change import ChangeContext, event_type_of, read_change, reason_of
from retour.normalise.columns import KEY_BYTES_MAX, TEXT_MAX, Columns, bounded_text
from retour.normalise.errors import CellError
from retour.normalise.fast_path import RowTemplate
from retour.normalise.identity import Identities, prices
from retour.normalise.times import Times
from retour.sentences import join_names, truncate

NAMING = ("order_id", "action_id", "event_type", "reference", "subject", "currency")
OF_IDS = ("order_id_width", "event_types")
"""Mapping keys about the notation of ids and names, unrelated to columns and amounts."""
PARSED_ROWS = frozenset((Row, Unreadable))
"""Row types other than the plain lines of a table."""

Normalised = Modification | Unreadable


@dataclass(frozen=True)
class Normaliser:
    """Reads the rows of one delivery, by its program and source."""

    program: Program
    source: Source
    delivery: Delivery

    def modifications(self, rows: Iterable[Row | Unreadable]) -> Iterator[tuple[Row | Unreadable, Normalised]]:
        """Each row with its result, in order; none is left out."""
        for row, checked in self.check_rows(rows):
            yield row, checked if isinstance(checked, Modification | Unreadable) else checked.build_record(row)

    def check_rows(
        self, rows: Iterable[Row | Unreadable]
    ) -> Iterator[tuple[Row | Unreadable, Normalised | RowTemplate]]:
        """Each row with its result: a record, the template that builds it, or the reason for its refusal.

        If one of the rows split from a line is refused, all are, since the sender can only correct the line.
        """
        line: list[tuple[Row | Unreadable, Normalised]] = []
        for row in rows:
            if row.__class__ not in PARSED_ROWS:
                yield row, self._line_reader(row.table)(row)  # type: ignore[union-attr, arg-type]
                continue
            of_line = line_place(row.place)
            if line and of_line != line_place(line[0][0].place):
                yield from all_or_nothing(line)
                line = []
            read = row if isinstance(row, Unreadable) else self.modification(row)
            if of_line == row.place:
                yield row, read
            else:
                line.append((row, read))
        yield from all_or_nothing(line)

    @cached_property
    def _line_reader(self) -> Callable[[FastTable], Callable[[FastRow], Normalised | RowTemplate]]:
        return cache(lambda table: fast_path.line_reader(self, table))

    def home(self, row: Row) -> str:
        """The key under which a row's record would be stored, as far as the row alone tells; else empty."""
        reader = self._for_layout(row)
        cells = reader.columns.cells(row)
        try:
            key = reader.identities.order_key(cells)
        except CellError:
            return ""
        return key or (f"@{cells['action_id']}" if "action_id" in cells else "")

    def statement(self, row: Row) -> Mapping[str, str]:
        """The row's order and subject, by Retour's field names."""
        cells = self._for_layout(row).columns.cells(row)
        return {name: cells[name] for name in NAMING if name in cells}

    def modification(self, row: Row) -> Normalised:
        reader = self._for_layout(row)
        cells = reader.columns.cells(row)
        try:
            return reader._record(cells, row)
        except CellError as wrong:
            return Unreadable(
                place=row.place,
                code=wrong.code,
                details=wrong.details,
                column=reader.columns.sender_column(wrong.column, row),
                raw=row.raw,
                order=(cells.get("order_id") or cells.get("action_id") or "")[:KEY_BYTES_MAX],
                reference=cells.get("reference", "")[:KEY_BYTES_MAX],
            )

    def _for_layout(self, row: Row) -> "Normaliser":
        """This normaliser, or the one for the partner layout a row is in."""
        if not row.layout:
            return self
        if row.layout not in self._by_layout:
            from retour.files.partner_layouts import source_for_layout

            by = in_our_words if row.layout == ABSENT else source_for_layout
            self._by_layout[row.layout] = replace(self, source=by(self.source, row.layout))
        return self._by_layout[row.layout]

    @cached_property
    def _by_layout(self) -> dict[str, "Normaliser"]:
        return {}

    # Created once for all rows, since each of them caches.

    @cached_property
    def columns(self) -> Columns:
        return Columns(self.source, self._kind)

    @cached_property
    def times(self) -> Times:
        return Times(self.source, self.delivery.received_at, self._is_written_by_people)

    @cached_property
    def identities(self) -> Identities:
        return Identities(self.program, self.source, self.delivery)

    @cached_property
    def _amounts(self) -> Amounts:
        return Amounts(self.source, self.program.currency, self._is_written_by_people)

    @cached_property
    def _change_context(self) -> ChangeContext:
        return ChangeContext(self.program, self.source, self.delivery, self._amounts)

    @cached_property
    def _kind(self) -> str:
        """The original kind of the rows. Corrected rows have the fields of the delivery they correct."""
        return self.delivery.facts.get("of", self.delivery.kind)

    @cached_property
    def _is_written_by_people(self) -> bool:
        return self._kind == DeliveryKind.FILE and "bulk" not in self.delivery.facts

    @cached_property
    def _duplicate_rules(self) -> Mapping[str, str]:
        """The program's current rules for possible duplicates, stored in each record."""
        days = self.program.possible_duplicate_days
        return {"days": str(days), **self.source.possible_duplicates} if days else {}

    def _record(self, cells: Mapping[str, str], row: Row) -> Modification:
        source, delivery, identities, times = self.source, self.delivery, self.identities, self.times
        if not source.enabled:
            raise CellError("CHANNEL_NOT_ALLOWED", "", source=source.name, channel=source.channel.value)
        key = identities.order_key(cells)
        action_id = bounded_text(cells, "action_id")
        names = tuple(cells.get("names", "").split())
        if key is None and action_id is None and not names:
            raise CellError("ORDER_ID_MISSING", "order_id")
        event_type = event_type_of(cells, source)
        if event_type is not None and event_type not in self.program.event_types:
            raise CellError(
                "UNKNOWN_EVENT_TYPE",
                "event_type",
                value=truncate(event_type),
                known=join_names(self.program.event_types, sort=True),
            )
        change = read_change(cells, self._change_context)
        currency = self._amounts.currency(cells)
        occurred_at = times.occurred_at(cells)
        reference, sku, line = (
            bounded_text(cells, "reference"),
            bounded_text(cells, "sku"),
            bounded_text(cells, "line"),
        )
        subject = identities.subject_of(bounded_text(cells, "subject"), reference, change)
        return Modification(
            identity=identities.identity_of(
                row.place,
                key or f"@{action_id or names[0]}",
                reference=reference,
                event_type=event_type,
                sku=sku,
                line=line,
                version=cells.get("source_version", ""),
                subject=subject,
            ),
            content=content_hash(change, currency),
            program=self.program.id,
            channel=delivery.channel,
            source=source.name,
            namespace=source.namespace,
            reference=reference,
            provenance=identities.provenance(row.place),
            order_key=key,
            action_id=action_id,
            event_type=event_type,
            sku=sku,
            line=line,
            change=change,
            currency=currency if has_amount(change) else None,
            reason=reason_of(cells, self._change_context),
            disposition=bounded_text(cells, "disposition"),
            note=bounded_text(cells, "note", TEXT_MAX),
            occurred_at=occurred_at,
            received_at=delivery.received_at,
            doubles=self._duplicate_rules,
            orders_by=delivery.received_at if subject else times.fold_time(occurred_at),
            subject=subject,
            version=identities.version(cells) if subject else None,
            prices=prices(cells),
            part_of=cells.get("part_of"),
            names=names,
            counts_after=self.program.earliest_lock_reached(delivery.received_at)
            if isinstance(change, Release | Discard)
            else None,
        )


def in_our_words(source: Source, _layout: str) -> Source:
    """A source without mapping, for rows in Retour's own format."""
    mapping = {name: value for name, value in source.mapping.items() if name in OF_IDS}
    return replace(source, mapping=MappingProxyType(mapping), amount_means=None)


def all_or_nothing(
    line: Sequence[tuple[Row | Unreadable, Normalised]],
) -> Iterable[tuple[Row | Unreadable, Normalised]]:
    """The rows of one line: if one cannot be read, all are refused."""
    wrong = next((read for _, read in line if isinstance(read, Unreadable)), None)
    for row, read in line:
        if wrong is None or isinstance(read, Unreadable):
            yield row, read
        else:
            details = {"place": wrong.place, "line": line_place(row.place)}
            yield row, Unreadable(row.place, "LINE_REFUSED", details, "", row.raw, read.order_key or "")
