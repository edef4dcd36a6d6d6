"""The embedded AWS with Retour's real storage, one per test process, and a hub that works on it."""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from hypothesis import HealthCheck, settings

from retour.domain.actions.order import Order
from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.intake.batch import Batch
from retour.intake.ingest import ingest
from retour.intake.programs import record_program
from retour.settings import read_settings
from retour.wiring import Hub
from tests.meter import Meter, ReadMeter

ROOT = Path(__file__).resolve().parents[1]
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PROGRAMS = itertools.count(1)

# Generous, for slow machines.
settings.register_profile("retour", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("retour")

os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    POWERTOOLS_TRACE_DISABLED="true",
    STACK="test",
    LEDGER_TABLE="none",
    INBOX_BUCKET="none",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write the expected readings of the samples anew")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that starts a hub is slow, wherever it stands. What a module of local/ shares, one process starts."""
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group and "hub" in group.args:
            item.add_marker(pytest.mark.slow)
        elif not group and item.path.parent.name == "local":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The functions' environment, on an embedded AWS with the real storage template."""
    with storage(tmp_path_factory.mktemp("aws")) as environment:
        yield environment


@contextmanager
def storage(folder: Path) -> Iterator[dict[str, str]]:
    """The same while the context is open."""
    from local.emulator import emulator, free_port

    with emulator(folder, free_port(), persist=False) as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        stored = create_storage("storage")
        sqs = boto3.client("sqs")
        queues = {
            f"{name.upper()}_QUEUE": sqs.create_queue(QueueName=name)["QueueUrl"]
            for name in ("answers", "pulls", "writebacks", "parked")
        }
        yield {
            **stored,
            "STACK": "test",
            "MAIL_DOMAIN": "in.retour.test",
            "MAIL_FROM": "returns@in.retour.test",
            **queues,
        }
        del os.environ["AWS_ENDPOINT_URL"]


def create_storage(stack: str) -> dict[str, str]:
    """Create another table and bucket from the storage template."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName=stack, TemplateBody=(ROOT / "infra/storage.yaml").read_text())
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 200})
    made = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    resources = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in made}
    return {"LEDGER_TABLE": resources["Ledger"], "INBOX_BUCKET": resources["Inbox"]}


@dataclass
class Clock:
    """A business clock that advances by a second per call, so that later events are later."""

    moment: datetime = START

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@dataclass
class ProgramHarness:
    """A program on a hub, with ways to send to it through the front door."""

    hub: Hub
    program: str
    clock: Clock
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    serial: Iterator[int] = field(default_factory=itertools.count)

    def delivery(self, kind: DeliveryKind, body: bytes, source: str, channel: Channel, **more: Any) -> Delivery:
        now = self.hub.now()
        identity = more.pop("identity", None) or f"{next(self.serial)}"
        return Delivery(
            id=delivery_id(now, self.program, source, identity),
            program=self.program,
            channel=channel,
            source=source,
            kind=kind,
            identity=identity,
            received_at=now,
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            **more,
        )

    def apply(self, document: dict[str, Any]) -> None:
        body = yaml.safe_dump({**document, "program": self.program}).encode()
        delivery = self.delivery(DeliveryKind.PROGRAM, body, "", Channel.CONSOLE)
        applied = record_program(self.hub, delivery, body)
        assert isinstance(applied, tuple), applied

    def report(self, *actions: dict[str, Any], **more: Any) -> Batch:
        usual = {"event_type": "sale", "partner": "nordlicht", "event_time": "2026-11-01T12:00:00+01:00"}
        body = json.dumps([{**usual, **action} for action in actions]).encode()
        return ingest(self.hub, self.delivery(DeliveryKind.ACTIONS, body, "", Channel.API, **more), body)

    def modify(
        self, *records: dict[str, Any], source: str = "erp", channel: Channel = Channel.API, **more: Any
    ) -> Batch:
        body = json.dumps(list(records)).encode()
        return ingest(self.hub, self.delivery(DeliveryKind.MODIFICATIONS, body, source, channel, **more), body)

    def file(self, body: bytes, name: str = "may.csv", source: str = "warehouse", **more: Any) -> Batch:
        delivery = self.delivery(DeliveryKind.FILE, body, source, Channel.SFTP, name=name, **more)
        return ingest(self.hub, delivery, body)

    def order(self, key: str) -> Order:
        program = self.hub.program(self.program)
        assert program is not None
        return self.hub.ledger(program).order(key)

    def payouts(self, order: str) -> dict[str, tuple[int, int, str]]:
        """Action id to amount, payout and state of an order, from the table."""
        now = self.clock.moment
        heads = self.order(order).heads.values()
        return {
            head.action: (head.standing.amount, head.payout, head.state(now).value) for head in heads if head.action
        }


PROGRAM: dict[str, Any] = {
    "name": "Acme Shoes",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "event_types": {"sale": {}, "lead": {}},
    "contracts": {
        "standard": {
            "event_type": "sale",
            "valid_from": "2026-01-01",
            "payout": "8%",
            "lock": {"days_after_event": 30},
        },
        "leads": {
            "event_type": "lead",
            "valid_from": "2026-01-01",
            "payout": "100%",
            "lock": {"days_after_event": 10},
        },
    },
    "sources": {
        "erp": {"channel": "api", "kind": "standard"},
        "till": {"channel": "api", "kind": "standard", "order_by": "occurred_at"},
        "shop": {"channel": "api", "kind": "standard", "basis": "order_total"},
        "warehouse": {"channel": "sftp"},
    },
}


@pytest.fixture
def house(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> ProgramHarness:
    """A program of its own on the embedded AWS. Business time begins on 2 November 2026.

    Tests share a table. Tests of code that reads all programs are marked `own_storage` and get a table of their own.
    """
    clock = Clock()
    is_alone = request.node.get_closest_marker("own_storage") is not None
    hub = Hub(read_settings({**environment, **(create_storage(f"storage-{next(PROGRAMS)}") if is_alone else {})}))
    monkeypatch.setattr(hub, "now", clock)
    # Generous, for slow machines.
    monkeypatch.setattr("retour.availability.SECONDS", 300)
    house = ProgramHarness(hub, f"acme-{os.getpid()}-{next(PROGRAMS)}", clock)

    def send(queue: str, message: dict[str, Any], delay_seconds: int = 0) -> None:
        house.sent.append((queue, message))

    monkeypatch.setattr(hub, "send", send)
    house.apply(PROGRAM)
    return house


@pytest.fixture
def metered(house: ProgramHarness) -> Callable[[], Meter]:
    """Count write units of the house's table from now on."""

    def start() -> Meter:
        return Meter.watching(house.hub._dynamodb)

    return start


@pytest.fixture
def looks(house: ProgramHarness) -> Callable[[], ReadMeter]:
    """Count reads of the house's table from now on."""

    def start() -> ReadMeter:
        return ReadMeter.watching(house.hub._dynamodb)

    return start
