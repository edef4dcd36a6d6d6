"""Stores that keep nothing in memory, so that what grows is the code itself: a folder, and a table of sand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.fixtures import AT, DOCUMENT
from retour.domain.delivery import Delivery
from retour.domain.program import Program, program_from
from retour.store.bucket_work import Work
from retour.store.ledger import TableLedger


@dataclass(frozen=True)
class DiskInbox:
    """An inbox on a disk."""

    root: Path

    def put(self, key: str, body: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def pieces(self, key: str, size: int = 8 << 20) -> Iterator[bytes]:
        with (self.root / key).open("rb") as file:
            while piece := file.read(size):
                yield piece

    def put_pieces(self, key: str, pieces: Iterable[bytes]) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(pieces)


@dataclass
class NullTable:
    """A DynamoDB stand-in that accepts every write and returns nothing, except the work summaries it needs."""

    summaries: dict[str, Any] = field(default_factory=dict)

    def put_item(self, *, Item: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        if Item["PK"]["S"].startswith("B#"):
            self.summaries[Item["SK"]["S"]] = Item
        return {}

    def batch_execute_statement(self, **_: Any) -> dict[str, Any]:
        return {}

    def delete_item(self, *, Key: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        self.summaries.pop(Key["SK"]["S"], None)
        return {}

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def query(self, **asked: Any) -> dict[str, Any]:
        partition = asked["ExpressionAttributeValues"][":pk"]["S"]
        return {"Items": list(self.summaries.values()) if partition.startswith("B#") else []}


@dataclass
class DiskHub:
    """A hub on these stores; what is written about deliveries is not looked at."""

    inbox: DiskInbox
    table: NullTable = field(default_factory=NullTable)
    program: Program = field(default_factory=lambda: program_from(DOCUMENT, 1, ()))

    def program_of(self, _: Delivery) -> Program:
        return self.program

    def now(self) -> datetime:
        return AT

    def ledger(self, program: Program) -> TableLedger:
        return TableLedger(self.table, "ledger", program.id, ())

    def deliveries(self, _: str) -> Any:
        nothing = lambda *_args, **_more: None  # noqa: E731 - three names for doing nothing
        return SimpleNamespace(put=nothing, close=nothing, remind=nothing)

    def work(self, program: str, delivery: str) -> Work:
        return Work(self.inbox, self.table, "ledger", program, delivery)  # type: ignore[arg-type]
