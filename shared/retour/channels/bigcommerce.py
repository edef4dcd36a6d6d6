"""BigCommerce's webhooks name what changed and nothing else: a status can be read, an amount cannot."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from retour.channels import payload, signature
from retour.channels.webhook import header_identity
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable

STATUS_NAMES = {
    0: "Incomplete", 1: "Pending", 2: "Shipped", 3: "Partially Shipped", 4: "Refunded", 5: "Cancelled", 6: "Declined",
    7: "Awaiting Payment", 8: "Awaiting Pickup", 9: "Awaiting Shipment", 10: "Completed", 11: "Awaiting Fulfillment",
    12: "Manual Verification Required", 13: "Disputed", 14: "Partially Refunded",
}  # fmt: skip
STATUSES = {"Refunded": "reverse", "Cancelled": "reverse", "Declined": "reverse"}
REASONS = {"Cancelled": "CANCELLED", "Declined": "PAYMENT_FAILED"}


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    """Standard Webhooks, keyed by the client secret's own text (BigCommerce gives it in base64 to the verifier)."""
    return signature.standard_webhook(body, headers, map(signature.text_key, secrets), now)


def signed(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return signature.standard_webhook_headers(body, header_identity(body, ""), map(signature.text_key, secrets), now)


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    return header_identity(body, headers.get("webhook-id", ""))


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    event = payload.document(body)
    if isinstance(event, Refusal):
        return event
    scope, number = event.get("scope"), payload.text_of(payload.at(event, "data.id"))
    if scope == "store/order/refund/created":
        return _amount_unknown(number)
    if scope != "store/order/statusUpdated":
        return Ignored(f"Scope {payload.shown(scope)} is not used. Subscribe to store/order/statusUpdated.")
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": scope, "field": "data.id"})
    status_id = payload.at(event, "data.status.new_status_id")
    status = STATUS_NAMES.get(status_id, "") if isinstance(status_id, int) else ""
    verb = payload.status_change(status, source, STATUSES)
    if verb is None and status == "Partially Refunded":
        return _amount_unknown(number)
    if verb is None:
        return Ignored(f"Order {number} went to status {payload.shown(status or status_id)}, which changes nothing.")
    fields = {
        "reference": f"{number}/{status}",
        "order_id": number,
        "change": verb,
        "status": status if verb == "set_status" else None,
        "reason": payload.reason(status, source, REASONS),
        "occurred_at": payload.moment(event.get("created_at")),
    }
    return (payload.row("1", fields),)


def _amount_unknown(number: str | None) -> Ignored:
    return Ignored(
        f"BigCommerce says that order {payload.shown(number)} was refunded, but not how much. Full refunds are read "
        "from store/order/statusUpdated; send partial ones by file or API."
    )
