"""A merchant's file of any size: one row in a hundred is wrong in one of ten ways, and it is known which."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("reference", "order_id", "sku", "change", "amount", "currency", "quantity", "reason", "occurred_at")
REASONS = ("ITEM_RETURNED", "ITEM_OUT_OF_STOCK", "ORDER_ERROR")
FAULTS: tuple[tuple[str, str], ...] = (
    ("amount", "1e5"),
    ("amount", "12,50"),
    ("amount", "-3.00"),
    ("currency", "XQQ"),
    ("occurred_at", "2026-13-01"),
    ("occurred_at", "2026-02-30"),
    ("quantity", "1.5"),
    ("order_id", ""),
    ("reason", "BECAUSE"),
    ("change", "give_back"),
)


def records(rows: int, per_order: int = 1) -> Iterator[tuple[str, ...]]:
    """`per_order`: how many rows name the same order."""
    chance = random.Random(7)
    for n in range(rows):
        row = {
            "reference": f"RMA-{n:08d}",
            "order_id": f"{100_000_000 + n // per_order}",
            "sku": f"SKU-{n % 4999:05d}",
            "change": "set_total",
            "amount": f"{chance.randrange(0, 100_000) / 100:.2f}",
            "currency": "EUR",
            "quantity": str(chance.randrange(0, 5)),
            "reason": REASONS[n % 3],
            "occurred_at": f"2026-10-{n % 28 + 1:02d}",
        }
        if n % 100 == 57:
            column, value = FAULTS[n // 100 % len(FAULTS)]
            row[column] = value
        yield tuple(row[column] for column in COLUMNS)


def bad_rows(rows: int) -> int:
    return sum(1 for n in range(rows) if n % 100 == 57)


def write_csv(path: Path, rows: int) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(records(rows))
    return path
