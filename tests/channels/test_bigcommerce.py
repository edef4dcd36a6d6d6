"""BigCommerce: what its samples do not show."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.channels.hook_samples import SAMPLES, source
from tests.channels.hook_signing import standard_with

from retour.channels import bigcommerce
from retour.domain.row import Ignored, Refusal, Row

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SECRET = "c1ient5ecretTextAsShown"
EVENT = json.loads((SAMPLES / "bigcommerce/status_cancelled.json").read_text())


def read(event: dict[str, Any], **said: Any) -> Any:
    return bigcommerce.rows(json.dumps(event).encode(), {}, source("bigcommerce", **said))


def test_the_key_is_the_client_secrets_own_text() -> None:
    headers = standard_with(SECRET.encode(), b"{}", NOW)
    assert bigcommerce.verify(b"{}", headers, ["old", SECRET], NOW)
    assert not bigcommerce.verify(b"{} ", headers, [SECRET], NOW)
    assert not bigcommerce.verify(b"{}", headers, [f"whsec_{SECRET}"], NOW)


@pytest.mark.parametrize("status", [None, "5", -1, 99, [], {}])
def test_a_status_that_is_none_changes_nothing(status: Any) -> None:
    event = EVENT | {"data": EVENT["data"] | {"status": {"new_status_id": status}}}
    assert isinstance(read(event), Ignored)


def test_a_status_without_its_order_is_refused() -> None:
    assert isinstance(read(EVENT | {"data": {"status": {"new_status_id": 5}}}), Refusal)


def test_the_merchants_own_statuses_go_first() -> None:
    event = EVENT | {"data": EVENT["data"] | {"status": {"new_status_id": 10}}}
    statement, row = read(event, mapping={"statuses": {"Completed": "approve"}})
    assert isinstance(row, Row)
    assert (statement.fields["subject"], statement.fields["amount"]) == ("order/250", "0")
    assert (row.fields["change"], row.fields["reference"]) == ("approve", "250/Completed")


WHOLE = {
    "read": "2026-11-22T00:00:00Z",
    "order": {"id": 250, "status_id": 10, "date_modified": "Tue, 20 Nov 2026 10:00:00 +0000", "currency_code": "EUR"},
    "products": [{"id": 7, "sku": "SHOE-42"}, {"id": 8, "sku": "SOCK-M"}],
    "refunds": [
        {
            "items": [
                {"item_type": "PRODUCT", "item_id": 7, "quantity": 1, "requested_amount": "40.00"},
                {"item_type": "SHIPPING", "item_id": 1, "quantity": 1, "requested_amount": "5.00"},
            ],
            "payments": [{"is_declined": False}],
        },
        {
            "items": [{"item_type": "PRODUCT", "item_id": 8, "quantity": 1, "requested_amount": "9.00"}],
            "payments": [{"is_declined": True}],
        },
    ],
}


def test_an_order_that_was_read_back_tells_the_goods_of_its_paid_refunds() -> None:
    (row,) = read(WHOLE)
    assert row.fields == {
        "reference": "250",
        "order_id": "250",
        "sku": "SHOE-42",
        "subject": "order/250",
        "version": "2026-11-20T10:00:00.000Z",
        "change": "take_back",
        "amount": "40.00",
        "currency": "EUR",
        "quantity": "1",
    }


@pytest.mark.parametrize(("status", "change"), [(5, "reverse"), (6, "reverse"), (4, "take_back"), (11, "take_back")])
def test_the_status_of_an_order_that_was_read_back_goes_with_its_refunds(status: int, change: str) -> None:
    (row,) = read(WHOLE | {"order": WHOLE["order"] | {"status_id": status}})  # type: ignore[operator]
    assert row.fields["change"] == change


def test_an_order_without_refunds_takes_nothing() -> None:
    (row,) = read(WHOLE | {"refunds": []})
    assert (row.fields["change"], row.fields["amount"]) == ("take_back", "0")
