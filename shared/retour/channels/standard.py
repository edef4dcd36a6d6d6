"""Retour's own JSON, signed as Standard Webhooks say; bare, or in their envelope `{"type", "timestamp", "data"}`."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime

from retour.channels import payload, records, signature
from retour.channels.webhook import header_identity
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable

MESSAGES = ()
ENVELOPE = ("type", "timestamp", "data", "id")


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    return signature.verify_standard_webhook(body, headers, map(_decode_secret, secrets), now)


def sign_headers(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return signature.sign_standard_webhook(body, header_identity(body, ""), map(_decode_secret, secrets), now)


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    return header_identity(body, headers.get(f"{signature.header_prefix(headers)}-id", ""))


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    """The records in `data` of an envelope, whose `timestamp` is used for records without `occurred_at`."""
    text = payload.decode_utf8(body)
    value = payload.parse_json(text) if isinstance(text, str) else text
    if not isinstance(text, str) or not isinstance(value, dict) or not {"type", "data"} <= value.keys():
        return records.rows(body)
    if isinstance(value, payload.DuplicateKeyObject):
        return Refusal("DUPLICATE_KEY", {"key": payload.excerpt(value.twice)})
    beside = next((name for name in value if name not in ENVELOPE), None)
    if beside is not None:
        return Refusal(
            "UNKNOWN_FIELD",
            {"field": payload.excerpt(beside), "closest": payload.possible(beside, ENVELOPE)},
        )
    read = records.rows(payload.member(text, "data").encode("utf-8", "surrogatepass"))
    happened = value.get("timestamp")
    if isinstance(read, Refusal) or not isinstance(happened, str):
        return read
    return [with_event_time(one, happened) if isinstance(one, Row) else one for one in read]


def undeclared_statuses(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """Always empty: Retour's own records name their change."""
    return ()


def with_event_time(row: Row, event_time: str) -> Row | Unreadable:
    return payload.make_row(row.place, {"occurred_at": event_time, **row.fields}, row.raw)


def _decode_secret(secret: str) -> bytes:
    """The key of `whsec_<base64>`, padded or not; an invalid one gives no key, which verifies nothing."""
    encoded = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
