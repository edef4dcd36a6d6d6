"""One way of reading the file to checked records, in a process of its own: `python -m bench.readers NAME FILE`.

Every way checks the same: an order id, an exact amount of at most two decimals and not below zero, a currency of ISO
4217, a whole quantity, one of the known verbs and reasons, a real date.
"""

import csv
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

RowCounts = tuple[int, int]
"""Rows that were accepted, and rows that were not."""

VERBS = ("reverse", "set_total", "take_back", "approve", "restore")
REASONS = (
    "ITEM_RETURNED", "ITEM_OUT_OF_STOCK", "ORDER_ERROR", "ORDER_UPDATE", "CANCELLED", "PAYMENT_FAILED", "CHARGEBACK",
)  # fmt: skip


def currencies() -> frozenset[str]:
    from retour.domain.money import exponents

    return frozenset(exponents())


def retour_rows(path: Path) -> Callable[[], RowCounts]:
    """Rows only: encoding, quotes, lengths, damaged cells; no meaning yet."""
    return retour_to(path, lambda _, rows: ((row, row) for row in rows))


def retour(path: Path) -> Callable[[], RowCounts]:
    """Reader and normaliser up to the verdict: each row is accepted, or there is the reason why not."""
    return retour_to(path, lambda read, rows: read.check_rows(rows))


def retour_records(path: Path) -> Callable[[], RowCounts]:
    """The same up to the end: each accepted row as its immutable record with its hashes and where it came from."""
    return retour_to(path, lambda read, rows: read.modifications(rows))


def retour_to(path: Path, step: Callable[[Any, Any], Iterable[tuple[Any, Any]]]) -> Callable[[], RowCounts]:
    from bench.fixtures import build_normaliser
    from retour.domain.row import Refusal, Unreadable
    from retour.files.open import open_file

    read = build_normaliser()

    def run() -> RowCounts:
        with path.open("rb") as stream:
            opened = open_file(path.name, stream, read.source)
            assert not isinstance(opened, Refusal)
            good = bad = 0
            for _, one in step(read, opened.rows):
                if isinstance(one, Unreadable):
                    bad += 1
                else:
                    good += 1
        return good, bad

    return run


def pydantic(path: Path) -> Callable[[], RowCounts]:
    from pydantic import BaseModel, Field, ValidationError, field_validator

    known = currencies()

    class Return(BaseModel):
        reference: str
        order_id: str = Field(min_length=1, max_length=128)
        sku: str
        change: Literal["reverse", "set_total", "take_back", "approve", "restore"]
        amount: Decimal = Field(ge=0, max_digits=15, decimal_places=2)
        currency: str
        quantity: int = Field(ge=0)
        reason: Literal[
            "ITEM_RETURNED", "ITEM_OUT_OF_STOCK", "ORDER_ERROR", "ORDER_UPDATE", "CANCELLED", "PAYMENT_FAILED",
            "CHARGEBACK",
        ]  # fmt: skip
        occurred_at: date

        @field_validator("currency")
        @classmethod
        def is_money(cls, value: str) -> str:
            if value not in known:
                raise ValueError("no currency of ISO 4217")
            return value

    def run() -> RowCounts:
        good = bad = 0
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                try:
                    Return(**row)
                    good += 1
                except ValidationError:
                    bad += 1
        return good, bad

    return run


def msgspec(path: Path) -> Callable[[], RowCounts]:
    from typing import Annotated

    import msgspec as m

    known = currencies()

    class Return(m.Struct):
        reference: str
        order_id: Annotated[str, m.Meta(min_length=1, max_length=128)]
        sku: str
        change: Literal["reverse", "set_total", "take_back", "approve", "restore"]
        amount: Decimal
        currency: str
        quantity: Annotated[int, m.Meta(ge=0)]
        reason: Literal[
            "ITEM_RETURNED", "ITEM_OUT_OF_STOCK", "ORDER_ERROR", "ORDER_UPDATE", "CANCELLED", "PAYMENT_FAILED",
            "CHARGEBACK",
        ]  # fmt: skip
        occurred_at: date

        def __post_init__(self) -> None:
            if self.currency not in known or self.amount < 0 or -self.amount.as_tuple().exponent > 2:  # type: ignore[operator]
                raise ValueError("amount or currency")

    def run() -> RowCounts:
        good = bad = 0
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                try:
                    m.convert(row, Return, strict=False)
                    good += 1
                except m.ValidationError:
                    bad += 1
        return good, bad

    return run


def pandera(path: Path) -> Callable[[], RowCounts]:
    import pandas as pd
    import pandera.pandas as pa

    schema = pa.DataFrameSchema(
        {
            "order_id": pa.Column(str, pa.Check.str_length(1, 128)),
            "change": pa.Column(str, pa.Check.isin(VERBS)),
            "amount": pa.Column(str, pa.Check.str_matches(r"\d{1,13}(\.\d{1,2})?$")),
            "currency": pa.Column(str, pa.Check.isin(currencies())),
            "quantity": pa.Column(str, pa.Check.str_matches(r"\d{1,7}$")),
            "reason": pa.Column(str, pa.Check.isin(REASONS)),
            "occurred_at": pa.Column(
                str, pa.Check(lambda one: pd.to_datetime(one, format="%Y-%m-%d", errors="coerce").notna())
            ),
        }
    )

    def run() -> RowCounts:
        good = bad = 0
        for chunk in pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=100_000):
            wrong: set[Any] = set()
            try:
                schema.validate(chunk, lazy=True)
            except pa.errors.SchemaErrors as errors:
                wrong = set(errors.failure_cases["index"])
            bad += len(wrong)
            good += len(chunk) - len(wrong)
        return good, bad

    return run


def polars(path: Path) -> Callable[[], RowCounts]:
    import polars as pl

    col = pl.col
    fine = (
        col("order_id").str.len_chars().is_between(1, 128)
        & col("change").is_in(VERBS)
        & col("amount").str.contains(r"^\d{1,13}(\.\d{1,2})?$")
        & col("currency").is_in(sorted(currencies()))
        & col("quantity").str.contains(r"^\d{1,7}$")
        & col("reason").is_in(REASONS)
        & col("occurred_at").str.to_date("%Y-%m-%d", strict=False).is_not_null()
    )

    def run() -> RowCounts:
        frame = pl.read_csv(path, infer_schema=False)
        good = frame.select(fine.fill_null(value=False).sum()).item()
        return good, len(frame) - good

    return run


ROWS_ONLY = "  its reader alone"
WAYS: dict[str, Callable[[Path], Callable[[], RowCounts]]] = {
    "retour": retour,
    ROWS_ONLY: retour_rows,
    "  and every record made": retour_records,
    "csv.DictReader + pydantic v2": pydantic,
    "csv.DictReader + msgspec": msgspec,
    "pandas + pandera": pandera,
    "polars": polars,
}


def main(name: str, path: str) -> None:
    run = WAYS[name](Path(path))
    before = time.process_time()
    good, bad = run()
    spent = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": spent, "good": good, "bad": bad, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
