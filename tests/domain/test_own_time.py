"""A source that orders by its own time: whatever arrives when, and how often, the ledger is the same (spec 5.1)."""

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, fold_records, record

from retour.domain.actions.fold import fold
from retour.domain.actions.modification import (
    Approve,
    Change,
    Modification,
    Restore,
    Reverse,
    SetQuantity,
    SetTotal,
    TakeBack,
)

ORDERS = 20
LINES = (("A", 2, 8000), ("B", 1, 2000), ("B", 3, 999))


def anything(dice: random.Random) -> tuple[Change, str | None]:
    """A change with its target."""
    sku = dice.choice([None, None, "A", "B"])
    change: Change = dice.choice(
        [
            Reverse(),
            SetTotal(D(dice.randint(0, 30))),
            SetTotal(D(dice.randint(0, 120))),
            TakeBack(D(dice.randint(0, 60))),
            TakeBack(D(dice.randint(0, 60)), clamp=True),
            TakeBack(quantity=dice.randint(1, 2)),
            SetQuantity(dice.randint(0, 2)),
            Restore(),
            Approve(),
        ]
    )
    return change, None if isinstance(change, Approve) else sku


def said(dice: random.Random) -> list[dict[str, Any]]:
    found = []
    for number in range(dice.randint(2, 7)):
        change, sku = anything(dice)
        found.append({"change": change, "sku": sku, "occurred": -number - 1, "reference": f"r{number}"})
    return found


def arrive(everything: list[dict[str, Any]], dice: random.Random) -> list[Modification]:
    """Each once to three times, in any order; the same one again is stored once."""
    arrivals = [one for one in everything for _ in range(dice.randint(1, 3))]
    dice.shuffle(arrivals)
    stored: dict[str, Modification] = {}
    for hour, one in enumerate(arrivals, 1):
        told = dict(one)
        made = record(told.pop("change"), hour, **told)
        stored.setdefault(made.id, made)
    return list(stored.values())


def one_by_one(records: list[Modification]) -> Any:
    """Folded after each arrival, as a hub does."""
    sold = action(*LINES)
    order = fold_records(sold, [])
    for upto in range(1, len(records) + 1):
        order = replace(order, records=records[:upto])
        order = fold(order, [CONTRACT], REPORTED + timedelta(days=3))
    head = order.heads["A~sale"]
    return head.standing.rests, head.payout, head.state(REPORTED), head.locks_at, head.standing.approved


@pytest.mark.parametrize("seed", range(80))
def test_arrival_decides_nothing(seed: int) -> None:
    dice = random.Random(seed)
    everything = said(dice)
    ledgers = {one_by_one(arrive(everything, dice)) for _ in range(ORDERS)}
    assert len(ledgers) == 1, (everything, ledgers)
