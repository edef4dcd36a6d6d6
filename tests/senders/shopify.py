"""Shopify: refunds, their transactions, orders and disputes."""

from datetime import datetime

from tests.channels.hook_signing import base64_of, mac
from tests.senders import messages
from tests.senders.messages import Message, SequenceMessage

SECRET = "shpss_0123456789abcdef"


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    return {"x-shopify-hmac-sha256": base64_of(mac(secret.encode(), body)), "x-shopify-webhook-id": delivery}


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    number = int(order) * 10 + one.object
    if one.type == "order":
        body = messages.shopify_order(
            at=one.at, cancelled=one.state == "cancelled", financial_status=one.payload, number=int(order)
        )
        return messages.shopify("orders/updated", body)
    if one.type == "dispute":
        kind = "inquiry" if one.state == "inquiry" else "chargeback"
        status = "needs_response" if one.state == "inquiry" else one.state
        return messages.shopify_dispute(number, kind, status, amount, order=int(order))
    transaction = messages.shopify_transaction(number, one.state, amount)
    if one.state == "failure":
        return messages.shopify("order_transactions/create", {**transaction, "order_id": int(order)})
    lines = {"line": [messages.shopify_line("40.00")], "fee_kept": [messages.shopify_line("40.00")]}
    kept = [messages.shopify_adjustment("15.00")] if one.payload == "fee_kept" else []
    refund = messages.shopify_refund(number, lines.get(one.payload, []), [transaction], kept, order=int(order))
    return messages.shopify("refunds/create", refund)


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    line = messages.shopify_line(amount, currency=currency)
    transaction = messages.shopify_transaction(int(order), "success", amount, currency=currency)
    return messages.shopify(
        "refunds/create", messages.shopify_refund(int(order), [line], [transaction], order=int(order))
    )
