"""A program's deliveries: a header each, with the raw body inside it or in the inbox, and a list of pending cases.

A delivery id starts with its day, so the header is found by id alone. Open deliveries are listed separately; the oldest
is the low-water mark that delays the fence of a lock (spec 5.4).
"""

import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from typing import Any

from retour.domain.actions.fence import LowWaterMark
from retour.domain.delivery import Delivery
from retour.domain.times import format_compact, format_instant
from retour.store.inbox import Inbox
from retour.store.items import delivery_document, delivery_from, json_attribute, n, read_json, s
from retour.store.query import partition_items, query_items

INLINE_MAX = 6 * 1024
"""Largest compressed body kept in the header. Putting an object costs as much as eight write units."""
SHARD_COUNT = 4
DRY_RUN_DAYS = 14
"""Retention of a dry run's report, by the real clock. A large body expires like any other raw body."""
STUCK = "stuck"
"""State of an open delivery that a worker tried and could not finish."""
DELIVERY_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{10}")


@dataclass(frozen=True, slots=True)
class DeliveryHeader:
    """A delivery with the state of its processing: the intake's report, or the rows of an inline delivery."""

    delivery: Delivery
    state: str
    report: Mapping[str, Any]
    inline: bytes | None
    is_gone: bool = False
    """Whether the body was deleted because of its age or by `retour forget`. Its hash is kept."""


@dataclass(frozen=True)
class Deliveries:
    """Stores deliveries of one program.

    With `envelopes`, a copy of every header and body is also written to S3. The local hub needs this because only S3
    survives a kill.
    """

    client: Any
    table: str
    program: str
    inbox: Inbox
    envelopes: bool = False

    def put(self, delivery: Delivery, body: bytes | None, state: str, report: Mapping[str, Any]) -> Delivery:
        """Write header and raw body durably. Without `body`, the bytes are or will be at `delivery.body_key`.

        Unless its state is `done`, the delivery is listed as open until `close`. Dry runs are never listed, counted or
        resumed after a kill.
        """
        packed = zlib.compress(body, 6) if body is not None else b""
        inline = body is not None and not delivery.body_key and len(packed) <= INLINE_MAX
        if body is not None and not delivery.body_key and (not inline or self.envelopes):
            delivery = replace(delivery, body_key=f"raw/{self.program}/{delivery.id}")
            self.inbox.put(delivery.body_key, body)
        if self.envelopes and not delivery.is_dry_run:
            envelope = json.dumps({"format": 1, **delivery_document(delivery)}, ensure_ascii=False)
            self.inbox.put(f"deliveries/{delivery.id}.json", envelope.encode())
        if state != "done" and not delivery.is_dry_run:
            self.list_open(delivery, state)
        self._write(delivery, state, report, packed if inline else None)
        return delivery

    def close(self, delivery: Delivery, report: Mapping[str, Any], state: str = "done") -> None:
        """Save the report of an open delivery and remove it from the open list."""
        header = self.get(delivery.id)
        self._write(delivery, state, report, header.inline if header else None)
        if header is not None and header.is_gone:
            self.mark_body_deleted(delivery, report)
        self.client.delete_item(TableName=self.table, Key=self._open_key(delivery))

    def mark_body_deleted(self, delivery: Delivery, report: Mapping[str, Any]) -> None:
        """Delete the inline body and save `report`; the header stays."""
        self.client.update_item(
            TableName=self.table,
            Key=self._key(delivery.id),
            UpdateExpression="SET gone = :gone, rep = :report REMOVE #raw",
            ExpressionAttributeNames={"#raw": "raw"},
            ExpressionAttributeValues={":gone": {"BOOL": True}, ":report": json_attribute(report)},
            ConditionExpression="attribute_exists(PK)",
        )

    def get(self, delivery_id: str) -> DeliveryHeader | None:
        if not DELIVERY_ID.fullmatch(delivery_id):
            return None
        for key in (self._key(delivery_id), self._dry_key(delivery_id)):
            found = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
            if found:
                return self._header(found)
        return None

    def body(self, header: DeliveryHeader) -> bytes:
        """The raw bytes as received. Raises KeyError if they have expired or were deleted."""
        if header.is_gone:
            raise KeyError(header.delivery.id)
        if header.inline is not None:
            return zlib.decompress(header.inline)
        return self.inbox.read(header.delivery.body_key)

    def newest(self, day: str, before: str | None = None, most: int = 50) -> list[DeliveryHeader]:
        """Up to `most` headers of one UTC day (YYYYMMDD), newest first, before the id `before`."""
        found: list[DeliveryHeader] = []
        for shard in range(SHARD_COUNT):
            condition = "PK = :pk AND SK < :before" if before else "PK = :pk"
            values = {":pk": s(f"D#{self.program}#{day}#{shard}")} | ({":before": s(before)} if before else {})
            answer = self.client.query(
                TableName=self.table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                Limit=most,
            )
            found += [self._header(item) for item in answer["Items"]]
        return sorted(found, key=lambda header: header.delivery.id, reverse=True)[:most]

    def between(self, start: str, end: str) -> Iterator[DeliveryHeader]:
        """The headers of one UTC day whose ids lie in [start, end), such as `20261121T23`, oldest first."""

        def of_shard(shard: int) -> Iterator[Mapping[str, Any]]:
            values = {":pk": f"D#{self.program}#{start[:8]}#{shard}", ":start": start, ":end": end}
            found = query_items(
                self.client,
                TableName=self.table,
                KeyConditionExpression="PK = :pk AND SK BETWEEN :start AND :end",
                ExpressionAttributeValues={name: s(value) for name, value in values.items()},
            )
            yield from found

        for item in merge(*map(of_shard, range(SHARD_COUNT)), key=lambda item: item["SK"]["S"]):
            yield self._header(item)

    def newest_of_sources(self, start: datetime, end: datetime) -> dict[str, datetime]:
        """The time of the newest delivery per source received in [start, end). Sources without one are missing."""
        newest: dict[str, datetime] = {}
        for back in range((end.date() - start.date()).days + 1):
            day = f"{start + timedelta(days=back):%Y%m%d}"
            for shard in range(SHARD_COUNT):
                values = {":pk": s(f"D#{self.program}#{day}#{shard}"), ":start": s(format_compact(start))}
                found = query_items(
                    self.client,
                    TableName=self.table,
                    KeyConditionExpression="PK = :pk AND SK >= :start",
                    ExpressionAttributeValues=values,
                    ProjectionExpression="doc",
                )
                for delivery in (delivery_from(read_json(item)) for item in found):
                    newest[delivery.source] = max(delivery.received_at, newest.get(delivery.source, start))
        return newest

    def open(self, state: str | None = None) -> Iterator[Delivery]:
        """Open deliveries, optionally of one state, oldest first."""
        for item in self._open():
            if state is None or item.get("st", {}).get("S") == state:
                yield delivery_from(read_json(item))

    def open_ids(self) -> Iterator[str]:
        """The ids of open deliveries, oldest first."""
        yield from (item["SK"]["S"] for item in self._open())

    def open_with_state(self) -> Iterator[tuple[Delivery, str]]:
        """Open deliveries with their states, oldest first. `held` ones wait for a person, all others for a worker."""
        yield from ((delivery_from(read_json(item)), item.get("st", {}).get("S", "")) for item in self._open())

    def low_water(self) -> LowWaterMark:
        """The receipt times of the oldest delivery in progress and of the oldest held one.

        A delivery that its worker could not finish (`STUCK`) counts as held (spec 5.4).
        """
        working = held = None
        for item in self._open():
            received_at = delivery_from(read_json(item)).received_at
            if item.get("st", {}).get("S") not in ("held", STUCK):
                working = min(received_at, working or received_at)
            else:
                held = min(received_at, held or received_at)
            if working and held:
                break
        return LowWaterMark(working, held)

    def _open(self) -> Iterator[Mapping[str, Any]]:
        yield from partition_items(self.client, self.table, f"O#{self.program}")

    # Pending cases and reminders

    def remind(self, kind: str, deadline: datetime, subject: str, doc: Mapping[str, Any]) -> None:
        """List a case (waiting, held, refused, silent) under its deadline. Idempotent."""
        item = {
            "PK": s(f"T#{self.program}#{kind}"),
            "SK": s(f"{format_instant(deadline)}#{subject}"),
            "doc": json_attribute(doc),
        }
        self.client.put_item(TableName=self.table, Item=item)

    def forget(self, kind: str, deadline: datetime, subject: str) -> bool:
        """Remove a case from the list. True for the one caller that removed it."""
        key = {"PK": s(f"T#{self.program}#{kind}"), "SK": s(f"{format_instant(deadline)}#{subject}")}
        gone = self.client.delete_item(TableName=self.table, Key=key, ReturnValues="ALL_OLD")
        return "Attributes" in gone

    def reminder(self, kind: str, deadline: datetime, subject: str) -> Mapping[str, Any] | None:
        key = {"PK": s(f"T#{self.program}#{kind}"), "SK": s(f"{format_instant(deadline)}#{subject}")}
        found = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        return read_json(found) if found else None

    def due(self, kind: str, now: datetime | None = None, after: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(subject, doc) of the cases of a kind with a deadline before `now`, by deadline.

        `after` is a position in that list, `deadline#subject`; cases up to it are skipped.
        """
        condition, values = "PK = :pk", {":pk": s(f"T#{self.program}#{kind}")}
        if now is not None and after >= format_instant(now):
            return
        if now is not None:
            condition, values = "PK = :pk AND SK < :now", values | {":now": s(format_instant(now))}
        if after:
            condition, values = (
                "PK = :pk AND SK BETWEEN :after AND :now",
                {":now": s("~"), **values, ":after": s(after)},
            )
        found = query_items(
            self.client, TableName=self.table, KeyConditionExpression=condition, ExpressionAttributeValues=values
        )
        for item in found:
            if item["SK"]["S"] != after:
                deadline, _, subject = item["SK"]["S"].partition("#")
                yield subject, {"deadline": deadline, **read_json(item)}

    def _write(self, delivery: Delivery, state: str, report: Mapping[str, Any], inline: bytes | None) -> None:
        item = {
            **(self._dry_key if delivery.is_dry_run else self._key)(delivery.id),
            "st": s(state),
            "doc": json_attribute(delivery_document(delivery)),
            "rep": json_attribute(report),
        }
        if inline is not None:
            item["raw"] = {"B": inline}
        if delivery.is_dry_run:
            item["ttl"] = n(int(time.time() + DRY_RUN_DAYS * 86_400))
        self.client.put_item(TableName=self.table, Item=item)

    def _header(self, item: Mapping[str, Any]) -> DeliveryHeader:
        inline = item["raw"]["B"] if "raw" in item else None
        return DeliveryHeader(
            delivery_from(read_json(item)), item["st"]["S"], read_json(item, "rep"), inline, "gone" in item
        )

    def _key(self, delivery_id: str) -> dict[str, Any]:
        day, shard = delivery_id[:8], int(delivery_id[-1], 16) % SHARD_COUNT
        return {"PK": s(f"D#{self.program}#{day}#{shard}"), "SK": s(delivery_id)}

    def _dry_key(self, delivery_id: str) -> dict[str, Any]:
        return {"PK": s(f"DRY#{self.program}"), "SK": s(delivery_id)}

    def list_open(self, delivery: Delivery, state: str) -> None:
        """List a delivery as open with its state."""
        item = {**self._open_key(delivery), "st": s(state), "doc": json_attribute(delivery_document(delivery))}
        self.client.put_item(TableName=self.table, Item=item)

    def _open_key(self, delivery: Delivery) -> dict[str, Any]:
        return {"PK": s(f"O#{self.program}"), "SK": s(delivery.id)}
