"""Adyen's standard webhooks: one item a message, signed by itself as its HMAC calculator does."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.channels.hook_signing import base64_of
from tests.senders.messages import Message, SequenceMessage, minor_units, moment

SECRET = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
HALL_SECRET = SECRET


def key_of(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        return secret.encode()


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    """Over the whole body, as for webhooks of platforms."""
    return {"hmacsignature": base64_of(hmac.digest(key_of(secret), body, hashlib.sha256))}


def item(
    code: str, number: str, amount: str, order: str, *, success: bool = True, currency: str = "EUR"
) -> dict[str, Any]:
    return {
        "eventCode": code,
        "success": "true" if success else "false",
        "eventDate": moment(1).isoformat(),
        "merchantAccountCode": "AcmeECOM",
        "merchantReference": order,
        "originalReference": f"P{order}",
        "pspReference": number,
        "amount": {"value": minor_units(amount), "currency": currency},
        "reason": "",
    }


def signed(found: Mapping[str, Any], secret: str = SECRET) -> dict[str, Any]:
    """An item with its signature: eight fields apart by colons, what is missing is empty."""
    told = [found.get("pspReference", ""), found.get("originalReference", ""), found["merchantAccountCode"]]
    told += [found["merchantReference"], found["amount"]["value"], found["amount"]["currency"]]
    text = ":".join(map(str, [*told, found["eventCode"], found["success"]]))
    made = base64.b64encode(hmac.digest(bytes.fromhex(secret), text.encode(), hashlib.sha256)).decode()
    return {**found, "additionalData": {"hmacSignature": made}}


def notification(*items: Mapping[str, Any]) -> bytes:
    return json.dumps(
        {"live": "true", "notificationItems": [{"NotificationRequestItem": one} for one in items]}
    ).encode()


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    code, _, how = one.state.partition(" ")
    found = item(code, f"{one.type}{order}{one.object}", amount, order, success=how != "false")
    return notification(signed(found)), {}


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    return notification(signed(item("REFUND", f"R{order}", amount, order, currency=currency))), {}
