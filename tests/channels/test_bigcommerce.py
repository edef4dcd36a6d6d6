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
    (row,) = read(event, mapping={"statuses": {"Completed": "approve"}})
    assert isinstance(row, Row)
    assert (row.fields["change"], row.fields["reference"]) == ("approve", "250/Completed")
