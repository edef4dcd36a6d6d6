"""Stripe: refunds and disputes as its API reference shows them."""

from datetime import datetime

from tests.channels.hook_signing import mac
from tests.senders.messages import Message, SequenceMessage, minor_units, stripe_dispute, stripe_event, stripe_refund

SECRET = "whsec_stripeEndpointSecret"


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    moment = str(int(now.timestamp()))
    return {"stripe-signature": f"t={moment},v1={mac(secret.encode(), moment.encode() + b'.' + body).hex()},v0=ab"}


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    number = f"{order}_{one.object}"
    if one.type == "refund":
        return stripe_refund(f"re_{number}", one.state, amount, one.at, order=order)
    return stripe_dispute(f"dp_{number}", one.state, amount, one.at, order=order)


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    found = {
        "id": f"re_{order}",
        "object": "refund",
        "amount": minor_units(amount),
        "currency": currency.lower(),
        "metadata": {"order_id": order},
        "status": "succeeded",
    }
    return stripe_event("refund.created", found, 1)
