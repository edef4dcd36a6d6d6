"""Shopify's webhooks: a refund takes back, a cancelled order reverses.

A refund names the lines that came back and, apart from them, the money that moved. Where the source's basis is goods,
its lines count, each by the price it was sold at; a refund without lines counts by its money, less what of it was
shipping. Where the basis is order_total, the money counts. Money has moved only in successful transactions.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from retour.channels import payload, signature
from retour.channels.webhook import chosen, header_identity
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable

TOPIC = "x-shopify-topic"
CANCEL_REASONS = {
    "customer": "CANCELLED",
    "inventory": "ITEM_OUT_OF_STOCK",
    "fraud": "CONS_FRAUD",
    "declined": "PAYMENT_FAILED",
    "staff": "ORDER_ERROR",
    "other": "CANCELLED",
}


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    return signature.body_signed(body, headers.get("x-shopify-hmac-sha256", ""), secrets)


def signed(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {"x-shopify-hmac-sha256": signature.body_signature(body, secrets[0])}


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    """One event reaches us once per subscription, under one Event-Id but several Webhook-Ids.

    One event may also be several refunds, so the Event-Id alone would lose all but the first: the bytes are part of it.
    """
    event = headers.get("x-shopify-event-id") or headers.get("x-shopify-webhook-id", "")
    return header_identity(body, f"{event}.{hashlib.sha256(body).hexdigest()}" if event else "")


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return chosen(headers, (TOPIC, "x-shopify-shop-domain", "x-shopify-api-version"))


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    reader = READERS.get(headers.get(TOPIC, ""))
    if reader is None:
        return Ignored(
            f"Topic {payload.shown(headers.get(TOPIC, ''))} is not used. Subscribe to {' and '.join(READERS)}."
        )
    document = payload.document(body)
    return document if isinstance(document, Refusal) else reader(document, source)


def _cancelled(order: Mapping[str, Any], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    number = payload.text_of(order.get("id"))
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": "orders/cancelled", "field": "id"})
    # The topic is not under the signature, the body is: without the day it says so itself, no order is cancelled.
    if not isinstance(order.get("cancelled_at"), str):
        return Ignored(f"Order {number} has no cancelled_at.")
    field = source.order_id_field or "order_id"
    order_id = payload.text_of(number if field == "order_id" else payload.at(order, field))
    reference = f"{number}/cancelled"
    if order_id is None:
        return (payload.no_order("orders/cancelled", field, reference),)
    reversal = {
        "reference": reference,
        "order_id": order_id,
        "change": "reverse",
        "reason": payload.reason(order.get("cancel_reason"), source, CANCEL_REASONS),
        "occurred_at": order["cancelled_at"],
    }
    return (payload.row("1", reversal),)


def _refund(refund: Mapping[str, Any], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    reference = payload.text_of(refund.get("id"))
    lines = payload.listed(refund.get("refund_line_items"))
    if reference is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": "refunds/create", "field": "id"})
    field = source.order_id_field or "order_id"
    order = payload.text_of(payload.at(refund, field))
    if order is None:
        return (payload.no_order("refunds/create", field, reference),)
    common = {
        "reference": reference,
        "order_id": order,
        "change": "take_back",
        "note": payload.note(refund.get("note")),
        "occurred_at": payload.text_of(refund.get("created_at")),
    }
    money, unsettled = _money(refund, common)
    if lines and source.basis == "goods":
        return _lines(lines, common, source)
    if lines and not money:
        return _unpaid(lines, common, source)
    if source.basis == "goods":
        shipping = _shipping(refund, source)
        money = {currency: amount - shipping for currency, amount in money.items()}
    moved = [
        payload.row("transactions", {**common, "amount": f"{amount:f}", "currency": currency})
        for currency, amount in money.items()
        if amount > 0
    ]
    if len(moved) > 1:
        details = {"currencies": ", ".join(sorted(currency or "?" for currency in money))}
        return (Unreadable("transactions", "CURRENCIES_MIXED", details, "currency", **payload.whose(common)),)
    return (*moved, *unsettled) or Ignored(f"Refund {reference} gives no money back for goods and names no goods.")


def _lines(lines: Sequence[Any], common: Mapping[str, str | None], source: Source) -> Sequence[Row | Unreadable]:
    """One row per SKU: a refund's reference stands for one record of each."""
    unreadable: list[Unreadable] = []
    whose = payload.whose(common)
    taken: dict[tuple[str | None, str | None], tuple[str, Decimal, int]] = {}
    for number, line in enumerate(lines, start=1):
        place = f"refund_line_items[{number}]"
        amount, currency = _price(line, "subtotal", source)
        quantity = payload.at(line, "quantity")
        if amount is None:
            details = {"field": "subtotal", "value": payload.shown(payload.at(line, "subtotal"))}
            unreadable.append(Unreadable(place, "AMOUNT_UNREADABLE", details, "subtotal", **whose))
        elif isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 0:
            details = {"field": "quantity", "value": payload.shown(quantity)}
            unreadable.append(Unreadable(place, "QUANTITY_UNREADABLE", details, "quantity", **whose))
        else:
            sku = payload.text_of(payload.at(line, "line_item.sku"))
            first, amounts, quantities = taken.get((sku, currency), (place, Decimal(0), 0))
            taken[sku, currency] = first, amounts + amount, quantities + quantity
    # Without a SKU the goods are some of the order's: so much of its amount, but no number of any line's units.
    return (
        *(
            payload.row(
                place,
                {**common, "sku": sku, "amount": f"{amount:f}", "currency": currency}
                | ({"quantity": str(quantity)} if sku and quantity else {}),
            )
            for (sku, currency), (place, amount, quantity) in taken.items()
        ),
        *unreadable,
    )


def _unpaid(lines: Sequence[Any], common: Mapping[str, str | None], source: Source) -> Sequence[Row | Unreadable]:
    """Goods taken off an order that was never paid: no money moves, the order is smaller by them and their tax."""
    total, currency = Decimal(0), None
    for number, line in enumerate(lines, start=1):
        for field in ("subtotal", "total_tax"):
            amount, currency = _price(line, field, source)
            if amount is None:
                details = {"field": field, "value": payload.shown(payload.at(line, field))}
                place = f"refund_line_items[{number}]"
                return (Unreadable(place, "AMOUNT_UNREADABLE", details, field, **payload.whose(common)),)
            total += amount
    return (payload.row("refund_line_items", {**common, "amount": f"{total:f}", "currency": currency}),)


def _money(
    refund: Mapping[str, Any], common: Mapping[str, str | None]
) -> tuple[dict[str | None, Decimal], list[Unreadable]]:
    """What was given back, by currency, and the transactions of which that cannot be said."""
    money: dict[str | None, Decimal] = {}
    unsettled = []
    whose = payload.whose(common)
    for number, transaction in enumerate(payload.listed(refund.get("transactions")), start=1):
        place = f"transactions[{number}]"
        status = payload.at(transaction, "status")
        amount = payload.amount_of(payload.at(transaction, "amount"))
        if payload.at(transaction, "kind") != "refund" or status in ("failure", "error"):
            continue
        if amount is None:
            details = {"field": "amount", "value": payload.shown(payload.at(transaction, "amount"))}
            unsettled.append(Unreadable(place, "AMOUNT_UNREADABLE", details, "amount", **whose))
        elif status == "success":
            currency = payload.text_of(payload.at(transaction, "currency"))
            money[currency] = money.get(currency, Decimal(0)) + amount
        else:
            unsettled.append(
                Unreadable(place, "REFUND_PENDING", {"refund": str(common["reference"])}, "status", **whose)
            )
    return money, unsettled


def _shipping(refund: Mapping[str, Any], source: Source) -> Decimal:
    """Shipping given back: an adjustment of that kind, or since 2025 a list of its own."""
    adjustments = [
        part
        for part in payload.listed(refund.get("order_adjustments"))
        if payload.at(part, "kind") == "shipping_refund"
    ]
    fields = ("amount", "tax_amount") if adjustments else ("subtotal_amount", "tax_amount")
    parts = adjustments or payload.listed(refund.get("refund_shipping_lines"))
    return sum((abs(_price(part, field, source)[0] or Decimal(0)) for part in parts for field in fields), Decimal(0))


def _price(part: Any, field: str, source: Source) -> tuple[Decimal | None, str | None]:
    """An amount and its currency: of the two that Shopify names the source's own, else the shop's."""
    priced = payload.at(part, f"{field}_set")
    offered = [payload.at(priced, money) for money in ("shop_money", "presentment_money")]
    offered.sort(key=lambda money: payload.at(money, "currency_code") != source.currency)
    for money in offered:
        amount, currency = payload.amount_of(payload.at(money, "amount")), payload.at(money, "currency_code")
        if amount is not None and isinstance(currency, str):
            return amount, currency
    return payload.amount_of(payload.at(part, field)), None


READERS = {"refunds/create": _refund, "orders/cancelled": _cancelled}
