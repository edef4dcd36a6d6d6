"""WooCommerce's webhooks as a table: each message tells the whole order, so the order is the subject.

| status | taken back in total |
|---|---|
| cancelled, failed, refunded, trash; the order deleted | all |
| pending, on-hold, processing, completed, checkout-draft | its refunds |
| others | its refunds where it has any, else it says nothing |

Setting an order to `refunded` makes WooCommerce write a refund of the rest: status and refunds say the same money once.
The version is the order's own second of change, in UTC; a deleted order tells none, and its arrival stands in for it.
An order that we read ourselves to see whether refunds of it were deleted, which changes no time of it, says when.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from retour.channels import payload, signature
from retour.channels.statements import NOTHING, TAKE_ALL, TAKES, amount_taken_fields, meaning_of, statement_fields
from retour.channels.webhook import header_identity, is_ping, pick_headers
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable

TOPIC = "x-wc-webhook-topic"
MESSAGES = ("order.created", "order.updated", "order.restored", "order.deleted")
STATUSES = {
    "cancelled": TAKES,
    "failed": TAKES,
    "refunded": TAKES,
    "trash": TAKES,
    "pending": NOTHING,
    "on-hold": NOTHING,
    "processing": NOTHING,
    "completed": NOTHING,
    "checkout-draft": NOTHING,
}
READ_BACK = "read"
"""Key with the time of a reading of our own, beside the order's fields."""
REASONS = {"cancelled": "CANCELLED", "failed": "PAYMENT_FAILED", "trash": "CANCELLED"}


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    return signature.verify_body(body, headers.get("x-wc-webhook-signature", ""), secrets)


def sign_headers(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {"x-wc-webhook-signature": signature.sign_body(body, secrets[0])}


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    """The Delivery-ID with a hash of the body. The id is made of webhook and second, so two orders can share one."""
    delivery = headers.get("x-wc-webhook-delivery-id", "")
    return header_identity(body, f"{delivery}.{hashlib.sha256(body).hexdigest()}" if delivery else "")


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return pick_headers(headers, (TOPIC, "x-wc-webhook-source", "x-wc-webhook-id"))


def rows(
    body: bytes, headers: Mapping[str, str], source: Source
) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
    if is_ping(body):
        return Ignored("WooCommerce tried the address of a new webhook.")
    topic = headers.get(TOPIC, "")
    if topic not in MESSAGES:
        return Ignored(f"Topic {payload.excerpt(topic)} is not used. Choose {', '.join(MESSAGES)}.")
    order = payload.parse_document(body)
    if isinstance(order, Refusal):
        return order
    number = payload.id_text(order.get("id"))
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": topic, "field": "id"})
    # The topic is not signed, but the body is: an order that still has a status is not deleted.
    if topic == "order.deleted" and "status" not in order:
        return _deleted_order_rows(number, source)
    return _order_rows(number, order, topic, source)


def undeclared_statuses(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """The status declared neither in the table nor by the source."""
    order = payload.parse_document(body) if headers.get(TOPIC) in MESSAGES else {}
    status = None if isinstance(order, Refusal) else order.get("status")
    return (status,) if isinstance(status, str) and not meaning_of(status, source, STATUSES).is_declared else ()


def _deleted_order_rows(number: str, source: Source) -> Sequence[Row | Unreadable]:
    field = _order_field(source)
    by_name = {"order_id": number} if field == "id" else {"names": _order_name(number, source)}
    fields = {"reference": number, "reason": "CANCELLED"}
    return (
        payload.make_row("status", {**fields, **by_name, **statement_fields(f"order/{number}", None, takes=TAKE_ALL)}),
    )


def _order_rows(
    number: str, order: Mapping[str, Any], topic: str, source: Source
) -> Sequence[Row | Unreadable] | OrderNames | Ignored:
    field = _order_field(source)
    order_id = payload.id_text(payload.value_at(order, field))
    if order_id is None:
        return (payload.order_id_missing(topic, field, None),)
    status = order.get("status")
    status = status if isinstance(status, str) else ""
    means, refunds = meaning_of(status, source, STATUSES), payload.as_list(order.get("refunds"))
    common = {
        "order_id": order_id,
        "occurred_at": _as_utc(order.get("date_modified_gmt")),
        "reason": payload.mapped_reason(status, source, REASONS),
    }
    told: list[Row | Unreadable] = []
    version = payload.id_text(order.get(READ_BACK)) or _as_utc(order.get("date_modified_gmt"))
    if means.takes is TAKES:
        told.append(payload.make_row("status", {**common, "reference": number, **_all_taken(number, version)}))
    elif means.takes is NOTHING or refunds:
        told.append(_refunds_row(number, order, refunds, {**common, "reference": number}, version, source))
    if means.beside is not None:
        asked = {"reference": f"{number}/{status}", "change": means.beside}
        asked |= {"status": status} if means.beside == "set_status" else {}
        told.append(payload.make_row("status", {**common, **asked}))
    if topic == "order.created" and _order_field(source) != "id" and means.takes is NOTHING and not refunds:
        return OrderNames(order_id, (_order_name(number, source),))
    return told or Ignored(f"Order {number} is {payload.excerpt(status)}, which says nothing of money.")


def _all_taken(number: str, version: str | None) -> dict[str, str | None]:
    return statement_fields(f"order/{number}", version, takes=TAKE_ALL)


def _refunds_row(
    number: str,
    order: Mapping[str, Any],
    refunds: Sequence[Any],
    common: Mapping[str, str | None],
    version: str | None,
    source: Source,
) -> Row | Unreadable:
    """The sum of all current refunds of an order. If one cannot be read, the sum is refused."""
    back = Decimal(0)
    for n, refund in enumerate(refunds, start=1):
        value = payload.parse_amount(payload.value_at(refund, "total"))
        if value is None:
            details = {"field": "total", "value": payload.excerpt(payload.value_at(refund, "total"))}
            return Unreadable(f"refunds[{n}]", "AMOUNT_UNREADABLE", details, "total", **payload.record_ids(common))
        back += abs(value)
    subject = f"order/{number}"
    if not back:
        return payload.make_row("refunds", {**common, **statement_fields(subject, version, takes=None)})
    why = next((payload.value_at(refund, "reason") for refund in refunds if payload.value_at(refund, "reason")), None)
    total = payload.parse_amount(order.get("total"))
    whole = f"{total:f}" if source.basis == "order_total" and total is not None and total > 0 else None
    total_of = _order_name(number, source) if source.basis == "order_total" and whole is None else None
    taken = amount_taken_fields(f"{back:f}", payload.id_text(order.get("currency")), whole, total_of)
    fields = {"reason": payload.mapped_reason(why, source, {}), "note": payload.truncate_note(why)}
    return payload.make_row("refunds", {**common, **fields, **statement_fields(subject, version, takes=taken)})


def _order_name(number: str, source: Source) -> str:
    return f"{source.namespace}:order:{number}"


def _order_field(source: Source) -> str:
    return "id" if source.order_id_field in (None, "order_id") else source.order_id_field or "id"


def _as_utc(moment: Any) -> str | None:
    """Parse WooCommerce's `_gmt` times, which have no offset."""
    return f"{moment}Z" if isinstance(moment, str) and moment and moment[-1].isdecimal() else None
