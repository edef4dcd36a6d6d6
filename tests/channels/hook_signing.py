"""How senders sign, written from their descriptions and apart from the code that verifies."""

import base64
import hashlib
import hmac
from datetime import datetime


def sign_headers(kind: str, body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """The headers that a sender of a kind adds to a body."""
    senders = (standard, shopify, woocommerce, stripe, bigcommerce)
    return {sender.__name__: sender for sender in senders}[kind](body, secret, now)


def mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def standard(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except ValueError:
        key = b""
    return standard_with(key, body, now)


def standard_with(key: bytes, body: bytes, now: datetime, identity: str = "msg_1") -> dict[str, str]:
    moment = str(int(now.timestamp()))
    signature = base64_of(mac(key, f"{identity}.{moment}.".encode() + body))
    return {"webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"}


def bigcommerce(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    return standard_with(secret.encode(), body, now)


def shopify(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    return {"x-shopify-hmac-sha256": base64_of(mac(secret.encode(), body))}


def woocommerce(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    return {"x-wc-webhook-signature": base64_of(mac(secret.encode(), body))}


def stripe(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    moment = str(int(now.timestamp()))
    return {"stripe-signature": f"t={moment},v1={mac(secret.encode(), moment.encode() + b'.' + body).hex()},v0=ab"}
