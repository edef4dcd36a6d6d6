"""Shopify: what its samples do not show."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.channels.hook_samples import SAMPLES, source
from tests.channels.hook_signing import base64_of, mac

from retour.channels import shopify
from retour.domain.row import Ignored, Refusal, Row, Unreadable

GOOD = base64_of(mac(b"s", b"{}"))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
REFUND = json.loads((SAMPLES / "shopify/refund_two_lines.json").read_text())


def read(refund: dict[str, Any], **said: Any) -> Any:
    return shopify.rows(json.dumps(refund).encode(), {"x-shopify-topic": "refunds/create"}, source("shopify", **said))


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "=",
        "é",
        "\ud800",
        "AAAA",
        mac(b"s", b"{}").hex(),
        base64_of(mac(b"s", b"{}"))[:-1],
        "v1," + base64_of(mac(b"s", b"{}")),
    ],
)
def test_a_signature_of_another_shape_is_not_believed(signature: str) -> None:
    assert not shopify.verify(b"{}", {"x-shopify-hmac-sha256": signature}, ["s"], NOW)
    assert shopify.verify(b"{}", {"x-shopify-hmac-sha256": GOOD}, ["s"], NOW)


def test_a_standard_secret_is_taken_as_its_text() -> None:
    """While Shopify changes an app's secret both are live; whatever a secret looks like, its text is the key."""
    secret = "whsec_" + base64.b64encode(b"x" * 24).decode()
    header = {"x-shopify-hmac-sha256": base64_of(mac(secret.encode(), b"{}"))}
    assert shopify.verify(b"{}", header, ["old", secret], NOW)


def test_one_event_to_two_subscriptions_is_one_delivery_but_two_refunds_of_one_event_are_two() -> None:
    def key(body: bytes, webhook: str) -> str:
        return shopify.identity(body, {"x-shopify-event-id": "e1", "x-shopify-webhook-id": webhook})

    assert key(b"1", "w1") == key(b"1", "w2") != key(b"2", "w1")
    assert shopify.identity(b"1", {"x-shopify-webhook-id": "w1"}) != shopify.identity(b"1", {})


def test_a_topic_that_the_body_does_not_bear_out_reverses_nothing() -> None:
    """The topic is not signed: a genuine refund under the topic of cancelled orders is no cancellation."""
    headers = {"x-shopify-topic": "orders/cancelled"}
    assert isinstance(shopify.rows(json.dumps(REFUND).encode(), headers, source("shopify")), Ignored)


def test_amounts_are_the_digits_that_were_sent() -> None:
    """Without its `_set` a subtotal is a JSON number; its digits are read, never its float."""
    line = REFUND["refund_line_items"][0]
    paid = [REFUND["transactions"][0] | {"amount": "1234567890123.10"}]
    body = json.dumps(REFUND | {"refund_line_items": [line], "transactions": paid})
    body = body.replace('"subtotal": 50.0', '"subtotal": 1234567890123.10').replace("_set", "_unset")
    (row, *_) = shopify.rows(body.encode(), {"x-shopify-topic": "refunds/create"}, source("shopify"))  # type: ignore[misc]
    assert isinstance(row, Row)
    assert row.fields["amount"] == "1234567890123.10"
    assert row.fields["currency"] == "EUR", "that of the money that moved"


@pytest.mark.parametrize("quantity", [None, -1, 1.5, "1", True])
def test_a_quantity_that_is_none_spoils_its_line_only(quantity: Any) -> None:
    lines = [REFUND["refund_line_items"][0] | {"quantity": quantity}, REFUND["refund_line_items"][1]]
    good, bad = read(REFUND | {"refund_line_items": lines})
    assert (good.place, bad.place, bad.code) == ("refund_line_items[2]", "refund_line_items[1]", "QUANTITY_UNREADABLE")


def test_money_in_two_currencies_is_never_added() -> None:
    two = [{"kind": "refund", "status": "success", "amount": "5.00", "currency": code} for code in ("EUR", "USD")]
    (row,) = read(REFUND | {"transactions": two}, basis="order_total")
    assert isinstance(row, Unreadable)
    assert (row.code, row.details) == ("CURRENCIES_MIXED", {"currencies": "EUR, USD"})


@pytest.mark.parametrize("status", ["failure", "error"])
def test_money_that_did_not_move_is_no_money(status: str) -> None:
    transaction = {"kind": "refund", "status": status, "amount": "5.00", "currency": "EUR"}
    (row,) = read(REFUND | {"transactions": [transaction], "refund_line_items": []})
    assert (row.fields["amount"], row.fields["version"]) == ("0", "3")


def test_a_key_named_twice_at_any_depth_is_refused() -> None:
    body = json.dumps(REFUND).replace('"quantity": 1,', '"quantity": 1, "quantity": 2,', 1).encode()
    refused = shopify.rows(body, {"x-shopify-topic": "refunds/create"}, source("shopify"))
    assert refused == Refusal("DUPLICATE_KEY", {"key": "quantity"})


def test_a_long_note_is_cut_and_never_in_the_middle_of_a_character() -> None:
    (row, *_) = read(REFUND | {"note": "x" + "ä" * 400})
    assert row.fields["note"] == "x" + "ä" * 249


def test_an_order_id_is_found_below_another_field() -> None:
    (row, *_) = read(REFUND | {"order": {"name": "#1001"}}, order_id_field="order.name")
    assert row.fields["order_id"] == "#1001"


def test_the_samples_are_what_shopify_sends() -> None:
    """A guard for whoever edits them: unwrapped, amounts as texts in the sets and as numbers beside them."""
    for path in Path(SAMPLES / "shopify").glob("refund_t*.json"):
        if not path.name.endswith(".reading.json"):
            refund = json.loads(path.read_text())
            assert isinstance(refund["id"], int)
            for line in refund["refund_line_items"]:
                assert isinstance(line["subtotal"], float)
                assert isinstance(line["subtotal_set"]["shop_money"]["amount"], str)
