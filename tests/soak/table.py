"""One DynamoDB table in memory, linearizable, as far as Retour speaks to it; and one bucket.

Every call is a place where another worker may go on or this one may be killed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO

from tests.soak.weave import Scheduler

Item = Mapping[str, Any]
Watch = Callable[[str, str, Item | None, Item | None], None]


class ConditionalCheckFailedException(Exception):
    def __init__(self, standing: Item | None) -> None:
        super().__init__("the conditional request failed")
        self.response = {"Item": standing}


class TransactionConflictException(Exception):
    """Here nothing takes long enough to be in the way of another; the name is asked for all the same."""


class TransactionCanceledException(Exception):
    def __init__(self, codes: list[str]) -> None:
        super().__init__("the transaction was cancelled")
        self.response = {"CancellationReasons": [{"Code": code} for code in codes]}


class Exceptions:
    ConditionalCheckFailedException = ConditionalCheckFailedException
    TransactionConflictException = TransactionConflictException
    TransactionCanceledException = TransactionCanceledException


@dataclass
class Table:
    """A boto3 client to look at. `page` items a page: a query of several pages is no snapshot, as in the cloud."""

    weaver: Scheduler
    watch: Watch
    page: int = 1_000_000
    items: dict[str, dict[str, Item]] = field(default_factory=dict)
    exceptions: type[Exceptions] = Exceptions

    def standing(self, key: Mapping[str, Item]) -> Item | None:
        return self.items.get(key["PK"]["S"], {}).get(key["SK"]["S"])

    def put_item(
        self,
        *,
        TableName: str,
        Item: Item,
        ConditionExpression: str = "",
        ExpressionAttributeValues: Mapping[str, Any] | None = None,
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> Mapping[str, Any]:
        def do() -> None:
            old = self.standing(Item)
            if not holds(ConditionExpression, ExpressionAttributeValues or {}, old):
                raise ConditionalCheckFailedException(old)
            pk, sk = Item["PK"]["S"], Item["SK"]["S"]
            self.watch(pk, sk, old, Item)
            self.items.setdefault(pk, {})[sk] = Item

        self.weaver.call(f"put {Item['PK']['S']} {Item['SK']['S']} {ConditionExpression}", do)
        return {}

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """All of these puts, or none; what is only checked is not to be there."""
        puts = [one["Put"] for one in TransactItems if "Put" in one]
        absent = [one["ConditionCheck"] for one in TransactItems if "ConditionCheck" in one]
        assert len({(put["Item"]["PK"]["S"], put["Item"]["SK"]["S"]) for put in puts}) == len(puts) <= 100

        def do() -> None:
            kept = [
                holds(put["ConditionExpression"], put.get("ExpressionAttributeValues", {}), self.standing(put["Item"]))
                for put in puts
            ] + [holds(check["ConditionExpression"], {}, self.standing(check["Key"])) for check in absent]
            if not all(kept):
                raise TransactionCanceledException(["None" if kept else "ConditionalCheckFailed" for kept in kept])
            for put in puts:
                pk, sk = put["Item"]["PK"]["S"], put["Item"]["SK"]["S"]
                self.watch(pk, sk, self.standing(put["Item"]), put["Item"])
                self.items.setdefault(pk, {})[sk] = put["Item"]

        names = " ".join(put["Item"]["SK"]["S"] for put in puts)
        self.weaver.call(f"transact {puts[0]['Item']['PK']['S']} {names}", do)
        return {}

    def get_item(self, *, TableName: str, Key: Mapping[str, Item], ConsistentRead: bool = False) -> Mapping[str, Any]:
        found: list[Item | None] = []
        self.weaver.call(f"get {Key['PK']['S']} {Key['SK']['S']}", lambda: found.append(self.standing(Key)))
        return {"Item": found[0]} if found[0] is not None else {}

    def delete_item(self, *, TableName: str, Key: Mapping[str, Item], ReturnValues: str = "NONE") -> Mapping[str, Any]:
        gone: list[Item | None] = []

        def do() -> None:
            old = self.standing(Key)
            self.watch(Key["PK"]["S"], Key["SK"]["S"], old, None)
            gone.append(self.items.get(Key["PK"]["S"], {}).pop(Key["SK"]["S"], None))

        self.weaver.call(f"delete {Key['PK']['S']} {Key['SK']['S']}", do)
        return {"Attributes": gone[0]} if gone[0] is not None and ReturnValues == "ALL_OLD" else {}

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Mapping[str, Any],
        ExclusiveStartKey: Mapping[str, Item] | None = None,
        **more: Any,
    ) -> Mapping[str, Any]:
        pk = ExpressionAttributeValues[":pk"]["S"]
        before = ExpressionAttributeValues[":now"]["S"] if "SK < :now" in KeyConditionExpression else None
        assert KeyConditionExpression == ("PK = :pk AND SK < :now" if before else "PK = :pk"), KeyConditionExpression
        after = ExclusiveStartKey["SK"]["S"] if ExclusiveStartKey else ""
        found: list[Item] = []

        def do() -> None:
            partition = self.items.get(pk, {})
            keys = sorted(sk for sk in partition if sk > after and (before is None or sk < before))
            found.extend(partition[sk] for sk in keys[: self.page])

        self.weaver.call(f"query {pk}", do)
        last = {"LastEvaluatedKey": {"PK": {"S": pk}, "SK": found[-1]["SK"]}} if len(found) == self.page else {}
        return {"Items": found, **last}


def holds(condition: str, values: Mapping[str, Any], old: Item | None) -> bool:
    """The four conditions Retour writes under; another one is a surprise."""
    match condition:
        case "":
            return True
        case "attribute_not_exists(PK)":
            return old is None
        case "attribute_not_exists(PK) OR w < :w":
            return old is None or int(old["w"]["N"]) < int(values[":w"]["N"])
        case "v = :seen AND attribute_not_exists(fin)":
            return old is not None and old.get("v") == values[":seen"] and "fin" not in old
    raise NotImplementedError(condition)


@dataclass
class Bucket:
    weaver: Scheduler
    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, body: bytes, metadata: Mapping[str, str] | None = None) -> None:
        self.weaver.call(f"object {key}", lambda: self.objects.update({key: body}))

    def read(self, key: str) -> bytes:
        self.weaver.call(f"read {key}", lambda: None)
        return self.objects[key]

    def open(self, key: str) -> BinaryIO:
        return BytesIO(self.read(key))
