"""A payment service that no code knows: its source describes how it signs and what it says (signed.yaml)."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.channels.hook_signing import base64_of, mac
from tests.senders.messages import Message, SequenceMessage, minor_units, moment

SECRET = "a-key-that-the-service-made"


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    at = str(int(now.timestamp()))
    return {"x-timestamp": at, "x-signature": base64_of(mac(secret.encode(), at.encode() + b"." + body))}


def event(kind: str, name: str, found: Mapping[str, Any], at: float) -> Message:
    state = found.get("status") or found.get("state")
    told = {"type": kind, "event_id": f"{found['id']}-{state}-{at}", "data": {"type": name, "object": {name: found}}}
    return json.dumps(told).encode(), {}


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    found = {"id": f"{one.type}_{order}_{one.object}", "reference_id": order, "amount_money": money(amount, "EUR")}
    if one.type == "dispute":
        return event("dispute.state.updated", "dispute", {**found, "state": one.state, "version": one.at}, one.at)
    told = {**found, "status": one.state, "payment_id": f"pay_{order}", "updated_at": moment(one.at).isoformat()}
    return event("refund.updated", "refund", told, one.at)


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    found = {
        "id": f"refund_{order}",
        "reference_id": order,
        "status": "COMPLETED",
        "updated_at": moment(1).isoformat(),
        "amount_money": money(amount, currency),
    }
    return event("refund.updated", "refund", found, 1)


def money(amount: str, currency: str) -> dict[str, Any]:
    return {"amount": minor_units(amount), "currency": currency}
