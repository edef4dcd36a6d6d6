"""A large file on the real stack: the state machine, its workers side by side, the answer in the order of the rows."""

import csv
import json
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import RunningHub, running_hub

pytestmark = pytest.mark.slow

ROWS = int(os.environ.get("RETOUR_LARGE_ROWS", "20000"))
ORDERS = 500
PATIENCE = 60 + ROWS / 100


def ask(hub: RunningHub, method: str, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(hub.ready["api"] + path, body, method=method)
    request.add_header("content-type", "text/csv" if "/files" in path else "application/json")
    request.add_header("authorization", f"Bearer {hub.ready['programs']['acme']['api_key']}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer) if "json" in answer.headers["content-type"] else answer.read()
    except urllib.error.HTTPError as refused:
        # While a slow disk takes the whole result, the store may not answer in time: the call says when to come back.
        if refused.code != 503 or method != "GET":
            raise
        time.sleep(int(refused.headers["retry-after"]))
        return ask(hub, method, path)


def the_file() -> tuple[bytes, Counter[str]]:
    """So many rows, each order's spread over the whole of it; one in a hundred cannot be read, one comes twice."""
    lines, expected = ["reference,order_id,change,amount,currency,reason"], Counter[str]()
    for n in range(ROWS):
        bad = n % 100 == 99
        again = n % 100 == 98
        reference = f"r{n - ORDERS}" if again and n >= ORDERS else f"r{n}"
        order = f"L-{n % ORDERS}"
        lines.append(f"{reference},{order},take_back,{'1e0' if bad else '0.01'},EUR,ITEM_RETURNED")
        if bad:
            expected["refused"] += 1
        elif again and n >= ORDERS and (n - ORDERS) % 100 == 98 and n - ORDERS < ORDERS:
            expected["duplicate"] += 1
        elif reference != f"r{n}":
            expected["again"] += 1
        else:
            expected["applied"] += 1
    return ("\n".join(lines) + "\n").encode(), expected


def sold(hub: RunningHub) -> None:
    today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    actions = [
        {"order_id": f"L-{n}", "event_type": "sale", "partner": "blog", "event_time": today, "currency": "EUR",
         "amount": "1000.00"}
        for n in range(ORDERS)
    ]  # fmt: skip
    for start in range(0, ORDERS, 100):
        some = json.dumps(actions[start : start + 100]).encode()
        assert ask(hub, "POST", "/v1/programs/acme/actions", some)["counts"] == {"applied": 100}


def put(hub: RunningHub, body: bytes, query: str = "") -> str:
    """Uploaded by an address of its own; the batch it becomes."""
    upload = ask(hub, "POST", f"/v1/programs/acme/uploads?name=large.csv&size={len(body)}{query}")
    with urllib.request.urlopen(urllib.request.Request(upload["url"], body, method="PUT"), timeout=60) as answer:
        assert answer.status == 200
    return str(upload["batch"])


def ended(hub: RunningHub, batch: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The batch at its end, and every progress that was seen on its way."""
    started, seen, latencies = time.monotonic(), list[dict[str, Any]](), list[float]()
    while True:
        asked = time.monotonic()
        shown = ask(hub, "GET", f"/v1/programs/acme/batches/{batch}")
        latencies.append(time.monotonic() - asked)
        if shown["state"] not in ("arriving", "working"):
            break
        if "progress" in shown and shown["progress"] not in seen:
            seen.append(shown["progress"])
        assert time.monotonic() - started < PATIENCE, shown
        time.sleep(0.1)
    latencies.sort()
    print(
        f"{ROWS:,} rows in {time.monotonic() - started:.1f} s: {shown['state']}; first progress {seen[:1]}; "
        f"{len(latencies)} answers of the API: median {latencies[len(latencies) // 2]:.2f} s, "
        f"99 of 100 within {latencies[len(latencies) * 99 // 100]:.2f} s, slowest {latencies[-1]:.2f} s"
    )
    return shown, seen


def result_of(hub: RunningHub, batch: str) -> list[list[str]]:
    started = time.monotonic()
    while not (result := ask(hub, "GET", f"/v1/programs/acme/batches/{batch}")["answer"]):
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.2)
    return list(csv.reader(ask(hub, "GET", result).decode("utf-8-sig").splitlines()))[1:]


def test_a_large_file_goes_by_the_state_machine_and_a_dry_run_before_it_says_what_will_come_of_it(
    tmp_path: Path,
) -> None:
    with running_hub(tmp_path) as hub:
        sold(hub)
        body, expected = the_file()
        dry, _ = ended(hub, rehearsed := put(hub, body, "&dry_run=true"))
        assert (dry["state"], dry["dry_run"]) == ("dry run", True)
        assert sum(dry["counts"].values()) == ROWS
        foretold = result_of(hub, rehearsed)
        action = ask(hub, "GET", "/v1/programs/acme/actions/L-7~sale")
        assert (action["amount"], action["history"]) == ("1000.00", [])

        batch = put(hub, body)
        shown, seen = ended(hub, batch)
        assert shown["state"] == "done"
        assert sum(shown["counts"].values()) == ROWS
        assert shown["counts"] == dry["counts"]
        assert shown["counts"]["refused"] == expected["refused"]
        assert [one["record"] for one in shown["outcomes"][:3]] == ["2", "3", "4"]
        assert seen and all(one["read"] <= ROWS for one in seen)
        told = result_of(hub, batch)
        assert [line[0] for line in told] == [str(n + 2) for n in range(ROWS)]
        outcome_and_code = [line[4:6] for line in told]
        assert outcome_and_code == [line[4:6] for line in foretold]
        assert [effect["change"] for effect in shown["effect"]] == [dry["total"]["payout"]["difference"]]
        action = ask(hub, "GET", "/v1/programs/acme/actions/L-7~sale")
        applied = sum(1 for record in action["history"] if record["outcome"] == "applied")
        assert float(action["amount"]) == round(1000 - 0.01 * applied, 2)


def test_a_clean_stop_in_the_middle_of_a_large_file_ends_nothing(tmp_path: Path) -> None:
    with running_hub(tmp_path) as hub:
        sold(hub)
        body, expected = the_file()
        batch = put(hub, body)
        started = time.monotonic()
        while not ask(hub, "GET", f"/v1/programs/acme/batches/{batch}").get("progress", {}).get("read"):
            assert time.monotonic() - started < PATIENCE
            time.sleep(0.05)
    with running_hub(tmp_path) as hub:
        shown, _ = ended(hub, batch)
        assert shown["state"] == "done"
        assert sum(shown["counts"].values()) == ROWS
        assert shown["counts"]["refused"] == expected["refused"]
        assert len(result_of(hub, batch)) == ROWS
