"""Find a table's header and map its columns, by Retour's own layouts or a source's mapping."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

from retour.domain.program import Source
from retour.domain.row import Refusal

COLUMNS_MAX = 1_000
"""Maximum number of columns."""


class LayoutOwner(Protocol):
    """The definition of a partner layout, as far as `Layout` uses it."""

    @property
    def title(self) -> str: ...

    @property
    def by_index(self) -> bool: ...

    def claims(self, names: frozenset[str]) -> bool: ...

    def missing_columns(self, names: Iterable[str]) -> Sequence[str]: ...

    def duplicate_column(self, names: Sequence[str]) -> str: ...

    def field_of(self, column: str) -> tuple[str, str]: ...

    def matches_positions(self, cells: Sequence[str]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """The column names a file may have.

    `known`: all names that are read, as the mapping spells them. `identity`: names that say what a row is about, of
    which one is required. `required`: names that are all required. `ids`: text columns that look like numbers.
    `closed`: no other column is allowed, since a misspelt `sku` would turn the return of one item into a return of the
    whole order. `others`: layouts the file may have instead. `told`: the names listed in messages. `positions`: the
    columns of a layout without header.
    """

    name: str
    known: tuple[str, ...]
    identity: frozenset[str]
    required: frozenset[str]
    ids: frozenset[str]
    reference: str
    closed: bool
    others: "tuple[Layout, ...]" = ()
    told: tuple[str, ...] = ()
    owner: LayoutOwner | None = None
    positions: tuple[str, ...] = ()
    of_any_names: bool = False


ANY_NAMES = "any names"
"""Name of a layout that accepts any header, for files that are inspected but not processed."""
NUMERIC = re.compile(r"[\s\d.,:/+-]+")


@cache
def own_layouts() -> dict[str, dict[str, list[str]]]:
    """Retour's own layouts, from layouts.json."""
    found: dict[str, dict[str, list[str]]] = json.loads(
        files("retour.files").joinpath("layouts.json").read_text("utf-8")
    )
    return found


def layout_for_source(source: Source, name: str = "modifications") -> Layout:
    """The layout of a source's files: its mapping's columns if it has any, else the named one."""
    if name == ANY_NAMES:
        return Layout(name, (), frozenset(), frozenset(), frozenset(), "", closed=False, of_any_names=True)
    own = own_layouts()[name]
    columns: Mapping[str, str | Sequence[str]] = source.mapping.get("columns") or {}
    given = set(source.mapping.get("constants") or ())
    spelled = {field: columns.get(field, field) for field in own["columns"]}
    spelling = {field: (names,) if isinstance(names, str) else tuple(names) for field, names in spelled.items()}
    identity = [field for field in own["identity"] if field in columns or not columns]
    return Layout(
        name="mapped" if columns else name,
        known=tuple(dict.fromkeys(name for names in spelling.values() for name in names)),
        identity=frozenset(name for field in identity or own["identity"] for name in spelling[field]),
        required=frozenset(
            spelling[field][0]
            for field in columns
            if field in spelling and field not in {*own["optional"], *identity, *given} and len(spelling[field]) == 1
        ),
        ids=frozenset(name for field in own["ids"] for name in spelling[field]),
        reference=spelling.get("reference", ("",))[0],
        closed=not columns,
    )


def fold_name(name: str) -> str:
    """Normalise a column name: case, whitespace, `_` and `-` are ignored."""
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFC", name)).casefold()


def spell_header(cells: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """The header in the layout's spelling. Unknown names stay; repeated ones are numbered."""
    spelling = {fold_name(name): name for name in layout.known}
    names: list[str] = []
    times: Counter[str] = Counter()
    for cell in cells:
        name = spelling.get(fold_name(cell), cell.strip())
        times[name] += 1
        names.append(f"{name} ({times[name]})" if name and times[name] > 1 and name not in layout.known else name)
    return tuple(names)


def identify_layout(heads: Sequence[Sequence[str]], layout: Layout) -> Layout | Refusal:
    """The one layout that matches a possible header. Two matches are refused."""
    if not layout.others:
        return layout
    for cells in heads:
        if not 2 <= len(cells) <= COLUMNS_MAX:
            continue
        names = frozenset(fold_name(cell) for cell in cells if cell.strip())
        claiming = [other for other in layout.others if other.owner and other.owner.claims(names)]
        if header_score(cells, layout) and header_fault(spell_header(cells, layout), layout, 0) is None:
            if not claiming or all(cell.strip() in layout.known for cell in cells if cell.strip()):
                return layout
            claiming.append(layout)
        if len(claiming) > 1:
            titles = [other.owner.title if other.owner else "Retour" for other in claiming]
            return Refusal("LAYOUT_AMBIGUOUS", {"layouts": "; ".join(sorted(titles))})
        if claiming:
            return claiming[0]
    if not any(header_score(cells, layout) for cells in heads):
        for other in layout.others:
            if other.positions and other.owner and any(other.owner.matches_positions(cells) for cells in heads):
                return other
    return layout


def header_score(cells: Sequence[str], layout: Layout) -> int:
    """How many known names a line contains; 0 if it cannot be a header."""
    if len(cells) > COLUMNS_MAX:
        return 0
    if layout.of_any_names:
        said = [cell.strip() for cell in cells if cell.strip()]
        return 0 if any(NUMERIC.fullmatch(cell) for cell in said) else len(said)
    names = set(spell_header(cells, layout))
    hits = len(names & set(layout.known))
    return hits if names & layout.identity and (hits > 1 or len(cells) == 1) else 0


def header_fault(names: Sequence[str], layout: Layout, line: int) -> Refusal | None:
    """The fault that makes a header unusable, or None."""
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        return Refusal("COLUMN_TWICE", {"line": str(line), "column": twice[0]})
    if layout.owner and (again := layout.owner.duplicate_column(names)):
        return Refusal("COLUMN_TWICE", {"line": str(line), "column": again})
    if layout.owner and (lacking := layout.owner.missing_columns(names)):
        return Refusal("COLUMN_MISSING", {"line": str(line), "columns": ", ".join(lacking)})
    if missing := layout.required - set(names):
        return Refusal("COLUMN_MISSING", {"line": str(line), "columns": ", ".join(sorted(missing))})
    unknown = [name for name in names if name and name not in layout.known]
    if layout.closed and unknown:
        expected = ", ".join(layout.told or layout.known)
        return Refusal("UNKNOWN_COLUMN", {"line": str(line), "columns": ", ".join(unknown[:5]), "expected": expected})
    return None
