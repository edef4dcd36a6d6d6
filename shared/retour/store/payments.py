"""A program's payment batches, and who is paid how: payout accounts as far as they may be known, tax treatments.

`B#<program>` holds each batch's head (`P#`), its approval (`A#`), how many were approved (`=`), and of every statement
that was ever in a payment where it stands (`S#`); `B#<program>#<batch>` the transfers of a batch and whom it left out,
packed, and what became of each transfer (`R#`); `B#<program>#payees` the newest account (`A#`) and treatment (`T#`) of
each partner, and the account of each billing group (`G#`). Heads and approvals are written once and never changed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from retour.store.bulk import batched
from retour.store.conditional_writes import write_all
from retour.store.items import Item, encode_json, n, read_json, s
from retour.store.query import query_items
from retour.store.statements import pack_lines, unpack_lines

Document = dict[str, Any]
PACKED = 1_000
"""Transfers packed into one item."""
COUNTER, BATCH, APPROVAL, STATEMENT = "=", "P#", "A#", "S#"
TRANSFERS, LEFT_OUT, RESULT = "L#", "O#", "R#"
ACCOUNT, TREATMENT, GROUP_ACCOUNT = "A#", "T#", "G#"


@dataclass(frozen=True)
class Payments:
    """`client` is a boto3 DynamoDB client."""

    client: Any
    table: str
    program: str

    # Batches

    def put_batch(self, id_: str, head: Document, transfers: Sequence[Any], left_out: Sequence[Any]) -> bool:
        """Its contents, then its head: who sees it sees all of it. False: it stood there already."""
        for kind, some in ((TRANSFERS, transfers), (LEFT_OUT, left_out)):
            for number, page in zip(count(), batched(some, PACKED)):
                self._put_new(self._of_batch(id_), f"{kind}{number:04d}", lines={"B": pack_lines([*page])})
        return self._put_new(self._all, f"{BATCH}{id_}", doc=s(encode_json(head))) is None

    def batch(self, id_: str) -> Document | None:
        return self._get(self._all, f"{BATCH}{id_}")

    def batches(self, before: str = "") -> Iterator[tuple[str, Document]]:
        """Every batch's id and head, the newest day first."""
        values = {":first": s(BATCH), ":last": s(f"{BATCH}{before or '~'}")}
        for item in self._query(self._all, "SK BETWEEN :first AND :last", values, ScanIndexForward=False):
            if (id_ := item["SK"]["S"].removeprefix(BATCH)) != before:
                yield id_, read_json(item)

    def transfers(self, id_: str) -> Iterator[Any]:
        yield from self._packed(id_, TRANSFERS)

    def left_out(self, id_: str) -> Iterator[Any]:
        yield from self._packed(id_, LEFT_OUT)

    # Approved

    def approved(self) -> int:
        """How many batches were ever approved: whoever approves names it, so that nobody else did meanwhile."""
        return int((self._get(self._all, COUNTER) or {}).get("approved", 0))

    def approval(self, id_: str) -> Document | None:
        return self._get(self._all, f"{APPROVAL}{id_}")

    def approve(self, id_: str, approval: Document, after: int) -> bool:
        """The one commit point of an approval; False: it is approved already, or somebody approved another."""
        counter = {
            "PK": s(self._all),
            "SK": s(COUNTER),
            "v": n(after + 1),
            "doc": s(encode_json({"approved": after + 1})),
        }
        is_first = {"ConditionExpression": "attribute_not_exists(PK)"}
        is_next = {"ConditionExpression": "v = :before", "ExpressionAttributeValues": {":before": n(after)}}
        item = {"PK": s(self._all), "SK": s(f"{APPROVAL}{id_}"), "doc": s(encode_json(approval))}
        return write_all(
            self.client,
            [
                {"Put": {"TableName": self.table, "Item": item, **is_first}},
                {"Put": {"TableName": self.table, "Item": counter, **(is_next if after else is_first)}},
            ],
        )

    # What became of it

    def result(self, id_: str, transfer: str) -> Document | None:
        return self._get(self._of_batch(id_), f"{RESULT}{transfer}")

    def results(self, id_: str) -> dict[str, Document]:
        """By transfer."""
        found = self._query(self._of_batch(id_), "begins_with(SK, :kind)", {":kind": s(RESULT)})
        return {item["SK"]["S"].removeprefix(RESULT): read_json(item) for item in found}

    def put_result(self, id_: str, transfer: str, doc: Document, before: Document | None) -> bool:
        """False when somebody else was faster."""
        item = {"PK": s(self._of_batch(id_)), "SK": s(f"{RESULT}{transfer}"), "doc": s(encode_json(doc))}
        more: Document = {"ConditionExpression": "attribute_not_exists(PK)"}
        if before is not None:
            values = {":before": s(encode_json(before))}
            more = {"ConditionExpression": "doc = :before", "ExpressionAttributeValues": values}
        try:
            self.client.put_item(TableName=self.table, Item=item, **more)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    # What people did, in their order

    def note_act(self, at: str, act: str, batch: str, delivery: str) -> None:
        """That an act moved money; again changes nothing."""
        item = {"PK": s(self._acts), "SK": s(f"{at}#{delivery}"), "doc": s(encode_json({"act": act, "batch": batch}))}
        self.client.put_item(TableName=self.table, Item=item)

    def acts(self, since: str, until: str) -> Iterator[tuple[str, str, str]]:
        """(act, batch, delivery) of what moved money from one moment on and before another, oldest first."""
        values = {":first": s(since), ":last": s(until)}
        for item in self._query(self._acts, "SK BETWEEN :first AND :last", values):
            doc = read_json(item)
            yield doc["act"], doc["batch"], item["SK"]["S"].partition("#")[2]

    # Statements in a payment

    def statement(self, id_: str) -> Document | None:
        """Where the payment of a statement stands: `batch`, `state`, `failed_in`, and `day` once it is paid."""
        return self._get(self._all, f"{STATEMENT}{id_}")

    def all_statements(self) -> dict[str, Document]:
        """The same of every statement that was ever in a payment."""
        found = self._query(self._all, "begins_with(SK, :kind)", {":kind": s(STATEMENT)})
        return {item["SK"]["S"].removeprefix(STATEMENT): read_json(item) for item in found}

    def statements(self, ids: Iterable[str]) -> dict[str, Document]:
        """The same of many; those that were in no payment are left out."""
        found = {}
        for some in batched(ids, 100):
            asked: Any = {
                self.table: {"Keys": [self._key(f"{STATEMENT}{id_}") for id_ in some], "ConsistentRead": True}
            }
            while asked:
                answer = self.client.batch_get_item(RequestItems=asked)
                for item in answer["Responses"].get(self.table, ()):
                    found[item["SK"]["S"].removeprefix(STATEMENT)] = read_json(item)
                asked = answer.get("UnprocessedKeys")
        return found

    def put_statement(self, id_: str, doc: Document) -> None:
        self.client.put_item(TableName=self.table, Item={**self._key(f"{STATEMENT}{id_}"), "doc": s(encode_json(doc))})

    # Who is paid

    def put_payee(self, kind: str, owner: str, doc: Document) -> None:
        """Newest `at` wins, whoever puts it and however often."""
        item = {"PK": s(self._payees), "SK": s(f"{kind}{owner}"), "at": s(doc["at"]), "doc": s(encode_json(doc))}
        try:
            self.client.put_item(
                TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(PK) OR #at <= :at",
                ExpressionAttributeNames={"#at": "at"}, ExpressionAttributeValues={":at": s(doc["at"])},
            )  # fmt: skip
        except self.client.exceptions.ConditionalCheckFailedException:
            return

    def payee(self, kind: str, owner: str) -> Document | None:
        return self._get(self._payees, f"{kind}{owner}")

    def payees(self, kind: str) -> dict[str, Document]:
        found = self._query(self._payees, "begins_with(SK, :kind)", {":kind": s(kind)})
        return {item["SK"]["S"].removeprefix(kind): read_json(item) for item in found}

    # Keys

    @property
    def _all(self) -> str:
        return f"B#{self.program}"

    @property
    def _acts(self) -> str:
        return f"B#{self.program}#acts"

    @property
    def _payees(self) -> str:
        return f"B#{self.program}#payees"

    def _of_batch(self, id_: str) -> str:
        return f"B#{self.program}#{id_}"

    def _key(self, sort: str) -> Item:
        return {"PK": s(self._all), "SK": s(sort)}

    def _packed(self, id_: str, kind: str) -> Iterator[Any]:
        for item in self._query(self._of_batch(id_), "begins_with(SK, :kind)", {":kind": s(kind)}):
            yield from unpack_lines(item)

    def _query(self, partition: str, condition: str, values: Mapping[str, Item], **more: Any) -> Iterator[Item]:
        return query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression=f"PK = :pk AND {condition}",
            ExpressionAttributeValues={":pk": s(partition), **values},
            ConsistentRead=True,
            **more,
        )

    def _get(self, partition: str, sort: str) -> Document | None:
        key = {"PK": s(partition), "SK": s(sort)}
        found = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        return read_json(found) if found else None

    def _put_new(self, partition: str, sort: str, **values: Item) -> Item | None:
        """First write wins; what stands there otherwise."""
        try:
            self.client.put_item(
                TableName=self.table, Item={"PK": s(partition), "SK": s(sort), **values},
                ConditionExpression="attribute_not_exists(PK)", ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )  # fmt: skip
        except self.client.exceptions.ConditionalCheckFailedException as failure:
            standing: Item = failure.response["Item"]
            return standing
        return None
