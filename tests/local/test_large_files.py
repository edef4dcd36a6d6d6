"""A large file on the real stack: the state machine, its workers side by side, the answer in the order of the rows."""

import csv
import json
import os
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.local.conftest import Running, running_hub

ROWS = int(os.environ.get("RETOUR_LARGE_ROWS", "20000"))
ORDERS = 500
PATIENCE = 60 + ROWS / 100


def ask(hub: Running, method: str, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(hub.ready["api"] + path, body, method=method)
    request.add_header("content-type", "text/csv" if "/files" in path else "application/json")
    request.add_header("authorization", f"Bearer {hub.ready['programs']['acme']['api_key']}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer) if "json" in answer.headers["content-type"] else answer.read()


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


def test_a_large_file_goes_by_the_state_machine(tmp_path: Path) -> None:
    with running_hub(tmp_path) as hub:
        today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
        actions = [
            {"order_id": f"L-{n}", "event_type": "sale", "partner": "blog", "event_time": today, "currency": "EUR",
             "amount": "1000.00"}
            for n in range(ORDERS)
        ]  # fmt: skip
        assert ask(hub, "POST", "/v1/programs/acme/actions", json.dumps(actions).encode())["counts"] == {
            "applied": ORDERS
        }
        body, expected = the_file()
        started = time.monotonic()
        upload = ask(hub, "POST", f"/v1/programs/acme/uploads?name=large.csv&size={len(body)}")
        batch = upload["batch"]
        with urllib.request.urlopen(urllib.request.Request(upload["url"], body, method="PUT"), timeout=60) as put:
            assert put.status == 200
        seen: list[dict[str, Any]] = []
        while (shown := ask(hub, "GET", f"/v1/programs/acme/batches/{batch}"))["state"] in ("arriving", "working"):
            if "progress" in shown and shown["progress"] not in seen:
                seen.append(shown["progress"])
            assert time.monotonic() - started < PATIENCE, shown
            time.sleep(0.1)
        took = time.monotonic() - started
        print(f"{ROWS:,} rows in {took:.1f} s; progress {seen}")
        assert shown["state"] == "done"
        assert sum(shown["counts"].values()) == ROWS
        assert shown["counts"]["refused"] == expected["refused"]
        assert [one["record"] for one in shown["outcomes"][:3]] == ["2", "3", "4"]
        assert seen and all(one["read"] <= ROWS for one in seen)
        while True:
            result = ask(hub, "GET", f"/v1/programs/acme/batches/{batch}")["answer"]
            if result:
                break
            assert time.monotonic() - started < PATIENCE
            time.sleep(0.2)
        told = list(csv.reader(ask(hub, "GET", result).decode("utf-8-sig").splitlines()))
        assert [line[0] for line in told[1:]] == [str(n + 2) for n in range(ROWS)]
        action = ask(hub, "GET", "/v1/programs/acme/actions/L-7~sale")
        applied = sum(1 for record in action["history"] if record["outcome"] == "applied")
        assert float(action["amount"]) == round(1000 - 0.01 * applied, 2)
