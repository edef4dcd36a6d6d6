"""Signatures over the exact bytes of a body. Malformed headers never raise."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

WINDOW_SECONDS = 300
SIGNATURES_MAX = 20


def verify_body(body: bytes, header: str, secrets: Sequence[str]) -> bool:
    """base64 of HMAC-SHA256 over the body, keyed by the secret's text."""
    signature = _base64(header.strip())
    return any(verify_hmac(text_key(secret), body, [signature]) for secret in secrets if secret)


def verify_standard_webhook(body: bytes, headers: Mapping[str, str], keys: Iterable[bytes], now: datetime) -> bool:
    """Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; one valid signature suffices."""
    by = header_prefix(headers)
    identity, moment = headers.get(f"{by}-id", ""), headers.get(f"{by}-timestamp", "")
    if not identity or not identity.isascii() or not is_fresh(moment, now):
        return False
    offered = [part.partition(",") for part in headers.get(f"{by}-signature", "").split()[:SIGNATURES_MAX]]
    signatures = [_base64(value) for version, _, value in offered if version == "v1"]
    content = b".".join((identity.encode(), moment.encode(), body))
    return any(verify_hmac(key, content, signatures) for key in keys if key)


def header_prefix(headers: Mapping[str, str]) -> str:
    """The prefix of a Standard Webhook's headers: `webhook`, or `svix` as the first senders used.

    All three headers are read with the same prefix, so that they cannot be mixed.
    """
    return "svix" if "webhook-id" not in headers and "svix-id" in headers else "webhook"


def sign_body(body: bytes, secret: str) -> str:
    """The signature accepted by `verify_body`."""
    return base64.b64encode(hmac.new(text_key(secret), body, hashlib.sha256).digest()).decode()


def sign_standard_webhook(body: bytes, identity: str, keys: Iterable[bytes], at: datetime) -> dict[str, str]:
    """The headers accepted by `verify_standard_webhook`, with one signature per key."""
    moment = str(int(at.timestamp()))
    content = b".".join((identity.encode(), moment.encode(), body))
    signatures = (base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": identity,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def text_key(secret: str) -> bytes:
    """The key of a sender that uses the secret's text."""
    return secret.encode("utf-8", "surrogatepass")


def is_fresh(timestamp: str, now: datetime) -> bool:
    """Whether a time in whole seconds since 1970 is within five minutes of now."""
    digits = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
    return digits and abs(now.timestamp() - int(timestamp)) <= WINDOW_SECONDS


def verify_hmac(key: bytes, content: bytes, signatures: Iterable[bytes]) -> bool:
    expected = hmac.new(key, content, hashlib.sha256).digest()
    return any(hmac.compare_digest(expected, signature) for signature in signatures)


def _base64(text: str) -> bytes:
    """Decode base64; invalid input gives no bytes, which match no digest."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
