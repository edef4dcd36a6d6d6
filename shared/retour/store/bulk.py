"""Bulk access to orders: parallel reads and batched inserts before each is folded by itself."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from json.encoder import encode_basestring
from typing import Any, TypeVar

from retour.domain.actions.action import Action, LifecycleState
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.domain.contracts.contract import Contract
from retour.domain.times import parse_instant
from retour.store.items import (
    NO_LOCK_DAY,
    Item,
    action_from,
    entries_from,
    modification_from,
    modification_item,
    modification_sort_key,
    partner_month,
    s,
)
from retour.store.ledger import CONNECTIONS as CONNECTIONS
from retour.store.ledger import HeadWrite, NameFacts, TableLedger
from retour.store.throttled_reads import batch_get

T = TypeVar("T")

STATEMENTS_MAX = 25
"""DynamoDB's limit per batch of statements."""
KEYS_MAX = 100
LOOKUP_WORKERS = 8
"""Concurrent batch reads when many actions are looked up; each returns up to 100 items."""


def insert_body(table: str, items: Sequence[tuple[str, str, str]]) -> bytes:
    """The request body of a batch of conditional inserts of (PK, SK, doc): existing items are left alone."""
    statement = json.dumps(f"INSERT INTO \"{table}\" VALUE {{'PK': ?, 'SK': ?, 'doc': ?}}")
    before = f'{{"Statement":{statement},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","Parameters":[{{"S":'
    quoted = encode_basestring
    return (
        '{"Statements":['
        + ",".join([f'{before}{quoted(pk)}}},{{"S":{quoted(sk)}}},{{"S":{quoted(doc)}}}]}}' for pk, sk, doc in items])
        + "]}"
    ).encode()


def batched(things: Iterable[T], most: int) -> Iterator[list[T]]:
    source = iter(things)
    while some := list(islice(source, most)):
        yield some


def insert_all(ledger: TableLedger, modifications: Sequence[Modification], pool: Executor) -> list[Modification | None]:
    """`Ledger.insert` for each modification, in batches: None if inserted, otherwise the existing record. Keeps the
    order.
    """
    batches = list(batched(modifications, STATEMENTS_MAX))
    return list(chain.from_iterable(pool.map(lambda batch: _insert(ledger, batch), batches)))


def _insert(ledger: TableLedger, modifications: Sequence[Modification]) -> list[Modification | None]:
    items = []
    for modification in modifications:
        item = modification_item(modification)
        items.append((ledger.partition_key(modification.home), item["SK"]["S"], item["doc"]["S"]))
    answer = ledger.client.batch_execute_statement(Statements=insert_body(ledger.table, items))
    responses = answer.get("Responses") or [{}] * len(items)
    return [
        None if "Error" not in response else _existing(ledger, modification, response)
        for modification, response in zip(modifications, responses, strict=True)
    ]


def _existing(ledger: TableLedger, modification: Modification, response: Mapping[str, Any]) -> Modification | None:
    """The existing record after a failed insert. Any error other than a duplicate is retried as a single insert."""
    error = response["Error"]
    if error["Code"] != "DuplicateItem":
        return ledger.insert(modification)
    key = {"PK": s(ledger.partition_key(modification.home)), "SK": s(modification_sort_key(modification))}
    item = error.get("Item") or ledger.client.get_item(TableName=ledger.table, Key=key, ConsistentRead=True)["Item"]
    return modification_from(item)


def order_keys(ledger: TableLedger, action_ids: Iterable[str]) -> dict[str, str]:
    """The order key of each reported action id; ids that were never reported are missing."""
    found: dict[str, str] = {}
    for some in batched(dict.fromkeys(action_ids), KEYS_MAX):
        named = {ledger.partition_key(f"@{action_id}"): action_id for action_id in some}
        keys = [{"PK": s(pk), "SK": s("=")} for pk in named]
        for _, item in batch_get(ledger.client, {ledger.table: {"Keys": keys, "ConsistentRead": True}}):
            found[named[item["PK"]["S"]]] = item["ord"]["S"]
    return found


@dataclass(frozen=True, slots=True)
class ListedAction:
    """An action as lists show it, read from its report and its head without its records."""

    action: Action
    partner: str
    locks_at: datetime | None
    is_reversed: bool
    is_approved: bool
    amount: int
    payout: int
    contract: int
    changes: int
    changed_at: datetime | None
    rules: int
    final: datetime | None = None

    def state(self, now: datetime) -> LifecycleState:
        if self.is_reversed:
            return LifecycleState.REVERSED
        if self.locks_at is not None and now >= self.locks_at:
            return LifecycleState.LOCKED
        return LifecycleState.APPROVED if self.is_approved else LifecycleState.PENDING


def load_listed_actions(ledger: TableLedger, places: Iterable[tuple[str, str]]) -> list[ListedAction]:
    """Load actions by (order key, action id), in the order given. Missing actions are left out."""
    wanted = list(dict.fromkeys(places))
    with ThreadPoolExecutor(LOOKUP_WORKERS) as pool:
        found: dict[tuple[str, str], Item] = {}
        for some in pool.map(lambda few: _items(ledger, few), batched(wanted, KEYS_MAX // 2)):
            found |= some
    pairs = ((key, f"C#{action}", f"H#{action}") for key, action in wanted)
    return [
        _listed_action(found[partition, reported], found[partition, head])
        for partition, reported, head in ((ledger.partition_key(key), c, h) for key, c, h in pairs)
        if (partition, reported) in found and (partition, head) in found
    ]


def _listed_action(reported: Item, head: Item) -> ListedAction:
    locks, log = head["GSI2SK"]["S"].partition("#")[0], entries_from(head["log"]["B"])
    return ListedAction(
        action=action_from(reported),
        partner=partner_month(head["GSI2PK"]["S"])[0],
        locks_at=None if locks == NO_LOCK_DAY else parse_instant(locks),
        is_reversed=head["st"]["S"] == "R",
        is_approved=head["st"]["S"] == "A",
        amount=int(head["am"]["N"]),
        payout=int(head["po"]["N"]),
        contract=int(head["cn"]["N"]),
        changes=int(head["ch"]["N"]),
        changed_at=next((entry.applied_at for entry in log[::-1] if entry.outcome is Outcome.APPLIED), None),
        rules=int(head["ru"]["N"]) if "ru" in head else 1,
        final=parse_instant(head["fin"]["S"]) if "fin" in head else None,
    )


def _items(ledger: TableLedger, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Item]:
    """The report and the head of each action by (PK, SK)."""
    keys = [{"PK": s(ledger.partition_key(key)), "SK": s(f"{kind}#{id_}")} for key, id_ in places for kind in "CH"]
    got = batch_get(ledger.client, {ledger.table: {"Keys": keys, "ConsistentRead": True}})
    return {(item["PK"]["S"], item["SK"]["S"]): dict(item) for _, item in got}


@dataclass(frozen=True)
class PrefetchedLedger:
    """A ledger whose orders were read and whose records were inserted in bulk beforehand.

    Each prefetched result is handed out once; later calls go to the underlying ledger.
    """

    under: TableLedger
    orders: dict[str, Order] = field(default_factory=dict)
    inserted: dict[tuple[str, str], Modification | None] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        under: TableLedger,
        wanted: Mapping[str, Sequence[Modification]],
        most: int,
        pool: Executor,
        news_of: Callable[[Order, Sequence[Modification]], Sequence[Modification]],
    ) -> "PrefetchedLedger":
        """Read the orders and insert their new records in bulk.

        `wanted` has the modifications of each order key. An order that could exceed `most` records is left to single
        inserts. `news_of` returns those of an order's modifications that are not already recorded.
        """
        orders = dict(zip(wanted, pool.map(under.order, wanted), strict=True))
        new: dict[tuple[str, str], Modification] = {}
        for key, modifications in wanted.items():
            records = orders[key].records
            if len(records) + len(modifications) <= most:
                known = {record.id for record in records}
                said = news_of(orders[key], modifications)
                new |= {(key, m.id): m for m in reversed(said) if m.id not in known}
        return cls(under, orders, dict(zip(new, insert_all(under, list(new.values()), pool), strict=True)))

    @property
    def contracts(self) -> Sequence[Contract]:
        return self.under.contracts

    def order(self, key: str) -> Order:
        return self.orders.pop(key, None) or self.under.order(key)

    def insert(self, modification: Modification) -> Modification | None:
        place = (modification.home, modification.id)
        return self.inserted.pop(place) if place in self.inserted else self.under.insert(modification)

    def report(self, action: Action) -> Action | None:
        return self.under.report(action)

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        return self.under.write_heads(order_key, changes)

    def order_key_of(self, action_id: str) -> str | None:
        return self.under.order_key_of(action_id)

    def claim_name(self, action_id: str, order_key: str) -> str:
        return self.under.claim_name(action_id, order_key)

    def name_facts(self, name: str) -> NameFacts:
        return self.under.name_facts(name)

    def save_total(self, name: str, total: Decimal, currency: str) -> None:
        self.under.save_total(name, total, currency)

    def request_total(self, name: str, order_key: str) -> None:
        self.under.request_total(name, order_key)

    def link_child(self, parent: str, child: Action) -> None:
        self.under.link_child(parent, child)

    def children(self, parent: str) -> Sequence[tuple[str, str]]:
        return self.under.children(parent)
