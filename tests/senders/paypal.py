"""PayPal: refunds, disputes and captures as its webhook reference shows them, signed by a certificate (paypal.pem)."""

import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.channels.hook_signing import base64_of
from tests.senders.messages import Message, SequenceMessage, moment

PEM = (Path(__file__).parent / "paypal.pem").read_text()
CERTIFICATE = PEM[PEM.index("-----BEGIN CERTIFICATE") :]
SECRET = CERTIFICATE
CERTIFICATE_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-5edf4dad"
KEPT = {f"certificate#{CERTIFICATE_URL}": {"pem": CERTIFICATE}}
"""What a source knows already when it is told something."""
WEBHOOK = "1JE4291016473214C"


@cache
def private_key() -> rsa.RSAPrivateKey:
    key = load_pem_private_key(PEM.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@cache
def another_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    """`secret` is the certificate, or that of a hub in memory, which holds none; anything else is another's key."""
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    content = f"{delivery}|{at}|{WEBHOOK}|{zlib.crc32(body)}".encode()
    key = private_key() if secret == SECRET or secret.startswith("whsec_cmV0b3") else another_key()
    return {
        "paypal-transmission-id": delivery,
        "paypal-transmission-time": at,
        "paypal-transmission-sig": base64_of(key.sign(content, PKCS1v15(), SHA256())),
        "paypal-cert-url": CERTIFICATE_URL,
        "paypal-auth-algo": "SHA256withRSA",
    }


def event(kind: str, resource: Mapping[str, Any], at: float, number: str) -> Message:
    told = {
        "id": f"WH-{number}",
        "event_version": "1.0",
        "create_time": moment(at).isoformat(),
        "event_type": kind,
        "resource": resource,
    }
    return json.dumps(told).encode(), {}


def money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"currency_code": currency, "value": amount}


def stamp(at: float) -> str:
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def refund_of(
    number: str, status: str, amount: str, at: float, capture: str, order: str | None, currency: str = "EUR"
) -> dict[str, Any]:
    return {
        "id": number,
        "status": status,
        "amount": money(amount, currency),
        "invoice_id": order,
        "seller_payable_breakdown": {
            "gross_amount": money(amount, currency),
            "paypal_fee": money("1.16", currency),
            "total_refunded_amount": money(amount, currency),
        },
        "create_time": stamp(0),
        "update_time": stamp(at),
        "links": [
            {"href": f"https://api.paypal.com/v2/payments/refunds/{number}", "rel": "self", "method": "GET"},
            {"href": f"https://api.paypal.com/v2/payments/captures/{capture}", "rel": "up", "method": "GET"},
        ],
    }


def dispute_of(state: str, amount: str, at: float, capture: str, order: str | None, **more: Any) -> dict[str, Any]:
    resolved = state.startswith(("RESOLVED", "CANCELED", "ACCEPTED", "DENIED"))
    ended: dict[str, Any] = {"dispute_outcome": {"outcome_code": state, "amount_refunded": money(amount)}}
    return {
        "dispute_id": f"PP-D-{capture}",
        "create_time": stamp(0),
        "update_time": stamp(at),
        "disputed_transactions": [{"seller_transaction_id": capture, "invoice_number": order}],
        "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        "status": "RESOLVED" if resolved else "UNDER_REVIEW",
        "dispute_life_cycle_stage": "CHARGEBACK" if resolved else state,
        "dispute_amount": money(amount),
        **(ended if resolved else {}),
        **more,
    }


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    capture, number = f"CAP{order}{one.object}", f"{order}-{one.object}-{one.state}-{one.at}"
    if one.type == "refund":
        found = refund_of(f"R{order}{one.object}", one.state, amount, one.at, capture, order)
        return event("PAYMENT.CAPTURE.REFUNDED", found, one.at, number)
    return event("CUSTOMER.DISPUTE.UPDATED", dispute_of(one.state, amount, one.at, capture, order), one.at, number)


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    found = refund_of(f"R{order}", "COMPLETED", amount, 1, f"CAP{order}", order, currency)
    return event("PAYMENT.CAPTURE.REFUNDED", found, 1, order)
