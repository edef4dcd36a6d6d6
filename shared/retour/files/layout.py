"""Which line of a table is its header, and what its columns are called: our own layouts, and a source's mapping."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from retour.domain.program import Source
from retour.domain.row import Refusal


@dataclass(frozen=True, slots=True)
class Layout:
    """The column names a file may have.

    `known` are all names we read, each in the spelling the mapping uses; `identity` name what a row is about (one of
    them must be there); `required` must all be there; `ids` are texts that only look like numbers. `closed`: no other
    column is allowed, for a misspelt `sku` would turn the return of one item into that of the whole order.
    """

    name: str
    known: tuple[str, ...]
    identity: frozenset[str]
    required: frozenset[str]
    ids: frozenset[str]
    reference: str
    closed: bool


@cache
def layouts() -> dict[str, dict[str, list[str]]]:
    """Our own layouts, from layouts.json beside this file."""
    found: dict[str, dict[str, list[str]]] = json.loads(
        files("retour.files").joinpath("layouts.json").read_text("utf-8")
    )
    return found


def layout_of(source: Source, name: str = "modifications") -> Layout:
    """What files of this source look like: its mapping's columns where it has some, else the layout of that name."""
    own = layouts()[name]
    columns: Mapping[str, str] = source.mapping.get("columns") or {}
    given = set(source.mapping.get("constants") or ())
    spelling = {field: str(columns.get(field, field)) for field in own["columns"]}
    identity = [field for field in own["identity"] if field in columns or not columns]
    return Layout(
        name="mapped" if columns else name,
        known=tuple(dict.fromkeys(spelling.values())),
        identity=frozenset(spelling[field] for field in identity or own["identity"]),
        required=frozenset(
            spelling[field] for field in columns if field in spelling and field not in {*own["optional"], *identity}
        )
        - {spelling[field] for field in given if field in spelling},
        ids=frozenset(spelling[field] for field in own["ids"]),
        reference=spelling.get("reference", ""),
        closed=not columns,
    )


def fold(name: str) -> str:
    """Column names are compared without case, blanks, `_` and `-`."""
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFC", name)).casefold()


def spelled(cells: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """The header in the layout's spelling; unknown names as they are, and told apart where they repeat."""
    spelling = {fold(name): name for name in layout.known}
    names: list[str] = []
    for cell in cells:
        name = spelling.get(fold(cell), cell.strip())
        times = 1 + sum(1 for earlier in names if earlier == name)
        names.append(f"{name} ({times})" if name and times > 1 and name not in layout.known else name)
    return tuple(names)


def score(cells: Sequence[str], layout: Layout) -> int:
    """How many known names a line holds; 0 when it cannot be a header."""
    names = set(spelled(cells, layout))
    hits = len(names & set(layout.known))
    return hits if names & layout.identity and (hits > 1 or len(cells) == 1) else 0


def fault(names: Sequence[str], layout: Layout, line: int) -> Refusal | None:
    """What makes a header unusable, or nothing."""
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        return Refusal("COLUMN_TWICE", {"line": str(line), "column": twice[0]})
    if missing := layout.required - set(names):
        return Refusal("COLUMN_MISSING", {"line": str(line), "columns": ", ".join(sorted(missing))})
    unknown = [name for name in names if name and name not in layout.known]
    if layout.closed and unknown:
        expected = ", ".join(layout.known)
        return Refusal("UNKNOWN_COLUMN", {"line": str(line), "columns": ", ".join(unknown[:5]), "expected": expected})
    return None
