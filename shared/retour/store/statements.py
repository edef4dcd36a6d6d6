"""A program's statements, immutable once issued.

`F#<program>` holds the progress and every statement's head; `F#<program>#<day>#<group>` a run, which covers one group
on one day: its start, its position, and each partner's statement with its lines; `F#<program>#P#<partner>` the days
with a statement for that partner. Everything except progress and position is written once.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.store.items import Item, encode_json, read_json, s
from retour.store.query import partition_items, query_items

Document = dict[str, Any]
LINES_OF_AN_ITEM = 2_000
"""Lines per item. Compressed, they stay below DynamoDB's item limit even with the longest ids."""
PROGRESS, HEAD = "=", "S#"
BEGUN, LOOKED, OF_PARTNER = "=", "+", "P#"


def pack_lines(lines: Sequence[Any]) -> bytes:
    return zlib.compress(encode_json(lines).encode("utf-8", "surrogatepass"), 9)


def unpack_lines(item: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = json.loads(zlib.decompress(item["lines"]["B"]))
    return found


@dataclass(frozen=True)
class Statements:
    """`client` is a boto3 DynamoDB client."""

    client: Any
    table: str
    program: str

    # Progress

    def progress(self) -> Document:
        """`done`: the last completed day and group; `numbers`: statements issued per number series."""
        return self._get(self._all, PROGRESS) or {}

    def advance(self, doc: Document, before: Document) -> bool:
        """Complete a run, its only commit point. False if another worker was first."""
        item = {"PK": s(self._all), "SK": s(PROGRESS), "doc": s(encode_json(doc))}
        more: Document = {"ConditionExpression": "attribute_not_exists(PK)"}
        if before:
            more = {
                "ConditionExpression": "doc = :before",
                "ExpressionAttributeValues": {":before": s(encode_json(before))},
            }
        try:
            self.client.put_item(TableName=self.table, Item=item, **more)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def begin(self, run: str, doc: Document) -> Document:
        """Start a run, or resume it: returns the document it was first started with."""
        standing = self._put_new({"PK": s(self._run(run)), "SK": s(BEGUN), "doc": s(encode_json(doc))})
        return standing or doc

    def run_start(self, run: str) -> Document | None:
        return self._get(self._run(run), BEGUN)

    def run_position(self, run: str) -> str:
        """The last partner the run has processed; empty at the start."""
        return str((self._get(self._run(run), LOOKED) or {}).get("partner", ""))

    def put_looked(self, run: str, partner: str) -> None:
        item = {"PK": s(self._run(run)), "SK": s(LOOKED), "doc": s(encode_json({"partner": partner}))}
        self.client.put_item(TableName=self.table, Item=item)

    # Statements of a run

    def put_draft(self, run: str, partner: str, doc: Document, lines: Sequence[Any]) -> None:
        """Save a partner's statement before it is numbered.

        Lines that do not fit into its item are written first, so that a visible statement is always complete.
        """
        first, *more = [pack_lines(lines[at : at + LINES_OF_AN_ITEM]) for at in range(0, len(lines), LINES_OF_AN_ITEM)]
        for number, some in enumerate(more):
            self._put_new({"PK": s(self._lines(run, partner)), "SK": s(f"{number:04d}"), "lines": {"B": some}})
        self._put_new(
            {
                "PK": s(self._run(run)),
                "SK": s(f"{OF_PARTNER}{partner}"),
                "doc": s(encode_json(doc)),
                "lines": {"B": first},
            }
        )

    def drafts(self, run: str) -> Iterator[tuple[str, Document]]:
        """The run's statements by partner, which is the order of their numbers."""
        for item in self._query(self._run(run), ProjectionExpression="SK, doc"):
            if item["SK"]["S"].startswith(OF_PARTNER):
                yield item["SK"]["S"].removeprefix(OF_PARTNER), read_json(item)

    def lines(self, run: str, partner: str) -> Iterator[Any]:
        key = {"PK": s(self._run(run)), "SK": s(f"{OF_PARTNER}{partner}")}
        first = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]
        yield from unpack_lines(first)
        for item in self._query(self._lines(run, partner)):
            yield from unpack_lines(item)

    def lines_of_run(self, run: str) -> Iterator[tuple[str, list[Any]]]:
        """Every partner's lines, in the order of the partners."""
        for item in self._query(self._run(run)):
            if (partner := item["SK"]["S"].removeprefix(OF_PARTNER)) != item["SK"]["S"]:
                more = len(unpack_lines(item)) == LINES_OF_AN_ITEM
                yield partner, [*self.lines(run, partner)] if more else unpack_lines(item)

    # Issued statements, by id and by partner

    def put(self, id_: str, partner: str, doc: Document) -> None:
        """Save a numbered statement. Idempotent."""
        self._put_new({"PK": s(self._all), "SK": s(f"{HEAD}{id_}"), "doc": s(encode_json(doc))})
        self._put_new({"PK": s(self._partner(partner)), "SK": s(f"{doc['day']}#{doc['group']}"), "id": s(id_)})

    def get(self, id_: str) -> Document | None:
        return self._get(self._all, f"{HEAD}{id_}")

    def newest_first(self, before: str = "") -> Iterator[tuple[str, Document]]:
        """(id, head) of all statements before an id, newest first."""
        values = {":pk": s(self._all), ":first": s(HEAD), ":last": s(f"{HEAD}{before or '~'}")}
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        for item in found:
            id_ = item["SK"]["S"].removeprefix(HEAD)
            if id_ != before:
                yield id_, read_json(item)

    def of_partner(self, partner: str) -> list[tuple[str, str, str]]:
        """(day, group, id) of a partner's statements, newest first."""
        found = [(*item["SK"]["S"].split("#", 1), item["id"]["S"]) for item in self._query(self._partner(partner))]
        return [(day, group, id_) for day, group, id_ in reversed(found)]

    # Keys

    @property
    def _all(self) -> str:
        return f"F#{self.program}"

    def _run(self, run: str) -> str:
        return f"F#{self.program}#{run}"

    def _lines(self, run: str, partner: str) -> str:
        return f"F#{self.program}#{run}#{partner}"

    def _partner(self, partner: str) -> str:
        return f"F#{self.program}#P#{partner}"

    def _query(self, partition: str, **more: str) -> Iterator[Mapping[str, Any]]:
        yield from partition_items(self.client, self.table, partition, **more)

    def _get(self, partition: str, sort: str) -> Document | None:
        key = {"PK": s(partition), "SK": s(sort)}
        found: Item | None = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        return read_json(found) if found else None

    def _put_new(self, item: Item) -> Document | None:
        """Insert an item. None if inserted, otherwise the existing item's document."""
        try:
            self.client.put_item(
                TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(PK)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )  # fmt: skip
        except self.client.exceptions.ConditionalCheckFailedException as failure:
            standing = failure.response["Item"]
            return read_json(standing) if "doc" in standing else {}
        return None
