"""WooCommerce: what its samples do not show."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.channels.hook_samples import SAMPLES, source
from tests.channels.hook_signing import base64_of, mac

from retour.channels import webhook, woocommerce
from retour.domain.row import Ignored, Row

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ORDER = json.loads((SAMPLES / "woocommerce/two_refunds.json").read_text())
TOPIC = {"x-wc-webhook-topic": "order.updated"}


def read(order: dict[str, Any], **said: Any) -> Any:
    return woocommerce.rows(json.dumps(order).encode(), TOPIC, source("woocommerce", **said))


@pytest.mark.parametrize("signature", ["", "=", "é", "AAAA", mac(b"s", b"{}").hex()])
def test_a_signature_of_another_shape_is_not_believed(signature: str) -> None:
    assert not woocommerce.verify(b"{}", {"x-wc-webhook-signature": signature}, ["s"], NOW)
    assert woocommerce.verify(b"{}", {"x-wc-webhook-signature": base64_of(mac(b"s", b"{}"))}, ["s"], NOW)


def test_two_orders_in_one_second_share_a_delivery_id_and_are_two_deliveries() -> None:
    headers = {"x-wc-webhook-delivery-id": "1f3870be274f6c49b3e31a0c6728957f"}
    assert woocommerce.identity(b"1", headers) != woocommerce.identity(b"2", headers)
    assert woocommerce.identity(b"1", headers) == woocommerce.identity(b"1", headers)


@pytest.mark.parametrize(
    ("body", "ping"),
    [
        (b"webhook_id=17", True), (b"webhook_id=", False), (b"webhook_id=17\n", False), (b"webhook_id=1&a=2", False),
        (b"webhook_id=" + b"1" * 21, False), (b"", False), (b"{}", False), (b"webhook_id=\xd9\xa3", False),
    ],
)  # fmt: skip
def test_only_the_ping_is_a_ping(body: bytes, ping: bool) -> None:
    assert webhook.is_ping(body) is ping


def test_a_ping_says_nothing() -> None:
    assert isinstance(woocommerce.rows(b"webhook_id=17", {}, source("woocommerce")), Ignored)


def test_each_message_says_what_all_refunds_take_back_together() -> None:
    (first,) = read(ORDER)
    refunds = [*ORDER["refunds"], {"id": 730, "total": "-1"}]
    (later,) = read(ORDER | {"date_modified_gmt": "2026-11-09T10:20:05", "refunds": refunds})
    assert first.fields["subject"] == later.fields["subject"] == "order/727"
    assert Decimal(later.fields["amount"]) == Decimal(first.fields["amount"]) + 1
    assert (first.fields["version"], later.fields["version"]) == ("2026-11-03T10:20:05Z", "2026-11-09T10:20:05Z")


@pytest.mark.parametrize(("total", "amount"), [("-10.00", "10.00"), ("10.00", "10.00"), (-10, "10"), (-10.10, "10.1")])
def test_what_a_refund_gave_back_is_told_without_its_sign(total: Any, amount: str) -> None:
    (row,) = read(ORDER | {"refunds": [{"id": 1, "total": total}]})
    assert row.fields["amount"] == amount


def test_a_cancelled_order_stays_one_when_its_money_is_given_back() -> None:
    (row,) = read(ORDER | {"status": "cancelled", "refunds": [{"id": 1, "total": "-119.00"}]})
    assert (row.fields["change"], row.fields["reason"]) == ("reverse", "CANCELLED")


def test_the_merchants_own_statuses_go_first() -> None:
    (row,) = read(ORDER | {"status": "returned", "refunds": []}, mapping={"statuses": {"returned": "reverse"}})
    assert isinstance(row, Row)
    assert (row.fields["change"], row.fields["subject"]) == ("reverse", "order/727")


def test_an_older_restore_in_the_mapping_is_nothing_and_an_approval_goes_beside() -> None:
    (row,) = read(ORDER | {"status": "reopened", "refunds": []}, mapping={"statuses": {"reopened": "restore"}})
    assert (row.fields["change"], row.fields["amount"]) == ("take_back", "0")
    statement, beside = read(
        ORDER | {"status": "completed", "refunds": []}, mapping={"statuses": {"completed": "approve"}}
    )
    assert (statement.fields["subject"], statement.fields["amount"]) == ("order/727", "0")
    assert (beside.fields["change"], "subject" in beside.fields) == ("approve", False)


def test_a_status_nobody_declared_keeps_what_was_said() -> None:
    packed = ORDER | {"status": "wc-packed", "refunds": []}
    assert isinstance(read(packed), Ignored)
    assert list(woocommerce.undeclared_statuses(json.dumps(packed).encode(), TOPIC, source("woocommerce"))) == [
        "wc-packed"
    ]
    assert not woocommerce.undeclared_statuses(json.dumps(ORDER).encode(), TOPIC, source("woocommerce"))


@pytest.mark.parametrize("moment", [None, "", 5, "2026-11-03T10:20:05Z", "2026-11-03T10:20:05+01:00x"])
def test_a_time_that_is_none_is_left_out(moment: Any) -> None:
    (row, *_) = read(ORDER | {"date_modified_gmt": moment})
    assert "occurred_at" not in row.fields


@pytest.mark.parametrize("refunds", [None, {}, "x", 5])
def test_refunds_that_are_no_list_are_none(refunds: Any) -> None:
    (row,) = read(ORDER | {"refunds": refunds})
    assert row.fields["amount"] == "0"
