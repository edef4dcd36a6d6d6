"""A local hub for browsers: two programs with two partners each, and data for every page."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 240
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class LocalHub:
    ready_file: Path

    @property
    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    @property
    def api(self) -> str:
        return str(self.ready["api"])

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"authorization": f"Bearer {self.ready['admin_key']}", "content-type": kind}
        with DIRECT.open(urllib.request.Request(self.api + path, data, headers, method=method), timeout=60) as answer:
            return json.load(answer)

    def action(self, program: str, action: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/programs/{program}/actions/{action}")
        return found


@contextmanager
def local_hub(data: Path) -> Iterator[LocalHub]:
    ready = data / "ready.json"
    command = [sys.executable, "-m", "local", "--port", "0", "--data", str(data / "hub"), "--ready-file", str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "infra"), "RETOUR_LIFELINE": "1"}
    with (data / "hub.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None and time.monotonic() < deadline, (data / "hub.log").read_text()
            time.sleep(0.1)
        hub = LocalHub(ready)
        fill(hub)
        yield hub
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def fill(hub: LocalHub) -> None:
    sample = (ROOT / "infra/local/sample/acme.yaml").read_text()
    zenith = sample.replace("program: acme", "program: zenith").replace("name: Acme Shoes", "name: Zenith Bikes")
    hub.call("PUT", "/v1/programs/zenith", zenith.encode(), "application/yaml")
    now = datetime.now(UTC)
    report(hub, "acme", now, "A", ("nordlicht", "schuhblog"), 24)
    report(hub, "zenith", now, "Z", ("radblog", "velo24"), 6)
    back = [
        {"order_id": f"A-{1000 + n}", "change": "take_back", "amount": f"{10 + n}.00", "currency": "EUR",
         "reason": "ITEM_RETURNED", "reference": f"R-{n}"}
        for n in range(6)
    ]  # fmt: skip
    back += [
        {"order_id": "A-1006", "change": "reverse", "reason": "CANCELLED", "reference": "R-6"},
        {"order_id": "A-1007", "change": "take_back", "sku": "X-9", "amount": "3.00", "currency": "EUR",
         "reference": "R-7"},
        {"order_id": "A-1008", "change": "take_back", "amount": "9000.00", "currency": "EUR", "reference": "R-8"},
        {"order_id": "A-7777", "change": "reverse", "reason": "CANCELLED", "reference": "R-9"},
    ]  # fmt: skip
    hub.call("POST", "/v1/programs/acme/modifications", back)
    hub.call("POST", "/v1/programs/zenith/modifications", [{"order_id": "Z-1000", "change": "reverse",
                                                            "reason": "CONS_FRAUD", "reference": "R-0"}])  # fmt: skip


def report(hub: LocalHub, program: str, now: datetime, prefix: str, partners: tuple[str, ...], count: int) -> None:
    actions = [
        {
            "order_id": f"{prefix}-{1000 + n}",
            "event_type": "sale",
            "partner": partners[n % len(partners)],
            "event_time": (now - timedelta(days=n % 27, hours=n)).isoformat(timespec="seconds"),
            "currency": "EUR",
            "items": [
                {"sku": "SHOE-42", "category": "shoes", "quantity": 2, "amount": "100.00"},
                {"sku": "SOCK", "category": "socks", "quantity": 1, "amount": f"{n + 5}.50"},
            ],
        }
        for n in range(count)
    ]
    hub.call("POST", f"/v1/programs/{program}/actions", actions)
