"""Messages of senders, built from their documentation: one function per kind of object."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 11, 10, 10, 0, tzinfo=UTC)
Message = tuple[bytes, dict[str, str]]
"""Body, and headers that name the topic."""


@dataclass(frozen=True)
class SequenceMessage:
    """A message: its object in the sequence, state, payload and number."""

    object: int
    type: str
    state: str
    payload: str
    at: int


def moment(at: float) -> datetime:
    """The sender's time, in seconds after the first message."""
    return START + timedelta(seconds=at)


def cents(amount: str) -> int:
    whole, _, part = amount.partition(".")
    return int(whole) * 100 + int(part or 0)


def minor_units(amount: str) -> int:
    """An amount in the smallest unit of its text: 12.345 is 12345."""
    return int(amount.replace(".", ""))


# Stripe


def stripe_event(kind: str, found: Mapping[str, Any], at: float, event: str = "") -> Message:
    body = {
        "id": event or f"evt_{kind}_{found['id']}_{found.get('status')}_{at}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": int(moment(at).timestamp()),
        "type": kind,
        "data": {"object": found},
    }
    return json.dumps(body).encode(), {}


def stripe_refund(
    number: str,
    status: str,
    amount: str,
    at: float = 1,
    *,
    order: str | None = "1057",
    kind: str = "",
    charge: str | None = "ch_1",
    event: str = "",
) -> Message:
    refund = {
        "id": number,
        "object": "refund",
        "amount": cents(amount),
        "charge": charge,
        "created": int(START.timestamp()),
        "currency": "eur",
        "metadata": {"order_id": order} if order else {},
        "payment_intent": "pi_1" if charge else None,
        "reason": None,
        "status": status,
    }
    kinds = {"failed": "refund.failed", "pending": "refund.created"}
    return stripe_event(kind or kinds.get(status, "refund.updated"), refund, at, event)


def stripe_dispute(
    number: str, status: str, amount: str, at: float = 1, *, order: str | None = "1057", kind: str = ""
) -> Message:
    dispute = {
        "id": number,
        "object": "dispute",
        "amount": cents(amount),
        "charge": "ch_1",
        "created": int(START.timestamp()),
        "currency": "eur",
        "metadata": {"order_id": order} if order else {},
        "payment_intent": "pi_1",
        "reason": "product_not_received",
        "status": status,
    }
    ends = status in ("won", "lost", "warning_closed", "prevented")
    return stripe_event(kind or ("charge.dispute.closed" if ends else "charge.dispute.updated"), dispute, at)


def stripe_charge(
    kind: str, total: str, refunded: str = "0.00", at: float = 1, *, order: str | None = "1057", number: str = "ch_1"
) -> Message:
    charge = {
        "id": number,
        "object": "charge",
        "amount": cents(total),
        "amount_captured": cents(total),
        "amount_refunded": cents(refunded),
        "created": int(START.timestamp()),
        "currency": "eur",
        "metadata": {"order_id": order} if order else {},
        "payment_intent": "pi_1",
        "refunded": cents(refunded) >= cents(total),
        "status": "succeeded",
    }
    return stripe_event(kind, charge, at, f"evt_{kind}_{number}_{refunded}_{at}")


# Shopify


def money(amount: str, **others: str) -> dict[str, Any]:
    """A price in Shopify's format, in shop and customer currency."""
    currency, presentment = others.get("currency", "EUR"), others.get("presentment")
    shop = {"amount": amount, "currency_code": currency}
    other = {"amount": presentment, "currency_code": others["presentment_currency"]} if presentment else shop
    return {"shop_money": shop, "presentment_money": other}


def shopify_line(
    subtotal: str, tax: str = "0.00", *, sku: str | None = "X", quantity: int = 1, number: int = 1, **set_: str
) -> dict[str, Any]:
    taxes = {name: text for name, text in set_.items() if name == "currency"}
    return {
        "id": 1000 + number,
        "line_item_id": 500 + number,
        "quantity": quantity,
        "restock_type": "return",
        "subtotal": float(subtotal),
        "total_tax": float(tax),
        "subtotal_set": money(subtotal, **set_),
        "total_tax_set": money(tax, **taxes),
        "line_item": {"id": 500 + number, "sku": sku, "quantity": 2},
    }


def shopify_transaction(
    number: int, status: str, amount: str, *, currency: str = "EUR", kind: str = "refund"
) -> dict[str, Any]:
    return {
        "id": number,
        "order_id": 450789469,
        "kind": kind,
        "gateway": "shopify_payments",
        "status": status,
        "created_at": "2026-11-10T11:00:00+01:00",
        "processed_at": "2026-11-10T11:00:00+01:00",
        "parent_id": 801038806,
        "amount": amount,
        "currency": currency,
    }


def shopify_adjustment(amount: str, tax: str = "0.00", kind: str = "refund_discrepancy") -> dict[str, Any]:
    return {
        "id": 1030976842,
        "amount": amount,
        "tax_amount": tax,
        "kind": kind,
        "reason": "Shipping refund" if kind == "shipping_refund" else "Refund discrepancy",
        "amount_set": money(amount),
        "tax_amount_set": money(tax),
    }


def shopify_refund(
    number: int,
    lines: Sequence[Mapping[str, Any]] = (),
    transactions: Sequence[Mapping[str, Any]] = (),
    adjustments: Sequence[Mapping[str, Any]] = (),
    *,
    order: int = 450789469,
) -> dict[str, Any]:
    return {
        "id": number,
        "order_id": order,
        "created_at": "2026-11-10T11:00:00+01:00",
        "processed_at": "2026-11-10T11:00:00+01:00",
        "note": None,
        "duties": [],
        "refund_line_items": list(lines),
        "transactions": list(transactions),
        "order_adjustments": list(adjustments),
    }


def shopify_order(
    refunds: Sequence[Mapping[str, Any]] = (),
    *,
    at: float = 1,
    cancelled: bool = False,
    financial_status: str = "paid",
    number: int = 450789469,
    name: str = "#1057",
    **more: Any,
) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "order_number": int(name.strip("#")),
        "currency": "EUR",
        "created_at": "2026-11-02T11:00:00+01:00",
        "updated_at": moment(at).isoformat(),
        "cancelled_at": moment(at).isoformat() if cancelled else None,
        "cancel_reason": "customer" if cancelled else None,
        "financial_status": financial_status,
        "total_price": "100.00",
        "refunds": list(refunds),
        **more,
    }


def shopify(topic: str, body: Mapping[str, Any]) -> Message:
    return json.dumps(body).encode(), {"x_shopify_topic": topic}


def shopify_dispute(number: int, kind: str, status: str, amount: str, *, order: int = 450789469) -> Message:
    body = {
        "id": number,
        "order_id": order,
        "type": kind,
        "amount": amount,
        "currency": "EUR",
        "reason": "fraudulent",
        "network_reason_code": "4837",
        "status": status,
        "evidence_due_by": "2026-12-01T00:00:00+01:00",
        "evidence_sent_on": None,
        "finalized_on": None,
        "initiated_at": "2026-11-10T11:00:00+01:00",
    }
    return shopify("disputes/update", body)


# WooCommerce


def woocommerce_order(
    status: str, refunds: Sequence[str] = (), at: float = 1, *, number: int = 1057, total: str = "100.00", **more: Any
) -> Message:
    body = {
        "id": number,
        "number": str(number),
        "status": status,
        "currency": "EUR",
        "version": "9.3.3",
        "date_modified": moment(at).replace(tzinfo=None).isoformat(),
        "date_modified_gmt": moment(at).replace(tzinfo=None).isoformat(),
        "total": total,
        "refunds": [
            {"id": 700 + n, "reason": "", "total": refund if refund.startswith("-") else f"-{refund}"}
            for n, refund in enumerate(refunds)
        ],
        **more,
    }
    return json.dumps(body).encode(), {"x_wc_webhook_topic": "order.updated"}


def woocommerce_deleted(number: int = 1057) -> Message:
    return json.dumps({"id": number}).encode(), {"x_wc_webhook_topic": "order.deleted"}


# BigCommerce


def bigcommerce_status(status: int, at: float = 1, *, number: int = 1057) -> Message:
    body = {
        "scope": "store/order/statusUpdated",
        "store_id": "1025646",
        "data": {"type": "order", "id": number, "status": {"previous_status_id": 0, "new_status_id": status}},
        "hash": "352e4afc6dd3fc85ea26bfdf3f91852604d57528",
        "created_at": int(moment(at).timestamp()),
        "producer": "stores/abc123",
    }
    return json.dumps(body).encode(), {}
