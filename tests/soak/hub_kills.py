"""The whole local hub killed in the midst of every channel's work, again and again on the same data."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retour.channels.standard import sign_headers
from retour.cli.demo.senders import call_simulator
from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, eventually
from tests.local.test_killed import ROWS, SOURCES, TAKE_BACK, P, acted, dropped, filed, mailed, modified
from tests.remote.test_slow import Merchant

Do = Callable[[RunningHub, str], Any]
ACME = "/v1/programs/acme"
"""The sample's program, to which the simulated organisation belongs."""
MERCHANT = Merchant("")


def hooked(hub: RunningHub, order: str) -> None:
    access = hub.ready["programs"]["shoes"]["sources"]["shop"]
    record = {"reference": f"{order}-h", "order_id": order, **TAKE_BACK}
    body = json.dumps(record).encode()
    headers = sign_headers(body, [access["secret"]], datetime.now(UTC))
    ask(hub, "POST", access["url"].removeprefix(hub.ready["api"]), body, **headers)


def visited(hub: RunningHub, order: str) -> None:
    MERCHANT.name = f"{order}.csv"
    MERCHANT.body = ROWS % {b"order": order.encode()}
    ask(hub, "POST", f"{P}/sources/depot/pull")


def returned_in_salesforce(hub: RunningHub, order: str) -> None:
    """An agent sets the case of an order to Returned; again only where the page did not say so."""
    controls = f"{hub.ready['salesforce_simulator']}/control"
    cases = call_simulator(f"{controls}/records?object=Case")["records"]
    mine = [one["Id"] for one in cases if one.get("Order_Number__c") == order]
    new = {"Order_Number__c": order, "Status": "New", "CurrencyIsoCode": "EUR"}
    case = mine or call_simulator(f"{controls}/records", {"object": "Case", "records": [new]})["ids"]
    call_simulator(f"{controls}/status", {"object": "Case", "id": case[0], "status": "Returned"})


CHANNELS: dict[str, tuple[Do, str]] = {
    "call": (lambda hub, order: modified(hub, order, **TAKE_BACK), "90.00"),
    "hook": (hooked, "90.00"),
    "file": (filed, "70.00"),
    "upload": (dropped, "70.00"),
    "visit": (visited, "70.00"),
    "mail": (mailed, "70.00"),
    "case": (returned_in_salesforce, "0.00"),
    "act": (lambda hub, order: acted(hub, order, "reverse", reason="ITEM_RETURNED"), "0.00"),
}
DEPOT = {"protocol": "ftp", "allow_plain": True, "host": "127.0.0.1", "port": MERCHANT.port, "user": "u", "folder": "/"}
ALL_SOURCES = {
    **SOURCES,
    "shop": {"channel": "api", "kind": "standard", "default_reason": "ITEM_RETURNED"},
    "depot": {"channel": "pull", "default_reason": "ITEM_RETURNED", "options": DEPOT},
}
STAGES = {"before it is answered": (0.0, 0.15), "while its rows are read": (0.15, 1.0), "while it is answered": (1, 4)}
"""How many seconds after it was begun the power goes: at the least and at the most."""


def run_hub_kills(kills: int, seed: int) -> str:
    """Each round sends a return over every channel and cuts the power; the next finds them all as they should be."""
    chance, acknowledged = random.Random(seed), 0
    plan = list(zip(range(kills), cycle(STAGES), strict=False))
    orders = [f"{channel}-{number}" for number, _ in plan for channel in CHANNELS]
    with TemporaryDirectory(prefix="retour-kills-") as folder:
        home = Path(folder)
        with running_hub(home) as hub:
            ask(hub, "PUT", P, {**OWN_PROGRAM, "sources": ALL_SOURCES})
            ask(hub, "PUT", f"{P}/sources/depot/secret", {"password": "p"})
            for program in (P, ACME):
                ask(hub, "POST", f"{program}/actions", [action(order, "100.00") for order in orders])
        told: dict[str, bool] = {}
        for number, stage in plan:
            with running_hub(home) as hub:
                settle(hub, told)
                after = chance.uniform(*STAGES[stage])
                told = cut(hub, [f"{channel}-{number}" for channel in CHANNELS], after)
                acknowledged += sum(told.values())
                print(f"kill {number} after {after:.2f} s, {stage}: {sum(told.values())} were answered", flush=True)
        with running_hub(home) as hub:
            settle(hub, told)
            for order in orders:
                seen = action_of(hub, order)
                assert (seen["amount"], seen["changes"]) == (CHANNELS[channel_of(order)][1], 1), (order, seen)
    return (
        f"{kills} kills of the whole hub of seed {seed}, each in the midst of {len(CHANNELS)} channels' work, "
        f"{acknowledged} of {len(orders)} of it answered before: each change once"
    )


def cut(hub: RunningHub, orders: Sequence[str], after: float) -> dict[str, bool]:
    """Of each order whether its sender was answered before the power went; who was not says it again."""
    answered: dict[str, bool] = dict.fromkeys(orders, False)

    def send(order: str) -> None:
        with suppress(Exception):
            CHANNELS[channel_of(order)][0](hub, order)
            answered[order] = True

    with ThreadPoolExecutor(len(orders)) as hands:
        for order in orders:
            hands.submit(send, order)
        time.sleep(after)
        told = dict(answered)
        hub.kill()
    return told


def settle(hub: RunningHub, told: Mapping[str, bool]) -> None:
    """All of the last round are as they should be; said again first where nobody was answered."""
    for order, was_told in told.items():
        if not was_told:
            CHANNELS[channel_of(order)][0](hub, order)
    for order in told:
        wanted = CHANNELS[channel_of(order)][1]
        eventually(lambda order=order, wanted=wanted: action_of(hub, order)["amount"] == wanted)


def channel_of(order: str) -> str:
    return order.partition("-")[0]


def action_of(hub: RunningHub, order: str) -> dict[str, Any]:
    program = ACME if order.startswith("case-") else P
    return dict(ask(hub, "GET", f"{program}/actions/{order}~sale"))
