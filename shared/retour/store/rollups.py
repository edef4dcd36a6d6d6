"""What a program's actions came to on one night: written by name, so that a run that was cut off goes on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from retour.store.items import document, read, s

AT_ONCE = 100
"""Keys of one batch of reads."""
TOTAL = "="


@dataclass(frozen=True)
class RollUps:
    """`R#<program>#<day>` items, a document each: one for every partition of the lock index, and their total."""

    client: Any
    table: str
    program: str

    def put(self, day: str, name: str, doc: Mapping[str, Any]) -> None:
        self.client.put_item(TableName=self.table, Item={**self._key(day, name), "doc": document(doc)})

    def total(self, day: str) -> dict[str, Any] | None:
        found = self.client.get_item(TableName=self.table, Key=self._key(day, TOTAL), ConsistentRead=True).get("Item")
        return read(found) if found else None

    def parts(self, day: str) -> dict[str, dict[str, Any]]:
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": self._key(day, TOTAL)["PK"]},
            ConsistentRead=True,
        )
        found = {item["SK"]["S"]: read(item) for page in pages for item in page["Items"]}
        return {name: doc for name, doc in found.items() if name != TOTAL}

    def heads(self, named: Iterable[tuple[str, str]]) -> Iterator[tuple[str, int]]:
        """State (`P`, `A` or `R`) and payout of the heads of these (order key, action id)."""
        keys = iter(named)
        while some := list(islice(keys, AT_ONCE)):
            wanted = [{"PK": s(f"A#{self.program}#{order}"), "SK": s(f"H#{action}")} for order, action in some]
            while wanted:
                answer = self.client.batch_get_item(
                    RequestItems={self.table: {"Keys": wanted, "ProjectionExpression": "st, po"}}
                )
                for item in answer["Responses"].get(self.table, ()):
                    if "st" in item:
                        yield item["st"]["S"], int(item["po"]["N"])
                wanted = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])

    def _key(self, day: str, name: str) -> dict[str, Any]:
        return {"PK": s(f"R#{self.program}#{day}"), "SK": s(name)}
