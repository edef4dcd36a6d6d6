"""Write units per modification by AWS's rules, on the real storage template in the embedded AWS."""

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from tests.meter import Meter

from local.emulator import emulator, free_port
from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.intake.ingest import ingest
from retour.intake.programs import record_program
from retour.settings import Settings
from retour.setup import program_file
from retour.wiring import Hub

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
program: acme
currency: EUR
time_zone: Europe/Berlin
event_types: {sale: {}}
contracts:
  standard: {event_type: sale, valid_from: 2026-01-01, payout: 8%, lock: {days_after_event: 60}}
sources:
  warehouse: {channel: sftp, event_type: sale}
  shop: {channel: api, kind: standard, event_type: sale}
"""
SERIAL = itertools.count()


@contextmanager
def bench_hub() -> Iterator[Hub]:
    """A hub whose stores are real, with one program."""
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    with tempfile.TemporaryDirectory() as folder, emulator(Path(folder), free_port(), persist=False) as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        stacks = boto3.client("cloudformation")
        stacks.create_stack(StackName="storage", TemplateBody=(ROOT / "infra/storage.yaml").read_text())
        stacks.get_waiter("stack_create_complete").wait(StackName="storage", WaiterConfig={"Delay": 1})
        made = stacks.describe_stack_resources(StackName="storage")["StackResources"]
        names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in made}
        answers = boto3.client("sqs").create_queue(QueueName="answers")["QueueUrl"]
        hub = Hub(
            Settings(
                stack="bench", ledger_table=names["Ledger"], inbox_bucket=names["Inbox"], queues={"answers": answers}
            )
        )
        applied = record_program(hub, build_delivery(DeliveryKind.PROGRAM, b"", Channel.CONSOLE, ""), PROGRAM.encode())
        assert isinstance(applied, tuple), applied
        yield hub


def build_delivery(kind: DeliveryKind, body: bytes, channel: Channel, source: str, **more: Any) -> Delivery:
    now, identity = datetime.now(UTC), str(next(SERIAL))
    return Delivery(
        id=delivery_id(now, "acme", source, identity),
        program="acme",
        channel=channel,
        source=source,
        kind=kind,
        identity=identity,
        received_at=now,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        **more,
    )


def report(hub: Hub, orders: list[str]) -> None:
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for start in range(0, len(orders), 100):
        body = json.dumps(
            [
                {"order_id": order, "event_type": "sale", "partner": "blog", "event_time": at, "currency": "EUR",
                 "items": [{"sku": "BOOT", "quantity": 2, "amount": "100.00"}]}
                for order in orders[start : start + 100]
            ]
        ).encode()  # fmt: skip
        ingest(hub, build_delivery(DeliveryKind.ACTIONS, body, Channel.API, ""), body)


def measure_singles(hub: Hub, meter: Meter) -> tuple[float, float]:
    """Units for a modification that comes alone, and for the delivery it comes in."""
    orders = [f"S-{n}" for n in range(100)]
    report(hub, orders)
    start = len(meter.calls)
    for order in orders:
        record = {"reference": order, "order_id": order, "change": "take_back", "amount": "10.00"}
        body = json.dumps({**record, "reason": "ITEM_RETURNED"}).encode()
        ingest(hub, build_delivery(DeliveryKind.MODIFICATIONS, body, Channel.API, "warehouse"), body)
    of_ledger = ledger_units(meter, start)
    return of_ledger / len(orders), (sum(cost for *_, cost in meter.calls[start:]) - of_ledger) / len(orders)


def measure_file(hub: Hub, meter: Meter, each: int) -> float:
    """Units for each modification of a file in which so many meet one action."""
    orders = [f"F{each}-{n}" for n in range(200)]
    report(hub, orders)
    start = len(meter.calls)
    lines = [f"r{each}/{n}/{order},{order},take_back,1.00,ITEM_RETURNED" for n in range(each) for order in orders]
    body = "\n".join(["reference,order_id,change,amount,reason", *lines]).encode()
    batch = ingest(hub, build_delivery(DeliveryKind.FILE, body, Channel.SFTP, "warehouse", name="returns.csv"), body)
    assert batch.counts == {"applied": len(lines)}, batch.counts
    return ledger_units(meter, start) / len(lines)


def ledger_units(meter: Meter, start: int) -> int:
    return sum(cost for key, _, cost in meter.calls[start:] if key.startswith("A#"))


if __name__ == "__main__":
    assert program_file.parse_program(PROGRAM)
    with bench_hub() as hub:
        meter = Meter.watching(hub._dynamodb)
        single, around = measure_singles(hub, meter)
        by_file = {each: measure_file(hub, meter, each) for each in (1, 2, 3, 5)}
        print(json.dumps({"single": single, "delivery": around, "by_file": by_file}))
