"""Layouts of other systems, each a data file in `layouts/`, recognised by its header.

A layout maps columns to fields, says what amounts and quantities mean, and translates reasons. A row with several items
becomes several rows, `7.1`, `7.2`. A file that two layouts match is refused, never guessed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from retour.domain.money import InvalidAmountError, exponents
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.layout import Layout, fold_name, layout_for_source
from retour.files.opened_file import OpenedFile
from retour.numbers import AmbiguousNumberError, ForeignCurrencyError, parse_number

INDEX_MAX = 50
NAMES_KEPT = 4096
ITEM_INDEX = re.compile(r"(.*?\D)(\d{0,2})")
ID_FIELDS = ("reference", "order_id", "action_id", "sku")
OWN_LAYOUT = "own"
STATUSES = ("approved", "approve", "accepted", "declined", "decline", "amended", "amend", "pending")
AMOUNT_LIKE = re.compile(r"[-+(]?[\d.,' ]*\d[\d.,' ]*[-)]?")


class RowError(Exception):
    """A row that cannot be split. Carries the values of its `Unreadable`."""

    def __init__(self, code: str, at: str, **details: str) -> None:
        super().__init__(code)
        self.code, self.column, self.details = code, at, details


@dataclass(frozen=True)
class PartnerLayout:
    """The layout of another system. `body` is its data file."""

    id: str
    body: Mapping[str, Any] = field(compare=False)

    @property
    def title(self) -> str:
        return str(self.body["title"])

    @property
    def means(self) -> str:
        return str(self.body["means"])

    @property
    def kind(self) -> str:
        """`modifications`, `actions`, or `none` for files of another purpose, which must not be read as returns."""
        return str(self.body.get("kind", "modifications"))

    @property
    def by_index(self) -> bool:
        return bool(self.items.get("by") == "index")

    @property
    def items(self) -> Mapping[str, Any]:
        return self.body.get("items", {})  # type: ignore[no-any-return]

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The field of each normalised column name, without item index."""
        named = {**self.body["columns"], **self.items.get("columns", {})}
        return {fold_name(name): one for one, names in named.items() for name in names}

    def field_of(self, column: str) -> tuple[str, str]:
        """The field of a column and its item index. The first item's index may be missing or 1."""
        return cached_field_of(self, column)

    def resolve_column(self, column: str) -> tuple[str, str]:
        folded = fold_name(column)
        if folded in self.fields:
            one = self.fields[folded]
            return one, "1" if self.by_index and one in self.items["columns"] else ""
        found = ITEM_INDEX.fullmatch(folded) if self.by_index else None
        if found and self.fields.get(found[1]) in self.items["columns"]:
            return self.fields[found[1]], str(int(found[2]))
        return "", ""

    # Recognition

    def claims(self, names: frozenset[str]) -> bool:
        """Whether a header of these normalised names matches this layout."""
        if "positions" in self.body:
            return False
        marks, forbidden = ({fold_name(name) for name in self.body.get(key, ())} for key in ("marks", "forbidden"))
        return marks <= names and not forbidden & names and not self.missing_columns(names)

    def missing_columns(self, names: Iterable[str]) -> Sequence[str]:
        """Required columns that a header lacks."""
        have = {self.field_of(name)[0] for name in names}
        spelling = {**self.body["columns"], **self.items.get("columns", {})}
        missing = [spelling[one][0] for one in self.body["required"] if one not in have]
        for group in self.body.get("either", ()):
            missing += [spelling[group[0]][0]] if not have.intersection(group) else []
        if not any(have.issuperset(group) for group in self.body["needed"]):
            missing += [spelling[one][0] for one in self.body["needed"][0] if one not in have]
        return missing

    def duplicate_column(self, names: Sequence[str]) -> str:
        """The first column that maps to the same field as an earlier one."""
        seen: set[tuple[str, str]] = set()
        for name in names:
            found = self.field_of(name)
            if found[0] and found in seen:
                return name
            seen.add(found)
        return ""

    def matches_positions(self, cells: Sequence[str]) -> bool:
        """Whether a line without header has the expected kinds of cells at the expected positions."""
        positions = self.body.get("positions", ())
        if not positions or not self.body.get("least", len(positions)) <= len(cells) <= len(positions):
            return False
        found = dict(zip(positions, (cell.strip() for cell in cells), strict=False))
        return all(is_cell_kind(found[name], kind) for name, kind in self.body["looks"].items() if name in found)

    @cached_property
    def layout(self) -> Layout:
        names = [name for columns in self.body["columns"].values() for name in columns]
        items = [name for columns in self.items.get("columns", {}).values() for name in columns]
        items += self.items.get("ignored", ())
        indices = ("", *map(str, range(1, INDEX_MAX + 1))) if self.by_index else ("",)
        spelled = (*names, *(f"{name}{index}" for name in items for index in indices), *self.body["ignored"])
        columns = {**self.body["columns"], **self.items.get("columns", {})}
        return Layout(
            name=self.id,
            known=tuple(self.body.get("positions") or dict.fromkeys((*spelled, *self.body.get("zero", ())))),
            identity=frozenset(
                name for group in self.body["needed"] for one in group if one.endswith("_id") for name in columns[one]
            ),
            required=frozenset(),
            ids=frozenset(name for name in spelled if self.field_of(name)[0] in ID_FIELDS),
            reference=next(iter(columns.get("reference", ("",)))),
            closed=not self.body.get("open"),
            told=(*names, *(f"{name}1" if self.by_index else name for name in items), *self.body["ignored"]),
            owner=self,
            positions=tuple(self.body.get("positions", ())),
        )

    # Reading

    def mapping(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """The layout as a source's mapping. The source's own entries take precedence."""
        spelled: dict[str, list[str]] = {}
        for name in self.layout.known:
            if one := self.field_of(name)[0]:
                spelled.setdefault(one, []).append(name)
        reasons = {**self.body.get("reasons", {}), **own.get("reasons", {})}
        otherwise = self.body.get("reason_otherwise")
        return MappingProxyType(
            {
                **own,
                "columns": {one: names for one, names in spelled.items() if one not in ("price", "discount", "delta")},
                "reasons": reasons,
                "statuses": {**self.body.get("statuses", {}), **own.get("statuses", {})},
                "constants": {**self.body.get("constants", {}), **own.get("constants", {})},
                **({"reason_otherwise": otherwise} if otherwise else {}),
                **({"per_unit": True} if self.body.get("per_unit") else {}),
            }
        )

    def rows(self, rows: Iterable[Row | Unreadable], source: Source) -> Iterator[Row | Unreadable]:
        for row in rows:
            if isinstance(row, Unreadable):
                yield row
                continue
            try:
                self.check_not_shifted(row)
                yield from self.split_items(replace(row, layout=self.id), source)
            except RowError as faulty:
                named = {self.field_of(column)[0]: value for column, value in row.fields.items()}
                order = named.get("order_id") or named.get("action_id") or ""
                yield Unreadable(
                    row.place, faulty.code, {"line": row.place, **faulty.details}, faulty.column, row.raw, order[:128]
                )

    @cached_property
    def shapes(self) -> Mapping[str, re.Pattern[str]]:
        """Patterns that cells of some columns always match. A mismatch means that the row has shifted."""
        return {fold_name(name): re.compile(shape) for name, shape in self.body.get("shapes", {}).items()}

    def check_not_shifted(self, row: Row) -> None:
        for column, kind in self.body.get("looks", {}).items():
            value = row.fields.get(column, "")
            if kind in ("text", "date", "status") and not is_cell_kind(value, kind):
                raise RowError("ROW_WIDTH", column, case="SHIFTED", column=column, value=value[:40] or "–")
        for column, value in row.fields.items() if self.shapes else ():
            shape = self.shapes.get(fold_name(column))
            if shape and not shape.fullmatch(value):
                raise RowError("ROW_WIDTH", column, case="SHIFTED", column=column, value=value[:40])

    def split_items(self, row: Row, source: Source) -> list[Row]:
        cells = dict(row.fields)
        for name in self.body.get("zero", ()):
            if cells.get(name) and parse_cell_amount(cells[name], name, source) != 0:
                raise RowError("DISCOUNT_UNCLEAR", name, column=name)
        by_field = {self.field_of(column)[0]: value for column, value in cells.items()}
        whole = {column: value for column, value in cells.items() if not self.is_item(column)}
        for one, copied in self.body.get("copied", {}).items():
            if copied in by_field:
                whole[one] = by_field[copied]
        for one, meanings in self.body.get("changes", {}).items():
            if change := meanings.get(by_field.get(one, "").strip().upper()):
                return [replace(row, fields={**whole, "change": change})]
        if rules := self.body.get("rules"):
            whole["change"] = change_by_rules(rules, by_field, self.body.get("otherwise", "ITEM_WITHOUT_AMOUNT"))
        if not self.items:
            return [replace(row, fields=whole)]
        if self.by_index:
            return self.rows_by_index(row, whole, source)
        return self.rows_by_separator(row, whole, source)

    def is_item(self, column: str) -> bool:
        return self.field_of(column)[0] in self.items.get("columns", {}) if self.items else False

    def rows_by_index(self, row: Row, whole: Mapping[str, str], source: Source) -> list[Row]:
        """One row per item with a SKU. An item with amount zero is read by its amount alone."""
        found: dict[int, dict[str, tuple[str, str]]] = {}
        for column, value in row.fields.items():
            one, index = self.field_of(column)
            if index:
                found.setdefault(int(index), {})[one] = (column, value)
        items: list[dict[str, str]] = []
        seen: set[str] = set()
        for at, item in sorted(found.items()):
            cells = dict(item.values())
            if "sku" not in item:
                column = next(iter(cells))
                raise RowError("ITEM_WITHOUT_SKU", column, column=column)
            column, sku = item["sku"]
            if sku in seen:
                raise RowError("ITEM_TWICE", column, sku=sku[:40])
            seen.add(sku)
            if "delta" in item:
                cells |= self.by_difference(item, at, source)
            both = "quantity" in item and "amount" in item
            if both and parse_cell_amount(item["amount"][1], item["amount"][0], source) != 0:
                cells["change"] = "set_quantity"
            items.append(cells)
        if not items:
            raise RowError("ITEM_WITHOUT_SKU", self.items["columns"]["sku"][0], column=self.items["columns"]["sku"][0])
        return number_items(row, [{**whole, **cells} for cells in items])

    def by_difference(self, item: Mapping[str, tuple[str, str]], index: int, source: Source) -> Mapping[str, str]:
        """An item with a signed difference: a negative one is taken back, anything else is refused."""
        column, text = item["delta"]
        if beside := next((item[one][0] for one in ("amount", "quantity") if one in item), ""):
            raise RowError("ITEM_DIFFERENCE_BESIDE", column, column=column, beside=beside)
        worth = parse_cell_amount(text, column, source)
        if worth > 0:
            raise RowError("DIFFERENCE_POSITIVE", column, value=text[:40])
        told = self.items["columns"]["amount"][0]
        mark = source.mapping.get("decimal") or "."
        return {f"{told}{index}": shortest_amount(-worth).replace(".", mark), "change": "take_back"}

    def rows_by_separator(self, row: Row, whole: Mapping[str, str], source: Source) -> list[Row]:
        """The order restated: reverse all of it, then set each item as listed. Without items, set the new total."""
        columns = {one: names[0] for one, names in self.items["columns"].items()}
        separator = self.items["separator"]
        parts = {
            one: [part.strip() for part in row.fields[column].split(separator)]
            for one, column in columns.items()
            if row.fields.get(column)
        }
        if not parts:
            return [replace(row, fields=whole)]
        skus = parts.get("sku", [])
        for one in ("sku", "price", "quantity"):
            if len(parts.get(one, ())) != len(skus) or not all(parts[one]):
                details = {"items": str(len(skus)), "found": str(len([part for part in parts.get(one, ()) if part]))}
                raise RowError("ITEMS_UNEQUAL", columns[one], column=columns[one], **details)
        discounts = parts.get("discount") or [""] * len(skus)
        if len(discounts) != len(skus):
            details = {"items": str(len(skus)), "found": str(len(discounts))}
            raise RowError("ITEMS_UNEQUAL", columns["discount"], column=columns["discount"], **details)
        units: dict[str, int] = {}
        amounts: dict[str, Decimal] = {}
        for sku, price, quantity, discount in zip(skus, parts["price"], parts["quantity"], discounts, strict=True):
            if not (quantity.isascii() and quantity.isdigit()) or len(quantity) > 7:
                raise RowError("NOT_A_QUANTITY", columns["quantity"], value=quantity[:40])
            less = parse_cell_amount(discount, columns["discount"], source) if discount else Decimal(0)
            worth = parse_cell_amount(price, columns["price"], source) * int(quantity) - less
            if worth < 0:
                raise RowError("AMOUNT_BELOW_ZERO", columns["price"], value=f"{worth:f}", item=sku[:40])
            units[sku] = units.get(sku, 0) + int(quantity)
            amounts[sku] = amounts.get(sku, Decimal(0)) + worth
        self.check_total(row, sum(amounts.values(), Decimal(0)), source)
        total = self.body["columns"]["amount"][0]
        base = {column: value for column, value in whole.items() if column != total}
        mark = source.mapping.get("decimal") or "."
        return number_items(
            row,
            [
                {**base, "change": "reverse"},
                *(
                    {
                        **base,
                        columns["sku"]: sku,
                        columns["quantity"]: str(units[sku]),
                        total: shortest_amount(worth).replace(".", mark),
                        "change": "set_quantity" if worth else "set_total",
                    }
                    for sku, worth in amounts.items()
                    if units[sku]
                ),
            ],
        )

    def check_total(self, row: Row, total: Decimal, source: Source) -> None:
        column = self.body["columns"]["amount"][0]
        if (stated := row.fields.get(column)) and parse_cell_amount(stated, column, source) != total:
            raise RowError("ITEMS_DO_NOT_ADD_UP", column, total=f"{total:f}", stated=stated[:40])


def number_items(row: Row, items: Sequence[Mapping[str, str]]) -> list[Row]:
    if len(items) == 1:
        return [replace(row, fields=items[0])]
    return [replace(row, place=f"{row.place}.{count}", fields=cells) for count, cells in enumerate(items, 1)]


def shortest_amount(amount: Decimal) -> str:
    """An amount as text with two decimals, or more if needed. Three could be read as thousands."""
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents if cents == amount else amount:f}"


def change_by_rules(rules: Sequence[Mapping[str, Any]], have: Mapping[str, str], otherwise: str) -> str:
    """The change a row asks for, by which of its cells are filled."""
    for rule in rules:
        if all(one in have for one in rule.get("with", ())) and not any(one in have for one in rule.get("without", ())):
            return str(rule["change"])
    raise RowError(otherwise, "")


def parse_cell_amount(text: str, column: str, source: Source) -> Decimal:
    try:
        return parse_number(text, source.mapping.get("decimal"))
    except AmbiguousNumberError:
        raise RowError("AMOUNT_AMBIGUOUS", column, value=text[:40]) from None
    except (InvalidAmountError, ForeignCurrencyError):
        mark = source.mapping.get("decimal") or "."
        raise RowError("NOT_AN_AMOUNT", column, value=text[:40], mark=mark) from None


def is_cell_kind(text: str, kind: str) -> bool:
    match kind:
        case "currency":
            return text.upper() in exponents()
        case "status":
            return text.casefold() in STATUSES
        case "number":
            return not text or AMOUNT_LIKE.fullmatch(text) is not None
        case "date":
            return re.fullmatch(r"\d{1,4}[-/.]?\d{1,2}[-/.]?\d{1,4}([ T].*)?", text) is not None
    return bool(text)


@lru_cache(NAMES_KEPT)
def cached_field_of(layout: PartnerLayout, column: str) -> tuple[str, str]:
    """`field_of`, cached: columns repeat in every row."""
    return layout.resolve_column(column)


@cache
def partner_layouts() -> Mapping[str, PartnerLayout]:
    """All partner layouts by id, which is their file name."""
    folder = files("retour.files").joinpath("layouts")
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".json")), key=lambda one: one.name)
    return {
        one.name.removesuffix(".json"): PartnerLayout(
            one.name.removesuffix(".json"), json.loads(one.read_text("utf-8"))
        )
        for one in found
    }


def expected_layout(source: Source, name: str = "modifications") -> Layout:
    """The layouts of a source's files: the pinned one, its own mapping's, or any of Retour's and the partners'."""
    own = layout_for_source(source, name)
    if own.of_any_names:
        return own
    pinned = source.mapping.get("layout")
    if name == "modifications" and isinstance(pinned, str) and pinned in partner_layouts():
        return partner_layouts()[pinned].layout
    if source.mapping.get("columns") or pinned == OWN_LAYOUT:
        return own
    return replace(own, others=tuple(known.layout for known in partner_layouts().values()))


def interpret_rows(opened: OpenedFile | Refusal, source: Source, name: str) -> OpenedFile | Refusal:
    """Convert an opened file's rows as its layout says. Refuses files of another kind and contradictions."""
    if isinstance(opened, Refusal) or opened.layout not in partner_layouts():
        return opened
    known = partner_layouts()[opened.layout]
    if known.kind != name:
        code = {"actions": "FILE_OF_ACTIONS", "none": "FILE_OF_NO_RETURNS"}.get(known.kind, "FILE_OF_RETURNS")
        return Refusal(code, {"layout": known.title})
    if known.kind == "actions":
        return replace(opened, rows=rename_columns(known, opened.rows))
    means, declared = known.body.get("amount_means"), source.amount_means
    if means and declared not in (None, means) and source.mapping.get("layout") != known.id:
        details = {"layout": known.title, "id": known.id, "means": means, "declared": str(declared)}
        return Refusal("MEANING_CONTRADICTS", details)
    return replace(opened, rows=known.rows(opened.rows, source))


def rename_columns(layout: PartnerLayout, rows: Iterable[Row | Unreadable]) -> Iterator[Row | Unreadable]:
    for row in rows:
        if isinstance(row, Unreadable):
            yield row
        else:
            named = {layout.field_of(column)[0]: value for column, value in row.fields.items()}
            yield replace(row, fields={one: value for one, value in named.items() if one})


def source_for_layout(source: Source, layout: str) -> Source:
    """The source with a layout's mapping merged below its own."""
    known = partner_layouts().get(layout)
    if known is None or known.kind != "modifications":
        return source
    doubles = source.possible_duplicates
    return replace(
        source,
        mapping=known.mapping(source.mapping),
        amount_means=known.body.get("amount_means") or source.amount_means,
        # A restated record is not a second return.
        possible_duplicates={source.name: "apply", **doubles} if known.items.get("restates") else doubles,
    )
