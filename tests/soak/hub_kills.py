"""The whole local hub killed in the midst of one channel's work, again and again on the same data."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, eventually
from tests.local.test_killed import SOURCES, TAKE_BACK, P, acted, dropped, filed, mailed, modified

Do = Callable[[RunningHub, str], Any]
CHANNELS: dict[str, tuple[Do, str]] = {
    "call": (lambda hub, order: modified(hub, order, **TAKE_BACK), "90.00"),
    "file": (filed, "70.00"),
    "upload": (dropped, "70.00"),
    "mail": (mailed, "70.00"),
    "act": (lambda hub, order: acted(hub, order, "reverse", reason="ITEM_RETURNED"), "0.00"),
}
STAGES = {"before it is answered": (0.0, 0.15), "while its rows are read": (0.15, 1.0), "while it is answered": (1, 4)}
"""How many seconds after it was begun the power goes: at the least and at the most."""


def run_hub_kills(kills: int, seed: int) -> str:
    """Each round sends one order's return over one channel and cuts the power; the next one finds it as it should."""
    chance, acknowledged = random.Random(seed), 0
    plan = [
        (f"{channel}-{number}", channel, stage)
        for number, (channel, stage) in zip(
            range(kills), [(one, stage) for stage in STAGES for one in CHANNELS] * (kills // 15 + 1), strict=False
        )
    ]
    with TemporaryDirectory(prefix="retour-kills-") as folder:
        home = Path(folder)
        with running_hub(home) as hub:
            ask(hub, "PUT", P, {**OWN_PROGRAM, "sources": SOURCES})
            ask(hub, "POST", f"{P}/actions", [action(order, "100.00") for order, _, _ in plan])
        done: list[tuple[str, str]] = []
        for order, channel, stage in plan:
            with running_hub(home) as hub:
                settle(hub, done)
                after = chance.uniform(*STAGES[stage])
                acknowledged += cut(hub, order, channel, after, done)
                print(f"{order} killed {after:.2f} s after it began, {stage}", flush=True)
        with running_hub(home) as hub:
            settle(hub, done)
            for order, channel, _ in plan:
                seen = ask(hub, "GET", f"{P}/actions/{order}~sale")
                assert (seen["amount"], seen["changes"]) == (CHANNELS[channel][1], 1), (order, seen)
    return f"{kills} kills of the whole hub of seed {seed}, {acknowledged} of them after an answer: each change once"


def cut(hub: RunningHub, order: str, channel: str, after: float, done: list[tuple[str, str]]) -> bool:
    """Whether the sender was answered before the power went; who was not says it again in the next round."""
    answered = threading.Event()

    def send() -> None:
        with suppress(Exception):
            CHANNELS[channel][0](hub, order)
            answered.set()

    with ThreadPoolExecutor(1) as hands:
        hands.submit(send)
        time.sleep(after)
        told = answered.is_set()
        hub.kill()
    done.append((order, channel if not told else ""))
    return told


def settle(hub: RunningHub, done: list[tuple[str, str]]) -> None:
    """The last one is as it should be; said again first where nobody was answered."""
    if not done:
        return
    order, again = done[-1]
    if again:
        CHANNELS[again][0](hub, order)
    wanted = CHANNELS[order.partition("-")[0]][1]
    eventually(lambda: ask(hub, "GET", f"{P}/actions/{order}~sale")["amount"] == wanted)
