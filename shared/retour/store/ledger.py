"""One program's ledger in DynamoDB: orders with their actions, records and heads.

The only commit point is the conditional insert of an immutable item. A head is written by one conditional update on the
version that was read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import merge
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import Any, Protocol

from retour.domain.actions.action import Action
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.replay import restore_state
from retour.domain.contracts.contract import Contract
from retour.domain.times import format_instant, parse_instant
from retour.store.conditional_writes import write_all
from retour.store.items import (
    Item,
    action_from,
    action_item,
    entry_bytes,
    head_from,
    head_item,
    lock_day_of,
    modification_from,
    modification_item,
    n,
    s,
    shard_of,
    shard_suffix,
)
from retour.store.query import partition_pages, query_items
from retour.store.throttled_reads import BusyError

KEYS_PER_PAGE = 100
"""Index keys per page of a list. Callers that count request more."""
LISTING_VALID_FOR = timedelta(minutes=10)
"""How long a process relies on having listed a lock day. Far less than `EMPTY_FOR`."""
LISTED_MAX = 10_000
KEYS_PER_SHARD = 20
"""Minimum index keys per shard and page."""
CONFLICTS_MAX = 50
"""Retries of a write or read that conflicts with others."""
OPEN_LOG_ENTRIES = 16
"""Entries kept in a head before older ones are sealed into separate pages."""

CONNECTIONS = 24
"""Concurrent calls of one process."""
LOCAL_CONNECTIONS = 4
"""The same on one machine: the embedded AWS does one thing after another, and callers wait behind all of them."""


@dataclass(frozen=True, slots=True)
class HeadWrite:
    """A head to write in place of `seen`. `action` is None for the head of entries without an action."""

    head: ActionHead
    seen: ActionHead | None
    action: Action | None


@dataclass(frozen=True, slots=True)
class NameFacts:
    """What is known under another name of an order (`charge:ch_1`): its order key and its total paid by currency.

    `waiting` are the keys of orders with a record that needs the total.
    """

    order_key: str | None = None
    totals: Mapping[str, Decimal] = field(default_factory=dict)
    waiting: Sequence[str] = ()


class Ledger(Protocol):
    """A program's ledger as the posting code uses it, implemented by the table and, for dry runs, in memory."""

    @property
    def contracts(self) -> Sequence[Contract]:
        """All contract versions recorded by the program. Heads refer to them by number."""

    def order(self, key: str) -> Order:
        """The order under a key (or `@action id`) by a strongly consistent read; empty if there is none."""

    def insert(self, modification: Modification) -> Modification | None:
        """Insert a record by a conditional write. None if inserted, otherwise the existing record."""

    def report(self, action: Action) -> Action | None:
        """Insert a reported action by a conditional write. None if inserted, otherwise the existing action."""

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        """Write heads of one order, all or none, if each is still at the version seen. False on a conflict.

        Under `@action id` this also fails once the id is linked to an order.
        """

    def order_key_of(self, action_id: str) -> str | None:
        """The order key of a merchant's action id; None until the action is reported."""

    def claim_name(self, action_id: str, order_key: str) -> str:
        """Link an action id or another name to an order, unless it is linked. Returns the order key that holds it."""

    def name_facts(self, name: str) -> NameFacts:
        """What is known under a name, by a strongly consistent read."""

    def save_total(self, name: str, total: Decimal, currency: str) -> None:
        """Save the total paid under a name."""

    def request_total(self, name: str, order_key: str) -> None:
        """Record that an order has a record waiting for the total of a name."""

    def link_child(self, parent: str, child: Action) -> None:
        """Link a child action to its parent's action id. Idempotent."""

    def children(self, parent: str) -> Sequence[tuple[str, str]]:
        """(order key, action id) of an action's linked children. They may not be reported yet."""


@dataclass(frozen=True, slots=True)
class LockPartition:
    """A shard of the lock index: actions by UTC lock day and event day.

    `empty_since` is when the locker first found it empty.
    """

    lock_day: str
    event_day: str
    empty_since: datetime | None = None
    shard: int = 0

    @property
    def name(self) -> str:
        return f"{self.lock_day}#{self.event_day}{shard_suffix(self.shard)}"


@dataclass(frozen=True, slots=True)
class LockDay:
    """The actions of a UTC lock day and event day, and the shards that may hold them."""

    lock_day: str
    event_day: str
    shards: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.lock_day}#{self.event_day}"


@dataclass(frozen=True, slots=True)
class DueAction:
    """An action that is not final, with its key in the lock index."""

    order_key: str
    action: str
    locks_at: datetime


@dataclass
class TableLedger:
    """The ledger in the table; `client` is a boto3 DynamoDB client. Created per request.

    `newest` reloads the program's contracts, for an order booked under a version recorded in the meantime.

    `shards`: number of index shards for new actions. Existing actions keep theirs. A lock day's shards are known from
    its list of partitions; a partner month's from the highest number ever used, which is stored with the program and
    cached in `widths`.

    `connections`: how many calls of one process are under way at once.

    `listed`: when this process listed which lock partitions, by the real clock; they are not listed again at once.
    """

    client: Any
    table: str
    program: str
    contracts: Sequence[Contract]
    newest: Callable[[], Sequence[Contract]] | None = None
    shards: int = 1
    connections: int = CONNECTIONS
    widths: dict[str, int] = field(default_factory=dict, compare=False)
    listed: dict[tuple[str, str], datetime] = field(default_factory=dict, compare=False)
    real_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    marked: set[str] = field(default_factory=set, compare=False)
    marking: Lock = field(default_factory=Lock, compare=False, repr=False)
    _seen_width: int | None = field(default=None, compare=False, repr=False)

    def order(self, key: str, looks: int = CONFLICTS_MAX) -> Order:
        items = self._partition(self.partition_key(key))
        actions = [action_from(item) for item in items if item["SK"]["S"].startswith("C#")]
        records = [modification_from(item) for item in items if item["SK"]["S"].startswith("M#")]
        pages = [item for item in items if item["SK"]["S"].startswith("E#")]
        heads: dict[str, ActionHead] = {}
        for item in items:
            if not item["SK"]["S"].startswith("H#"):
                continue
            action_id = item["SK"]["S"][2:]
            action = next((action for action in actions if action.id == action_id), None)
            own = [page for page in pages if page["SK"]["S"].rpartition("#")[0] == f"E#{action_id}"]
            if len(own) * OPEN_LOG_ENTRIES < int(item.get("sealed", n(0))["N"]):
                # A query of several pages is no snapshot: entries were sealed between reading the pages and the head.
                if looks == 0:
                    raise BusyError(f"an order of which a sealed page was missing {CONFLICTS_MAX} times")
                return self.order(key, looks - 1)
            heads[action_id] = head_from(item, own)
        self._know_contracts(actions, heads.values())
        for action in actions:
            if action.id in heads:
                heads[action.id] = restore_state(action, heads[action.id], records, self.contracts)
        return Order(key=key, actions=actions, records=records, heads=heads)

    def _know_contracts(self, actions: Iterable[Action], heads: Iterable[ActionHead]) -> None:
        """Reload the contracts if the order refers to a version recorded since they were read."""
        reported = max((action.contract for action in actions), default=0)
        booked = max((entry.contract for head in heads for entry in head.log), default=0)
        if max(reported, booked) > len(self.contracts) and self.newest is not None:
            self.contracts = self.newest()

    def insert(self, modification: Modification) -> Modification | None:
        standing = self._put_new({"PK": s(self.partition_key(modification.home)), **modification_item(modification)})
        return modification_from(standing) if standing else None

    def redact_notes(self, order: Order) -> None:
        """Remove the notes from an order's records. Notes do not take part in any decision."""
        for record in order.records:
            if record.note:
                item = modification_item(replace(record, note=None))
                self.client.update_item(
                    TableName=self.table,
                    Key={"PK": s(self.partition_key(record.home)), "SK": item["SK"]},
                    UpdateExpression="SET doc = :doc",
                    ExpressionAttributeValues={":doc": item["doc"]},
                    ConditionExpression="attribute_exists(PK)",
                )

    def report(self, action: Action) -> Action | None:
        standing = self._put_new({"PK": s(self.partition_key(action.order_key)), **action_item(action)})
        if standing is None:
            return None
        first = action_from(standing)
        self._know_contracts([first], ())
        return first

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        partition = self.partition_key(order_key)
        writes = [{"Put": self._put_of(partition, change)} for change in changes]
        if order_key.startswith("@"):
            unnamed = {
                "TableName": self.table,
                "Key": {"PK": s(partition), "SK": s("=")},
                "ConditionExpression": "attribute_not_exists(PK)",
            }
            writes.append({"ConditionCheck": unnamed})
        return write_all(self.client, writes)

    def _put_of(self, partition: str, change: HeadWrite) -> dict[str, Any]:
        """The conditional write of a head, after the writes it depends on."""
        head, seen = self._seal_old_entries(partition, change.head, change.seen), change.seen
        if change.action is not None:
            head = replace(head, shard=seen.shard if seen else shard_of(change.action.id, self.shards))
            self._record_shard_count(head.shard)
            self._list_lock(head, seen, change.action)
            self._mark_final(head, change.action)
        put = {"TableName": self.table, "Item": {"PK": s(partition), **head_item(head, change.action)}}
        if seen is None:
            return {**put, "ConditionExpression": "attribute_not_exists(PK)"}
        return {
            **put,
            "ConditionExpression": "v = :seen AND attribute_not_exists(fin)",
            "ExpressionAttributeValues": {":seen": n(seen.version)},
        }

    def order_key_of(self, action_id: str) -> str | None:
        found = self.client.get_item(
            TableName=self.table,
            Key={"PK": s(self.partition_key(f"@{action_id}")), "SK": s("=")},
            ConsistentRead=True,
        ).get("Item")
        return found["ord"]["S"] if found else None

    def claim_name(self, action_id: str, order_key: str) -> str:
        standing = self._put_new({"PK": s(self.partition_key(f"@{action_id}")), "SK": s("="), "ord": s(order_key)})
        return standing["ord"]["S"] if standing else order_key

    def name_facts(self, name: str) -> NameFacts:
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": s(self.partition_key(f"@{name}")),
                ":first": s("$"),
                ":last": s("="),
            },
            ConsistentRead=True,
        )
        items = {item["SK"]["S"]: item for item in found}
        return NameFacts(
            order_key=items["="]["ord"]["S"] if "=" in items else None,
            totals={key[1:]: Decimal(item["sum"]["S"]) for key, item in items.items() if key.startswith("$")},
            waiting=[key[1:] for key in items if key.startswith("+")],
        )

    def save_total(self, name: str, total: Decimal, currency: str) -> None:
        item = {"PK": s(self.partition_key(f"@{name}")), "SK": s(f"${currency}"), "sum": s(str(total))}
        self.client.put_item(TableName=self.table, Item=item)

    def request_total(self, name: str, order_key: str) -> None:
        item = {"PK": s(self.partition_key(f"@{name}")), "SK": s(f"+{order_key}")}
        self.client.put_item(TableName=self.table, Item=item)

    def release_name(self, name: str) -> None:
        """Unlink a name and delete its facts, when its order turned out to have no partner."""
        known = self.name_facts(name)
        for sort in ("=", *(f"${currency}" for currency in known.totals), *(f"+{key}" for key in known.waiting)):
            self.client.delete_item(TableName=self.table, Key={"PK": s(self.partition_key(f"@{name}")), "SK": s(sort)})

    def link_child(self, parent: str, child: Action) -> None:
        item = {
            "PK": s(self.partition_key(f"@{parent}")),
            "SK": s(f"P#{child.order_key}#{child.id}"),
            "ord": s(child.order_key),
            "act": s(child.id),
        }
        self.client.put_item(TableName=self.table, Item=item)

    def children(self, parent: str) -> Sequence[tuple[str, str]]:
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :children)",
            ExpressionAttributeValues={":pk": s(self.partition_key(f"@{parent}")), ":children": s("P#")},
            ConsistentRead=True,
        )
        return [(item["ord"]["S"], item["act"]["S"]) for item in found]

    # Locks

    def lock_partitions(self, until: str) -> Iterator[LockPartition]:
        """All lock partitions with a lock day up to `until`, by lock day. Some may be empty; none is missing."""
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND SK < :end",
            ExpressionAttributeValues={":pk": s(f"L#{self.program}"), ":end": s(f"D#{until}$")},
            ConsistentRead=True,
        )
        for item in found:
            _, lock, event, *shard = item["SK"]["S"].split("#")
            empty_since = parse_instant(item["emp"]["S"]) if "emp" in item else None
            yield LockPartition(lock, event, empty_since, int(shard[0]) if shard else 0)

    def lock_days(self, until: str) -> Iterator[LockDay]:
        """The same, with the shards of a lock day and event day grouped."""
        for (lock, event), shards in groupby(self.lock_partitions(until), lambda one: (one.lock_day, one.event_day)):
            yield LockDay(lock, event, tuple(partition.shard for partition in shards))

    def due(self, partition: LockPartition, until: datetime) -> Iterator[DueAction]:
        """Actions of a partition that are not final and lock by `until`, by lock instant (GSI1)."""
        found = query_items(
            self.client,
            TableName=self.table,
            IndexName="GSI1",
            KeyConditionExpression="GSI1PK = :value AND GSI1SK < :end",
            ExpressionAttributeValues={
                ":value": s(self._lock_index(partition)),
                ":end": s(f"{format_instant(until)}$"),
            },
        )
        for item in found:
            locks_at = parse_instant(item["GSI1SK"]["S"].partition("#")[0])
            yield DueAction(item["PK"]["S"].split("#", 2)[2], item["SK"]["S"][2:], locks_at)

    def is_empty(self, partition: LockPartition) -> bool:
        answer = self.client.query(
            TableName=self.table,
            IndexName="GSI1",
            KeyConditionExpression="GSI1PK = :value",
            ExpressionAttributeValues={":value": s(self._lock_index(partition))},
            Limit=1,
        )
        return not answer["Items"]

    def mark_empty(self, partition: LockPartition, now: datetime) -> None:
        """Save when a partition was first found empty. Listing it again clears the mark."""
        item = {**self._lock_key(partition), "emp": s(format_instant(now))}
        condition = "attribute_exists(PK) AND attribute_not_exists(emp)"
        self._put_if(item, condition)

    def unlist(self, partition: LockPartition) -> None:
        """Remove an empty partition from the list, unless it was listed again since it was marked.

        A head is written within 15 minutes and `LISTED_HOLDS` of its listing and appears in the index soon after. If a
        much older mark stands on a partition that is still empty, no write is on its way.
        """
        assert partition.empty_since is not None
        try:
            self.client.delete_item(
                TableName=self.table,
                Key=self._lock_key(partition),
                ConditionExpression="emp = :mark",
                ExpressionAttributeValues={":mark": s(format_instant(partition.empty_since))},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return

    def _list_lock(self, head: ActionHead, seen: ActionHead | None, action: Action) -> None:
        """List a head's lock partition before the head is written, since the index cannot enumerate its partitions.

        Costs one write unit per report, none per modification unless it moves the lock.
        """
        partition = LockPartition(lock_day_of(head), action.event_time.date().isoformat(), shard=head.shard)
        stays = seen is not None and lock_day_of(seen) == partition.lock_day
        if not stays and head.final is None and not self._is_listed(partition):
            now = self.real_now()
            self.client.put_item(TableName=self.table, Item=self._lock_key(partition))
            if len(self.listed) >= LISTED_MAX:
                self.listed.clear()
            self.listed[self.program, partition.name] = now

    def _is_listed(self, partition: LockPartition) -> bool:
        """Whether this process listed it so recently that `unlist` cannot have removed it."""
        listed_at = self.listed.get((self.program, partition.name))
        return listed_at is not None and listed_at <= self.real_now() < listed_at + LISTING_VALID_FOR

    def _record_shard_count(self, shard: int) -> None:
        """Save the new shard count before a head is written to a shard that readers may not know yet."""
        if shard < self.widths.get(self.program, 1):
            return
        self._put_if(
            {**self._width_key(), "w": n(self.shards)},
            "attribute_not_exists(PK) OR w < :w",
            {":w": n(self.shards)},
        )
        self.widths[self.program] = self.shards

    def _shard_count(self) -> int:
        """The highest shard count ever used."""
        if self._seen_width is None:
            found = self.client.get_item(TableName=self.table, Key=self._width_key(), ConsistentRead=True).get("Item")
            self._seen_width = int(found["w"]["N"]) if found else 1
        return self._seen_width

    def _width_key(self) -> Item:
        return {"PK": s(f"L#{self.program}"), "SK": s("W")}

    def _mark_final(self, head: ActionHead, action: Action) -> None:
        """Mark the partner month before a head leaves the lock index, once per process, so that the count finds it."""
        month = f"{action.event_time:%Y-%m}#{head.standing.partner}"
        if head.final is None:
            return
        with self.marking:
            if month not in self.marked:
                key = {"PK": s(f"L#{self.program}"), "SK": s(f"M#{month}")}
                self.client.put_item(TableName=self.table, Item={**key, "fin": s(format_instant(head.final))})
                self.marked.add(month)

    def _lock_key(self, partition: LockPartition) -> Item:
        return {"PK": s(f"L#{self.program}"), "SK": s(f"D#{partition.name}")}

    def _lock_index(self, partition: LockPartition) -> str:
        return f"L#{self.program}#{partition.name}"

    def _put_if(self, item: Item, condition: str, values: Item | None = None) -> bool:
        more = {"ExpressionAttributeValues": values} if values else {}
        try:
            self.client.put_item(TableName=self.table, Item=item, ConditionExpression=condition, **more)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    # Lists

    def heads_by_lock(
        self, day: LockDay, after: str = "", *, backward: bool = False, at_once: int = KEYS_PER_PAGE
    ) -> Iterator[tuple[str, str, str]]:
        """(order key, action id, sort key) of open actions that lock on a day, by lock instant, after a sort key."""
        value = f"L#{self.program}#{day.name}"
        yield from self._keys("GSI1", value, day.shards, after, backward=backward, at_once=at_once)

    def heads_by_partner(
        self, partner: str, month: str, after: str = "", *, at_once: int = KEYS_PER_PAGE
    ) -> Iterator[tuple[str, str, str]]:
        """(order key, action id, sort key) of a partner's actions of an event month, latest lock first."""
        value = f"P#{self.program}#{partner}#{month}"
        yield from self._keys("GSI2", value, range(self._shard_count()), after, backward=True, at_once=at_once)

    def final_months(self, start: str = "") -> Iterator[str]:
        """Partner months (`2026-11#partner`) with final actions, newest first, from `start` on."""
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": s(f"L#{self.program}"), ":first": s("M#"), ":last": s(f"M#{start or '9999'}"),
            },
            ScanIndexForward=False,
            Limit=KEYS_PER_PAGE,
        )  # fmt: skip
        for item in found:
            yield item["SK"]["S"][2:]

    def _keys(
        self, index: str, value: str, shards: Sequence[int], after: str, *, backward: bool, at_once: int
    ) -> Iterator[tuple[str, str, str]]:
        """The shards merged by sort key. Sort keys are unique across shards, so one cursor serves all of them."""
        of_each = max(KEYS_PER_SHARD, at_once // len(shards)) if len(shards) > 1 else at_once
        found = (
            self._keys_of(index, f"{value}{shard_suffix(shard)}", after, backward=backward, at_once=of_each)
            for shard in shards
        )
        yield from merge(*found, key=itemgetter(2), reverse=backward)

    def _keys_of(
        self, index: str, value: str, after: str, *, backward: bool, at_once: int
    ) -> Iterator[tuple[str, str, str]]:
        beyond = "<" if backward else ">"
        found = query_items(
            self.client,
            TableName=self.table,
            IndexName=index,
            KeyConditionExpression=f"{index}PK = :value AND {index}SK {beyond} :after",
            ExpressionAttributeValues={":value": s(value), ":after": s(after or (":" if backward else " "))},
            ScanIndexForward=not backward,
            Limit=at_once,
        )
        for item in found:
            yield item["PK"]["S"].split("#", 2)[2], item["SK"]["S"][2:], item[f"{index}SK"]["S"]

    def _seal_old_entries(self, partition: str, head: ActionHead, seen: ActionHead | None) -> ActionHead:
        """Move older log entries into pages. A page is put before the head that no longer contains it.

        Only entries already written are sealed, so concurrent writers put identical pages.
        """
        written = len(seen.log) if seen else 0
        while len(head.log) - head.sealed > OPEN_LOG_ENTRIES and head.sealed + OPEN_LOG_ENTRIES <= written:
            entries = head.log[head.sealed : head.sealed + OPEN_LOG_ENTRIES]
            page: Item = {
                "PK": s(partition),
                "SK": s(f"E#{head.action}#{head.sealed // OPEN_LOG_ENTRIES:04d}"),
                "log": {"B": b"".join(entry_bytes(entry) for entry in entries)},
            }
            self.client.put_item(TableName=self.table, Item=page)
            head = replace(head, sealed=head.sealed + OPEN_LOG_ENTRIES)
        return head

    def _put_new(self, item: Item) -> Mapping[str, Any] | None:
        """Insert an item. None if inserted, otherwise the existing item. Raises BusyError."""
        for _ in range(CONFLICTS_MAX):
            try:
                self.client.put_item(
                    TableName=self.table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(PK)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self.client.exceptions.ConditionalCheckFailedException as failure:
                return failure.response["Item"]  # type: ignore[no-any-return]
            except self.client.exceptions.TransactionConflictException:
                # A concurrent transaction is checking this key; it is over in a moment, so retry.
                continue
            return None
        raise BusyError(f"{CONFLICTS_MAX} transactions of others in a row")

    def _partition(self, partition: str) -> Sequence[Mapping[str, Any]]:
        """A snapshot of a partition: several pages are read until two reads agree. Raises BusyError."""
        pages = list(self._pages(partition))
        for _ in range(CONFLICTS_MAX):
            if len(pages) < 2:
                break
            again = list(self._pages(partition))
            if again == pages:
                break
            pages = again
        else:
            raise BusyError(f"an order that others wrote to {CONFLICTS_MAX} times while it was read")
        return [item for page in pages for item in page]

    def _pages(self, partition: str) -> Iterator[Sequence[Mapping[str, Any]]]:
        return (page["Items"] for page in partition_pages(self.client, self.table, partition))

    def partition_key(self, home: str) -> str:
        """The partition of an order key or of `@action id`."""
        return f"I#{self.program}#{home[1:]}" if home.startswith("@") else f"A#{self.program}#{home}"
