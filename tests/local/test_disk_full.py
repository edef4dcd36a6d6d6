"""D18: what the disk did not take is never answered as done, and what was answered is there after a kill.

The disk is full for the embedded AWS alone, by the limit of its process on what it may write: so the front, which looks
at the disk itself, lets everything through, and what stands behind has to notice.
"""

import base64
import hashlib
import hmac
import json
import resource
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, ledger

pytestmark = [
    pytest.mark.xdist_group("hub"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process"),
]
SOURCES = {"erp": {"channel": "api", "event_type": "sale", "default_reason": "ITEM_RETURNED"}}
PROGRAM = {**OWN_PROGRAM, "sources": SOURCES}
CALLS = 15
WEBHOOKS = 15


def emulator_pid(hub: RunningHub) -> int:
    return int((Path(hub.data) / "aws/emulator.pid").read_text())


@contextmanager
def full_disk(hub: RunningHub) -> Iterator[None]:
    pid = emulator_pid(hub)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    yield
    with suppress(ProcessLookupError):  # It may have ended in between.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def answer_to(request: urllib.request.Request) -> tuple[int, str | None, str]:
    """Status, when to come again, and what was said."""
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers["Retry-After"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Retry-After"], error.read().decode()


def status_of(request: urllib.request.Request) -> int:
    return answer_to(request)[0]


def call(hub: RunningHub, n: int) -> urllib.request.Request:
    change = {"reference": f"c-{n}", "order_id": f"D-{n}", "change": "take_back", "amount": "10.00", "currency": "EUR"}
    headers = {"Authorization": f"Bearer {hub.ready['admin_key']}", "Content-Type": "application/json"}
    address = f"{hub.ready['api']}/v1/programs/shoes/modifications?source=erp"
    return urllib.request.Request(address, json.dumps(change).encode(), headers, method="POST")


def webhook(hub: RunningHub, n: int) -> urllib.request.Request:
    access = hub.ready["programs"]["shoes"]["sources"]["erp"]
    change = {"reference": f"w-{n}", "order_id": f"D-{n}", "change": "take_back", "amount": "10.00", "currency": "EUR"}
    body, id_, at = json.dumps(change).encode(), f"msg_{n}", str(int(time.time()))
    key = base64.b64decode(access["secret"].removeprefix("whsec_"))
    signed = base64.b64encode(hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": id_, "webhook-timestamp": at, "webhook-signature": f"v1,{signed}"}
    return urllib.request.Request(access["url"], body, {**headers, "Content-Type": "application/json"}, method="POST")


def test_what_a_full_disk_did_not_take_is_not_answered_as_done(tmp_path: Path) -> None:
    with running_hub(tmp_path) as hub:
        ask(hub, "PUT", "/v1/programs/shoes", PROGRAM)
        ready = json.loads((tmp_path / "ready.json").read_text())
        hub.ready.update(ready)
        orders = max(CALLS, WEBHOOKS)
        ask(hub, "POST", "/v1/programs/shoes/actions", [action(f"D-{n}", "100.00") for n in range(orders)])
        assert status_of(webhook(hub, 99)) == 200, "it takes webhooks while there is room"
        assert status_of(call(hub, 99)) == 200
        requests = [call(hub, n) for n in range(CALLS)] + [webhook(hub, n) for n in range(WEBHOOKS)]
        with full_disk(hub):
            answers = [answer_to(request) for request in requests]
        assert {status for status, _, _ in answers} == {503}
        assert all(again and int(again) > 0 for _, again, _ in answers)
        assert any("may not have been saved" in said for _, _, said in answers), "the functions were asked"
        hub.kill()
    with running_hub(tmp_path) as hub:
        assert {one["amount"] for one in ledger(hub, "shoes").values()} == {"100.00"}
        hub.ready.update(json.loads((tmp_path / "ready.json").read_text()))
        # The senders say it again, as they were asked to.
        with ThreadPoolExecutor(4) as hands:
            requests = [call(hub, n) for n in range(CALLS)] + [webhook(hub, n + 1000) for n in range(WEBHOOKS)]
            assert set(hands.map(status_of, requests)) == {200}
        before = ledger(hub, "shoes")
        assert {one["amount"] for one in before.values()} == {"90.00"}
        hub.kill()
    with running_hub(tmp_path) as hub:
        assert ledger(hub, "shoes") == before
        # An end at which nothing can be saved counts as a kill: no older state passes for the newest.
        with full_disk(hub):
            assert status_of(call(hub, 0)) == 503
            hub.process.send_signal(signal.SIGTERM)
            hub.process.wait(60)
    with running_hub(tmp_path) as hub:
        assert ledger(hub, "shoes") == before


def test_a_key_that_could_not_be_kept_is_not_handed_out(tmp_path: Path) -> None:
    with running_hub(tmp_path) as hub:
        ask(hub, "PUT", "/v1/programs/shoes", PROGRAM)
        _, hard = resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        headers = {"Authorization": f"Bearer {hub.ready['admin_key']}", "Content-Type": "application/json"}
        address = f"{hub.ready['api']}/v1/programs/shoes/keys"
        asked: Any = urllib.request.Request(address, b'{"name": "till"}', headers, method="POST")
        assert status_of(asked) == 503
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert status_of(asked) == 201
