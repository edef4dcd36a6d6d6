"""Retour's own JSON, signed as Standard Webhooks say."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime

from retour.channels import records, signature
from retour.channels.webhook import header_identity
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    return signature.standard_webhook(body, headers, map(_key, secrets), now)


def signed(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return signature.standard_webhook_headers(body, header_identity(body, ""), map(_key, secrets), now)


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    return header_identity(body, headers.get("webhook-id", ""))


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    return records.rows(body)


def _key(secret: str) -> bytes:
    """The key in `whsec_<base64>`, with or without its padding; none when it is not one, and none verifies nothing."""
    encoded = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
