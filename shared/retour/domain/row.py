"""What channels and readers hand over: rows in the sender's words, with their place."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ABSENT = "absent"
"""The layout of a row that stands for what a full export lists no more: in our own words, whatever its source maps."""
ITEM_SUFFIX = re.compile(r"(?<=\d)\.\d+$")


@dataclass(frozen=True, slots=True)
class Row:
    """One record as the sender wrote it.

    `place` is where a person finds it again: the line of a file (the header is line 1), the number of a record in a
    list (from 1), or a path such as `refunds[2]`; an item of a line that holds several is `7.2`. `fields` are the
    sender's own column names and texts; empty cells are left out. `raw` is the record exactly as it came, for the file
    of rejected rows. `layout` is the known layout of another system that its file was recognised as.
    """

    place: str
    fields: Mapping[str, str]
    raw: str = ""
    layout: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot become a modification: why, where, and what right would look like.

    `code` is one of `codes.json`; `details` fill the placeholders of its sentence; `column` names the cell at fault.
    """

    place: str
    code: str
    details: Mapping[str, str] = field(default_factory=dict)
    column: str = ""
    raw: str = ""
    order: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that cannot be read at all, or must not be: one code, one sentence for the whole of it."""

    code: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A genuine payload that says nothing we act on (a thin ping, a topic we do not use): stored and listed."""

    why: str


@dataclass(frozen=True, slots=True)
class OrderNames:
    """A genuine payload that only tells by which names an order is known: kept as its names alone (spec 2).

    `order` is the order id as actions are reported; empty where only other names are told together. `names` are what
    else it is known by (`charge:ch_1`). `total` is what the customer paid in all, as decimal text, in `currency`.
    """

    order: str | None
    names: tuple[str, ...]
    total: str = ""
    currency: str = ""


def line_place(place: str) -> str:
    """The place of the line that an item stands in; any other place is its own."""
    return ITEM_SUFFIX.sub("", place) if "." in place else place


@dataclass(frozen=True, slots=True)
class ActionReport:
    """One action in the reporter's words: its own fields, and those of each line (none: the order's one amount)."""

    place: str
    fields: Mapping[str, str]
    lines: Sequence[Mapping[str, str]]
    raw: str = ""


InputRecord = Row | ActionReport | Unreadable
"""What the readers of files give: one return, one sale, or why it is neither."""
