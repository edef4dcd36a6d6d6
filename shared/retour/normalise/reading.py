"""A row in the sender's words and its source's mapping, turned into one Modification, or the reason why not (spec 3).

What a program can change (reasons, mapping, amount meaning, limits) is judged here, once, and stored in the record.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from retour.domain.actions.modification import (
    CHANGES_MAX,
    LIMIT_MAX,
    SUBJECT_CHANGES,
    VERBS,
    Approve,
    Change,
    Discard,
    Modification,
    Price,
    Provenance,
    RaiseLimit,
    Reattribute,
    Refold,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
    Version,
    content_hash,
    digest,
    has_amount,
    parse_version,
    receipt_version,
)
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.money import InvalidAmountError, exponents
from retour.domain.program import OrderKeyRule, Program, Source
from retour.domain.row import ABSENT, Row, Unreadable, line_place
from retour.domain.times import truncate_to_milliseconds
from retour.numbers import (
    AmbiguousNumberError,
    ForeignCurrencyError,
    TypedMoment,
    TypedNumber,
    parse_number,
    written_currency,
)

if TYPE_CHECKING:
    from retour.files.fast_lines import FastTable
    from retour.normalise.fast_path import RowTemplate as RowKind
    from retour.normalise.fast_path import RowTemplateCache

FIELDS = (
    "reference", "order_id", "action_id", "event_type", "sku", "line", "change", "amount", "currency", "quantity",
    "status", "partner", "undoes", "reason", "disposition", "note", "occurred_at", "subject", "version",
)  # fmt: skip
ADAPTER_FIELDS = ("order_total", "total_of", "source_version", "rank", "prices", "names", "part_of", "excess")
"""Fields that only adapters fill. `names`: what else the order is known by, apart by blanks; without `order_id` the
record goes by them. `part_of`: the subject that says as a sum what this one says for itself. `excess`: as the source's.
`total_of`: what the amount is a part of, where its total is not in the message.
`rank`: the order of states that only move one way, for versions of one second. `prices`: the amount in the other
currencies of the payload, as JSON: `[{"currency", "amount", "order_total"?}]`."""
MAPPED_ONLY_FIELDS = ("subject", "version")
"""A merchant's own columns may be called so by chance: with a mapping, only what it names is read as these."""
CHANGES = (
    "reverse", "set_total", "set_quantity", "take_back", "approve", "restore", "set_status", "reattribute", "undo",
)  # fmt: skip
CONSOLE_CHANGES = ("reprice", "refold", "raise_limit", "release", "discard")
AMOUNT_MEANS = ("set_total", "take_back", "difference")
THOUSANDS = re.compile(r"\D*[1-9]\d{0,2}\.\d{3}\D*")
EXAMPLE_MOMENT = datetime(2026, 11, 21, 9, 30)
KEY_BYTES_MAX = 128
TEXT_MAX = 500
LISTED_MAX = 240
MESSAGE_CHARS_MAX = 40
CACHE_SIZE = 4_096
CLOSE_MATCH_CUTOFF = 0.7
QUANTITY_MAX = 1_000_000
PARSED_ROWS = frozenset((Row, Unreadable))
"""What rows are, but for the plain lines of a table."""


class CellError(Exception):
    """A cell that cannot be read: carries what an Unreadable says of it."""

    def __init__(self, code: str, column: str, **details: str) -> None:
        super().__init__(code)
        self.code, self.column, self.details = code, column, details


def fold_name(name: str) -> str:
    """A column name without case, spaces, `_` and `-`."""
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFC", name)).casefold()


NAMING = ("order_id", "action_id", "event_type", "reference", "subject", "currency")
OF_IDS = ("order_id_width", "event_types")
"""What of a mapping says how ids and names are written, and nothing of columns and amounts."""


def in_our_words(source: Source, _layout: str) -> Source:
    """A source as rows of our own making are read."""
    mapping = {name: value for name, value in source.mapping.items() if name in OF_IDS}
    return replace(source, mapping=MappingProxyType(mapping), amount_means=None)


def order_key(order_id: str, rule: OrderKeyRule) -> str:
    """The key all records of an order share: NFC, trimmed, then as the program writes its order ids (spec 4)."""
    key = unicodedata.normalize("NFC", order_id).strip()
    if rule.strip_prefix and key.startswith(rule.strip_prefix):
        key = key[len(rule.strip_prefix) :]
    if rule.fold_case:
        key = key.casefold()
    return key.rjust(rule.pad, "0")


@dataclass(frozen=True)
class Normaliser:
    """How the rows of one delivery read: its program, its source, and where and when it came from."""

    program: Program
    source: Source
    delivery: Delivery

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """Plain column name to field: the source's own names, else Retour's."""
        named = self.source.mapping.get("columns", {})
        # Corrected rows are a file, and have the fields of what they were before.
        kind = self.delivery.facts.get("of", self.delivery.kind)
        adapted = ADAPTER_FIELDS if kind in (DeliveryKind.HOOK, DeliveryKind.SALESFORCE) else ()
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

    def modifications(self, rows: Iterable[Row | Unreadable]) -> Iterator[tuple[Row | Unreadable, "Normalised"]]:
        """Each row with what it reads as, in order; none is left out."""
        for row, checked in self.check_rows(rows):
            yield row, checked if isinstance(checked, Modification | Unreadable) else checked.build_record(row)

    def check_rows(self, rows: Iterable[Row | Unreadable]) -> Iterator[tuple[Row | Unreadable, "Normalised | RowKind"]]:
        """Each row with the verdict on it, in order; an accepted one with its record, or with the kind that makes it.

        A line that became several rows stands or falls whole, since it is the line that its sender can correct.
        """
        line: list[tuple[Row | Unreadable, Normalised]] = []
        for row in rows:
            if row.__class__ not in PARSED_ROWS:
                yield row, self._row_templates(row.table).template_or_record(row)  # type: ignore[union-attr, arg-type]
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
    def _row_templates(self) -> "Callable[[FastTable], RowTemplateCache]":
        from retour.normalise.fast_path import RowTemplateCache

        return cache(lambda table: RowTemplateCache(self, table))

    def home(self, row: Row) -> str:
        """The key a row's record will be kept under, as far as the row alone can tell; empty when it cannot."""
        reading = self._for_layout(row)
        cells = reading._cells(row)
        try:
            key = reading._order_key(cells)
        except CellError:
            return ""
        return key or (f"@{cells['action_id']}" if "action_id" in cells else "")

    def statement(self, row: Row) -> Mapping[str, str]:
        """What in a row names its order and the subject it speaks of, in Retour's words."""
        cells = self._for_layout(row)._cells(row)
        return {name: cells[name] for name in NAMING if name in cells}

    def modification(self, row: Row) -> "Normalised":
        reading = self._for_layout(row)
        cells = reading._cells(row)
        try:
            return reading._read(cells, row)
        except CellError as wrong:
            return Unreadable(
                place=row.place,
                code=wrong.code,
                details=wrong.details,
                column=reading._sender_column(wrong.column, row),
                raw=row.raw,
                order=(cells.get("order_id") or cells.get("action_id") or "")[:KEY_BYTES_MAX],
                reference=cells.get("reference", "")[:KEY_BYTES_MAX],
            )

    def _for_layout(self, row: Row) -> "Normaliser":
        """This reading, or for a row in a known layout of another system the reading of that."""
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

    def _cells(self, row: Row) -> dict[str, str]:
        """What stands in the row, by field."""
        cells = {**self.constants}
        field_of = self.field_of
        for column, text in row.fields.items():
            field = field_of(column)
            if field and (text := text.strip()):
                cells[field] = text
        return cells

    # What rows have in common is worked out once and kept for so many texts.

    @cached_property
    def field_of(self) -> Callable[[str], str | None]:
        return lru_cache(CACHE_SIZE)(lambda column: self.columns.get(fold_name(column)))

    @cached_property
    def moment_of(self) -> Callable[[str], datetime]:
        return lru_cache(CACHE_SIZE)(self._parse_moment)

    @cached_property
    def _reason_of(self) -> Callable[[str], str]:
        return lru_cache(CACHE_SIZE)(self._translate_reason)

    @cached_property
    def _nearest_reason(self) -> Callable[[str], str]:
        return lru_cache(CACHE_SIZE)(lambda given: closest_known(given, self.program.reasons))

    def _read(self, cells: Mapping[str, str], row: Row) -> Modification:
        source, delivery = self.source, self.delivery
        if not source.enabled:
            raise CellError("CHANNEL_NOT_ALLOWED", "", source=source.name, channel=source.channel.value)
        key = self._order_key(cells)
        action_id = self._bounded_text(cells, "action_id")
        names = tuple(cells.get("names", "").split())
        if key is None and action_id is None and not names:
            raise CellError("ORDER_ID_MISSING", "order_id")
        event_type = self._event_type(cells)
        if event_type is not None and event_type not in self.program.event_types:
            raise CellError(
                "UNKNOWN_EVENT_TYPE",
                "event_type",
                value=excerpt(event_type),
                known=join_names(self.program.event_types),
            )
        change = self._change(cells)
        currency = self._currency(cells)
        occurred_at = self._occurred_at(cells)
        reference, sku, line = (
            self._bounded_text(cells, "reference"),
            self._bounded_text(cells, "sku"),
            self._bounded_text(cells, "line"),
        )
        subject = self.subject_of(self._bounded_text(cells, "subject"), reference, change)
        return Modification(
            identity=self.identity_of(
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
            provenance=self.provenance(row.place),
            order_key=key,
            action_id=action_id,
            event_type=event_type,
            sku=sku,
            line=line,
            change=change,
            currency=currency if has_amount(change) else None,
            reason=self._reason(cells),
            disposition=self._bounded_text(cells, "disposition"),
            note=self._bounded_text(cells, "note", TEXT_MAX),
            occurred_at=occurred_at,
            received_at=delivery.received_at,
            doubles=self._duplicate_rules,
            orders_by=delivery.received_at if subject else self.fold_time(occurred_at),
            subject=subject,
            version=self._version(cells) if subject else None,
            prices=self._prices(cells),
            part_of=cells.get("part_of"),
            names=names,
            counts_after=self.program.earliest_lock_reached(delivery.received_at)
            if isinstance(change, Release | Discard)
            else None,
        )

    @cached_property
    def _duplicate_rules(self) -> Mapping[str, str]:
        """What the program says today of changes that look like one already applied; kept in the record."""
        days = self.program.possible_duplicate_days
        return {"days": str(days), **self.source.possible_duplicates} if days else {}

    def _event_type(self, cells: Mapping[str, str]) -> str | None:
        given = cells.get("event_type")
        if given is None:
            return self.source.event_type
        return translate(self.source.mapping.get("event_types", {}), given) or given

    def _order_key(self, cells: Mapping[str, str]) -> str | None:
        order_id = cells.get("order_id")
        return None if order_id is None else self.order_key_of(order_id)

    def order_key_of(self, order_id: str) -> str:
        if order_id.isascii() and order_id.isdigit():
            order_id = order_id.rjust(self.source.mapping.get("order_id_width", 0), "0")
        key = order_key(order_id, self.program.order_key)
        if not key or len(key.encode()) > KEY_BYTES_MAX or not key.isprintable() or key.startswith("@"):
            raise CellError("ORDER_ID_UNUSABLE", "order_id", value=excerpt(order_id), bytes=str(KEY_BYTES_MAX))
        return key

    @cached_property
    def keeps_order_ids(self) -> bool:
        """Whether an order id of ordinary signs is the key of its order as it stands."""
        return self.program.order_key == OrderKeyRule() and not self.source.mapping.get("order_id_width")

    def identity_of(
        self,
        place: str,
        target: str,
        *,
        reference: str | None,
        event_type: str | None,
        sku: str | None,
        line: str | None,
        version: str = "",
        subject: str | None = None,
    ) -> str:
        if subject is not None:
            # Every row of a version counts, alike ones too: which of them say the same again is for the fold to see.
            return digest(self.source.namespace, "subject", subject, self._statement_scope, place)
        if reference is None:
            return digest("", self.source.name, self.delivery.identity, place)
        return digest(self.source.namespace, reference, version, target, event_type or "", sku or "", line or "")

    @cached_property
    def _statement_scope(self) -> str:
        """What tells a statement of this delivery from those of others.

        Where everything is told anew, the bytes of an earlier day are no repetition: they say that it is so again.
        """
        delivery = self.delivery
        by_its_bytes = delivery.identity == delivery.sha256
        return delivery.id if by_its_bytes and self.source.references == "restate" else delivery.identity

    def subject_of(self, told: str | None, reference: str | None, change: Change) -> str | None:
        """What a record speaks of: the subject it names, or its reference where its source tells each one anew."""
        if told is not None and not isinstance(change, SUBJECT_CHANGES):
            raise CellError("SUBJECT_NOT_FOR_CHANGE", "subject", subject=excerpt(told), change=VERBS[type(change)])
        if told is None and self.source.references == "restate" and isinstance(change, SUBJECT_CHANGES):
            return reference
        return told

    def _version(self, cells: Mapping[str, str]) -> Version:
        received_at, told = self.delivery.received_at, cells.get("version")
        if told is None:
            return receipt_version(received_at, self.delivery.id)
        try:
            return parse_version(f"{told};{cells['rank']}" if "rank" in cells else told, received_at)
        except ValueError:
            raise CellError("VERSION_UNCLEAR", "version", value=excerpt(told)) from None

    def _prices(self, cells: Mapping[str, str]) -> tuple[Price, ...]:
        if "prices" not in cells:
            return ()
        told = json.loads(cells["prices"])
        totals = [one.get("order_total") for one in told]
        return tuple(
            Price(one["currency"], Decimal(one["amount"]), Decimal(total) if total else None)
            for one, total in zip(told, totals, strict=True)
        )

    def provenance(self, place: str) -> Provenance:
        delivery = self.delivery
        return Provenance(delivery.id, delivery.name or delivery.kind, place, delivery.sha256, delivery.sender)

    def fold_time(self, occurred_at: datetime | None) -> datetime:
        """The time the fold sorts a record by."""
        received_at = self.delivery.received_at
        by_source_time = occurred_at is not None and self.source.order_by == "occurred_at"
        return min(occurred_at, received_at) if by_source_time and occurred_at else received_at

    def _change(self, cells: Mapping[str, str]) -> Change:
        source = self.source
        verb = cells.get("change", "").lower()
        status = cells.get("status")
        translated = source.mapping.get("statuses", {})
        if not verb and status is not None and translated:
            meant = translate(translated, status)
            if meant is None:
                raise CellError("UNKNOWN_STATUS", "status", value=excerpt(status), known=join_names(translated))
            verb = meant
            tells_subject = "subject" in cells or (source.references == "restate" and "reference" in cells)
            if meant in ("nothing", "restore") and tells_subject:
                return TakeBack(Decimal(0), clamp=True)
            if meant == "nothing":
                raise CellError("NOTHING_OF_WHAT", "status", value=excerpt(status))
            if meant == "keep":
                verb = "set_status"
        disposition = self._disposition(cells)
        if not verb and disposition is not None:
            verb = disposition.get("change", "set_status")
            cells = {**cells, "status": disposition.get("state", cells["disposition"])}
        amount = self._amount(cells, "amount")
        quantity = self._quantity(cells)
        if amount is not None and quantity is not None and source.mapping.get("per_unit"):
            amount *= abs(quantity)
        if not verb:
            verb = source.amount_means or ("set_quantity" if quantity is not None and amount is None else "")
        if verb == "set_total" and amount is None and quantity is not None:
            verb = "set_quantity"
        if verb == "difference":
            verb, amount, quantity = change_from_difference(amount, quantity)
        by_a_person = self.delivery.channel is Channel.CONSOLE and not self.delivery.facts.get("corrects")
        if verb not in CHANGES and not (by_a_person and verb in CONSOLE_CHANGES):
            code = "UNKNOWN_CHANGE" if verb else "CHANGE_NEEDED"
            raise CellError(code, "change", value=excerpt(verb), known=join_names(CHANGES))
        match verb:
            case "reverse":
                return Reverse()
            case "restore":
                return Restore()
            case "set_status":
                return SetStatus(self._required_text(cells, "status", verb))
            case "reattribute":
                return Reattribute(self._required_text(cells, "partner", verb))
            case "undo":
                return Undo(self._required_text(cells, "undoes", verb))
            case "release":
                return Release(self._required_text(cells, "undoes", verb))
            case "discard":
                return Discard(self._required_text(cells, "undoes", verb))
            case "reprice":
                return Reprice()
            case "refold":
                return Refold()
            case "raise_limit":
                if quantity is None or not CHANGES_MAX < quantity <= LIMIT_MAX:
                    raise CellError("LIMIT_UNUSABLE", "quantity", least=f"{CHANGES_MAX + 1:,}", most=f"{LIMIT_MAX:,}")
                return RaiseLimit(quantity)
            case "approve":
                by_one_person = self.delivery.channel is Channel.CONSOLE and "bulk" not in self.delivery.facts
                return Approve(restores=source.approve_restores or by_one_person)
            case "set_total":
                if amount is None:
                    raise CellError("AMOUNT_NEEDED", "amount", change=verb)
                return SetTotal(amount)
            case "set_quantity":
                if quantity is None:
                    raise CellError("QUANTITY_NEEDED", "quantity", change=verb)
                return SetQuantity(quantity, amount)
        if amount is None and quantity is None:
            raise CellError("AMOUNT_NEEDED", "amount", change=verb)
        of_total, total_of = self._amount(cells, "order_total"), self._bounded_text(cells, "total_of")
        return TakeBack(amount, quantity, of_total, cells.get("excess", source.excess) == "clamp", total_of)

    def _disposition(self, cells: Mapping[str, str]) -> Mapping[str, str] | None:
        """The merchant's own code, if its event type has such; they are told apart by case."""
        code, event_type = cells.get("disposition"), self._event_type(cells)
        declared = self.program.event_types[event_type].dispositions if event_type else {}
        if code is None or not declared:
            return None
        if code not in declared:
            raise CellError("UNKNOWN_DISPOSITION", "disposition", value=excerpt(code), known=join_names(declared))
        return declared[code]

    def _required_text(self, cells: Mapping[str, str], field: str, verb: str) -> str:
        text = self._bounded_text(cells, field)
        if text is None:
            raise CellError("FIELD_NEEDED", field, field=field, change=verb)
        return text

    def _amount(self, cells: Mapping[str, str], field: str) -> Decimal | None:
        text = cells.get(field)
        if text is None:
            return None
        mark = self.source.mapping.get("decimal")
        if mark is None and self._may_be_thousands(text, cells):
            raise CellError("AMOUNT_AMBIGUOUS", field, value=excerpt(text))
        stated = self._stated_currency(cells) or written_currency(text, self.program.currency)
        try:
            amount = parse_number(text, mark, stated or None)
        except AmbiguousNumberError:
            raise CellError("AMOUNT_AMBIGUOUS", field, value=excerpt(text)) from None
        except ForeignCurrencyError:
            raise CellError("AMOUNT_OTHER_CURRENCY", field, value=excerpt(text), currency=stated) from None
        except InvalidAmountError:
            raise amount_error(field, text, mark or ".") from None
        if amount < 0 and self.source.amount_means != "difference":
            raise CellError("AMOUNT_NEGATIVE", field)
        return self._round(amount, cells) if self.source.mapping.get("round") else amount

    def _round(self, amount: Decimal, cells: Mapping[str, str]) -> Decimal:
        """To the smallest unit of the row's currency, half away from zero, where the source asks for it."""
        currency = cells.get("currency", "").upper() or self.source.currency or self.program.currency
        unit = Decimal(1).scaleb(-exponents().get(currency, 2))
        return amount if amount % unit == 0 else amount.quantize(unit, ROUND_HALF_UP)

    @cached_property
    def _is_written_by_people(self) -> bool:
        """Files are, and their programs' ways of writing numbers; what calls the API is told how it writes them."""
        kind = self.delivery.facts.get("of", self.delivery.kind)
        return kind == DeliveryKind.FILE and "bulk" not in self.delivery.facts

    def _may_be_thousands(self, text: str, cells: Mapping[str, str]) -> bool:
        """Whether a point could group thousands as well: `12.500`, but of a currency with three decimals it is one."""
        if isinstance(text, TypedNumber) or not self._is_written_by_people or THOUSANDS.fullmatch(text) is None:
            return False
        currency = cells.get("currency", "").upper() or self.source.currency or self.program.currency
        return exponents().get(currency, 0) < 3

    def _quantity(self, cells: Mapping[str, str]) -> int | None:
        text = cells.get("quantity")
        if text is None:
            return None
        digits = text.removeprefix("-") if self.source.amount_means == "difference" else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) > QUANTITY_MAX:
            raise CellError("NOT_A_QUANTITY", "quantity", value=excerpt(text))
        return int(text)

    def _currency(self, cells: Mapping[str, str]) -> str | None:
        currency = self._stated_currency(cells)
        if currency and currency not in exponents():
            raise CellError("UNKNOWN_CURRENCY", "currency", value=excerpt(currency))
        if currency or "amount" not in cells:
            return currency or None
        # A currency that only stands with the amount counts where it is not the program's: 5.00 USD are no euros.
        written = written_currency(cells["amount"], self.program.currency)
        return written if written and written != self.program.currency else None

    def _stated_currency(self, cells: Mapping[str, str]) -> str:
        """What the row says its amounts are in, else its source."""
        return cells.get("currency", "").upper() or self.source.currency or ""

    def _reason(self, cells: Mapping[str, str]) -> str | None:
        given = cells.get("reason")
        return self.source.default_reason if given is None else self._reason_of(given)

    def _translate_reason(self, given: str) -> str:
        reason = translate(self.source.mapping.get("reasons", {}), given) or given
        if reason not in self.program.reasons:
            reason = self.source.mapping.get("reason_otherwise", reason)
        if reason not in self.program.reasons:
            raise CellError(
                "UNKNOWN_REASON",
                "reason",
                value=excerpt(given),
                nearest=self._nearest_reason(excerpt(given)),
            )
        return str(reason)

    def _occurred_at(self, cells: Mapping[str, str]) -> datetime | None:
        text = cells.get("occurred_at")
        if isinstance(text, TypedMoment):
            return self._in_zone(text.moment)
        return None if text is None else self.moment_of(text)

    def _in_zone(self, moment: datetime) -> datetime:
        zone = ZoneInfo(self.source.time_zone)
        return truncate_to_milliseconds(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)

    def _parse_moment(self, text: str) -> datetime:
        declared = self.source.mapping.get("date")
        patterns = [declared] if isinstance(declared, str) else declared or []
        read = (
            {moment for pattern in patterns if (moment := parse_date(text, pattern))}
            if patterns
            else {parse_date(text, None)}
        )
        if len(read - {None}) > 1:
            days = ", ".join(sorted(f"{moment:%Y-%m-%d}" for moment in read if moment))
            raise CellError("TIME_AMBIGUOUS", "occurred_at", value=excerpt(text), days=days)
        moment = read.pop() if len(read) == 1 else None
        try:
            if moment is not None:
                return self._in_zone(moment)
        except OverflowError:
            pass
        right = " / ".join(f"{EXAMPLE_MOMENT:{pattern}}" for pattern in patterns) or "2026-11-21T09:30:00+01:00"
        more = {"case": "FILE"} if self._is_written_by_people and not patterns else {}
        raise CellError("NOT_A_TIME", "occurred_at", value=excerpt(text), pattern=right, **more)

    def _bounded_text(self, cells: Mapping[str, str], field: str, most: int = KEY_BYTES_MAX) -> str | None:
        text = cells.get(field)
        if text is None:
            return None
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        if len(text) > most or len(text.encode()) > most or not (text.isprintable() or field == "note"):
            raise CellError("TEXT_UNUSABLE", field, field=field, bytes=str(most))
        return text

    def _sender_column(self, field: str, row: Row) -> str:
        """The sender's own name of a field's column: the one the row has, else the one its source gives it."""
        named = self.source.mapping.get("columns", {}).get(field, field)
        own = named if isinstance(named, str) else next(iter(named), field)
        return next((column for column in row.fields if self.field_of(column) == field), own)


Normalised = Modification | Unreadable


def amount_error(field: str, text: str, mark: str) -> CellError:
    """Where only the decimal mark is another than the source's, that is said, and which number it would be."""
    other = "," if mark == "." else "."
    try:
        right = f"{parse_number(text, other):f}".replace(".", mark)
    except (InvalidAmountError, AmbiguousNumberError, ForeignCurrencyError):
        return CellError("NOT_AN_AMOUNT", field, value=excerpt(text), mark=mark)
    return CellError("AMOUNT_OTHER_MARK", field, value=excerpt(text), mark=mark, other=other, right=right)


def change_from_difference(amount: Decimal | None, quantity: int | None) -> tuple[str, Decimal | None, int | None]:
    """A signed difference: what is below zero came back; a sale cannot grow by a return."""
    if amount is None and quantity is None:
        raise CellError("AMOUNT_NEEDED", "amount", change="difference")
    if amount is not None and amount > 0:
        raise CellError("DIFFERENCE_POSITIVE", "amount", value=str(amount))
    if not amount and quantity is not None and quantity > 0:
        raise CellError("DIFFERENCE_POSITIVE", "quantity", value=str(quantity))
    units = abs(quantity) if quantity else None
    return "take_back", None if not amount and units else -(amount or Decimal(0)), units


def translate(translated: Mapping[str, str], given: str) -> str | None:
    """What a text is translated to: as it is written, else without regard to case, blanks, `_` and `-`."""
    if given in translated:
        return translated[given]
    return next((meant for text, meant in translated.items() if fold_name(text) == fold_name(given)), None)


def parse_date(text: str, pattern: str | None) -> datetime | None:
    try:
        return datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)
    except ValueError:
        return None


def all_or_nothing(
    line: Sequence[tuple[Row | Unreadable, "Normalised"]],
) -> Iterable[tuple[Row | Unreadable, "Normalised"]]:
    """The rows of one line; where one of them cannot be read, none of them is."""
    wrong = next((read for _, read in line if isinstance(read, Unreadable)), None)
    for row, read in line:
        if wrong is None or isinstance(read, Unreadable):
            yield row, read
        else:
            details = {"place": wrong.place, "line": line_place(row.place)}
            yield row, Unreadable(row.place, "LINE_REFUSED", details, "", row.raw, read.order_key or "")


def closest_known(given: str, known: Iterable[str]) -> str:
    """The known word that another one is like, before all but for case and blanks; all of them where none is near."""
    from difflib import get_close_matches

    words = {fold_name(word): word for word in sorted(known)}
    found = get_close_matches(fold_name(given), list(words), n=1, cutoff=CLOSE_MATCH_CUTOFF)
    return words[found[0]] if found else join_names(words.values())


def join_names(names: Iterable[str]) -> str:
    """Names for a sentence; of many only the first, for a person reads the sentence and a header keeps it."""
    text = ", ".join(sorted(names))
    return text if len(text) <= LISTED_MAX else text[:LISTED_MAX].rpartition(",")[0] + ", …"


def excerpt(value: str) -> str:
    """A sender's text as a sentence quotes it."""
    return value if len(value) <= MESSAGE_CHARS_MAX else value[: MESSAGE_CHARS_MAX - 1] + "…"
