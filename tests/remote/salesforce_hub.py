"""A simulated Salesforce organisation with an in-memory hub, for the Salesforce tests."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.settings import IN_MEMORY, change_settings

from local.salesforce import ADMIN, ORG, Simulator, start
from retour.domain.actions.modification import Modification
from retour.domain.contracts.versions import with_versions_of
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, program_from
from retour.intake import action_reports
from retour.intake.actions import ingest_actions
from retour.remote.salesforce import client_for
from retour.settings import Service, Settings
from retour.store.dry_run_ledger import DryRunLedger
from retour.store.ledger import HeadWrite

KEY, USER, TOKEN = "3MVG9retour", "retour@acme.example", "t0k3nt0k3nt0k3nt0k3nt0"
SOURCE = {
    "channel": "salesforce",
    "order_by": "occurred_at",
    "event_type": "sale",
    "options": {
        "org_id": ORG,
        "object": "Case",
        "domain": "acme.my",
        "username": USER,
        "consumer_key": KEY,
        "fields": {"order_id": "Order_Number__c", "status": "Status", "amount": "Refund__c", "reason": "Reason__c"},
        "statuses": {
            "Returned": "reverse",
            "Partly returned": "take_back",
            "Approved": "approve",
            "Restored": "restore",
        },
        "write_back": {"state": "Retour_State__c", "message": "Retour_Message__c", "synced": "Retour_Last_Sync__c"},
    },
}
DOCUMENT = {
    "program": "acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "event_types": {"sale": {}},
    "contracts": {
        "standard": {
            "event_type": "sale",
            "valid_from": "2020-01-01",
            "payout": "8%",
            "lock": {"days_after_event": 30},
        }
    },
    "sources": {"crm": SOURCE},
}


@cache
def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class ProcessKilled(BaseException):
    """The process ended between two steps."""


@dataclass
class WriteCounter:
    """Counts writes and crashes before the one numbered `ends_at`."""

    ends_at: int = 0

    def step(self) -> None:
        self.ends_at -= 1
        if self.ends_at == 0:
            raise ProcessKilled


@dataclass
class MemoryState:
    """A source's state in memory."""

    life: WriteCounter
    docs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, key: str) -> dict[str, Any] | None:
        return self.docs.get(key)

    def put(self, key: str, doc: Mapping[str, Any]) -> None:
        self.life.step()
        self.docs[key] = json.loads(json.dumps(doc))

    def claim(self, key: str, doc: Mapping[str, Any]) -> bool:
        self.life.step()
        mine = json.loads(json.dumps(doc))
        return self.docs.setdefault(key, mine) is mine


@dataclass
class MemoryDeliveries:
    """Deliveries in memory."""

    life: WriteCounter
    bodies: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def put(self, delivery: Delivery, body: bytes | None, state: str, report: Mapping[str, Any]) -> Delivery:
        self.life.step()
        self.bodies[delivery.id] = body or b""
        self.states[delivery.id] = state
        return delivery

    def close(self, delivery: Delivery, report: Mapping[str, Any], state: str = "done") -> None:
        self.life.step()
        self.states[delivery.id] = state

    def remind(self, kind: str, deadline: datetime, subject: str, doc: Mapping[str, Any]) -> None:
        self.waiting[subject] = doc

    def reminder(self, kind: str, deadline: datetime, subject: str) -> Mapping[str, Any] | None:
        return self.waiting.get(subject)

    def forget(self, kind: str, deadline: datetime, subject: str) -> bool:
        return self.waiting.pop(subject, None) is not None


class CountingLedger(DryRunLedger):
    """A ledger in memory whose writes count too."""

    life = WriteCounter()

    def insert(self, modification: Modification) -> Modification | None:
        self.life.step()
        return super().insert(modification)

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        self.life.step()
        return super().write_heads(order_key, changes)


@dataclass
class SalesforceTestHub:
    """A hub in memory on a simulated organisation."""

    simulator: Simulator
    salesforce_ca: str
    ticks: int = 0
    settings: Settings = IN_MEMORY
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=lambda: DOCUMENT)

    def __post_init__(self) -> None:
        change_settings(self, salesforce=Service(self.simulator.connect, self.salesforce_ca))
        self.life = WriteCounter()
        self.facts = MemoryState(self.life)
        self.kept = MemoryDeliveries(self.life)
        self.books = CountingLedger(())
        self.books.life = self.life

    @property
    def programs(self) -> Any:
        return SimpleNamespace(ids=lambda: ["acme"])

    def now(self) -> datetime:
        """A clock that advances with each call."""
        self.ticks += 1
        return datetime.now(UTC).replace(microsecond=0) + timedelta(milliseconds=self.ticks)

    def program(self, program_id: str) -> Program | None:
        if program_id != "acme":
            return None
        return program_from(self.document, 1, with_versions_of(self.document, (), datetime(2020, 1, 1, tzinfo=UTC)))

    def program_of(self, delivery: Delivery) -> Program:
        return self.acme

    @property
    def acme(self) -> Program:
        program = self.program("acme")
        assert program
        return program

    def secret(self, program_id: str, source: str) -> dict[str, Any]:
        return {"tokens": [TOKEN], "private_key": key_pair()[0]}

    def state(self, program_id: str, source: str) -> MemoryState:
        return self.facts

    def deliveries(self, program_id: str) -> MemoryDeliveries:
        return self.kept

    def ledger(self, program: Program) -> DryRunLedger:
        self.books.contracts = program.contracts
        return self.books

    def rates(self, program_id: str) -> Any:
        return SimpleNamespace(on=lambda *_: ())

    def send(self, queue: str, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self.sent.append((queue, json.loads(json.dumps(message))))

    # Actions and checks of tests

    def sell(self, order: str, amount: str = "100.00") -> None:
        """Report a sale with one line."""
        sold = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        action = {"order_id": order, "event_type": "sale", "partner": "p1", "event_time": sold, "currency": "EUR"}
        reports = action_reports.from_json(json.dumps(action | {"amount": amount}).encode())
        delivery = Delivery(
            id="20261121T000000000Z-0000000000",
            program="acme",
            channel=Channel.API,
            source="orders",
            kind=DeliveryKind.ACTIONS,
            identity=order,
            received_at=self.now(),
            sha256="",
            size=0,
        )
        batch = ingest_actions(self, delivery, reports)
        assert [result.outcome for result in batch.results] == ["applied"], batch

    def left(self, order: str) -> int:
        """What is left of the order's sale, in cents."""
        [head] = [head for head in self.books.order(order).heads.values() if head.action]
        return head.standing.amount

    def record(self, status: str, order: str = "A-1", record: str | None = None, **fields: Any) -> str:
        values = {"Status": status, "Order_Number__c": order, **fields}
        return self.simulator.org.save("Case", record, values, ADMIN)

    def seen(self, record: str) -> dict[str, Any]:
        return self.simulator.org.records["Case"][record]

    def written_back(self) -> list[dict[str, Any]]:
        return [news for queue, message in self.sent if queue == "writebacks" for news in message.get("records", ())]

    def killed_at(self, write: int) -> None:
        self.life.ends_at = write


@contextmanager
def house(tmp_path: Path, page: int = 2000) -> Iterator[SalesforceTestHub]:
    simulator = start(page=page)
    simulator.register(KEY, USER, key_pair()[1])
    authority = tmp_path / "ca.pem"
    authority.write_text(simulator.ca_pem)
    client_for.cache_clear()
    try:
        yield SalesforceTestHub(simulator, str(authority))
    finally:
        simulator.stop()
