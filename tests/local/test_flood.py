"""One program's flood, or merchants whose servers hardly answer, at the whole hub: nobody else waits for them."""

import json
import os
import statistics
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, eventually
from tests.remote.test_slow import Merchant

from local.data_folder import load_aws_key
from local.deploy import Endpoint, client
from retour.channels.standard import sign_headers

pytestmark = [
    pytest.mark.xdist_group("hub"),
    pytest.mark.skipif(not os.environ.get("RETOUR_FLOOD"), reason="takes minutes; make soak runs it"),
]
SLOW = 5
HOOKS = 15
AT_MOST = 10
"""Times as long as alone."""


@pytest.fixture(scope="module")
def merchants() -> Iterator[dict[str, Merchant]]:
    """One that answers at once, and those that say a byte a second."""
    made = {"quick": Merchant(""), **{f"slow{n}": Merchant("welcome", 1.0) for n in range(SLOW)}}
    yield made
    for one in made.values():
        one.ended.set()
        one.listener.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, merchants: dict[str, Merchant]) -> Iterator[RunningHub]:
    home = tmp_path_factory.mktemp("flood")
    visited = {
        name: {"channel": "pull", "event_type": "sale", "default_reason": "ITEM_RETURNED",
               "options": {"protocol": "ftp", "allow_plain": True, "host": "127.0.0.1", "port": one.port, "user": "u",
                           "folder": "/"}}
        for name, one in merchants.items()
    }  # fmt: skip
    hook = {"shop": {"channel": "api", "kind": "standard", "event_type": "sale"}}
    with running_hub(home) as hub:
        ask(hub, "PUT", "/v1/programs/flood", {**OWN_PROGRAM, "program": "flood"})
        ask(hub, "PUT", "/v1/programs/calm", {**OWN_PROGRAM, "program": "calm", "sources": {**hook, **visited}})
        for name in visited:
            ask(hub, "PUT", f"/v1/programs/calm/sources/{name}/secret", {"password": "p"})
        eventually(lambda: "calm" in json.loads((home / "ready.json").read_text())["programs"])
        hub.ready = json.loads((home / "ready.json").read_text())
        ask(hub, "POST", "/v1/programs/calm/actions", [action(f"O-{n}", "100.00") for n in range(90)])
        yield hub


def hooked(hub: RunningHub, first: int) -> list[float]:
    """How long each of some webhooks takes; each is applied."""
    access, took = hub.ready["programs"]["calm"]["sources"]["shop"], []
    for n in range(first, first + HOOKS):
        record = {
            "reference": f"r{n}",
            "order_id": f"O-{n}",
            "change": "take_back",
            "amount": "1.00",
            "currency": "EUR",
        }
        body = json.dumps(record).encode()
        headers = sign_headers(body, [access["secret"]], datetime.now(UTC))
        path, began = access["url"].removeprefix(hub.ready["api"]), time.monotonic()
        assert ask(hub, "POST", path, body, **headers)["counts"] == {"applied": 1}
        took.append(time.monotonic() - began)
    return took


@contextmanager
def flooded(hub: RunningHub) -> Iterator[list[int]]:
    """Six callers who report actions without a pause, two who send files; how often each was answered."""
    ended, answered = threading.Event(), [0] * 8

    def flood(caller: int) -> None:
        for n in range(10_000):
            if ended.is_set():
                return
            try:
                if caller < 6:
                    sales = [action(f"F-{caller}-{n}-{k}", "10.00") for k in range(20)]
                    ask(hub, "POST", "/v1/programs/flood/actions", sales)
                else:
                    rows = "".join(f"F-{caller}-{n}-{k},reverse\n" for k in range(100))
                    body = f"order_id,change\n{rows}".encode()
                    ask(hub, "POST", f"/v1/programs/flood/files?name={caller}-{n}.csv&source=drop", body)
            except urllib.error.HTTPError as error:
                assert error.code in (429, 503), error.read()
            except OSError:
                continue
            answered[caller] += 1

    callers = [threading.Thread(target=flood, args=(n,)) for n in range(len(answered))]
    for one in callers:
        one.start()
    try:
        time.sleep(3)
        yield answered
    finally:
        ended.set()
        for one in callers:
            one.join()


def test_a_flood_of_one_program_multiplies_no_other_s_webhooks_by_ten(hub: RunningHub) -> None:
    hooked(hub, 0)
    alone = hooked(hub, HOOKS)
    with flooded(hub) as answered:
        beside = hooked(hub, 2 * HOOKS)
        told = sum(answered)
    times = statistics.median(beside) / statistics.median(alone)
    print(f"\nwebhooks alone {ms(alone)}, beside a flood {ms(beside)} ({told} calls of it answered): {times:.1f} times")
    assert told, "it was a flood"
    assert times <= AT_MOST


def ms(took: list[float]) -> str:
    return f"{statistics.median(took) * 1000:.0f} ms (most {max(took) * 1000:.0f})"


def visits(hub: RunningHub, name: str) -> None:
    ask(hub, "POST", f"/v1/programs/calm/sources/{name}/pull")


def came(hub: RunningHub) -> int:
    return len(ask(hub, "GET", "/v1/programs/calm/batches?source=quick")["items"])


def ticked(hub: RunningHub) -> float:
    endpoint = Endpoint(hub.ready["aws_endpoint"], load_aws_key(Path(hub.data) / "aws/credentials"))
    functions = client("lambda", endpoint)
    names: list[Any] = [one["FunctionName"] for one in functions.list_functions()["Functions"]]
    began = time.monotonic()
    functions.invoke(FunctionName=next(name for name in names if "TickFunction" in name), Payload=b"{}")
    return time.monotonic() - began


def test_five_merchants_who_hardly_answer_delay_neither_a_visit_nor_the_tick(
    hub: RunningHub, merchants: dict[str, Merchant]
) -> None:
    ticked(hub)
    tick_alone, began = ticked(hub), time.monotonic()
    visits(hub, "quick")
    eventually(lambda: came(hub) == 1)
    alone = time.monotonic() - began
    for n in range(SLOW):
        visits(hub, f"slow{n}")
    eventually(lambda: all(merchants[f"slow{n}"].visits for n in range(SLOW)))
    merchants["quick"].body += b"r2,A-2,reverse\r\n"
    began = time.monotonic()
    visits(hub, "quick")
    eventually(lambda: came(hub) == 2)
    beside, tick_beside = time.monotonic() - began, ticked(hub)
    print(
        f"\na visit alone {alone:.1f} s, beside five slow ones {beside:.1f} s; "
        f"a tick alone {tick_alone:.1f} s, beside them {tick_beside:.1f} s"
    )
    assert beside <= AT_MOST * alone and tick_beside <= AT_MOST * tick_alone
