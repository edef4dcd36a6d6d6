"""A program in memory behind the real webhook function: signed calls in, the remaining sale out."""

import importlib.util
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from retour.domain.actions.order import ActionHead, Order
from retour.domain.contracts.versions import with_versions_of
from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.money import to_text
from retour.domain.program import Program, program_from
from retour.intake import action_reports
from retour.intake.actions import ingest_actions
from retour.settings import Settings
from retour.store.deliveries import DeliveryHeader
from retour.store.dry_run_ledger import DryRunLedger
from tests.channels.hook_signing import sign_headers
from tests.gateway import hook
from tests.senders.kinds import sender_script
from tests.settings import IN_MEMORY

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SOLD = "2026-11-02T10:00:00Z"
SECRET = "whsec_cmV0b3VyLXJldG91ci1yZXRvdXItMDAw"
CONTEXT = SimpleNamespace(
    function_name="webhook",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:webhook",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 60_000,
)
NUMBERS = itertools.count(1)
DOCUMENT: dict[str, Any] = {
    "program": "acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "event_types": {"sale": {}},
    "contracts": {
        "standard": {
            "event_type": "sale", "valid_from": "2026-01-01", "payout": "10%", "lock": {"days_after_event": 60}
        }
    },
    # One sender reports two equal refunds in a shared namespace, so possible duplicates are not checked.
    "possible_duplicate_days": 0,
    "fx": {"USD": [{"from": "2026-01-01", "rate": "0.92"}]},
}  # fmt: skip


@dataclass
class MemoryState:
    """A source's state in memory."""

    docs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, key: str) -> dict[str, Any] | None:
        return self.docs.get(key)

    def put(self, key: str, doc: Mapping[str, Any]) -> None:
        self.docs[key] = json.loads(json.dumps(doc))

    def claim(self, key: str, doc: Mapping[str, Any]) -> bool:
        mine = json.loads(json.dumps(doc))
        return self.docs.setdefault(key, mine) is mine

    def delete(self, key: str) -> None:
        self.docs.pop(key, None)

    def list(self, prefix: str) -> list[tuple[str, dict[str, Any]]]:
        return sorted((key, doc) for key, doc in self.docs.items() if key.startswith(prefix))


@dataclass
class MemoryDeliveries:
    """Deliveries in memory, and cases by kind and subject."""

    headers: dict[str, DeliveryHeader] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, dict[str, tuple[datetime, Mapping[str, Any]]]] = field(default_factory=dict)

    def put(self, delivery: Delivery, body: bytes | None, state: str, report: Mapping[str, Any]) -> Delivery:
        self.bodies[delivery.id] = body or b""
        self.headers[delivery.id] = DeliveryHeader(delivery, state, report, None)
        return delivery

    def close(self, delivery: Delivery, report: Mapping[str, Any], state: str = "done") -> None:
        self.headers[delivery.id] = DeliveryHeader(delivery, state, report, None)

    def get(self, delivery_id: str) -> DeliveryHeader | None:
        return self.headers.get(delivery_id)

    def body(self, header: DeliveryHeader) -> bytes:
        return self.bodies[header.delivery.id]

    def remind(self, kind: str, deadline: datetime, subject: str, doc: Mapping[str, Any]) -> None:
        self.listed.setdefault(kind, {})[subject] = deadline, doc

    def reminder(self, kind: str, deadline: datetime, subject: str) -> Mapping[str, Any] | None:
        found = self.listed.get(kind, {}).get(subject)
        return found[1] if found else None

    def forget(self, kind: str, deadline: datetime, subject: str) -> bool:
        return self.listed.get(kind, {}).pop(subject, None) is not None

    def due(self, kind: str, now: datetime | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for subject, (deadline, doc) in sorted(self.listed.get(kind, {}).items()):
            if now is None or deadline < now:
                yield subject, {"deadline": deadline.isoformat(), **doc}

    def open(self) -> Iterator[Delivery]:
        return iter(())


@dataclass
class WebhookHarness:
    """A hub in memory with one webhook source, `shop`, and its function."""

    kind: str
    said: Mapping[str, Any] = field(default_factory=dict)
    program_says: Mapping[str, Any] = field(default_factory=dict)
    moment: datetime = NOW
    settings: Settings = IN_MEMORY

    def __post_init__(self) -> None:
        self.kept, self.notes = MemoryDeliveries(), MemoryState()
        for key, doc in getattr(sender_script(self.kind), "KEPT", {}).items():
            self.notes.put(key, doc)
        self.books = DryRunLedger(self.acme.contracts)
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.app.hub = lambda: self  # type: ignore[attr-defined]  # the function takes what its edge gives it

    @cached_property
    def app(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("webhook_in_memory", ROOT / "functions/webhook/app.py")
        assert spec
        assert spec.loader
        app = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(app)
        return app

    @cached_property
    def acme(self) -> Program:
        source = {"channel": "api", "kind": self.kind, "event_type": "sale", **self.said}
        document = {**DOCUMENT, **self.program_says, "sources": {"shop": source}}
        return program_from(document, 1, with_versions_of(document, (), datetime(2026, 1, 1, tzinfo=UTC)))

    @property
    def signing_secret(self) -> str:
        """A secret in the sender's format, which some readers check."""
        return str(getattr(sender_script(self.kind), "HALL_SECRET", SECRET))

    # The hub's interface

    def now(self) -> datetime:
        """A clock that advances with each call."""
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def real_now(self) -> datetime:
        return self.moment

    def program(self, program_id: str) -> Program | None:
        return self.acme if program_id == "acme" else None

    def program_of(self, delivery: Delivery) -> Program:
        return self.acme

    @property
    def programs(self) -> Any:
        return SimpleNamespace(cache_reads=nullcontext)

    def secret(self, program_id: str, source: str) -> dict[str, Any]:
        return {"signing": [self.signing_secret]}

    reload_secret = secret

    def throttle(self, key: str, seconds: int) -> bool:
        return False

    def state(self, program_id: str, source: str) -> MemoryState:
        return self.notes

    def deliveries(self, program_id: str) -> MemoryDeliveries:
        return self.kept

    def ledger(self, program: Program) -> DryRunLedger:
        return self.books

    def rates(self, program_id: str) -> Any:
        return SimpleNamespace(on=lambda *_: ())

    def send(self, queue: str, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self.sent.append((queue, message))

    # Actions and checks of tests

    def sell(self, order: str, amount: str | None = "100.00", **said: Any) -> None:
        """Report a sale: by default one line SKU X with two units."""
        item = {"sku": "X", "quantity": 2, "amount": amount}
        action = {
            "order_id": order,
            "event_type": "sale",
            "partner": "p1",
            "event_time": SOLD,
            "currency": "EUR",
            "items": [item],
            **said,
        }
        reports = action_reports.from_json(json.dumps(action).encode())
        batch = ingest_actions(self, self.delivery(order, b"", DeliveryKind.ACTIONS), reports)  # type: ignore[arg-type]
        assert [result.outcome for result in batch.results] == ["applied"], batch

    def delivery(self, identity: str, body: bytes, kind: DeliveryKind) -> Delivery:
        now = self.now()
        return Delivery(
            id=delivery_id(now, "acme", "reports", identity),
            program="acme",
            channel=Channel.API,
            source="reports",
            kind=kind,
            identity=identity,
            received_at=now,
            sha256="0" * 64,
            size=len(body),
        )

    def post(self, body: bytes, *, delivery: str = "", **headers: str) -> dict[str, Any]:
        """Post a signed call and return its response. Without `delivery` each has its own id."""
        facts = {name.replace("_", "-"): value for name, value in headers.items()}
        delivery = delivery or f"msg_{next(NUMBERS)}"
        given = facts | sign_headers(self.kind, body, self.signing_secret, self.moment, delivery)
        answer = self.app.handler(hook("acme", "shop", body, given), CONTEXT)
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])  # type: ignore[no-any-return]

    def order(self, key: str) -> Order:
        return self.books.order(key)

    def head(self, order: str) -> ActionHead:
        [head] = [head for head in self.order(order).heads.values() if head.action]
        return head

    def left(self, order: str, currency: str = "EUR") -> str:
        """What is left of the order's sale, as decimal text."""
        return to_text(self.head(order).standing.amount, currency)

    def listed(self, kind: str) -> Sequence[str]:
        return sorted(self.kept.listed.get(kind, {}))
