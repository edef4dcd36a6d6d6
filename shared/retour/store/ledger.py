"""One program's ledger in DynamoDB: orders with their actions, records and heads.

The only commit point is the first-write-wins insert of an immutable item; a head is written by one conditional update
on the version seen.
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
"""Keys of one look into an index, for a page of a list. Who counts all looks at more."""
LISTING_VALID_FOR = timedelta(minutes=10)
"""So long a process does not list a lock day again that it listed. Less than `EMPTY_FOR` by far."""
LISTED_MAX = 10_000
KEYS_PER_SHARD = 20
"""At least so many keys of one shard of it."""
CONFLICTS_MAX = 50
"""How often others may be in the way of one write or one reading."""
OPEN_LOG_ENTRIES = 16
"""Entries a head carries before the older ones are sealed into a page of their own."""


@dataclass(frozen=True, slots=True)
class HeadWrite:
    """A head to write, in the place of the one seen; `action` is None for the head of no action."""

    head: ActionHead
    seen: ActionHead | None
    action: Action | None


@dataclass(frozen=True, slots=True)
class NameFacts:
    """What is known under another name of an order (`charge:ch_1`): its key, and what was paid in all, by currency.

    `waiting` are the orders of which a record needs that total.
    """

    order_key: str | None = None
    totals: Mapping[str, Decimal] = field(default_factory=dict)
    waiting: Sequence[str] = ()


class Ledger(Protocol):
    """What the flow needs of a program's ledger; the table keeps it, and so does a rehearsal in memory."""

    @property
    def contracts(self) -> Sequence[Contract]:
        """Every contract version the program has recorded; a head books their numbers."""

    def order(self, key: str) -> Order:
        """What is kept under an order key (or `@action id`), strongly consistent; empty when nothing is."""

    def insert(self, modification: Modification) -> Modification | None:
        """First write wins: None when inserted, otherwise the existing record."""

    def report(self, action: Action) -> Action | None:
        """First write wins: None when reported, else the action that stands there."""

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        """Write these heads of an order, all or none, if each is still the one seen; False when somebody was faster.

        Beside an action id (`@action id`) nothing is written any more once the id has its order.
        """

    def order_key_of(self, action_id: str) -> str | None:
        """The order key of a merchant's action id; None while nobody reported it."""

    def claim_name(self, action_id: str, order_key: str) -> str:
        """Give an action id, or another name, to an order, first write wins; the order key that holds it."""

    def name_facts(self, name: str) -> NameFacts:
        """What is known under a name, strongly consistent."""

    def save_total(self, name: str, total: Decimal, currency: str) -> None:
        """What was paid in all for what goes by a name."""

    def request_total(self, name: str, order_key: str) -> None:
        """Say that a record of an order needs the total of what goes by a name."""

    def link_child(self, parent: str, child: Action) -> None:
        """Say below a parent's action id that this is a child of it; again changes nothing."""

    def children(self, parent: str) -> Sequence[tuple[str, str]]:
        """(order key, action id) of what was said to be a child of an action id; not all need be reported yet."""


@dataclass(frozen=True, slots=True)
class LockPartition:
    """One shard of what locks on a UTC day and happened on another; `empty_since`: when the locker first found nothing
    there."""

    lock_day: str
    event_day: str
    empty_since: datetime | None = None
    shard: int = 0

    @property
    def name(self) -> str:
        return f"{self.lock_day}#{self.event_day}{shard_suffix(self.shard)}"


@dataclass(frozen=True, slots=True)
class LockDay:
    """All that locks on a UTC day and happened on another, and the shards in which it may lie."""

    lock_day: str
    event_day: str
    shards: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.lock_day}#{self.event_day}"


@dataclass(frozen=True, slots=True)
class DueAction:
    """An action that is not final, by its place in the lock index."""

    order_key: str
    action: str
    locks_at: datetime


@dataclass
class TableLedger:
    """`client` is a boto3 DynamoDB client. One is made for each request.

    `newest` reads the program's contracts again, for when an order was booked under one that was recorded meanwhile.

    `shards`: over how many shards of the indexes new actions are spread; one that is there stays in its own. Which
    a lock day has is told by the list of its partitions; how many a partner month may have, by the most that were ever
    used, which is kept with the program (`widths`: as far as this process knows it is).

    `listed`: when this process listed what of the lock days, by the real clock; it does not list it again at once.
    """

    client: Any
    table: str
    program: str
    contracts: Sequence[Contract]
    newest: Callable[[], Sequence[Contract]] | None = None
    shards: int = 1
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
                # A query of several pages is no snapshot: entries were sealed between the look at pages and at heads.
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
        """What was booked under a contract version recorded since the program was read is read with that version."""
        reported = max((action.contract for action in actions), default=0)
        booked = max((entry.contract for head in heads for entry in head.log), default=0)
        if max(reported, booked) > len(self.contracts) and self.newest is not None:
            self.contracts = self.newest()

    def insert(self, modification: Modification) -> Modification | None:
        standing = self._put_new({"PK": s(self.partition_key(modification.home)), **modification_item(modification)})
        return modification_from(standing) if standing else None

    def redact_notes(self, order: Order) -> None:
        """Take the notes out of the records of an order: nothing is decided by them, so nothing else changes."""
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
        try:
            if len(writes) == 1:
                self.client.put_item(**writes[0]["Put"])
            else:
                self.client.transact_write_items(TransactItems=writes)
        except (
            self.client.exceptions.ConditionalCheckFailedException,
            self.client.exceptions.TransactionConflictException,
        ):
            return False
        except self.client.exceptions.TransactionCanceledException as failure:
            codes = {reason["Code"] for reason in failure.response["CancellationReasons"]}
            if not codes & {"ConditionalCheckFailed", "TransactionConflict"}:
                raise
            return False
        return True

    def _put_of(self, partition: str, change: HeadWrite) -> dict[str, Any]:
        """One head's conditional write; what must be there before it is put there."""
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
        """Take a name from its order again, with what was told of it: nobody's partner brought that order."""
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
        """What may hold actions that lock up to a UTC day, by lock day; never one too few."""
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
        """The same, the shards of a day and event day together."""
        for (lock, event), shards in groupby(self.lock_partitions(until), lambda one: (one.lock_day, one.event_day)):
            yield LockDay(lock, event, tuple(partition.shard for partition in shards))

    def due(self, partition: LockPartition, until: datetime) -> Iterator[DueAction]:
        """What is not final in a partition and locks up to a moment, by lock (GSI1)."""
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
        """Remember since when nothing was found in a partition; whoever lists it anew wipes that out."""
        item = {**self._lock_key(partition), "emp": s(format_instant(now))}
        condition = "attribute_exists(PK) AND attribute_not_exists(emp)"
        self._put_if(item, condition)

    def unlist(self, partition: LockPartition) -> None:
        """Take an empty partition off the list, unless somebody listed it anew since it was marked.

        A head is written within a quarter of an hour and `LISTED_HOLDS` of its listing and shows in the index soon
        after; so a mark that is older by far, on a partition still empty, tells that nobody is on the way to it.
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
        """Before a head comes to a partition of the lock index, the partition is listed: the index cannot tell which
        it has. One more unit for a report, none for a modification unless it moves the lock."""
        partition = LockPartition(lock_day_of(head), action.event_time.date().isoformat(), shard=head.shard)
        stays = seen is not None and lock_day_of(seen) == partition.lock_day
        if not stays and head.final is None and not self._is_listed(partition):
            now = self.real_now()
            self.client.put_item(TableName=self.table, Item=self._lock_key(partition))
            if len(self.listed) >= LISTED_MAX:
                self.listed.clear()
            self.listed[self.program, partition.name] = now

    def _is_listed(self, partition: LockPartition) -> bool:
        """Whether this process listed it so short a time ago that nobody can have taken it off again (`unlist`)."""
        listed_at = self.listed.get((self.program, partition.name))
        return listed_at is not None and listed_at <= self.real_now() < listed_at + LISTING_VALID_FOR

    def _record_shard_count(self, shard: int) -> None:
        """Before a head comes to a shard that no reader may know of yet, that there are so many is kept for good."""
        if shard < self.widths.get(self.program, 1):
            return
        self._put_if(
            {**self._width_key(), "w": n(self.shards)},
            "attribute_not_exists(PK) OR w < :w",
            {":w": n(self.shards)},
        )
        self.widths[self.program] = self.shards

    def _shard_count(self) -> int:
        """The most shards that were ever used."""
        if self._seen_width is None:
            found = self.client.get_item(TableName=self.table, Key=self._width_key(), ConsistentRead=True).get("Item")
            self._seen_width = int(found["w"]["N"]) if found else 1
        return self._seen_width

    def _width_key(self) -> Item:
        return {"PK": s(f"L#{self.program}"), "SK": s("W")}

    def _mark_final(self, head: ActionHead, action: Action) -> None:
        """Before a head leaves the lock index its partner's month is marked, once a run: there the count finds it."""
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
        """(order key, action id, sort key) of what is not final and locks on a day, by lock, from a sort key on."""
        value = f"L#{self.program}#{day.name}"
        yield from self._keys("GSI1", value, day.shards, after, backward=backward, at_once=at_once)

    def heads_by_partner(
        self, partner: str, month: str, after: str = "", *, at_once: int = KEYS_PER_PAGE
    ) -> Iterator[tuple[str, str, str]]:
        """(order key, action id, sort key) of a partner's actions of an event month, the last to lock first."""
        value = f"P#{self.program}#{partner}#{month}"
        yield from self._keys("GSI2", value, range(self._shard_count()), after, backward=True, at_once=at_once)

    def final_months(self, start: str = "") -> Iterator[str]:
        """Partner months (`2026-11#partner`) that have final actions, the newest first, from one of them on."""
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
        """The shards merged: no sort key stands in two of them, so that one place says how far all were read."""
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
        """The head with its older entries put away in pages; a page is put before the write that drops it.

        Only what was seen written is sealed, so whoever puts a page puts the same bytes.
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
        """Insert, or the item that already stands at this key. BusyError."""
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
        """A partition's items at one moment: what takes several pages is read until it says the same twice."""
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
        """Where what is kept under an order key, or under `@action id`, lies."""
        return f"I#{self.program}#{home[1:]}" if home.startswith("@") else f"A#{self.program}#{home}"
