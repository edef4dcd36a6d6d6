"""Rows: records in the sender's words, with their place, as channels and file readers return them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ABSENT = "absent"
"""Layout of a row that a full export no longer contains, in Retour's own columns."""
ITEM_SUFFIX = re.compile(r"(?<=\d)\.\d+$")


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the sender wrote it.

    `place` is where a person finds it: the line of a file (the header is line 1), the number in a list (from 1), or a
    path such as `refunds[2]`; an item of a line with several is `7.2`. `fields` are the sender's column names and
    texts, without empty cells. `raw` is the record as received, for the rejected file. `layout` is the partner layout
    of its file, if any.
    """

    place: str
    fields: Mapping[str, str]
    raw: str = ""
    layout: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot become a modification, with the reason.

    `code` is one of codes.json; `details` are the values of its sentence; `column` is the faulty cell's column.
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
    """A delivery that cannot be read at all, or must not be, with the code for the whole."""

    code: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignored:
    """An authentic payload that needs no action (a ping, an unused topic). Stored and listed."""

    why: str


@dataclass(frozen=True, slots=True)
class OrderNames:
    """An authentic payload that only links names of an order; only the names are kept (spec 2).

    `order` is the order id as reported, empty if only other names are linked. `names` are the other names
    (`charge:ch_1`). `total` is what the customer paid, as decimal text in `currency`.
    """

    order: str | None
    names: tuple[str, ...]
    total: str = ""
    currency: str = ""


def line_place(place: str) -> str:
    """The place of the line an item is in; other places are unchanged."""
    return ITEM_SUFFIX.sub("", place) if "." in place else place


@dataclass(frozen=True, slots=True)
class ActionReport:
    """A reported action: its fields, and those of its lines (none if it has a single amount)."""

    place: str
    fields: Mapping[str, str]
    lines: Sequence[Mapping[str, str]]
    raw: str = ""


InputRecord = Row | ActionReport | Unreadable
"""What file readers return: a return, a sale, or an unreadable record."""
