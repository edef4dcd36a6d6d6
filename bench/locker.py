"""What the locker asks of the ledger, and how fast: `PYTHONPATH=infra python -m bench.locker [--actions 100000]`.

So many actions lock in one moment, on the embedded AWS with the real storage. Printed are requests and write units for
each action that becomes final (units by AWS's own rules), and what the runs cost that find nothing due.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from tests.conftest import PROGRAM
from tests.meter import Meter

from local.emulator import emulator, free_port
from retour.domain.actions.action import Action, Line
from retour.domain.actions.fence import GRACE
from retour.domain.actions.order import initial_head
from retour.domain.contracts.lock import at_report
from retour.domain.contracts.versions import with_versions_of
from retour.domain.program import Program, program_from
from retour.schedule.locking import finalise_due
from retour.settings import Settings
from retour.store.bulk import batched
from retour.store.items import Item, action_item, head_item, s
from retour.wiring import Hub

ROOT = Path(__file__).resolve().parents[1]
EVENT = datetime(2026, 11, 1, 11, tzinfo=UTC)
NAME = "bench"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--actions", type=int, default=5_000, help="that lock in one moment (default %(default)s)")
    wanted: int = options.parse_args().actions
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    with tempfile.TemporaryDirectory() as folder, emulator(Path(folder), free_port(), persist=False) as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        measure(wanted)


def measure(wanted: int) -> None:
    document = {**PROGRAM, "program": NAME}
    program = program_from(document, 1, with_versions_of(document, (), EVENT - timedelta(days=30)))
    hub = Hub(Settings(stack=NAME, ledger_table=create_table(), inbox_bucket="none"))
    lock_at = at_report(program.contracts[0].lock, EVENT, program.time_zone).locks_at
    assert lock_at is not None
    clock = [lock_at - timedelta(hours=1)]
    hub.now = lambda: clock[0]  # type: ignore[method-assign]
    items = list(report_items(program, wanted, lock_at))
    seed(hub, items)
    meter, requests = Meter.watching(hub._dynamodb), Counter[str]()
    meter.items = {(item["PK"]["S"], item["SK"]["S"]): item for item in items}
    hub._dynamodb.meta.events.register(
        "provide-client-params.dynamodb", lambda model, **_: requests.update([model.name])
    )

    def run(what: str) -> None:
        requests.clear()
        before, start = meter.written, time.perf_counter()
        counts = finalise_due(hub, program)
        seconds = time.perf_counter() - start
        done, asked = counts["final"], sum(requests.values())
        print(f"{what}: {dict(counts)} in {seconds:.1f} s; {dict(requests)}")
        if done:
            print(
                f"  for each action: {asked / done:.3f} requests, {(meter.written - before) / done:.3f} write units; "
                f"{done / seconds:.0f} actions/s on this machine"
            )

    run("an hour before the lock")
    clock[0] = lock_at + GRACE
    run(f"{wanted:,} actions due at once")
    run("the run after")


def create_table() -> str:
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName="storage", TemplateBody=(ROOT / "infra/storage.yaml").read_text())
    cloudformation.get_waiter("stack_create_complete").wait(StackName="storage", WaiterConfig={"Delay": 1})
    resources = cloudformation.describe_stack_resources(StackName="storage")["StackResources"]
    return str(next(one["PhysicalResourceId"] for one in resources if one["LogicalResourceId"] == "Ledger"))


def report_items(program: Program, wanted: int, lock_at: datetime) -> Iterator[Item]:
    """The actions and heads that so many reports leave, and the entry of their partition."""
    for number in range(wanted):
        key = f"B-{number:06}"
        action = Action(
            id=f"{key}~sale",
            program=NAME,
            order_key=key,
            order_id=key,
            event_type="sale",
            partner=f"partner-{number % 50}",
            event_time=EVENT + timedelta(milliseconds=number % 3_600_000),
            currency="EUR",
            lines=(Line("1", "SKU-1", None, 1, 10_000),),
            reported_at=EVENT,
            delivery="20261101T110000000Z-0000000000",
            locks_at=lock_at,
            contract=1,
        )
        partition = {"PK": s(f"A#{NAME}#{key}")}
        yield {**partition, **action_item(action)}
        yield {**partition, **head_item(initial_head(action, program.contracts), action)}
    yield {"PK": s(f"L#{NAME}"), "SK": s(f"D#{lock_at.date()}#{EVENT.date()}")}


def seed(hub: Hub, items: list[Any]) -> None:
    client = boto3.client("dynamodb")
    for some in batched(items, 25):
        client.batch_write_item(
            RequestItems={hub.settings.ledger_table: [{"PutRequest": {"Item": item}} for item in some]}
        )


if __name__ == "__main__":
    main()
