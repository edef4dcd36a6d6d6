"""The whole path of a row, in a process of its own: `python -m bench.path NAME FILE PORT CA`.

Parse, validate, identify, serialise, sign, send over TLS. What a row becomes in the ledger's table is the same item.
"""

import csv
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from retour.settings import Settings

THREADS = 16


def retour(path: Path, port: str, ca: str) -> Callable[[], int]:
    """Retour's own reader, normaliser and bulk insert."""
    from bench.fixtures import build_normaliser
    from retour.domain.actions.modification import Modification
    from retour.domain.row import Refusal
    from retour.files.open import open_file
    from retour.store.bulk import CONNECTIONS, batched, insert_all
    from retour.store.ledger import TableLedger
    from retour.wiring import Hub

    os.environ.update(AWS_ENDPOINT_URL=f"https://127.0.0.1:{port}", AWS_CA_BUNDLE=ca)
    ledger = TableLedger(
        Hub(Settings(stack="bench", ledger_table="ledger", inbox_bucket="none"))._dynamodb, "ledger", "acme", ()
    )
    read = build_normaliser()

    def run() -> int:
        sent = 0
        with path.open("rb") as stream, ThreadPoolExecutor(CONNECTIONS) as pool:
            opened = open_file(path.name, stream, read.source)
            assert not isinstance(opened, Refusal)
            modifications = (one for _, one in read.modifications(opened.rows) if isinstance(one, Modification))
            for some in batched(modifications, 25 * CONNECTIONS * 4):
                assert not any(insert_all(ledger, some, pool))
                sent += len(some)
        return sent

    return run


def usual_way(path: Path, port: str, ca: str) -> Callable[[], int]:
    """csv.DictReader, pydantic, boto3's batch_writer, 16 threads."""
    import boto3
    from botocore.config import Config
    from pydantic import BaseModel, Field, ValidationError

    class Return(BaseModel):
        reference: str
        order_id: str = Field(min_length=1, max_length=128)
        sku: str
        change: Literal["reverse", "set_total", "take_back", "approve", "restore"]
        amount: Decimal = Field(ge=0, max_digits=15, decimal_places=2)
        currency: str = Field(pattern="^[A-Z]{3}$")
        quantity: int = Field(ge=0)
        reason: str
        occurred_at: date

    def records() -> Iterator[Return]:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                try:
                    yield Return(**row)
                except ValidationError:
                    continue

    def item(one: Return) -> dict[str, Any]:
        identity = hashlib.sha256(f"{one.reference}|{one.order_id}|{one.sku}".encode()).hexdigest()
        about = {
            "prg": "acme", "ch": "sftp", "src": "warehouse", "ref": one.reference,
            "dlv": "20261102T090000000Z-0123456789",
            "obj": path.name, "sha": "0" * 64, "ord": one.order_id, "typ": "sale", "sku": one.sku,
            "chg": [one.change, str(one.amount)], "cur": one.currency, "rsn": one.reason,
            "occ": one.occurred_at.isoformat(), "rcv": "2026-11-02T09:00:00.000Z",
        }  # fmt: skip
        return {"PK": f"A#acme#{one.order_id}", "SK": f"M#{identity}", **about}

    config = Config(max_pool_connections=32)
    table = boto3.resource("dynamodb", endpoint_url=f"https://127.0.0.1:{port}", verify=ca, config=config).Table(
        "ledger"
    )

    def write(some: list[Return]) -> int:
        with table.batch_writer() as writer:
            for one in some:
                writer.put_item(Item=item(one))
        return len(some)

    def run() -> int:
        read = records()
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(write, iter(lambda: list(islice(read, 500)), [])))

    return run


IMPLEMENTATIONS = {"retour": retour, "csv.DictReader + pydantic + batch_writer": usual_way}


def main(name: str, path: str, port: str, ca: str) -> None:
    os.environ.update(
        AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="eu-central-1"
    )
    run = IMPLEMENTATIONS[name](Path(path), port, ca)
    before, wall = time.process_time(), time.monotonic()
    sent = run()
    spent, took = time.process_time() - before, time.monotonic() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": spent, "wall": took, "rows": sent, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
