"""PayPal's sequences as reference books list them, and what its signature does and does not prove."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from retour.channels.paypal import PayPalSender
from retour.domain.delivery import Channel
from retour.domain.program import Source
from tests.channels.hook_signing import sign_headers
from tests.gateway import hook
from tests.senders import paypal
from tests.senders.messages import Message
from tests.senders.paypal import dispute_of, event, money, refund_of, stamp
from tests.senders.webhook_harness import CONTEXT, SECRET, WebhookHarness

OPTIONS = {"webhook_id": paypal.WEBHOOK}
GOODS = {"basis": "goods", "excess": "clamp", "options": OPTIONS}


def refund(number: str, amount: str, at: float = 1, status: str = "COMPLETED", capture: str = "C1") -> Message:
    found = refund_of(number, status, amount, at, capture, "1")
    return event("PAYMENT.CAPTURE.REFUNDED", found, at, f"{number}-{status}-{at}")


def dispute(state: str, amount: str, at: float, capture: str = "C1", **more: Any) -> Message:
    found = dispute_of(state, amount, at, capture, "1", **more)
    return event("CUSTOMER.DISPUTE.UPDATED", found, at, f"D-{capture}-{state}-{at}")


def reversal(amount: str, at: float, capture: str = "C1") -> Message:
    links = refund_of("x", "COMPLETED", "1.00", at, capture, None)["links"]
    found = {"id": f"RV{capture}", "amount": money(amount), "update_time": stamp(at), "links": links}
    return event("PAYMENT.CAPTURE.REVERSED", {**found, "invoice_id": "1"}, at, f"RV-{capture}-{at}")


def denied(amount: str) -> Message:
    found = {"id": "C1", "status": "DECLINED", "amount": money(amount), "invoice_id": "1", "update_time": stamp(2)}
    return event("PAYMENT.CAPTURE.DENIED", found, 2, "DENIED")


def moved(*moves: tuple[str, str, str, str]) -> Mapping[str, Any]:
    return {
        "money_movements": [
            {"affected_party": party, "type": kind, "amount": money(amount), "reason": reason}
            for party, kind, amount, reason in moves
        ]
    }


CASES: Mapping[str, tuple[Sequence[Message], str]] = {
    "PP1": ([refund("f1", "40.00")], "60.00"),
    "PP2": ([refund("f2", "25.00", 2), refund("f1", "40.00", 1)], "35.00"),
    "PP3": ([refund("f1", "40.00"), refund("f1", "40.00")], "60.00"),
    "PP5": ([refund("f1", "40.00", 1, "PENDING"), refund("f1", "40.00", 2)], "60.00"),
    "PP6": ([refund("f1", "40.00", 1, "PENDING"), refund("f1", "40.00", 2, "FAILED")], "100.00"),
    "PP8": ([dispute("INQUIRY", "100.00", 1)], "100.00"),
    "PP9": (
        [
            dispute("INQUIRY", "100.00", 1),
            dispute("CHARGEBACK", "100.00", 2),
            dispute("RESOLVED_SELLER_FAVOUR", "0.00", 9),
        ],
        "100.00",
    ),
    "PP10": (
        [dispute("CHARGEBACK", "30.00", 1), reversal("30.00", 2), dispute("RESOLVED_BUYER_FAVOUR", "30.00", 9)],
        "70.00",
    ),
    "PP11": (
        [dispute("RESOLVED_SELLER_FAVOUR", "0.00", 9), reversal("30.00", 2), dispute("CHARGEBACK", "30.00", 1)],
        "100.00",
    ),
    "PP12": ([dispute("CHARGEBACK", "100.00", 1), dispute("CANCELED_BY_BUYER", "0.00", 9)], "100.00"),
    "PP13": (
        [
            dispute("CHARGEBACK", "100.00", 1),
            dispute("RESOLVED_WITH_PAYOUT", "100.00", 9, **moved(("BUYER", "CREDIT", "100.00", "DISPUTE_SETTLEMENT"))),
        ],
        "100.00",
    ),
    "PP14": (
        [
            dispute("CHARGEBACK", "30.00", 1),
            refund("f1", "30.00", 2),
            dispute("RESOLVED_BUYER_FAVOUR", "30.00", 9, **moved(("BUYER", "CREDIT", "30.00", "DISPUTE_SETTLEMENT"))),
        ],
        "70.00",
    ),
    "PP15": (
        [refund("f1", "100.00"), dispute("CHARGEBACK", "100.00", 2), dispute("RESOLVED_SELLER_FAVOUR", "0.00", 9)],
        "0.00",
    ),
    "PP16": (
        [
            dispute("RESOLVED_BUYER_FAVOUR", "100.00", 5),
            dispute("PRE_ARBITRATION", "100.00", 6),
            dispute("RESOLVED_SELLER_FAVOUR", "0.00", 9),
        ],
        "100.00",
    ),
    "PP17": ([refund("f1", "60.00", 1, capture="C1")], "40.00"),
    "PP18": ([denied("100.00")], "0.00"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("turn", [list, lambda told: list(reversed(told))], ids=["told", "reversed"])
def test_a_sequence_of_the_reference_book(case: str, turn: Callable[[Sequence[Message]], Sequence[Message]]) -> None:
    told, left = CASES[case]
    hall = WebhookHarness("paypal", GOODS)
    hall.sell("1")
    for body, headers in turn(told):
        hall.post(body, **headers)
    assert hall.left("1") == left


def test_a_refund_is_a_share_of_the_order_once_its_total_is_known() -> None:
    """PP4 and PP7: the gross amount counts, and 60 of 120 are half of the goods."""
    hall = WebhookHarness("paypal", {"options": OPTIONS})
    hall.sell("1")
    found = refund_of("f1", "COMPLETED", "60.00", 1, "C1", None)
    body, headers = event("PAYMENT.CAPTURE.REFUNDED", found, 1, "f1")
    assert hall.post(body, **headers)["counts"] == {"waiting": 1}
    unit = {"amount": money("120.00"), "invoice_id": "1", "payments": {"captures": [{"id": "C1"}]}}
    body, headers = event("CHECKOUT.ORDER.COMPLETED", {"id": "O1", "purchase_units": [unit]}, 1, "O1")
    hall.post(body, **headers)
    body, headers = event("PAYMENT.CAPTURE.REFUNDED", {**found, "update_time": stamp(2)}, 2, "f1-again")
    hall.post(body, **headers)
    assert hall.left("1") == "50.00"


# The signature


def call(hall: WebhookHarness, body: bytes, headers: Mapping[str, str]) -> int:
    return int(
        hall.app.handler(hook("acme", "shop", body, {"content-type": "application/octet-stream", **headers}), CONTEXT)[
            "statusCode"
        ]
    )


def test_a_body_of_the_same_sum_under_a_known_id_is_not_believed() -> None:
    """A CRC-32 protects nothing: whoever has seen a delivery can make another body with its sum."""
    hall = WebhookHarness("paypal", GOODS)
    hall.sell("1")
    genuine = refund("f1", "10.00")[0]
    headers = sign_headers("paypal", genuine, SECRET, hall.moment, "t-1")
    assert call(hall, genuine, headers) == 200
    forged = with_sum_of(refund("f9", "90.00")[0], genuine)
    assert PayPalSender(source()).verify(forged, headers, [paypal.CERTIFICATE], hall.moment), (
        "the attack works on the sum"
    )
    assert call(hall, forged, headers) == 401
    assert hall.left("1") == "90.00"
    assert call(hall, genuine, headers) == 200, "PayPal may repeat it"


def source() -> Source:
    return Source(name="shop", channel=Channel.API, kind="paypal", options=OPTIONS)


def with_sum_of(body: bytes, other: bytes) -> bytes:
    """A body and four bytes behind it, so that its CRC-32 is that of another."""
    table = [zlib.crc32(bytes([n]), 0xFFFFFFFF) ^ 0xFFFFFFFF for n in range(256)]
    table = [one ^ table[0] for one in table]
    backward = {one >> 24: (one << 8) & 0xFFFFFFFF ^ n for n, one in enumerate(table)}
    register = zlib.crc32(other) ^ 0xFFFFFFFF
    for _ in range(4):
        register = (register << 8) & 0xFFFFFFFF ^ backward[register >> 24]
    return body + (register ^ zlib.crc32(body) ^ 0xFFFFFFFF).to_bytes(4, "little")


@pytest.mark.parametrize(
    "url",
    [
        "", "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1", "http://api.paypal.com/v1/notifications/certs/C",
        "https://api.paypal.com/v1/notifications/certs/../../x", "https://api.paypal.com@evil.example/v1/notifications/certs/C",
        "https://www.paypal.com/v1/notifications/certs/C", "https://api.paypal.com/v1/notifications/certs/C?x=1",
    ],
)  # fmt: skip
def test_a_certificate_of_somebody_else_proves_nothing(url: str) -> None:
    hall = WebhookHarness("paypal", GOODS)
    body = refund("f1", "10.00")[0]
    headers = {**sign_headers("paypal", body, SECRET, hall.moment, "t-1"), "paypal-cert-url": url}
    hall.notes.put(f"certificate#{url}", {"pem": paypal.CERTIFICATE})
    assert PayPalSender(source()).certificate_url(headers) is None
    assert call(hall, body, headers) == 401
    assert not hall.kept.headers


@pytest.mark.parametrize(
    "change",
    [
        {"paypal-transmission-id": "t-2"}, {"paypal-transmission-time": "2026-11-20T09:01:00Z"},
        {"paypal-transmission-time": "2026-10-01T09:00:00Z"}, {"paypal-auth-algo": "SHA1withRSA"},
        {"paypal-transmission-sig": "AAAA"}, {"paypal-transmission-sig": ""},
    ],
)  # fmt: skip
def test_what_is_not_signed_so_is_401_and_leaves_nothing(change: Mapping[str, str]) -> None:
    hall = WebhookHarness("paypal", GOODS)
    body = refund("f1", "10.00")[0]
    headers = sign_headers("paypal", body, SECRET, hall.moment, "t-1")
    assert call(hall, body, {**headers, **change}) == 401
    assert call(hall, body + b" ", headers) == 401
    other = WebhookHarness("paypal", {**GOODS, "options": {"webhook_id": "another"}})
    assert call(other, body, headers) == 401, "told to another webhook of PayPal's"
    assert not hall.kept.headers
    assert not [key for key in hall.notes.docs if key.startswith("transmission#")]


def test_a_certificate_is_fetched_once_and_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(_: Any, url: str) -> str:
        asked.append(url)
        return paypal.CERTIFICATE

    monkeypatch.setattr("retour.intake.webhook_proof.fetch_certificate", fetch)
    hall = WebhookHarness("paypal", GOODS)
    hall.sell("1")
    hall.notes.docs.clear()
    body = refund("f1", "10.00")[0]
    headers = sign_headers("paypal", body, SECRET, hall.moment, "t-1")
    assert call(hall, body, headers) == 401, "the harness grants no question"
    monkeypatch.setattr(hall, "throttle", lambda key, seconds: True)
    assert [call(hall, body, headers) for _ in range(3)] == [200, 200, 200]
    assert asked == [paypal.CERTIFICATE_URL]


def test_a_dispute_without_a_declared_outcome_is_listed() -> None:
    hall = WebhookHarness("paypal", GOODS)
    hall.sell("1")
    body = json.loads(dispute("RESOLVED_BUYER_FAVOUR", "30.00", 1)[0])
    body["resource"]["dispute_outcome"]["outcome_code"] = "RESOLVED_BY_LOT"
    assert hall.post(json.dumps(body).encode())["state"] == "ignored"
    assert list(hall.listed("status")) == ["shop#RESOLVED_BY_LOT"]
