"""WooCommerce: each message is the whole order."""

from datetime import datetime

from tests.channels.hook_signing import base64_of, mac
from tests.senders.messages import Message, SequenceMessage, woocommerce_order

SECRET = "Ck!7 <woo> geheim"


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    return {"x-wc-webhook-signature": base64_of(mac(secret.encode(), body)), "x-wc-webhook-delivery-id": delivery}


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    return woocommerce_order(one.state, amount.split(), one.at, number=int(order), total="125.00")


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    return woocommerce_order("processing", [amount], number=int(order), total=total, currency=currency)
