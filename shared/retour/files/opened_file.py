"""A file that can be read, whatever its format."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from retour.domain.row import Row, Unreadable


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """Its header, and its rows as they come.

    `rejected_head` is everything up to the first row exactly as it came, `encoding` and `newline` what its rows are
    written in: with the raw text of refused rows, and `rejected_tail` after them, they make a file of the same layout.
    Where a file is more than text, `write` makes it from the raw texts. `mark` is the decimal mark that its own amounts
    decide, where they do and the source declares none. `skipped` counts, while rows are read, the
    lines that are no rows (blank, totals, repeated header, preamble).
    """

    header: tuple[str, ...]
    layout: str
    rows: Iterator[Row | Unreadable]
    rejected_head: bytes
    encoding: str
    newline: str
    delimiter: str = ""
    mark: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    rejected_tail: bytes = b""
    write: Callable[[Iterable[str]], Iterator[bytes]] | None = None
