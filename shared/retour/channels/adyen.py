"""Adyen's standard webhooks as a table: what became of refunds and cancellations, and how far a dispute has come.

| event | taken back in total |
|---|---|
| REFUND, CANCEL_OR_REFUND, CANCELLATION, TECHNICAL_CANCEL, EXPIRE that succeeded | its amount |
| the same that did not succeed; REFUND_FAILED, REFUNDED_REVERSED | nothing |
| CAPTURE_FAILED | its amount |
| CHARGEBACK, SECOND_CHARGEBACK, PREARBITRATION_LOST, SCHEME_ARBITRATION_LOST | its amount |
| CHARGEBACK_REVERSED; PREARBITRATION_WON and the like | nothing |
| others (notifications, information, defence) | they say nothing of money |

A refund and its failure share a `pspReference`, and so do all events of a dispute: it is the subject. The version is
the stage alone, for the times in these messages are not signed. Amounts are of what was paid.

Each item is signed by itself: HMAC-SHA256 over eight of its fields. A body that is signed as a whole, as Adyen does
for platforms, is believed as well; by that a source tries its own address.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from retour.channels import payload
from retour.channels.statements import NOTHING, TAKES, amount_taken_fields, statement_fields, status_meaning
from retour.channels.webhook import header_identity
from retour.domain.money import UnknownCurrencyError, exponent
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable

ITEMS_MAX = 100
SIGNED_FIELDS = (
    "pspReference", "originalReference", "merchantAccountCode", "merchantReference", "amount.value", "amount.currency",
    "eventCode", "success",
)  # fmt: skip
REFERENCE = "merchantReference"
HEADER = "hmacsignature"
EXPONENTS = {"CLP": 2, "ISK": 2, "CVE": 0, "IDR": 0}
"""Where Adyen's smallest unit is not ISO 4217's."""
REQUESTS = ("REFUND", "CANCEL_OR_REFUND", "CANCELLATION", "TECHNICAL_CANCEL", "EXPIRE")
"""Outcomes of what the merchant asked for: only those that succeeded take something."""
MODIFICATIONS = {
    **dict.fromkeys(REQUESTS, TAKES),
    "CAPTURE_FAILED": TAKES,
    "REFUND_FAILED": NOTHING,
    "REFUNDED_REVERSED": NOTHING,
}
MODIFICATION_RANKS = {"REFUND_FAILED": 2, "REFUNDED_REVERSED": 2, "CAPTURE_FAILED": 2}
DISPUTES = {
    "CHARGEBACK": TAKES,
    "CHARGEBACK_REVERSED": NOTHING,
    "SECOND_CHARGEBACK": TAKES,
    "PREARBITRATION_WON": NOTHING,
    "PREARBITRATION_ISSUER_WITHDRAWN": NOTHING,
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": NOTHING,
    "PREARBITRATION_LOST": TAKES,
    "SCHEME_ARBITRATION_WON": NOTHING,
    "SCHEME_ARBITRATION_LOST": TAKES,
}
DISPUTE_RANKS = {
    "CHARGEBACK": 1,
    "CHARGEBACK_REVERSED": 2,
    "SECOND_CHARGEBACK": 3,
    "SCHEME_ARBITRATION_WON": 5,
    "SCHEME_ARBITRATION_LOST": 5,
}
ENDED_RANK = 4
MESSAGES = (*MODIFICATIONS, *DISPUTES, "AUTHORISATION")


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    """True where every item is signed, or the whole body; the key is the secret's hex."""
    keys = [key for secret in secrets if (key := _hex_key(secret))]
    offered = headers.get(HEADER)
    if offered is not None:
        return any(_is_mac(key, body, offered) for key in keys)
    document = payload.parse_document(body)
    found = [] if isinstance(document, Refusal) else _items(document)
    return bool(found) and any(all(_is_signed(key, item) for item in found) for key in keys)


def sign_headers(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {HEADER: base64.b64encode(_mac(_hex_key(secrets[0]), body)).decode()}


def sign_item(item: Mapping[str, Any], secret: str) -> str:
    """The signature that Adyen puts into `additionalData.hmacSignature` of an item."""
    return base64.b64encode(_mac(_hex_key(secret), signed_text(item).encode())).decode()


def signed_text(item: Mapping[str, Any]) -> str:
    """What is signed of an item: its fields apart by colons, without any escaping; what is missing is empty."""
    return ":".join(payload.id_text(payload.value_at(item, field)) or "" for field in SIGNED_FIELDS)


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    """Adyen gives a delivery no id: what is signed of its items is the same for every repeat."""
    document = payload.parse_document(body)
    found = [] if isinstance(document, Refusal) else _items(document)
    if not found:
        return header_identity(body, "")
    told = "\n".join(signed_text(item) for item in found)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def rows(
    body: bytes, headers: Mapping[str, str], source: Source
) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
    document = payload.parse_document(body)
    if isinstance(document, Refusal):
        return document
    found = _items(document)
    if not found:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": "Adyen", "field": "notificationItems"})
    if len(found) > ITEMS_MAX:
        return Refusal("TOO_MANY_RECORDS", {"count": str(len(found)), "most": str(ITEMS_MAX)})
    told = [row for n, item in enumerate(found, start=1) for row in _item_rows(f"notificationItems[{n}]", item, source)]
    if told:
        return told
    names = [named for item in found if (named := _payment_names(item, source))]
    codes = ", ".join(dict.fromkeys(payload.excerpt(item.get("eventCode")) for item in found))
    return names[0] if names else Ignored(f"Event {codes} says nothing of money.")


def undeclared_statuses(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """None: events that the tables do not name are talk about a payment, not states of it."""
    return ()


def _item_rows(place: str, item: Mapping[str, Any], source: Source) -> Iterator[Row | Unreadable]:
    code = item.get("eventCode")
    if not isinstance(code, str) or code not in {**MODIFICATIONS, **DISPUTES}:
        return
    reference, order = payload.id_text(item.get("pspReference")), _order_id(item, source)
    if reference is None:
        yield Unreadable(place, "REFERENCE_NOT_SENT", {"field": "pspReference"}, "pspReference")
        return
    if order is None:
        yield payload.order_id_missing(code, source.order_id_field or "merchantReference", reference)
        return
    is_dispute = code in DISPUTES
    subject = f"{'dispute' if is_dispute else 'modification'}/{reference}"
    rank = DISPUTE_RANKS.get(code, ENDED_RANK) if is_dispute else MODIFICATION_RANKS.get(code, 1)
    takes = status_meaning(code, source.mapping.get("statuses", {}), {**MODIFICATIONS, **DISPUTES}).takes
    if code in REQUESTS and payload.id_text(item.get("success")) != "true":
        takes = NOTHING
    fields: dict[str, str | None] = {
        "reference": reference,
        "order_id": order,
        "reason": "CHARGEBACK" if is_dispute else "PAYMENT_FAILED" if code == "CAPTURE_FAILED" else None,
    }
    taken = None
    if takes == TAKES:
        priced = _price(item, place, payload.record_ids(fields))
        if isinstance(priced, Unreadable):
            yield priced
            return
        total_of = _total_name(item, source) if source.basis == "order_total" else None
        taken = amount_taken_fields(*priced, None, total_of)
    yield payload.make_row(place, {**fields, **statement_fields(subject, str(rank), takes=taken)})


def _payment_names(item: Mapping[str, Any], source: Source) -> OrderNames | None:
    """Of an authorisation that succeeded: what was paid in all, under the payment's reference."""
    order, name = _order_id(item, source), _total_name(item, source)
    if item.get("eventCode") != "AUTHORISATION" or payload.id_text(item.get("success")) != "true":
        return None
    if order is None or name is None:
        return None
    priced = _price(item, "", {})
    return OrderNames(order, (name,), *(priced if isinstance(priced, tuple) else ("", "")))


def _total_name(item: Mapping[str, Any], source: Source) -> str | None:
    """By what the total of a payment is known to its refunds and disputes: of these not all name the payment itself."""
    reference = payload.id_text(item.get("merchantReference"))
    if reference is None or " " in reference or not reference.isprintable():
        return None
    return f"{source.namespace}:reference:{reference}"


def _order_id(item: Mapping[str, Any], source: Source) -> str | None:
    return payload.id_text(payload.value_at(item, source.order_id_field or "merchantReference"))


def _price(item: Mapping[str, Any], place: str, whose: Mapping[str, str]) -> tuple[str, str] | Unreadable:
    """The amount as decimal text with its currency, of whole smallest units of Adyen's."""
    value, currency = payload.value_at(item, "amount.value"), payload.value_at(item, "amount.currency")
    code = currency if isinstance(currency, str) else ""
    try:
        places = EXPONENTS[code] if code in EXPONENTS else exponent(code)
    except UnknownCurrencyError:
        details = {"value": payload.excerpt(currency)}
        return Unreadable(place, "CURRENCY_UNKNOWN", details, "amount.currency", **whose)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        details = {"field": "amount.value", "value": payload.excerpt(value)}
        return Unreadable(place, "MINOR_UNITS_UNREADABLE", details, "amount.value", **whose)
    return f"{Decimal(value).scaleb(-places):f}", code


def _items(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of a message; none where one of them is no item, so that nothing unsigned slips in beside others."""
    found = [
        payload.value_at(one, "NotificationRequestItem") for one in payload.as_list(document.get("notificationItems"))
    ]
    return found if all(isinstance(item, Mapping) for item in found) else []


def _is_signed(key: bytes, item: Mapping[str, Any]) -> bool:
    """Nothing is escaped in what is signed: only the merchant's reference may have colons, so it reads one way only."""
    others = (payload.id_text(payload.value_at(item, field)) or "" for field in SIGNED_FIELDS if field != REFERENCE)
    if any(":" in text for text in others):
        return False
    offered = payload.value_at(payload.value_at(item, "additionalData"), "hmacSignature")
    return isinstance(offered, str) and _is_mac(key, signed_text(item).encode("utf-8", "surrogatepass"), offered)


def _is_mac(key: bytes, content: bytes, offered: str) -> bool:
    try:
        return hmac.compare_digest(_mac(key, content), base64.b64decode(offered.strip(), validate=True))
    except (binascii.Error, ValueError):
        return False


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def _hex_key(secret: str) -> bytes:
    """The key in a secret's hex; none where it is not written so, and none verifies nothing."""
    try:
        return binascii.unhexlify(secret.strip())
    except (binascii.Error, ValueError):
        return b""
