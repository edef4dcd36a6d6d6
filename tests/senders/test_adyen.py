"""Adyen's sequences as reference books list them, and the signature of single items."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from retour.channels import adyen
from tests.gateway import hook
from tests.senders.adyen import SECRET, item, notification, signed
from tests.senders.webhook_harness import CONTEXT, NOW, WebhookHarness

GOODS = {"basis": "goods", "excess": "clamp"}


def told(code: str, amount: str = "100.00", number: str = "R1", *, success: bool = True) -> dict[str, Any]:
    return signed(item(code, number, amount, "1", success=success))


CASES: Mapping[str, tuple[Sequence[dict[str, Any]], str]] = {
    "AD1": ([told("REFUND", "40.00")], "60.00"),
    "AD2": ([told("REFUND", "40.00", success=False)], "100.00"),
    "AD3": ([told("REFUND", "40.00"), told("REFUND_FAILED", "40.00")], "100.00"),
    "AD5": ([told("REFUND", "40.00"), told("REFUNDED_REVERSED", "40.00")], "100.00"),
    "AD6": ([told("REFUND", "30.00"), told("REFUND", "30.00", "R2"), told("REFUND", "30.00")], "40.00"),
    "AD7": (
        [told("NOTIFICATION_OF_CHARGEBACK"), told("REQUEST_FOR_INFORMATION"), told("NOTIFICATION_OF_FRAUD")],
        "100.00",
    ),
    "AD8": (
        [
            told("NOTIFICATION_OF_CHARGEBACK"),
            told("CHARGEBACK"),
            told("INFORMATION_SUPPLIED"),
            told("CHARGEBACK_REVERSED"),
        ],
        "100.00",
    ),
    "AD9": ([told("CHARGEBACK"), told("CHARGEBACK_REVERSED"), told("SECOND_CHARGEBACK")], "0.00"),
    "AD10": (
        [told("CHARGEBACK"), told("CHARGEBACK_REVERSED"), told("PREARBITRATION_OPEN"), told("PREARBITRATION_LOST")],
        "0.00",
    ),
    "AD11": ([told("SECOND_CHARGEBACK"), told("PREARBITRATION_WON")], "100.00"),
    "AD13": ([told("CHARGEBACK", "30.00")], "70.00"),
    "AD14": ([told("DISPUTE_OPENED_WITH_CHARGEBACK"), told("CHARGEBACK")], "0.00"),
    "AD15": ([told("REFUND"), told("CHARGEBACK", number="D1"), told("CHARGEBACK_REVERSED", number="D1")], "0.00"),
    "AD16": (
        [
            told("CHARGEBACK", "50.00", "D1"),
            told("CHARGEBACK_REVERSED", "50.00", "D1"),
            told("CHARGEBACK", "50.00", "D2"),
        ],
        "50.00",
    ),
    "AD17": ([told("CANCEL_OR_REFUND")], "0.00"),
    "AD18": ([told("CAPTURE", "60.00", "C1"), told("EXPIRE", "40.00", "E1")], "60.00"),
    "AD19": ([told("CAPTURE", number="C1"), told("CAPTURE_FAILED", number="C1")], "0.00"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("turn", [list, lambda told: list(reversed(told))], ids=["told", "reversed"])
def test_a_sequence_of_the_reference_book(case: str, turn: Callable[[Any], Any]) -> None:
    items, left = CASES[case]
    hall = WebhookHarness("adyen", GOODS)
    hall.sell("1")
    for one in turn(items):
        assert call(hall, notification(one)) == 200
    assert hall.left("1") == left


def call(hall: WebhookHarness, body: bytes) -> int:
    """As Adyen calls: the signature is in the items, no header has one."""
    return int(hall.app.handler(hook("acme", "shop", body, {}), CONTEXT)["statusCode"])


@pytest.mark.parametrize(
    "change",
    [
        {"amount": {"value": 9000, "currency": "EUR"}}, {"merchantReference": "2"}, {"eventCode": "REFUND_FAILED"},
        {"success": "false"}, {"pspReference": "R9"}, {"additionalData": {}}, {"additionalData": None},
        {"additionalData": {"hmacSignature": "AAAA"}}, {"amount": {"value": 4000, "currency": "JPY"}},
        {"pspReference": "R1:P1", "originalReference": ""},
    ],
)  # fmt: skip
def test_a_field_that_was_changed_is_401_and_leaves_nothing(change: Mapping[str, Any]) -> None:
    hall = WebhookHarness("adyen", GOODS)
    hall.sell("1")
    before = set(hall.kept.headers)
    forged = {**told("REFUND", "40.00"), **change}
    assert call(hall, notification(forged)) == 401
    assert call(hall, notification(told("REFUND", "40.00"), forged)) == 401, "beside one that is genuine"
    assert call(hall, notification()) == 401
    assert set(hall.kept.headers) == before
    assert hall.left("1") == "100.00"


def test_colons_in_a_reference_cannot_be_read_another_way() -> None:
    genuine = signed({**item("REFUND", "R1", "40.00", "1:2"), "originalReference": "P1"})
    shifted = {**genuine, "pspReference": "R1:P1:2", "originalReference": "AcmeECOM", "merchantAccountCode": "1"}
    shifted["merchantReference"] = "2"
    for one, is_believed in ((genuine, True), (shifted, False)):
        assert adyen.verify(notification(one), {}, [SECRET], NOW) is is_believed


def test_a_refund_is_a_share_of_what_was_authorised() -> None:
    hall = WebhookHarness("adyen")
    hall.sell("1")
    assert call(hall, notification(told("REFUND", "59.50"))) == 200
    assert hall.left("1") == "100.00", "its total is not known yet"
    assert call(hall, notification(told("AUTHORISATION", "119.00", "P1"))) == 200
    assert call(hall, notification(told("REFUND", "11.90", "R2"))) == 200
    assert hall.left("1") == "40.00", "half of it, and a tenth"


def test_a_repeat_is_recognised_by_what_is_signed() -> None:
    one = told("REFUND", "40.00")
    again = {**one, "eventDate": "2026-11-30T00:00:00+01:00", "reason": "another day"}
    bodies = [notification(one), notification(again)]
    assert len({adyen.identity(body, {}) for body in bodies}) == 1
    assert json.loads(bodies[0]) != json.loads(bodies[1])
