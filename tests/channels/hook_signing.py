"""Signatures of senders, implemented from their documentation and independent of the verifying code."""

import base64
import hashlib
import hmac
from datetime import datetime


def sign_headers(kind: str, body: bytes, secret: str, now: datetime, delivery: str = "msg_1") -> dict[str, str]:
    """The headers a sender of a kind adds to a body."""
    from tests.senders.kinds import sender_script

    return dict(sender_script(kind).sign(body, secret, now, delivery))


def mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def standard_with(key: bytes, body: bytes, now: datetime, identity: str = "msg_1") -> dict[str, str]:
    """The three headers of Standard Webhooks."""
    moment = str(int(now.timestamp()))
    signature = base64_of(mac(key, f"{identity}.{moment}.".encode() + body))
    return {"webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"}
