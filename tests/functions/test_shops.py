"""Shops that are read with a key, on the real storage: by the schedule, when asked, and in the test of a source."""

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from functions.salesforce_sync import app as sync
from functions.webhook import app as webhook
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, Caller, admin, call, sold, text_of
from tests.functions.test_trials import Front
from tests.senders.messages import START, woocommerce_order
from tests.senders.shop_apis import KEY, SECRET_KEY, SHOP, WooCommerceShop
from tests.settings import change_settings

from retour.settings import Service

__all__ = ["admin", "call"]
CONTEXT = SimpleNamespace(
    function_name="salesforce_sync",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:salesforce_sync",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 300_000,
)
SECRET = "/v1/programs/{p}/sources/store/secret"
SOURCE = "/v1/programs/{p}/sources/store"
STORE: dict[str, Any] = {
    "channel": "api",
    "kind": "woocommerce",
    "event_type": "sale",
    "options": {"store_url": f"https://{SHOP}"},
}


@pytest.fixture
def shop(
    admin: Caller, call: Caller, house: ProgramHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WooCommerceShop]:
    shop = WooCommerceShop(tmp_path)
    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    change_settings(
        house.hub,
        woocommerce=Service(shop.connect, str(shop.ca)),
        api_url=f"http://127.0.0.1:{front.server_address[1]}",
        allow_private_hosts=True,
    )
    monkeypatch.setattr(house.hub, "programs", OneProgram(house.hub.programs, call.program))
    for app in (sync, webhook):
        monkeypatch.setattr(app, "hub", lambda: house.hub)
    body = text_of(call.program, sources={**PROGRAM["sources"], "store": STORE})
    assert admin("PUT", "/v1/programs/{p}", body).status == 200
    house.clock.moment = START.replace(day=START.day + 1)
    yield shop
    shop.stop()
    front.shutdown()
    front.server_close()


class OneProgram:
    """The programs of a hub, of which the clock looks after one: others' tests left theirs beside it."""

    def __init__(self, programs: Any, name: str) -> None:
        self._programs, self._name = programs, name

    def ids(self) -> list[str]:
        return [self._name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._programs, name)


def hand_over(call: Caller) -> None:
    for name, value in (("consumer_key", KEY), ("consumer_secret", SECRET_KEY)):
        assert call("PUT", SECRET, {name: value}).status == 200


def test_the_schedule_finds_what_no_webhook_told_and_says_what_it_cannot(
    call: Caller, house: ProgramHarness, shop: WooCommerceShop
) -> None:
    sale = sold(call, "1057")
    shop.put(json.loads(woocommerce_order("processing", ["40.00"])[0]))
    sync.handler({"source": "aws.scheduler"}, CONTEXT)
    [(_, failing)] = list(house.hub.deliveries(call.program).due("failing"))
    assert failing["code"] == "SHOP_NOT_SET_UP"
    assert "--set consumer_key" in failing["words"]
    hand_over(call)
    for _ in range(2):
        sync.handler({"source": "aws.scheduler"}, CONTEXT)
    assert list(house.hub.deliveries(call.program).due("failing")) == []
    assert call("GET", f"{ACTIONS}/{sale}").json["amount"] == "60.00"
    assert len(house.order("1057").records) == 1
    ended = call("GET", SOURCE).json["last_reconciled"]
    assert (ended["records"], ended["changed"], ended["whole"]) == (1, 1, True)


def test_a_person_has_the_shop_looked_through_now(call: Caller, house: ProgramHarness, shop: WooCommerceShop) -> None:
    sale = sold(call, "1057")
    hand_over(call)
    sync.handler({"source": "aws.scheduler"}, CONTEXT)
    shop.put(json.loads(woocommerce_order("cancelled", [], 60)[0]))
    house.sent.clear()
    asked = call("POST", f"{SOURCE}/pull", {})
    assert (asked.status, asked.json["state"]) == (202, "reading")
    [(queue, message)] = house.sent
    assert queue == "writebacks"
    record = {"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(message)}
    assert sync.handler({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}
    assert call("GET", f"{ACTIONS}/{sale}").json["amount"] == "0.00"
    assert call("GET", SOURCE).json["last_reconciled"]["at"] >= asked.json["asked_at"]


def test_the_test_of_a_source_tries_the_key_of_its_shop(call: Caller, shop: WooCommerceShop) -> None:
    hand_over(call)
    steps = {step["step"]: step for step in call("POST", f"{SOURCE}/test").json["test"]["steps"]}
    assert [*steps] == ["secret", "address", "believed", "forged", "orders", "events"]
    assert {step["state"] for step in steps.values()} == {"done"}
    call("PUT", SECRET, {"consumer_secret": "cs_of_somebody_else"})
    trial = call("POST", f"{SOURCE}/test").json["test"]
    [failed] = [step for step in trial["steps"] if step["state"] == "failed"]
    assert (failed["step"], failed["code"]) == ("orders", "WOOCOMMERCE_REFUSED")
    assert "401" in failed["explanation"]
