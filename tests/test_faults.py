"""Whatever the store does to a worker, and wherever that dies: the sender says it again, and the ledger is the same.

A fault stands in front of the embedded AWS, in the client that the worker speaks through: a request that is refused,
throttled or lost before it is sent, and one that took effect but whose answer is lost, which to the store is what a
kill of the worker is in that moment.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from retour.domain.delivery import Channel, Kind
from retour.intake.receive import receive
from tests.conftest import PROGRAM, House

RUNS = int(os.environ.get("RETOUR_FAULT_RUNS", "25"))
DELIVERIES = int(os.environ.get("RETOUR_ORDER_DELIVERIES", "60"))
AGAIN_MAX = 200
FAULTS = (ClientError, ConnectionClosedError, ReadTimeoutError)


def throttled() -> Exception:
    said: Any = {
        "Error": {"Code": "ThrottlingException", "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 400},
    }  # fmt: skip
    return ClientError(said, "PutItem")


def failed() -> Exception:
    said: Any = {
        "Error": {"Code": "InternalServerError", "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 500},
    }  # fmt: skip
    return ClientError(said, "PutItem")


def lost() -> Exception:
    return ConnectionClosedError(endpoint_url="https://dynamodb")


def unanswered() -> Exception:
    return ReadTimeoutError(endpoint_url="https://dynamodb")


@dataclass
class Proxy:
    """`before` and `after` say of the number of a request whether it fails there, and how."""

    before: Callable[[int], Exception | None]
    after: Callable[[int], Exception | None]
    number: int = field(default=0)

    def asked(self, **_: Any) -> None:
        self.number += 1
        if (fault := self.before(self.number)) is not None:
            raise fault

    def answered(self, **_: Any) -> None:
        if (fault := self.after(self.number)) is not None:
            raise fault


def never(_: int) -> None:
    return None


@contextmanager
def faults(house: House, proxy: Proxy) -> Iterator[Proxy]:
    events = house.hub._dynamodb.meta.events
    events.register("before-call.dynamodb", proxy.asked)
    events.register_last("after-call.dynamodb", proxy.answered)
    try:
        yield proxy
    finally:
        events.unregister("before-call.dynamodb", proxy.asked)
        events.unregister("after-call.dynamodb", proxy.answered)


def until_taken(deliver: Callable[[], Any]) -> Any:
    """As a sender does, and a queue: again until it is answered."""
    for _ in range(AGAIN_MAX):
        try:
            return deliver()
        except FAULTS:
            continue
    raise AssertionError("it was never taken in")


def tell(house: House, run: str) -> None:
    """A return too early, the sale, a call with two changes of it, the same call again, and a file of two orders."""
    a, b = f"{run}-A", f"{run}-B"
    early = {"reference": f"{run}-0", "order_id": b, "change": "take_back", "amount": "5.00"}
    until_taken(lambda: house.modify(early, identity=f"{run}-early"))
    until_taken(lambda: house.report(*({"order_id": one, "amount": "100.00"} for one in (a, b)), identity=f"{run}-r"))
    changes = [
        {"reference": f"{run}-1", "order_id": a, "change": "take_back", "amount": "10.00"},
        {"reference": f"{run}-2", "order_id": a, "change": "take_back", "amount": "20.00"},
    ]
    for _ in range(2):
        until_taken(lambda: house.modify(*changes, identity=f"{run}-call"))
    rows = "reference,order_id,change,amount,currency\n" + "".join(
        f"{run}-f{one[-1]},{one},take_back,30.00,EUR\n" for one in (a, b)
    )
    delivery = house.delivery(Kind.FILE, rows.encode(), "warehouse", Channel.SFTP, name="may.csv", identity=f"{run}-f")
    until_taken(lambda: receive(house.hub, delivery, rows.encode()))


def stands(house: House, run: str) -> list[tuple[int, int, str, int]]:
    found = []
    for key in (f"{run}-A", f"{run}-B"):
        order = house.order(key)
        [head] = [head for head in order.heads.values() if head.action]
        assert len(order.records) == len({one.id for one in order.records})
        state = head.state(house.clock.moment).value
        found.append((head.standing.amount, head.payout, state, len(order.records)))
    return found


@pytest.fixture
def shop(house: House) -> House:
    sources = {**PROGRAM["sources"], "warehouse": {"channel": "sftp", "default_reason": "ITEM_RETURNED"}}
    house.apply({**PROGRAM, "sources": sources})
    return house


RIGHT = [(4000, 320, "pending", 3), (6500, 520, "pending", 2)]


def test_a_worker_that_dies_at_any_request_before_or_after_it_took_effect_changes_nothing(shop: House) -> None:
    with faults(shop, Proxy(never, never)) as undisturbed:
        tell(shop, "U")
    assert stands(shop, "U") == RIGHT and undisturbed.number > 20
    for at in range(1, undisturbed.number + 1):
        for when in ("before", "after"):
            run = f"K{at}{when[0]}"
            death = lambda number, at=at: lost() if number == at else None  # noqa: E731
            with faults(shop, Proxy(death, never) if when == "before" else Proxy(never, death)):
                tell(shop, run)
            assert stands(shop, run) == RIGHT, (at, when)


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_store_that_throttles_fails_and_loses_answers_makes_the_same_ledger(shop: House, seed: int) -> None:
    """One request in five is throttled, one in twenty fails or is lost, and of one in twenty the answer is lost."""
    chance = random.Random(seed)

    def before(_: int) -> Exception | None:
        drawn = chance.random()
        return throttled() if drawn < 0.2 else failed() if drawn < 0.225 else lost() if drawn < 0.25 else None

    def after(_: int) -> Exception | None:
        return unanswered() if chance.random() < 0.05 else None

    with faults(shop, Proxy(before, after)) as proxy:
        tell(shop, f"F{seed}")
    assert proxy.number > 0 and stands(shop, f"F{seed}") == RIGHT


def test_deliveries_of_a_source_that_orders_by_its_own_time_make_one_ledger_in_any_order(shop: House) -> None:
    """D15: each of a number of deliveries states the total of an order at its own time; in 20 orders of arrival."""
    chance = random.Random(15)
    orders = [f"O-{n}" for n in range(5)]
    told = [
        {
            "reference": f"t-{n}",
            "order_id": orders[n % len(orders)],
            "change": "set_total" if n % 3 else "take_back",
            "amount": f"{90 - n % 50}.00" if n % 3 else "1.00",
            "occurred_at": f"2026-11-01T{n // 60 % 24:02}:{n % 60:02}:00Z",
        }
        for n in range(DELIVERIES)
    ]
    ledgers = []
    for turn in range(20):
        shop.report(*({"order_id": f"{one}-{turn}", "amount": "100.00"} for one in orders))
        chance.shuffle(told)
        for one in told:
            moved = {**one, "reference": f"{turn}-{one['reference']}", "order_id": f"{one['order_id']}-{turn}"}
            shop.modify(moved, source="till")
        ledgers.append([list(shop.payouts(f"{one}-{turn}").values()) for one in orders])
    assert all(ledger == ledgers[0] for ledger in ledgers)
