"""Mollie's next-generation webhooks: events with a snapshot of what they are about."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.channels.hook_signing import mac
from tests.senders.messages import Message, SequenceMessage, moment

SECRET = "mollie-signing-secret"


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    return {"x-mollie-signature": f"sha256={mac(secret.encode(), body).hex()}"}


def event(kind: str, entity: Mapping[str, Any], at: float) -> Message:
    told = {
        "resource": "event",
        "id": f"event_{entity['id']}_{kind}_{at}",
        "type": kind,
        "entityId": entity["id"],
        "createdAt": moment(at).isoformat().replace("+00:00", ".0Z"),
        "_embedded": {"entity": entity},
    }
    return json.dumps(told).encode(), {}


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    entity = {
        "id": f"{'re' if one.type == 'refund' else 'chb'}_{order}_{one.object}",
        "amount": {"currency": "EUR", "value": amount},
        "paymentId": f"tr_{order}",
        "metadata": {"order_id": order},
        "createdAt": moment(0).isoformat(),
    }
    if one.type == "chargeback":
        return event(f"chargeback.{one.state}", {**entity, "resource": "chargeback"}, one.at)
    kind = (
        one.state if one.state in ("queued", "pending", "processing", "refunded", "failed", "canceled") else "pending"
    )
    return event(f"refund.{kind}", {**entity, "resource": "refund", "status": one.state}, one.at)


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    entity = {
        "resource": "refund",
        "id": f"re_{order}",
        "amount": {"currency": currency, "value": amount},
        "status": "refunded",
        "paymentId": f"tr_{order}",
        "metadata": {"order_id": order},
    }
    return event("refund.refunded", entity, 1)
