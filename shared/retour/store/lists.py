"""Named lists by content hash, stored in immutable pages."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from retour.domain.contracts.named_list import NamedList, named_list
from retour.store.items import s
from retour.store.query import query_items

PAGE_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class NamedLists:
    """The named lists of all programs, loaded on first lookup and cached for the process."""

    client: Any
    table: str
    _read: dict[tuple[str, str], NamedList] = field(default_factory=dict, repr=False, compare=False)

    def save(self, program_id: str, entries: Iterable[str]) -> NamedList:
        """Store a list before anything refers to it. Equal content gives the same list."""
        said = sorted({*entries})
        made = named_list(said)
        packed = zlib.compress("\n".join(said).encode())
        for number, start in enumerate(range(0, len(packed), PAGE_BYTES)):
            self.client.put_item(
                TableName=self.table,
                Item={
                    **_key(program_id, made.sha256, number),
                    "entries": {"B": packed[start : start + PAGE_BYTES]},
                },
            )
        return made

    def entries(self, program_id: str, sha256: str) -> list[str]:
        packed = b"".join(self._pages(program_id, sha256))
        if not packed:
            raise KeyError(f"the list {sha256} of {program_id} is gone")
        return zlib.decompress(packed).decode().split("\n")

    def get(self, program_id: str, sha256: str) -> NamedList:
        key = program_id, sha256
        if key not in self._read:
            self._read[key] = named_list(self.entries(program_id, sha256))
        return self._read[key]

    def _pages(self, program_id: str, sha256: str) -> Iterator[bytes]:
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :sk)",
            ExpressionAttributeValues={":pk": s(f"N#{program_id}"), ":sk": s(f"{sha256}#")},
            ConsistentRead=True,
        )
        yield from (item["entries"]["B"] for item in found)


@dataclass(frozen=True)
class StoredList:
    """A stored list, loaded on first lookup."""

    lists: NamedLists = field(repr=False, compare=False)
    program: str
    sha256: str

    @cached_property
    def _entries(self) -> NamedList:
        return self.lists.get(self.program, self.sha256)

    def __contains__(self, value: str, /) -> bool:
        return value in self._entries


def _key(program_id: str, sha256: str, page: int) -> dict[str, Any]:
    return {"PK": s(f"N#{program_id}"), "SK": s(f"{sha256}#{page:02d}")}
