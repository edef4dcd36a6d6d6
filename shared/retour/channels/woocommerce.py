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
from retour.channels.statements import ALL, NOTHING, TAKES, amount, meaning, said
from retour.channels.webhook import chosen, header_identity, is_ping
from retour.domain.program import Source
from retour.domain.row import Ignored, Names, Refusal, Row, Unreadable

TOPIC = "x-wc-webhook-topic"
TOPICS = ("order.created", "order.updated", "order.restored", "order.deleted")
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
READ = "read"
"""What such a reading names the moment of it, beside the fields of the order."""
REASONS = {"cancelled": "CANCELLED", "failed": "PAYMENT_FAILED", "trash": "CANCELLED"}


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    return signature.body_signed(body, headers.get("x-wc-webhook-signature", ""), secrets)


def signed(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {"x-wc-webhook-signature": signature.body_signature(body, secrets[0])}


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    """A Delivery-ID is made of the webhook and the second, so two orders can share one: the bytes are part of it."""
    delivery = headers.get("x-wc-webhook-delivery-id", "")
    return header_identity(body, f"{delivery}.{hashlib.sha256(body).hexdigest()}" if delivery else "")


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return chosen(headers, (TOPIC, "x-wc-webhook-source", "x-wc-webhook-id"))


def rows(
    body: bytes, headers: Mapping[str, str], source: Source
) -> Sequence[Row | Unreadable] | Names | Ignored | Refusal:
    if is_ping("woocommerce", body):
        return Ignored("WooCommerce tried the address of a new webhook.")
    topic = headers.get(TOPIC, "")
    if topic not in TOPICS:
        return Ignored(f"Topic {payload.shown(topic)} is not used. Choose {', '.join(TOPICS)}.")
    order = payload.document(body)
    if isinstance(order, Refusal):
        return order
    number = payload.text_of(order.get("id"))
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": topic, "field": "id"})
    # The topic is not under the signature, the body is: an order that still tells its status is not deleted.
    if topic == "order.deleted" and "status" not in order:
        return _deleted(number, source)
    return _order(number, order, topic, source)


def undeclared(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """The status that neither the table nor the source knows."""
    order = payload.document(body) if headers.get(TOPIC) in TOPICS else {}
    status = None if isinstance(order, Refusal) else order.get("status")
    return (status,) if isinstance(status, str) and not meaning(status, source, STATUSES).is_declared else ()


def _deleted(number: str, source: Source) -> Sequence[Row | Unreadable]:
    field = _order_field(source)
    by_name = {"order_id": number} if field == "id" else {"names": _name(number, source)}
    fields = {"reference": number, "reason": "CANCELLED"}
    return (payload.row("status", {**fields, **by_name, **said(f"order/{number}", None, takes=ALL)}),)


def _order(
    number: str, order: Mapping[str, Any], topic: str, source: Source
) -> Sequence[Row | Unreadable] | Names | Ignored:
    field = _order_field(source)
    order_id = payload.text_of(payload.at(order, field))
    if order_id is None:
        return (payload.no_order(topic, field, None),)
    status = order.get("status")
    status = status if isinstance(status, str) else ""
    means, refunds = meaning(status, source, STATUSES), payload.listed(order.get("refunds"))
    common = {
        "order_id": order_id,
        "occurred_at": _utc(order.get("date_modified_gmt")),
        "reason": payload.reason(status, source, REASONS),
    }
    told: list[Row | Unreadable] = []
    version = payload.text_of(order.get(READ)) or _utc(order.get("date_modified_gmt"))
    if means.takes is TAKES:
        told.append(payload.row("status", {**common, "reference": number, **_all(number, version)}))
    elif means.takes is NOTHING or refunds:
        told.append(_refunds(number, order, refunds, {**common, "reference": number}, version, source))
    if means.beside is not None:
        asked = {"reference": f"{number}/{status}", "change": means.beside}
        asked |= {"status": status} if means.beside == "set_status" else {}
        told.append(payload.row("status", {**common, **asked}))
    if topic == "order.created" and _order_field(source) != "id" and means.takes is NOTHING and not refunds:
        return Names(order_id, (_name(number, source),))
    return told or Ignored(f"Order {number} is {payload.shown(status)}, which says nothing of money.")


def _all(number: str, version: str | None) -> dict[str, str | None]:
    return said(f"order/{number}", version, takes=ALL)


def _refunds(
    number: str,
    order: Mapping[str, Any],
    refunds: Sequence[Any],
    common: Mapping[str, str | None],
    version: str | None,
    source: Source,
) -> Row | Unreadable:
    """The sum of all refunds that the order has now; one that cannot be read spoils the sum."""
    back = Decimal(0)
    for n, refund in enumerate(refunds, start=1):
        value = payload.amount_of(payload.at(refund, "total"))
        if value is None:
            details = {"field": "total", "value": payload.shown(payload.at(refund, "total"))}
            return Unreadable(f"refunds[{n}]", "AMOUNT_UNREADABLE", details, "total", **payload.whose(common))
        back += abs(value)
    subject = f"order/{number}"
    if not back:
        return payload.row("refunds", {**common, **said(subject, version, takes=None)})
    why = next((payload.at(refund, "reason") for refund in refunds if payload.at(refund, "reason")), None)
    total = payload.amount_of(order.get("total"))
    whole = f"{total:f}" if source.basis == "order_total" and total is not None and total > 0 else None
    total_of = _name(number, source) if source.basis == "order_total" and whole is None else None
    taken = amount(f"{back:f}", payload.text_of(order.get("currency")), whole, total_of)
    fields = {"reason": payload.reason(why, source, {}), "note": payload.note(why)}
    return payload.row("refunds", {**common, **fields, **said(subject, version, takes=taken)})


def _name(number: str, source: Source) -> str:
    return f"{source.namespace}:order:{number}"


def _order_field(source: Source) -> str:
    return "id" if source.order_id_field in (None, "order_id") else source.order_id_field or "id"


def _utc(moment: Any) -> str | None:
    """WooCommerce's `_gmt` times carry no offset."""
    return f"{moment}Z" if isinstance(moment, str) and moment and moment[-1].isdecimal() else None
