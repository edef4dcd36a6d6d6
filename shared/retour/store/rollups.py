"""A program's aggregates, computed by the nightly count, so that no page computes sums by reading actions.

`L#<program>` holds the newest count (the summary, a document per partner, partners by pending amount) and the input of
the next one: partner months with final actions, and their sums. `L#<program>#<run>` holds the pieces of a running
count. `R#<program>` holds what was received, one document per UTC day.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retour.domain.actions.order import LogEntry
from retour.domain.times import parse_instant
from retour.store.items import NO_LOCK_DAY, Item, encode_json, entries_from, n, partner_month, read_json, s
from retour.store.query import query_items
from retour.store.throttled_reads import batch_get

KEYS_PER_BATCH = 100
"""Keys per batch read."""
STATES = {"P": "pending", "A": "approved", "R": "reversed"}
MARK_PREFIX, MONTH_PREFIX, PARTNER_PREFIX, PAGE_PREFIX, SUMMARY_KEY, CURRENT_RUN_KEY = "M#", "N#", "P#", "R#", "S", "T"
"""Sort keys after those of the lock partitions (`D#…`), which are listed by day."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HeadLine:
    """What a head says without its order. `open_log` has the entries that are not sealed."""

    order_key: str
    action: str
    state: str
    payout: int
    contract: int
    changes: int
    partner: str
    month: str
    locks_at: datetime | None
    event_time: datetime | None
    open_log: Sequence[LogEntry]
    is_sealed: bool


def head_line(item: Mapping[str, Any]) -> HeadLine:
    _, _, order_key = item["PK"]["S"].split("#", 2)
    locks_at = item["GSI2SK"]["S"].partition("#")[0]
    partner, month, _ = partner_month(item["GSI2PK"]["S"])
    return HeadLine(
        order_key=order_key,
        action=item["SK"]["S"][2:],
        state=STATES[item["st"]["S"]],
        payout=int(item["po"]["N"]),
        contract=int(item["cn"]["N"]),
        changes=int(item["ch"]["N"]),
        partner=partner,
        month=month,
        locks_at=None if locks_at == NO_LOCK_DAY else parse_instant(locks_at),
        event_time=parse_instant(item["evt"]["S"]) if "evt" in item else None,
        open_log=entries_from(item["log"]["B"]),
        is_sealed="sealed" in item,
    )


def unpack_document(item: Mapping[str, Any]) -> Document:
    found: Document = json.loads(zlib.decompress(item["doc"]["B"]))
    return found


@dataclass(frozen=True)
class RollUps:
    """`client` is a boto3 DynamoDB client."""

    client: Any
    table: str
    program: str

    # Read by pages

    def summary(self) -> Document | None:
        return self._get(SUMMARY_KEY)

    def partner(self, partner: str) -> Document | None:
        return self._get(f"{PARTNER_PREFIX}{partner}")

    def page(self, number: int) -> Document | None:
        """A page of partners by pending amount, from page 0."""
        return self._get(f"{PAGE_PREFIX}{number:05d}")

    def days(self, days: Sequence[str]) -> dict[str, Document]:
        """What was received on these UTC days (YYYYMMDD); days not counted yet are missing."""
        keys = [{"PK": s(f"R#{self.program}"), "SK": s(day)} for day in days]
        return {item["SK"]["S"]: read_json(item) for item in self._batch(keys)}

    def counted_until(self) -> datetime | None:
        """The time up to which received records are counted."""
        found = self._get("=", "R")
        return parse_instant(found["until"]) if found else None

    # Written by the count

    def put_summary(self, doc: Document) -> None:
        self._put(SUMMARY_KEY, doc)

    def put_partner(self, partner: str, doc: Document) -> None:
        self._put(f"{PARTNER_PREFIX}{partner}", doc)

    def put_page(self, number: int, doc: Document) -> None:
        self._put(f"{PAGE_PREFIX}{number:05d}", doc)

    def put_day(self, day: str, doc: Document) -> None:
        self._put(day, doc, "R")

    def put_counted_until(self, until: str, again: Mapping[str, int]) -> None:
        """`again` maps hours that still had open deliveries to their number."""
        self._put("=", {"until": until, "again": dict(again)}, "R")

    def arrivals_progress(self) -> Document | None:
        return self._get("=", "R")

    # A running count

    def current_run(self) -> Document | None:
        return self._get(CURRENT_RUN_KEY)

    def begin(self, run: str, before: str | None) -> bool:
        """Start the count that follows `before`. True for the one caller that started it."""
        item = {**self._key(CURRENT_RUN_KEY), "run": s(run), "doc": s(encode_json({"run": run}))}
        more: Document = {"ConditionExpression": "attribute_not_exists(PK)"}
        if before is not None:
            more = {"ConditionExpression": "#run = :before", "ExpressionAttributeNames": {"#run": "run"},
                    "ExpressionAttributeValues": {":before": s(before)}}  # fmt: skip
        return self._put_if(item, **more)

    def put_piece(self, run: str, number: int, doc: Document, until: datetime) -> bool:
        """Save a piece unless it exists. Compressed, since every action may be another partner's; expires after `until`
        (TTL).
        """
        item = {
            "PK": s(f"L#{self.program}#{run}"),
            "SK": s(f"{number:06d}"),
            "doc": {"B": zlib.compress(encode_json(doc).encode("utf-8", "surrogatepass"))},
            "ttl": n(int(until.timestamp())),
        }
        return self._put_if(item, ConditionExpression="attribute_not_exists(PK)")

    def pieces(self, run: str) -> Iterator[Document]:
        yield from map(unpack_document, self._query(f"L#{self.program}#{run}", ""))

    def last_piece(self, run: str) -> tuple[int, Document] | None:
        answer = self.client.query(
            TableName=self.table,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": s(f"L#{self.program}#{run}")},
            ScanIndexForward=False,
            Limit=1,
            ConsistentRead=True,
        )
        found = next(iter(answer["Items"]), None)
        return (int(found["SK"]["S"]), unpack_document(found)) if found else None

    def marks(self) -> dict[str, str]:
        """Partner months (`2026-11#partner`) with final actions, and the time of the last one."""
        return {item["SK"]["S"][2:]: item["fin"]["S"] for item in self._query(f"L#{self.program}", MARK_PREFIX)}

    def months(self) -> dict[str, Document]:
        """The sums of each partner month's locked actions at the last count."""
        return {item["SK"]["S"][2:]: read_json(item) for item in self._query(f"L#{self.program}", MONTH_PREFIX)}

    def put_month(self, name: str, doc: Document) -> None:
        self._put(f"{MONTH_PREFIX}{name}", doc)

    # Heads

    def lines(self, named: Sequence[tuple[str, str]]) -> list[HeadLine]:
        """The heads of these (order key, action id) pairs."""
        keys = [{"PK": s(f"A#{self.program}#{order}"), "SK": s(f"H#{action}")} for order, action in named]
        return [head_line(item) for item in self._batch(keys) if "GSI2PK" in item]

    def orders_with_unassigned(self, orders: Sequence[str]) -> set[str]:
        """The orders with entries booked on the order itself, because its actions were final or unknown."""
        keys = [{"PK": s(f"A#{self.program}#{order}"), "SK": s("H#")} for order in dict.fromkeys(orders)]
        return {item["PK"]["S"].split("#", 2)[2] for item in self._batch(keys, "PK")}

    def _batch(self, keys: Sequence[Item], names: str = "") -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(keys), KEYS_PER_BATCH):
            asked: Document = {"Keys": keys[start : start + KEYS_PER_BATCH]} | (
                {"ProjectionExpression": names} if names else {}
            )
            yield from (item for _, item in batch_get(self.client, {self.table: asked}))

    def _query(self, partition: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        condition, values = "PK = :pk", {":pk": s(partition)}
        if prefix:
            condition, values = "PK = :pk AND begins_with(SK, :prefix)", values | {":prefix": s(prefix)}
        found = query_items(
            self.client,
            TableName=self.table, KeyConditionExpression=condition, ExpressionAttributeValues=values,
            ConsistentRead=True,
        )  # fmt: skip
        yield from found

    def _get(self, name: str, kind: str = "L") -> Document | None:
        answer = self.client.get_item(TableName=self.table, Key=self._key(name, kind), ConsistentRead=True)
        return read_json(answer["Item"]) if "Item" in answer else None

    def _put(self, name: str, doc: Document, kind: str = "L") -> None:
        self.client.put_item(TableName=self.table, Item={**self._key(name, kind), "doc": s(encode_json(doc))})

    def _put_if(self, item: Item, **condition: Any) -> bool:
        try:
            self.client.put_item(TableName=self.table, Item=item, **condition)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _key(self, name: str, kind: str = "L") -> Item:
        return {"PK": s(f"{kind}#{self.program}"), "SK": s(name)}
