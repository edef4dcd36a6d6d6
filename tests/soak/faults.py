"""A worker that is throttled, cut off or killed at any request: what stands afterwards is the same, and nothing twice.

Faults stand in front of the embedded AWS, in the client that the worker speaks through. A kill ends the worker before a
request is sent, or after it took effect and before its answer is read. Bad weather strikes below the client's retries,
and uploads are told late, twice or never.
"""

import io
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Lock
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.ingest import ingest
from retour.intake.processing import process_delivery
from retour.intake.sftp_uploads import store_uploads
from retour.operations.sweep import sweep
from retour.posting.fold import ContentionError
from retour.replies.send import send_reply as answer
from retour.store.throttled_reads import BusyError
from tests.conftest import PROGRAM, ProgramHarness
from tests.soak.storage import house, stored

AT_ONCE = 8
SLEEPERS = 40
"""Runs at a time; in bad weather most of each is waiting until it may be tried again."""
AGAIN_MAX = 200
CLIENTS, SENDS_MAX = 8, 3
"""Who tell deliveries side by side, and how often they tell each at most."""
UPLOADS = 5
SHOP = {
    **PROGRAM,
    "sources": {**PROGRAM["sources"], "warehouse": {"channel": "sftp", "default_reason": "ITEM_RETURNED"}},
}
RIGHT = [(4000, 320, "pending", 3), (6500, 520, "pending", 2)]
"""Amount, payout, state and records of the two orders of a run."""


class Killed(BaseException):
    """The end of a worker: nothing in it may catch this."""


FAULTS = (ClientError, ConnectionClosedError, ReadTimeoutError, Killed)


Fault = Callable[[int], BaseException | None]


@dataclass
class Proxy:
    """`before` and `after` say of the number of a request whether it fails there, and how."""

    before: Fault
    after: Fault
    number: int = 0
    struck: int = 0
    lock: Lock = field(default_factory=Lock)

    def asked(self, **_: Any) -> None:
        with self.lock:
            self.number += 1
            fault = self.before(self.number)
        self._strike(fault)

    def answered(self, **_: Any) -> None:
        with self.lock:
            fault = self.after(self.number)
        self._strike(fault)

    def _strike(self, fault: BaseException | None) -> None:
        if fault is not None:
            self.struck += 1
            raise fault


def never(_: int) -> None:
    return None


@contextmanager
def faults(shop: ProgramHarness, proxy: Proxy) -> Iterator[Proxy]:
    """Faults between a house and its table and bucket."""
    listening = [(shop.hub._dynamodb.meta.events, "dynamodb"), (shop.hub.inbox.client.meta.events, "s3")]
    for events, service in listening:
        events.register(f"before-call.{service}", proxy.asked)
        events.register_last(f"after-call.{service}", proxy.answered)
    try:
        yield proxy
    finally:
        for events, service in listening:
            events.unregister(f"before-call.{service}", proxy.asked)
            events.unregister(f"after-call.{service}", proxy.answered)


def until_taken(deliver: Callable[[], Any]) -> Any:
    """As a sender does, and a queue: again until it is answered."""
    for _ in range(AGAIN_MAX):
        try:
            return deliver()
        except FAULTS:
            continue
    raise AssertionError("it was never taken in")


def tell(shop: ProgramHarness, run: str) -> None:
    """A return too early, the sale, a call with two changes of it, the same call again, and a file with its answer."""
    a, b = f"{run}-A", f"{run}-B"
    early = {"reference": f"{run}-0", "order_id": b, "change": "take_back", "amount": "5.00"}
    until_taken(lambda: shop.modify(early, identity=f"{run}-early"))
    until_taken(lambda: shop.report(*({"order_id": one, "amount": "100.00"} for one in (a, b)), identity=f"{run}-r"))
    changes = [
        {"reference": f"{run}-1", "order_id": a, "change": "take_back", "amount": "10.00"},
        {"reference": f"{run}-2", "order_id": a, "change": "take_back", "amount": "20.00"},
    ]
    for _ in range(2):
        until_taken(lambda: shop.modify(*changes, identity=f"{run}-call"))
    rows = rows_of(run)
    delivery = shop.delivery(DeliveryKind.FILE, rows, "warehouse", Channel.SFTP, name=f"{run}.csv", identity=f"{run}-f")
    delivery = replace(delivery, body_key=f"raw/{shop.program}/{delivery.id}")
    until_taken(lambda: shop.hub.inbox.put(delivery.body_key, rows))
    until_taken(lambda: ingest(shop.hub, delivery, None))
    asked = {"program": shop.program, "delivery": delivery.id, "what": "batch"}
    until_taken(lambda: answer(shop.hub, asked))


def rows_of(run: str) -> bytes:
    rows = "".join(f"{run}-f{one},{run}-{one},take_back,30.00,EUR\n" for one in "AB")
    return f"reference,order_id,change,amount,currency\n{rows}".encode()


def stands(shop: ProgramHarness, run: str) -> list[tuple[int, int, str, int]]:
    found = []
    for key in (f"{run}-A", f"{run}-B"):
        order = shop.order(key)
        [head] = [head for head in order.heads.values() if head.action]
        assert len(order.records) == len({one.id for one in order.records}), "a record is there twice"
        assert all(order.booking_of(record.id) for record in order.records), "a record is not in its fold"
        state = head.state(shop.clock.moment).value
        found.append((head.standing.amount, head.payout, state, len(order.records)))
    return found


def answers_to(shop: ProgramHarness, run: str) -> list[bytes]:
    """The results that were left beside the upload of a run."""
    folder = f"sftp/{shop.program}/warehouse/"
    keys = [key for key in shop.hub.inbox.keys(folder) if f"result_{run}.csv" in key]
    return [shop.hub.inbox.read(key) for key in sorted(keys)]


# One kill at a request


def kill_once(shop: ProgramHarness, run: str, at: int, when: str) -> Proxy:
    """A whole run in which one worker ends at a request, before it is sent or before its answer is read."""
    struck = [False]

    def death(number: int) -> BaseException | None:
        if number != at or struck[0]:
            return None
        struck[0] = True
        return Killed()

    with faults(shop, Proxy(death, never) if when == "before" else Proxy(never, death)) as proxy:
        tell(shop, run)
    return proxy


# A store that is unwell, and events that cannot be relied upon


@dataclass
class Weather:
    """What befalls the requests of one client, below its retries: as a proxy between it and the store would do it.

    One in five is throttled, one in forty fails within the store, one in forty never comes there, and of one in twenty
    the answer is lost though it took effect. Without `throttles` they are struck by the rest alone: whoever is
    throttled slows down for minutes.
    """

    chance: random.Random
    throttles: bool = True
    number: int = 0
    struck: int = 0
    lock: Lock = field(default_factory=Lock)

    def strike(self, send: Callable[[Any], Any], request: Any) -> AWSResponse | None:
        with self.lock:
            drawn = self.chance.uniform(0 if self.throttles else 0.2, 1)
            self.number += 1
            self.struck += drawn < 0.3
        if drawn < 0.2:
            return said(request, 400, "ThrottlingException")
        if drawn < 0.225:
            return said(request, 500, "InternalServerError")
        if drawn < 0.25:
            raise ConnectionClosedError(endpoint_url=request.url)
        if drawn < 0.3:
            send(request)
            raise ReadTimeoutError(endpoint_url=request.url)
        return None


@contextmanager
def unwell_store(shop: ProgramHarness, weather: Weather) -> Iterator[Weather]:
    listening = []
    for client, service in ((shop.hub._dynamodb, "dynamodb"), (shop.hub.inbox.client, "s3")):

        def strike(request: Any, send: Callable[[Any], Any] = client._endpoint.http_session.send, **_: Any) -> Any:
            return weather.strike(send, request)

        client.meta.events.register(f"before-send.{service}", strike)
        listening.append((client.meta.events, f"before-send.{service}", strike))
    try:
        yield weather
    finally:
        for events, name, strike in listening:
            events.unregister(name, strike)


def said(request: Any, status: int, code: str) -> AWSResponse:
    """An answer as the service of the request words it."""
    if "x-amz-target" in {name.lower() for name in request.headers}:
        body = json.dumps({"__type": f"com.amazonaws#{code}", "message": ""}).encode()
    else:
        body = f"<Error><Code>{'SlowDown' if status == 400 else 'InternalError'}</Code></Error>".encode()
        status = 503 if status == 400 else status
    return AWSResponse(request.url, status, {"content-length": str(len(body))}, Raw(body))


class Raw(io.BytesIO):
    """A body as urllib3 hands it on."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def uploads(shop: ProgramHarness, run: str, chance: random.Random) -> None:
    """Five uploads, three of them to one name; of each an event comes once, twice or never, in any order."""
    events = []
    for n in range(UPLOADS):
        name = f"{run}-{n}.csv" if n > 2 else f"{run}-daily.csv"
        body = f"reference,order_id,change,amount,currency\n{run}-u{n},{run}-B,take_back,1.00,EUR\n".encode()
        key = f"sftp/{shop.program}/warehouse/{name}"
        until_taken(lambda key=key, body=body: shop.hub.inbox.put(key, body))
        events += [key] * chance.choice((0, 1, 1, 2))
    chance.shuffle(events)
    for key in events:
        until_taken(lambda key=key: [process_delivery(shop.hub, delivery) for delivery in store_uploads(shop.hub, key)])


def swept(shop: ProgramHarness) -> None:
    program = shop.hub.program(shop.program)
    assert program is not None
    for _ in range(2):
        shop.clock.moment += timedelta(minutes=5)
        sweep(shop.hub, program, timedelta(0))


def unwell(environment: dict[str, str], seed: int, *, throttles: bool = True) -> Weather:
    """One run through bad weather; raises where it stands otherwise afterwards than it should."""
    shop, chance = house(environment, SHOP), random.Random(seed)
    run = f"F{seed}"
    with unwell_store(shop, Weather(chance, throttles)) as weather:
        tell(shop, run)
        uploads(shop, run, chance)
    swept(shop)
    puts = UPLOADS + put_again(shop, run)
    [a, (amount, payout, state, records)] = stands(shop, run)
    assert a == RIGHT[0], (seed, a)
    assert (amount, payout, state) == (6500 - 500, 480, "pending"), (seed, amount, payout, state)
    assert records == RIGHT[1][3] + 5, (seed, records)
    assert len(answers_to(shop, run)) == 1, seed
    files = [one for one in files_of(shop) if one.startswith(f"{run}-")]
    assert len(files) == puts, (seed, files)
    assert not list(shop.hub.deliveries(shop.program).open()), seed
    return weather


def put_again(shop: ProgramHarness, run: str) -> int:
    """How many uploads were put again because their answer was lost, as clients do: so many more versions there are."""
    kept = [one for one in shop.hub.inbox.versions(f"sftp/{shop.program}/warehouse/{run}-") if not one.removed]
    return len(kept) - UPLOADS


def files_of(shop: ProgramHarness) -> list[str]:
    day = f"{shop.clock.moment:%Y%m%d}"
    found = shop.hub.deliveries(shop.program).newest(day, most=500)
    return [one.delivery.name for one in found if one.delivery.kind is DeliveryKind.FILE]


# Orders of arrival


def deliveries(number: int, orders: list[str]) -> list[dict[str, str]]:
    """Each states the total of an order, or takes a euro back, at its own time."""
    return [
        {
            "reference": f"t-{n}",
            "order_id": orders[n % len(orders)],
            "change": "set_total" if n % 3 else "take_back",
            "amount": f"{90 - n % 50}.00" if n % 3 else "1.00",
            "occurred_at": f"2026-11-01T{n // 60 % 24:02}:{n % 60:02}:00Z",
        }
        for n in range(number)
    ]


def in_any_order(
    shop: ProgramHarness, told: list[dict[str, str]], orders: list[str], turn: int, chance: random.Random
) -> tuple[Any, int]:
    """What orders come to when all is told in an order of arrival of its own (case D15), and in how many sends.

    Clients tell it side by side, each delivery one to three times, and again where others were at the order first.
    """
    shop.report(*({"order_id": f"{one}-{turn}", "amount": "100.00"} for one in orders))
    sends = [one for one in told for _ in range(chance.randint(1, SENDS_MAX))]
    chance.shuffle(sends)

    def send(one: dict[str, str]) -> int:
        moved = {**one, "reference": f"{turn}-{one['reference']}", "order_id": f"{one['order_id']}-{turn}"}
        for tries in range(1, AGAIN_MAX):
            with suppress(ContentionError, BusyError):
                shop.modify(moved, source="till", identity=moved["reference"])
                return tries
        raise AssertionError(f"{moved['reference']} lost every time")

    with ThreadPoolExecutor(CLIENTS) as clients:
        sent = sum(clients.map(send, sends))
    return [list(shop.payouts(f"{one}-{turn}").values()) for one in orders], sent


# All of it, with its figures


def run_faults(runs: int, first: int) -> str:
    with stored() as environment, ThreadPoolExecutor(SLEEPERS) as hands:
        found = list(hands.map(lambda seed: unwell(environment, seed), range(first, first + runs)))
    requests, struck = sum(one.number for one in found), sum(one.struck for one in found)
    return f"{runs} runs from seed {first}: {requests:,} requests, {struck:,} of them struck; the same ledger each time"


def run_kills(kills: int, seed: int) -> str:
    """Kills drawn by a seed over every request of a run, in shops of their own, several at a time."""
    with stored() as environment:
        calm = house(environment, SHOP)
        with faults(calm, Proxy(never, never)) as undisturbed:
            tell(calm, "U")
        assert stands(calm, "U") == RIGHT, stands(calm, "U")
        wanted, requests = answers_to(calm, "U"), undisturbed.number
        assert len(wanted) == 1
        chance = random.Random(seed)
        drawn = [
            (n, chance.randint(1, requests), chance.choice(("before", "after"))) for n in range(kills)
        ]  # fmt: skip

        def kill(each: tuple[int, int, str]) -> int:
            number, at, when = each
            shop = shops[number % AT_ONCE]
            with locks[number % AT_ONCE]:
                for tries in range(at):  # Not every run has as many requests as the undisturbed one.
                    run = f"K{number}-{tries}"
                    struck = kill_once(shop, run, at - tries, when).struck
                    assert stands(shop, run) == RIGHT, (seed, *each, stands(shop, run))
                    answers = [one.replace(run.encode(), b"U") for one in answers_to(shop, run)]
                    assert len(answers) == 1, (seed, *each, answers)
                    if struck:
                        return struck
            raise AssertionError((seed, *each, "nothing was struck"))

        shops = [house(environment, SHOP) for _ in range(AT_ONCE)]
        locks = [Lock() for _ in shops]
        with ThreadPoolExecutor(AT_ONCE) as hands:
            struck = sum(hands.map(kill, drawn))
    return (
        f"{struck:,} kills of seed {seed} over {requests} requests of a run: the same ledger and one answer each time"
    )


def run_orders(number: int, seed: int, turns: int = 20) -> str:
    orders = [f"O-{n}" for n in range(25)]
    chance = random.Random(seed)
    with stored() as environment:
        shop = house(environment, SHOP)
        told = deliveries(number, orders)
        found = [in_any_order(shop, told, orders, turn, chance) for turn in range(turns)]
    ledgers, sends = [ledger for ledger, _ in found], sum(sent for _, sent in found)
    assert all(ledger == ledgers[0] for ledger in ledgers), (seed, ledgers)
    return f"{number} deliveries in {turns} orders of arrival of seed {seed}, {sends:,} sends by {CLIENTS}: one ledger"


def timed(run: Callable[..., str], *arguments: int) -> None:
    """Prints what came of it and how long it took."""
    os.environ.setdefault("POWERTOOLS_LOG_LEVEL", "CRITICAL")
    started = time.monotonic()
    said = run(*arguments)
    print(f"{said} ({time.monotonic() - started:,.0f} s)", flush=True)
