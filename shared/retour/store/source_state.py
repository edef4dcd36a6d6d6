"""A source's state between polls: files seen, watermarks, digests, idempotency keys, leases."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from retour.store.inbox import Inbox
from retour.store.items import n, read_json, s
from retour.store.query import query_items

KEPT_DAYS = {
    "idempotency": 30,
    "daily": 40,
    "expected": 400,
    "answered": 400,
    "called": 400,
    "partial": 30,
    "doubted": 3,
}
"""Retention by kind of key, by the real clock. Kinds not listed never expire."""

FACTS_PREFIX = "facts/"
"""Key prefix of state that is kept as objects, followed by program and source."""


@dataclass(frozen=True)
class SourceState:
    """JSON documents in `S#<program>.<source>`, under keys chosen by the caller."""

    client: Any
    table: str
    program: str
    source: str

    def get(self, key: str) -> dict[str, Any] | None:
        found = self.client.get_item(TableName=self.table, Key=self._key(key), ConsistentRead=True).get("Item")
        return read_json(found) if found else None

    def put(self, key: str, doc: Mapping[str, Any]) -> None:
        self.client.put_item(TableName=self.table, Item=self._item(key, doc))

    def claim(self, key: str, doc: Mapping[str, Any]) -> bool:
        """Insert a document if the key is free. True for the one caller that inserted it."""
        try:
            self.client.put_item(
                TableName=self.table, Item=self._item(key, doc), ConditionExpression="attribute_not_exists(PK)"
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def renew(self, key: str, doc: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Replace a document unless a newer one than `before` is stored. Returns whether it was written."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item=self._item(key, doc),
                ConditionExpression="attribute_not_exists(PK) OR doc < :before",
                ExpressionAttributeValues={":before": self._item(key, before)["doc"]},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def replace(self, key: str, doc: Mapping[str, Any]) -> bool:
        """Write over what is there; False, and nothing is written, where nothing is there any more."""
        try:
            self.client.put_item(
                TableName=self.table, Item=self._item(key, doc), ConditionExpression="attribute_exists(PK)"
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def delete(self, key: str) -> None:
        self.client.delete_item(TableName=self.table, Key=self._key(key))

    def list(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :prefix)",
            ExpressionAttributeValues={":pk": self._key("")["PK"], ":prefix": s(f"#{prefix}")},
            ConsistentRead=True,
        )
        for item in found:
            yield item["SK"]["S"][1:], read_json(item)

    def _item(self, key: str, doc: Mapping[str, Any]) -> dict[str, Any]:
        days = KEPT_DAYS.get(key.partition("#")[0])
        ends = {"ttl": n(int(time.time()) + days * 86_400)} if days else {}
        return {**self._key(key), **ends, "doc": s(json.dumps(doc, ensure_ascii=False, separators=(",", ":")))}

    def _key(self, key: str) -> dict[str, Any]:
        return {"PK": s(f"S#{self.program}.{self.source}"), "SK": s(f"#{key}")}


class OnceState(Protocol):
    """The part of a source's state needed to do something once."""

    def get(self, key: str) -> dict[str, Any] | None: ...
    def put(self, key: str, doc: Mapping[str, Any]) -> None: ...
    def claim(self, key: str, doc: Mapping[str, Any]) -> bool: ...
    def delete(self, key: str) -> None: ...


@dataclass(frozen=True)
class ObjectState:
    """State that is also written to S3, for the local hub, where only S3 survives a kill."""

    state: SourceState
    inbox: Inbox

    def get(self, key: str) -> dict[str, Any] | None:
        return self.state.get(key)

    def put(self, key: str, doc: Mapping[str, Any]) -> None:
        self.inbox.put(self._place(key), json.dumps(doc, ensure_ascii=False).encode())
        self.state.put(key, doc)

    def claim(self, key: str, doc: Mapping[str, Any]) -> bool:
        if not self.state.claim(key, doc):
            return False
        if before := self._before_the_kill(key):
            self.state.put(key, before)
            return False
        self.inbox.put(self._place(key), json.dumps(doc, ensure_ascii=False).encode())
        return True

    def delete(self, key: str) -> None:
        self.inbox.put(self._place(key), b"{}")
        self.state.delete(key)

    def _before_the_kill(self, key: str) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = json.loads(self.inbox.read(self._place(key)))
        except KeyError:
            return {}
        return kept

    def _place(self, key: str) -> str:
        hashed = hashlib.sha256(key.encode()).hexdigest()
        return f"{FACTS_PREFIX}{self.state.program or '-'}/{self.state.source}/{hashed}.json"
