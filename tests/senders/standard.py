"""Who sends Retour's own JSON as Standard Webhooks say."""

import base64
import json
from datetime import datetime

from tests.channels.hook_signing import standard_with
from tests.senders.messages import Message, SequenceMessage

SECRET = "whsec_" + base64.b64encode(b"retour-retour-retour-000").decode()


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except ValueError:
        key = b""
    return standard_with(key, body, now, delivery)


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    told = {"version": one.at, "change": "take_back", "amount": "0" if one.state == "withdrawn" else amount}
    return json.dumps({"order_id": order, "subject": f"return/{order}-{one.object}", **told}).encode(), {}


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    told = {"reference": f"R-{order}", "change": "take_back", "amount": amount, "currency": currency}
    return json.dumps({"order_id": order, **told}).encode(), {}
