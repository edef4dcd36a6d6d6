"""An opened file, independent of its format."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from retour.domain.row import Row, Unreadable


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file's header and its rows, read lazily.

    `rejected_head` is everything before the first row, byte for byte. Together with the raw text of refused rows in
    `encoding` and `newline`, and `rejected_tail`, it makes a file of the same layout; formats other than text have
    `write` for that. `mark` is the decimal mark detected in the amounts if the source declares none. `skipped` counts
    lines that are not rows (blank, totals, repeated header, preamble) while rows are read.
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
