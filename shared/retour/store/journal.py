"""A program's journal, as it was booked.

`J#<program>` holds how far it is booked (`=`) and its entries, packed, by the number of their first (`E#`);
`J#<program>#<day>` the actions that became final for a day, packed. Everything but the first is written once and never
changed; a day is there when the first says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retour.store.bulk import batched
from retour.store.items import Item, encode_json, read_json, s
from retour.store.query import partition_items, query_items
from retour.store.statements import pack_lines, unpack_lines

Document = dict[str, Any]
ENTRIES_OF_AN_ITEM, DETAILS_OF_AN_ITEM = 500, 2_000
PROGRESS, ENTRIES = "=", "E#"


@dataclass(frozen=True)
class Journal:
    """`client` is a boto3 DynamoDB client."""

    client: Any
    table: str
    program: str

    def progress(self) -> Document:
        """`day`: the last that is booked; `number` and `sha256` of the last entry; `at`: when that was."""
        key = {"PK": s(self._all), "SK": s(PROGRESS)}
        found = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        return read_json(found) if found else {}

    def put_day(self, day: str, entries: Sequence[Any], details: Sequence[Any]) -> None:
        """What is booked of a day; whoever is followed by another puts the same."""
        for number, some in enumerate(batched(details, DETAILS_OF_AN_ITEM)):
            self._put({"PK": s(self._of_day(day)), "SK": s(f"{number:04d}"), "lines": {"B": pack_lines(some)}})
        for some in batched(entries, ENTRIES_OF_AN_ITEM):
            first = f"{ENTRIES}{some[0][0]:010d}"
            self._put({"PK": s(self._all), "SK": s(first), "lines": {"B": pack_lines(some)}})

    def advance(self, doc: Document, before: Document) -> bool:
        """The one commit point of a day: False when somebody else was faster."""
        item = {"PK": s(self._all), "SK": s(PROGRESS), "doc": s(encode_json(doc))}
        more: Document = {"ConditionExpression": "attribute_not_exists(PK)"}
        if before:
            values = {":before": s(encode_json(before))}
            more = {"ConditionExpression": "doc = :before", "ExpressionAttributeValues": values}
        try:
            self.client.put_item(TableName=self.table, Item=item, **more)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def entries(self, newest_first: bool = False) -> Iterator[Any]:
        """All that are booked; what was put for a day that never was is left out."""
        last = self.progress().get("number", 0)
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :kind)",
            ExpressionAttributeValues={":pk": s(self._all), ":kind": s(ENTRIES)},
            ConsistentRead=True,
            ScanIndexForward=not newest_first,
        )
        for item in found:
            some = unpack_lines(item)
            yield from (one for one in (reversed(some) if newest_first else some) if one[0] <= last)

    def details(self, day: str) -> Iterator[Any]:
        for item in partition_items(self.client, self.table, self._of_day(day)):
            yield from unpack_lines(item)

    def _put(self, item: Item) -> None:
        self.client.put_item(TableName=self.table, Item=item)

    @property
    def _all(self) -> str:
        return f"J#{self.program}"

    def _of_day(self, day: str) -> str:
        return f"J#{self.program}#{day}"
