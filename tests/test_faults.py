"""Whatever the store does to a worker, and wherever that dies: the sender says it again, and the ledger is the same.

The same at full size: `make soak ARGS="--faults 200"`, `--kills 2000`, `--orders 500`.
"""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.conftest import ProgramHarness
from tests.soak.faults import (
    RIGHT,
    SHOP,
    Proxy,
    answers_to,
    deliveries,
    faults,
    in_any_order,
    kill_once,
    never,
    stands,
    tell,
    unwell,
)

pytestmark = pytest.mark.slow

RUNS, DELIVERIES, TURNS = 4, 40, 8


@pytest.fixture
def shop(house: ProgramHarness) -> ProgramHarness:
    house.apply(SHOP)
    return house


def test_a_worker_that_dies_at_any_request_before_or_after_it_took_effect_changes_nothing(shop: ProgramHarness) -> None:
    with faults(shop, Proxy(never, never)) as undisturbed:
        tell(shop, "U")
    assert stands(shop, "U") == RIGHT and undisturbed.number > 20
    kills = 0
    for at in range(1, undisturbed.number + 1, 2):
        run, when = f"K{at}", ("before", "after")[at // 2 % 2]
        kills += kill_once(shop, run, at, when).struck
        assert stands(shop, run) == RIGHT and len(answers_to(shop, run)) == 1, (at, when)
    assert kills >= undisturbed.number // 2 - 2, "of some runs the last requests are not made"


def test_a_store_that_fails_and_loses_answers_makes_the_same_ledger(environment: dict[str, str]) -> None:
    with ThreadPoolExecutor(RUNS) as hands:
        runs = list(hands.map(partial(unwell, environment, throttles=False), range(RUNS)))
    assert all(run.struck > 0 for run in runs)


def test_deliveries_of_a_source_that_orders_by_its_own_time_make_one_ledger_in_any_order(shop: ProgramHarness) -> None:
    """D15: each of a number of deliveries states the total of an order at its own time."""
    chance, orders = random.Random(15), [f"O-{n}" for n in range(5)]
    told = deliveries(DELIVERIES, orders)
    ledgers = [in_any_order(shop, told, orders, turn, chance)[0] for turn in range(TURNS)]
    assert all(ledger == ledgers[0] for ledger in ledgers)
