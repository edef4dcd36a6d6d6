"""Named lists of SKUs, categories or codes, matched exactly or by prefix. Immutable; uploads replace them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

ENTRIES_MAX = 20_000
ENTRY_MAX = 128
WILDCARD = "*"


class Entries(Protocol):
    """The entries of a list, identified by their content hash."""

    @property
    def sha256(self) -> str: ...

    def __contains__(self, value: str, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class NamedList:
    """`beginnings` are the entries ending in `*`, without it; `lengths` are their lengths."""

    sha256: str
    exact: frozenset[str]
    beginnings: frozenset[str]
    lengths: tuple[int, ...]

    def __contains__(self, value: str, /) -> bool:
        return value in self.exact or any(value[:length] in self.beginnings for length in self.lengths)


def named_list(entries: Iterable[str]) -> NamedList:
    """Create a list. Order does not matter."""
    said = {*entries}
    beginnings = {entry[:-1] for entry in said if entry.endswith(WILDCARD)}
    return NamedList(
        sha256=hashlib.sha256("\n".join(sorted(said)).encode()).hexdigest(),
        exact=frozenset(entry for entry in said if not entry.endswith(WILDCARD)),
        beginnings=frozenset(beginnings),
        lengths=tuple(sorted({len(beginning) for beginning in beginnings})),
    )
