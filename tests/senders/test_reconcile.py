"""What no webhook of a shop told is read from the shop itself at night, and taken in exactly once."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retour.remote import RemoteError
from retour.settings import Service
from retour.sync.run import due_sources, handle_message, reconcile
from tests.senders.messages import START, Message, bigcommerce_status, moment, woocommerce_order
from tests.senders.shop_apis import KEY, SECRET_KEY, SHOP, TOKEN, Api, BigCommerceStore, WooCommerceShop
from tests.senders.webhook_harness import SECRET, WebhookHarness
from tests.settings import change_settings

REFUND = {
    "items": [{"item_type": "PRODUCT", "item_id": 7, "quantity": 1, "requested_amount": "40.00"}],
    "payments": [{"is_declined": False}],
}


def joined(hall: WebhookHarness, api: Api, monkeypatch: pytest.MonkeyPatch, **secrets: str) -> WebhookHarness:
    monkeypatch.setattr(hall, "secret", lambda *_: {"signing": [SECRET], **secrets})
    change_settings(hall, **{hall.kind: Service(api.connect, str(api.ca))})
    hall.moment = START + timedelta(days=1)
    return hall


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[WooCommerceShop]:
    shop = WooCommerceShop(tmp_path)
    yield shop
    shop.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BigCommerceStore]:
    store = BigCommerceStore(tmp_path)
    yield store
    store.stop()


@pytest.fixture
def woo(shop: WooCommerceShop, monkeypatch: pytest.MonkeyPatch) -> WebhookHarness:
    hall = WebhookHarness("woocommerce", {"options": {"store_url": f"https://{SHOP}"}})
    hall.sell("1057")
    return joined(hall, shop, monkeypatch, consumer_key=KEY, consumer_secret=SECRET_KEY)


@pytest.fixture
def big(store: BigCommerceStore, monkeypatch: pytest.MonkeyPatch) -> WebhookHarness:
    hall = WebhookHarness("bigcommerce", {"options": {"store_hash": "a1b2c3"}})
    hall.sell("1057")
    return joined(hall, store, monkeypatch, access_token=TOKEN)


def order(*said: Any, **more: Any) -> dict[str, Any]:
    body, _ = woocommerce_order(*said, **more)
    return json.loads(body)  # type: ignore[no-any-return]


def night(hall: WebhookHarness) -> tuple[int, int]:
    """Orders looked at, and records that they brought."""
    hall.moment += timedelta(days=1)
    ended = reconcile(hall, hall.acme, hall.acme.sources["shop"], lambda: True)  # type: ignore[arg-type]
    assert ended.whole
    return ended.records, ended.changed


def told(hall: WebhookHarness, message: Message) -> None:
    body, headers = message
    hall.post(body, **headers)


def records(hall: WebhookHarness) -> int:
    return len(hall.order("1057").records)


# WooCommerce


def test_a_refund_that_no_webhook_told_is_found_at_night_and_once(woo: WebhookHarness, shop: WooCommerceShop) -> None:
    shop.put(order("processing", ["40.00"], 1))
    assert night(woo) == (1, 1)
    assert (woo.left("1057"), records(woo)) == ("60.00", 1)
    assert night(woo)[1] == 0
    assert records(woo) == 1


def test_what_a_webhook_told_is_not_taken_in_again(woo: WebhookHarness, shop: WooCommerceShop) -> None:
    told(woo, woocommerce_order("processing", ["40.00"], 1))
    shop.put(order("processing", ["40.00"], 1))
    assert night(woo) == (1, 0)
    assert (woo.left("1057"), records(woo)) == ("60.00", 1)


def test_a_webhook_that_comes_after_the_night_changes_nothing(woo: WebhookHarness, shop: WooCommerceShop) -> None:
    shop.put(order("cancelled", [], 9))
    night(woo)
    assert woo.left("1057") == "0.00"
    told(woo, woocommerce_order("cancelled", [], 9))
    assert woo.left("1057") == "0.00"
    told(woo, woocommerce_order("processing", [], 1))
    assert woo.left("1057") == "0.00", "an older one"


def test_wo12_a_refund_that_was_deleted_without_a_word_is_found(woo: WebhookHarness, shop: WooCommerceShop) -> None:
    """Deleting it changes neither the order's time nor, before 11.2, makes a webhook."""
    told(woo, woocommerce_order("refunded", ["100.00"], 1))
    shop.put(order("refunded", ["100.00"], 1))
    night(woo)
    assert woo.left("1057") == "0.00"
    shop.put(order("processing", [], 1))
    assert night(woo)[1] == 1
    assert woo.left("1057") == "100.00"
    assert night(woo)[1] == 0
    told(woo, woocommerce_order("processing", ["30.00"], (woo.moment - START).total_seconds() + 60))
    woo.moment += timedelta(hours=1)
    assert woo.left("1057") == "70.00", "a later edit"


def test_an_order_in_the_trash_takes_all_though_the_list_of_any_order_leaves_it_out(
    woo: WebhookHarness, shop: WooCommerceShop
) -> None:
    shop.put(order("trash", [], 1))
    night(woo)
    assert woo.left("1057") == "0.00"
    shop.put(order("processing", [], 500))
    night(woo)
    assert woo.left("1057") == "100.00"


def test_orders_that_no_partner_brought_are_looked_at_and_not_written(
    woo: WebhookHarness, shop: WooCommerceShop
) -> None:
    for number in range(2000, 2050):
        shop.put(order("completed", [], 1, number=number))
    assert night(woo) == (50, 0)
    assert len(woo.kept.headers) == 0


@pytest.mark.parametrize("spread", [0, 1, 60], ids=["all in one second", "a second apart", "a minute apart"])
def test_more_orders_than_a_page_holds_are_all_seen_while_the_shop_goes_on(
    woo: WebhookHarness, shop: WooCommerceShop, spread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that changes while pages are turned moves to the end, and pushes none over the edge of a page."""
    for n in range(230):
        woo.sell(f"{3000 + n}")
        shop.put(order("processing", ["10.00"], 1 + n * spread, number=3000 + n))
    answered = shop.answered

    def while_it_changes(path: str, headers: Any) -> Any:
        answer = answered(path, headers)
        if len(shop.asked) == 1:
            shop.put(order("processing", ["20.00"], 1 + 300 * 60, number=3000))
        return answer

    monkeypatch.setattr(shop, "answered", while_it_changes)
    woo.moment += timedelta(days=1)
    night(woo)
    assert {woo.left(f"{3000 + n}") for n in range(1, 230)} == {"90.00"}
    assert woo.left("3000") == "80.00"


def test_a_shop_that_asks_us_to_slow_down_is_asked_again_where_we_stopped(
    woo: WebhookHarness, shop: WooCommerceShop
) -> None:
    for n in range(230):
        woo.sell(f"{3000 + n}")
        shop.put(order("processing", ["10.00"], 1 + n * 60, number=3000 + n))
    source, shop.calls_left = woo.acme.sources["shop"], 2
    woo.moment += timedelta(days=1)
    ended = reconcile(woo, woo.acme, source, lambda: True)  # type: ignore[arg-type]
    assert (ended.whole, ended.spared) == (False, True)
    assert woo.left("3150") == "90.00"
    assert woo.left("3229") == "100.00"
    shop.calls_left, shop.asked[:] = 1000, []
    ended = reconcile(woo, woo.acme, source, lambda: True)  # type: ignore[arg-type]
    assert ended.whole
    assert woo.left("3229") == "90.00"
    assert "modified_after=2026-11-09" not in shop.asked[0], "not from the beginning"


def test_a_reconcile_that_is_out_of_time_goes_on_at_the_next(woo: WebhookHarness, shop: WooCommerceShop) -> None:
    for n in range(230):
        shop.put(order("processing", ["10.00"], 1 + n * 60, number=3000 + n))
    source = woo.acme.sources["shop"]
    ways = []
    while not ways or not ways[-1].whole:
        ways.append(reconcile(woo, woo.acme, source, lambda: False))  # type: ignore[arg-type]
        assert len(ways) < 10
    assert sum(one.changed for one in ways) == 230


@pytest.mark.parametrize(("status", "lasting"), [(503, False), (401, True), (404, True)])
def test_a_shop_that_refuses_says_why(woo: WebhookHarness, shop: WooCommerceShop, status: int, lasting: bool) -> None:
    shop.fails_with = status
    with pytest.raises(RemoteError) as refused:
        reconcile(woo, woo.acme, woo.acme.sources["shop"], lambda: True)  # type: ignore[arg-type]
    assert refused.value.lasting is lasting
    assert SHOP in refused.value.sentence


def test_a_source_without_its_key_says_which_is_missing(woo: WebhookHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(woo, "secret", lambda *_: {"signing": [SECRET], "consumer_key": KEY})
    with pytest.raises(RemoteError, match="consumer_secret"):
        reconcile(woo, woo.acme, woo.acme.sources["shop"], lambda: True)  # type: ignore[arg-type]


# BigCommerce


def test_a_refund_of_bigcommerce_that_no_webhook_told_is_found(big: WebhookHarness, store: BigCommerceStore) -> None:
    store.put(14, REFUND)
    assert night(big) == (1, 1)
    assert (big.left("1057"), records(big)) == ("60.00", 1)
    store.asked.clear()
    assert night(big)[1] == 0
    assert [path for path in store.asked if "products" in path] == [], "read once, until it changes"


def test_what_a_hint_had_read_back_is_not_read_again(big: WebhookHarness, store: BigCommerceStore) -> None:
    store.put(14, REFUND)
    told(big, bigcommerce_status(14))
    _, message = big.sent.pop()
    handle_message(big, message, lambda: True)  # type: ignore[arg-type]
    store.asked.clear()
    assert night(big) == (1, 0)
    assert len(store.asked) == 1
    assert (big.left("1057"), records(big)) == ("60.00", 1)


def test_orders_of_bigcommerce_beyond_one_page_are_all_seen(big: WebhookHarness, store: BigCommerceStore) -> None:
    for n in range(260):
        store.put(5, minute=n / 600, number=3000 + n)
        if n in (0, 255, 259):
            big.sell(f"{3000 + n}")
    night(big)
    assert [big.left(f"{3000 + n}") for n in (0, 255, 259)] == ["0.00"] * 3


# When


def test_the_clock_owes_a_shop_one_night_and_a_person_may_ask_at_any_time(
    woo: WebhookHarness, shop: WooCommerceShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_owed() -> bool:
        return bool(due_sources(woo))  # type: ignore[arg-type]

    monkeypatch.setattr(WebhookHarness, "programs", SimpleNamespace(ids=lambda: ["acme"]))
    woo.moment = moment(0).replace(hour=20)
    assert is_owed(), "never looked through yet"
    night(woo)
    assert not is_owed()
    woo.moment += timedelta(hours=2)
    assert not is_owed(), "before two in the morning it is still last night"
    woo.moment += timedelta(hours=6)
    assert is_owed()
    shop.put(order("processing", ["40.00"], 1))
    ended = handle_message(woo, {"program": "acme", "source": "shop", "reconcile": True}, lambda: True)  # type: ignore[arg-type]
    assert (ended["changed"], ended["whole"]) == (1, True)
    assert not is_owed()
