"""A day's actions through the store, and what each partition key of the table and its indexes bears in a second.

The production code writes to a table in memory; its clock goes on by a second with every so many actions. So the load
is the one that it would make, at a rate that no test machine makes.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from retour.domain.contracts.versions import with_versions_of
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, program_from
from retour.intake.ingest import ingest
from retour.settings import Settings
from retour.store.deliveries import Deliveries
from retour.store.ledger import TableLedger
from retour.store.rates import Rates
from tests.conftest import PROGRAM
from tests.meter import index_writes, item_bytes, units
from tests.settings import IN_MEMORY
from tests.soak.table import Bucket, Item, Table

RATE = 5_000
"""Actions a second."""
UNITS_MAX = 1_000
"""Write units a second that one partition key takes."""
SHARDS = 8
ACTIONS_A_CALL = 100
RETURNED_EVERY = 10
"""Of so many actions one comes back, told by a call of its own."""
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
NAME, TABLE = "acme", "ledger"


class Alone:
    """One worker: every call to the table is made at once."""

    def call(self, _what: str, do: Callable[[], None]) -> None:
        do()


@dataclass
class MeteredTable(Table):
    """Counts the units that every write costs each partition key, by the second in which it comes."""

    second: Callable[[], int] = lambda: 0
    borne: dict[int, Counter[str]] = field(default_factory=dict)
    times: int = 1

    def transact_write_items(self, **asked: Any) -> Mapping[str, Any]:
        self.times = 2  # An item of a transaction is written twice, prepared and done.
        try:
            return super().transact_write_items(**asked)
        finally:
            self.times = 1

    def count(self, pk: str, _sk: str, old: Item | None, new: Item | None) -> None:
        keys = self.borne.setdefault(self.second(), Counter())
        keys[pk] += self.times * units(max(item_bytes(one) for one in (old, new) if one))
        for key, written in index_writes(old, new):
            keys[key] += written

    def busiest(self) -> Counter[str]:
        """The most units of each key in one second."""
        peaks: Counter[str] = Counter()
        for keys in self.borne.values():
            peaks |= keys
        return peaks


@dataclass
class LoadedHub:
    """The hub that the production code asks for time, program and stores."""

    shards: int
    told: int = 0
    settings: Settings = IN_MEMORY

    def __post_init__(self) -> None:
        self.table = MeteredTable(Alone(), lambda *_: None, second=lambda: self.told // RATE)  # type: ignore[arg-type]
        self.table.watch = self.table.count
        self.inbox = Bucket(Alone())  # type: ignore[arg-type]
        document = {**PROGRAM, "program": NAME}
        self.known = program_from(document, 1, with_versions_of(document, (), datetime(2026, 1, 1, tzinfo=UTC)))
        self.widths: dict[str, int] = {}
        self.listed: dict[tuple[str, str], datetime] = {}

    def now(self) -> datetime:
        return START + timedelta(seconds=self.told / RATE)

    def program(self, _program: str) -> Program:
        return self.known

    def program_of(self, _delivery: Delivery) -> Program:
        return self.known

    def ledger(self, program: Program) -> TableLedger:
        return TableLedger(
            self.table, TABLE, NAME, program.contracts, shards=self.shards, widths=self.widths, listed=self.listed,
            real_now=self.now,
        )  # fmt: skip

    def rates(self, _program: str) -> Rates:
        return Rates(self.table, TABLE, NAME)

    def deliveries(self, _program: str) -> Deliveries:
        return Deliveries(self.table, TABLE, NAME, self.inbox)  # type: ignore[arg-type]

    def send(self, _queue: str, _message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        """Nothing waits here for an answer."""

    # What is told

    def tell(self, kind: DeliveryKind, records: Sequence[Mapping[str, Any]], identity: str) -> None:
        body = json.dumps(records).encode()
        delivery = Delivery.create(
            body,
            received_at=self.now(),
            program=NAME,
            channel=Channel.API,
            source="erp",
            kind=kind,
            identity=identity,
        )
        batch = ingest(self, delivery, body)  # type: ignore[arg-type]
        assert batch.counts == {"applied": len(records)}, batch.counts

    def tell_actions(self, first: int, number: int) -> None:
        """So many sales of one day and one partner in a call; and what comes back of them."""
        orders = range(first, first + number)
        sales = [{**sale(n), "order_id": f"L-{n}"} for n in orders]
        self.tell(DeliveryKind.ACTIONS, sales, f"c{first}")
        for n in orders:
            self.told += 1
            if n % RETURNED_EVERY == 0:
                change = {"order_id": f"L-{n}", "change": "take_back", "amount": "4.00", "currency": "EUR"}
                self.tell(DeliveryKind.MODIFICATIONS, [change], f"r{n}")
            # Nobody comes back to it, and a day of them would fill the memory.
            self.table.items.pop(f"A#{NAME}#L-{n}")


def sale(n: int) -> dict[str, str]:
    at = datetime(2026, 11, 1, 1, 0, tzinfo=UTC) + timedelta(seconds=n % 75_000)
    return {
        "event_type": "sale",
        "partner": "nordlicht",
        "event_time": at.isoformat(),
        "amount": "9.00",
        "currency": "EUR",
    }


def load(actions: int, shards: int = SHARDS, of_a_call: int = ACTIONS_A_CALL) -> Counter[str]:
    """The busiest second of each key while so many actions of one day are told."""
    hub = LoadedHub(shards)
    for first in range(0, actions, of_a_call):
        hub.tell_actions(first, min(of_a_call, actions - first))
    return hub.table.busiest()


def run_hot_keys(actions: int, _seed: int) -> str:
    peaks = load(actions)
    [(key, most)] = peaks.most_common(1)
    assert most <= UNITS_MAX, peaks.most_common(5)
    alone = load(2 * RATE, shards=1).most_common(1)[0]
    singly = load(2 * RATE, of_a_call=1).most_common(1)[0]
    return (
        f"{actions:,} actions of one day and one partner at {RATE:,} a second, {ACTIONS_A_CALL} in a call, one in "
        f"{RETURNED_EVERY} back: at most {most} units a second in a key ({key}); over one shard {alone[1]:,} "
        f"({alone[0]}); each action in a call of its own {singly[1]:,} ({singly[0]})"
    )
