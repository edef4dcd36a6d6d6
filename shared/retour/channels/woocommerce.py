"""WooCommerce's webhooks: it has no topic for refunds, so each change of an order brings all its refunds again.

Every refund is a record under its own number, and what was read before is a duplicate. An order that is cancelled,
failed or wholly refunded is reversed instead.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from retour.channels import payload, signature
from retour.channels.webhook import chosen, header_identity, is_ping
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable

TOPIC = "x-wc-webhook-topic"
STATUSES = {"cancelled": "reverse", "failed": "reverse", "refunded": "reverse"}
REASONS = {"cancelled": "CANCELLED", "failed": "PAYMENT_FAILED"}


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


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    if is_ping("woocommerce", body):
        return Ignored("WooCommerce tried the address of a new webhook.")
    if headers.get(TOPIC) != "order.updated":
        return Ignored(f"Topic {payload.shown(headers.get(TOPIC, ''))} is not used. Choose order.updated.")
    order = payload.document(body)
    if isinstance(order, Refusal):
        return order
    number = payload.text_of(order.get("id"))
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": "order.updated", "field": "id"})
    return _order(number, order, source)


def _order(number: str, order: Mapping[str, Any], source: Source) -> Sequence[Row | Unreadable] | Ignored:
    field = "id" if source.order_id_field in (None, "order_id") else source.order_id_field or "id"
    order_id = payload.text_of(payload.at(order, field))
    if order_id is None:
        return (payload.no_order("order.updated", field, None),)
    common = {"order_id": order_id, "occurred_at": _utc(order.get("date_modified_gmt"))}
    refunds = payload.listed(order.get("refunds"))
    status = order.get("status")
    status = status if isinstance(status, str) else ""
    if payload.status_change(status, source, STATUSES) != "reverse" and _wholly(refunds, order):
        status = "refunded"
    verb = payload.status_change(status, source, STATUSES)
    changed: tuple[Row | Unreadable, ...] = ()
    if verb is not None:
        asked = {
            "reference": f"{number}/{status}",
            "change": verb,
            "status": status if verb == "set_status" else None,
            "reason": payload.reason(status, source, REASONS),
        }
        changed = (payload.row("status", {**common, **asked}),)
    if verb == "reverse":
        return changed
    read = [_refund(f"refunds[{n}]", refund, order, common, source) for n, refund in enumerate(refunds, start=1)]
    return (*read, *changed) or Ignored(f"Order {number} is {payload.shown(status)} and has no refunds.")


def _refund(
    place: str, refund: Any, order: Mapping[str, Any], common: Mapping[str, str | None], source: Source
) -> Row | Unreadable:
    reference, amount = payload.text_of(payload.at(refund, "id")), payload.amount_of(payload.at(refund, "total"))
    whose = payload.whose({**common, "reference": reference})
    if reference is None:
        return Unreadable(place, "REFERENCE_NOT_SENT", {"field": "id"}, "id", **whose)
    if amount is None:
        details = {"field": "total", "value": payload.shown(payload.at(refund, "total"))}
        return Unreadable(place, "AMOUNT_UNREADABLE", details, "total", **whose)
    why = payload.at(refund, "reason")
    fields = {
        **common,
        "reference": reference,
        "change": "take_back",
        "amount": f"{abs(amount):f}",
        "currency": payload.text_of(order.get("currency")),
        "reason": payload.reason(why, source, {}),
        "note": payload.note(why),
    }
    total = payload.amount_of(order.get("total"))
    if source.basis == "order_total" and total is not None and total > 0:
        fields["order_total"] = f"{total:f}"
    return payload.row(place, fields)


def _wholly(refunds: Sequence[Any], order: Mapping[str, Any]) -> bool:
    """Everything was given back, whatever the shop calls the order's status."""
    total = payload.amount_of(order.get("total"))
    amounts = [payload.amount_of(payload.at(refund, "total")) for refund in refunds]
    back = sum((abs(amount) for amount in amounts if amount is not None), Decimal(0))
    return total is not None and 0 < total <= back


def _utc(moment: Any) -> str | None:
    """WooCommerce's `_gmt` times carry no offset."""
    return f"{moment}Z" if isinstance(moment, str) and moment and moment[-1].isdecimal() else None
