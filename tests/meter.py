"""Count write units by AWS's size rules for items and indexes, since emulators' figures are wrong."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

UNIT = 1024
INDEXES = (("GSI1PK", "GSI1SK"), ("GSI2PK", "GSI2SK"))
KEY = ("PK", "SK")
INSERTED = re.compile(r"'(\w+)': \?")

Item = Mapping[str, Any]


def attribute_bytes(value: Mapping[str, Any]) -> int:
    """The size of an attribute value by AWS's rules."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            return math.ceil(len(digits) / 2) + 1 + int(content.startswith("-"))
        case "B":
            return len(content)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + attribute_bytes(inner) for inner in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + attribute_bytes(inner) for name, inner in content.items())
    raise ValueError(f"no size is known for {kind}")


def item_bytes(item: Item) -> int:
    return sum(len(name.encode()) + attribute_bytes(value) for name, value in item.items())


def units(size: int) -> int:
    return max(1, math.ceil(size / UNIT))


def index_writes(before: Item | None, after: Item | None) -> list[tuple[str, int]]:
    """Written partitions of keys-only indexes with units: one per added or removed entry, none if keys stay."""
    writes = []
    for names in INDEXES:
        old = tuple(before[name]["S"] for name in names) if before and all(name in before for name in names) else None
        new = tuple(after[name]["S"] for name in names) if after and all(name in after for name in names) else None
        if old != new:
            writes += [(f"{names[0][:4]} {keys[0]}", 1) for keys in (old, new) if keys is not None]
    return writes


@dataclass
class Meter:
    """Counts every write through a boto3 client.

    `calls` are partition key, sort key and units of each item with its index entries. `partitions` are the units per
    partition of the table and of indexes (`GSI1 …`), in write order.
    """

    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    written: int = 0
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    partitions: list[tuple[str, int]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def watching(cls, client: Any) -> "Meter":
        meter = cls()
        events = client.meta.events
        for operation in ("PutItem", "DeleteItem"):
            events.register(f"before-parameter-build.dynamodb.{operation}", meter._asked)
            events.register(f"after-call.dynamodb.{operation}", meter._answered)
        events.register("before-call.dynamodb.BatchExecuteStatement", meter._asked_many)
        events.register("after-call.dynamodb.BatchExecuteStatement", meter._answered_many)
        events.register("before-parameter-build.dynamodb.TransactWriteItems", meter._asked)
        events.register("after-call.dynamodb.TransactWriteItems", meter._answered_all)
        events.register("before-parameter-build.dynamodb.UpdateItem", meter._asked_to_update)
        events.register("after-call.dynamodb.UpdateItem", meter._updated)
        for operation in ("BatchWriteItem", "ExecuteStatement"):
            events.register(f"before-parameter-build.dynamodb.{operation}", _unknown)
        return meter

    def _asked(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["metered"] = params

    def _asked_to_update(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        assert "ReturnValues" not in params, "the meter asks for the item as it is then"
        params["ReturnValues"] = "ALL_NEW"
        context["metered"] = params

    def _updated(self, http_response: Any, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        failed = http_response.status_code >= 300
        self._count({"Key": context["metered"]["Key"]} if failed else {"Item": parsed["Attributes"]}, failed, None)

    def _asked_many(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        """Record a batch of inserts from its encoded body."""
        context["metered"] = [
            {"Item": dict(zip(INSERTED.findall(one["Statement"]), one["Parameters"], strict=True))}
            for one in json.loads(params["body"])["Statements"]
            if one["Statement"].startswith("INSERT")
        ]

    def _answered_many(self, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        asked = context["metered"]
        for params, one in zip(asked, parsed.get("Responses") or [{}] * len(asked), strict=False):
            self._count(params, "Error" in one, one.get("Error", {}).get("Item"))

    def _answered(self, http_response: Any, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        self._count(context["metered"], http_response.status_code >= 300, parsed.get("Item"))

    def _answered_all(self, http_response: Any, context: Mapping[str, Any], **_: Any) -> None:
        for one in context["metered"]["TransactItems"]:
            if "ConditionCheck" in one:
                with self.lock:
                    self.written += 2
                    self.partitions.append((one["ConditionCheck"]["Key"]["PK"]["S"], 2))
                continue
            self._count(one["Put"], http_response.status_code >= 300, None, times=2)

    def _count(self, params: Mapping[str, Any], failed: bool, stands: Item | None, times: int = 1) -> None:
        """Count an item. `times` is 2 in transactions, which prepare and commit; index entries count once."""
        item = params.get("Item")
        key = tuple((item or params["Key"])[name]["S"] for name in KEY)
        before = self.items.get(key)
        if failed:
            standing = stands or before
            own, beside = times * units(item_bytes(standing)) if standing else times, []
        else:
            sizes = [item_bytes(one) for one in (before, item) if one]
            own, beside = times * units(max(sizes, default=0)), index_writes(before, item)
            if item:
                self.items[key] = item
            else:
                self.items.pop(key, None)
        cost = own + sum(one for _, one in beside)
        with self.lock:
            self.written += cost
            self.calls.append((key[0], key[1], cost))
            self.partitions += [(key[0], own), *beside]


def _unknown(model: Any, **_: Any) -> None:
    raise AssertionError(f"the meter cannot count {model.name} yet")


@dataclass
class ReadMeter:
    """Counts reads through a boto3 client: requests, and items read for them.

    A requested key that does not exist counts as one item, as it does on the bill.
    """

    requests: int = 0
    items: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def watching(cls, client: Any) -> "ReadMeter":
        looks = cls()
        client.meta.events.register("before-call.dynamodb", looks._asked)
        for operation in ("GetItem", "BatchGetItem", "Query"):
            client.meta.events.register(f"before-parameter-build.dynamodb.{operation}", looks._wanted)
            client.meta.events.register(f"after-call.dynamodb.{operation}", looks._answered)
        return looks

    def _asked(self, model: Any, **_: Any) -> None:
        with self.lock:
            self.requests += 1
            self.asked[model.name] += 1

    def _wanted(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["wanted"] = sum(len(one["Keys"]) for one in params.get("RequestItems", {}).values()) or 1

    def _answered(self, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        with self.lock:
            self.items += parsed.get("ScannedCount", context["wanted"])

    def clear(self) -> None:
        with self.lock:
            self.requests = self.items = 0
            self.asked.clear()
