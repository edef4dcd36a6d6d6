"""BigCommerce with a restricted key: its webhooks are hints, and the order as it is read back counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retour.remote import RemoteError
from retour.settings import Service
from retour.sync.run import handle_message
from tests.senders.messages import bigcommerce_status
from tests.senders.shop_apis import TOKEN, BigCommerceStore
from tests.senders.webhook_harness import SECRET, WebhookHarness
from tests.settings import change_settings

REFUND = {
    "items": [
        {"item_type": "PRODUCT", "item_id": 7, "quantity": 1, "requested_amount": "40.00"},
        {"item_type": "SHIPPING", "item_id": 1, "quantity": 1, "requested_amount": "5.00"},
    ],
    "payments": [{"is_declined": False}],
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BigCommerceStore]:
    store = BigCommerceStore(tmp_path)
    yield store
    store.stop()


@pytest.fixture
def hall(store: BigCommerceStore, monkeypatch: pytest.MonkeyPatch) -> WebhookHarness:
    hall = WebhookHarness("bigcommerce", {"options": {"store_hash": "a1b2c3"}})
    monkeypatch.setattr(hall, "secret", lambda *_: {"signing": [SECRET], "access_token": TOKEN})
    change_settings(hall, bigcommerce=Service(store.connect, str(store.ca)))
    hall.sell("1057")
    return hall


def hinted(hall: WebhookHarness, status: int = 14) -> dict[str, Any]:
    """A webhook, and what the queue has done for it."""
    answer = hall.post(bigcommerce_status(status)[0])
    queue, message = hall.sent.pop()
    assert queue == "writebacks"
    handle_message(hall, message, lambda: True)  # type: ignore[arg-type]
    return answer


def test_a_partial_refund_is_read_back_for_its_goods(store: BigCommerceStore, hall: WebhookHarness) -> None:
    store.put(14, REFUND)
    assert hinted(hall)["state"] == "ignored"
    assert hall.left("1057") == "60.00"


def test_an_order_that_is_cancelled_and_paid_after_all(store: BigCommerceStore, hall: WebhookHarness) -> None:
    """A9, and what the webhook says does not count where the order says otherwise."""
    left = []
    for minute, status in enumerate((5, 11, 5, 11)):
        store.put(status, minute=minute)
        hinted(hall, 5)
        left.append(hall.left("1057"))
    assert left == ["0.00", "100.00", "0.00", "100.00"]


def test_a_refund_whose_payment_was_declined_gives_back_what_it_took(
    store: BigCommerceStore, hall: WebhookHarness
) -> None:
    store.put(14, REFUND)
    hinted(hall)
    store.put(14, {**REFUND, "payments": [{"is_declined": True}]}, minute=1)
    hinted(hall)
    assert hall.left("1057") == "100.00"


def test_a_hint_about_an_order_that_says_nothing_new_writes_nothing(
    store: BigCommerceStore, hall: WebhookHarness
) -> None:
    store.put(14, REFUND)
    hinted(hall)
    records = len(hall.order("1057").records)
    hinted(hall)
    assert len(hall.order("1057").records) == records


def test_an_order_that_is_gone_says_nothing(store: BigCommerceStore, hall: WebhookHarness) -> None:
    hinted(hall)
    assert hall.left("1057") == "100.00"


@pytest.mark.parametrize(("status", "lasting"), [(503, False), (429, False), (403, True)])
def test_a_store_that_does_not_answer_is_asked_again_unless_it_refuses(
    store: BigCommerceStore, hall: WebhookHarness, status: int, lasting: bool
) -> None:
    store.put(14, REFUND)
    store.fails_with = status
    hall.post(bigcommerce_status(14)[0])
    _, message = hall.sent.pop()
    with pytest.raises(RemoteError) as refused:
        handle_message(hall, message, lambda: True)  # type: ignore[arg-type]
    assert refused.value.lasting is lasting
    store.fails_with = 0
    handle_message(hall, message, lambda: True)  # type: ignore[arg-type]
    assert hall.left("1057") == "60.00"
