"""BigCommerce: its webhooks name what changed; amounts are in the order as it is read back."""

import json
from datetime import datetime
from email.utils import format_datetime

from tests.channels.hook_signing import standard_with
from tests.senders.messages import Message, SequenceMessage, bigcommerce_status, moment

SECRET = "c1ient5ecretTextAsShown"


def sign(body: bytes, secret: str, now: datetime, delivery: str) -> dict[str, str]:
    return standard_with(secret.encode(), body, now, delivery)


def message(order: str, one: SequenceMessage, amount: str) -> Message:
    return bigcommerce_status(int(one.state), one.at, number=int(order))


def refund(order: str, amount: str, total: str, currency: str) -> Message:
    """The document of a reading: no webhook tells an amount."""
    item = {"item_type": "PRODUCT", "item_id": 7, "quantity": 1, "requested_amount": amount}
    found = {
        "read": moment(1).isoformat(),
        "order": {
            "id": int(order),
            "status_id": 14,
            "currency_code": currency,
            "total_inc_tax": total,
            "date_modified": format_datetime(moment(1)),
        },
        "products": [{"id": 7, "sku": "X"}],
        "refunds": [{"items": [item], "payments": [{"is_declined": False}]}],
    }
    return json.dumps(found).encode(), {}
