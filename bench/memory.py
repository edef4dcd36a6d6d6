"""How far the peak of memory grows over an idle handler: `python -m bench.memory STEP ROWS FOLDER`, a process each."""

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import data
from bench.disk import DiskHub, DiskInbox
from bench.fixtures import build_delivery
from retour.domain.delivery import Delivery
from retour.intake import large
from retour.replies import send
from retour.store import outcomes
from retour.store.deliveries import DeliveryHeader

SAMPLE = 500


def split(house: Any, sent: Delivery) -> None:
    large.split_into_buckets(house, sent)


def take_rows(house: Any, sent: Delivery) -> None:
    for item in house.work("acme", sent.id).items()[:2]:
        large.ingest_bucket(house, sent, item)


def finish(house: Any, sent: Delivery) -> None:
    large.finish(house, sent)


def answer(house: Any, sent: Delivery) -> None:
    refused = DeliveryHeader(sent, "done", {"counts": {"refused": 1}}, None)
    send.write_reply_files(house, house.program, house.program.sources["warehouse"], refused)


STEPS = {"split_file": split, "take_rows": take_rows, "finish_file": finish, "answer": answer}


def prepare(hub: DiskHub, sent: Delivery, rows: int) -> None:
    """Every step's work as the one before leaves it, written a row at a time."""
    items = [{"bucket": bucket, "segments": [0]} for bucket in range(large.bucket_count(sent))]
    work = hub.work("acme", sent.id)
    outcome = {"outcome": "waiting", "code": "WAITING", "order": "100000000", "modification": "100000000~" + "0" * 24}
    for item in items:
        numbers = range(item["bucket"] + 1, rows + 1, len(items))  # type: ignore[operator]
        work.put_outcomes(item["bucket"], ((n, {"place": str(n + 1), **outcome}) for n in numbers))  # type: ignore[arg-type]
        work.put_summary(f"{item['bucket']:05d}", {"counts": {"waiting": len(numbers)}})
    every = (
        json.dumps({"place": str(n + 1), "outcome": "refused", "code": "ACTION_LOCKED", "order": "100000000"}) + "\n"
        for n in range(1, rows + 1)
    )
    hub.inbox.put_pieces(outcomes.outcomes_key(sent), (line.encode() for line in every))
    work.put_summary(large.READ_SUMMARY, {"rows": rows, "total": rows, "started_at": "2026-11-02T09:00:00.000Z"})


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(step: str, rows: str, folder: str) -> None:
    house, root = DiskHub(DiskInbox(Path(folder))), Path(folder)
    for count, measured in ((SAMPLE, False), (int(rows), True)):
        sent = replace(build_delivery(), id=f"20261102T090000000Z-{count:010d}", body_key=f"raw/{count}")
        path = root / sent.body_key
        if step == "split_file" or not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            data.write_csv(path, count)
        sent = replace(sent, size=path.stat().st_size)
        if not measured and step not in ("split_file", "answer"):
            large.split_into_buckets(house, sent)  # type: ignore[arg-type]
        if step in ("finish_file", "answer"):
            prepare(house, sent, count)
        before = peak()
        STEPS[step](house, sent)
    print(json.dumps({"growth": peak() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
