"""BigCommerce's webhooks name what changed and nothing else: a status can be read, an amount is read back.

| object | state | taken back in total |
|---|---|---|
| order | 5 Cancelled, 6 Declined | all |
| order | 4 Refunded | all, where refunds are not read back |
| order | 4, 14 Partially Refunded, read back | its refunds: goods only, by order product |
| order | 0-3, 7-12, 13 Disputed | its refunds where they are read back, else nothing (13: it says nothing) |

With a restricted key (`store_hash` in the source's options, an access token as its secret) every webhook is a hint: the
order, its products and its refunds are read back and stored as one document, which tells the whole order. Its version
is the order's own time of change; without a key a status told by a webhook has that webhook's second.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from retour.channels import payload, signature
from retour.channels.statements import NOTHING, TAKE_ALL, TAKES, amount_taken_fields, meaning_of, statement_fields
from retour.channels.webhook import header_identity
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.domain.times import format_instant

STATUS_NAMES = {
    0: "Incomplete", 1: "Pending", 2: "Shipped", 3: "Partially Shipped", 4: "Refunded", 5: "Cancelled", 6: "Declined",
    7: "Awaiting Payment", 8: "Awaiting Pickup", 9: "Awaiting Shipment", 10: "Completed", 11: "Awaiting Fulfillment",
    12: "Manual Verification Required", 13: "Disputed", 14: "Partially Refunded",
}  # fmt: skip
AMOUNTLESS_STATUSES = ("Refunded", "Partially Refunded", "Disputed")
"""Statuses without an amount, which only refunds read back can give."""
STATUSES = {
    **{name: NOTHING for name in STATUS_NAMES.values() if name not in AMOUNTLESS_STATUSES},
    "Refunded": TAKES,
    "Cancelled": TAKES,
    "Declined": TAKES,
}
REASONS = {"Cancelled": "CANCELLED", "Declined": "PAYMENT_FAILED"}
MESSAGES = (
    "store/order/statusUpdated", "store/order/refund/created", "store/order/updated", "store/order/archived",
    "store/order/transaction/created", "store/order/transaction/updated",
)  # fmt: skip
READ_BACK = "read"
"""Key that marks a document read back, beside `order`, `products` and `refunds`."""


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    """Verify by Standard Webhooks. The key is the client secret's text, which BigCommerce passes as base64."""
    return signature.verify_standard_webhook(body, headers, map(signature.text_key, secrets), now)


def sign_headers(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return signature.sign_standard_webhook(body, header_identity(body, ""), map(signature.text_key, secrets), now)


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    return header_identity(body, headers.get("webhook-id", ""))


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def hinted_order(body: bytes) -> str | None:
    """The number of the order a webhook is about, or None."""
    event = payload.parse_document(body)
    if isinstance(event, Refusal) or event.get("scope") not in MESSAGES:
        return None
    number = payload.id_text(payload.value_at(event, "data.order_id")) or payload.id_text(
        payload.value_at(event, "data.id")
    )
    return number if number is not None and number.isdigit() else None


def rows(
    body: bytes, headers: Mapping[str, str], source: Source
) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
    event = payload.parse_document(body)
    if isinstance(event, Refusal):
        return event
    if READ_BACK in event:
        return _full_order_rows(event, source)
    scope, number = event.get("scope"), payload.id_text(payload.value_at(event, "data.id"))
    if source.options.get("store_hash") and scope in MESSAGES:
        return Ignored(f"Something happened to order {payload.excerpt(number)}: it is read back.")
    if scope == "store/order/refund/created":
        return _amount_unknown(number)
    if scope != "store/order/statusUpdated":
        return Ignored(f"Scope {payload.excerpt(scope)} is not used. Subscribe to store/order/statusUpdated.")
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": scope, "field": "data.id"})
    status = _status_name(payload.value_at(event, "data.status.new_status_id"))
    means = meaning_of(status, source, STATUSES)
    told = [
        payload.make_row("1", {**_common(number, status, source), **fields})
        for fields in _by_status(number, status, payload.time_from_epoch(event.get("created_at")), source)
    ]
    if told:
        return told
    if status == "Partially Refunded" and means.takes not in (TAKES, NOTHING):
        return _amount_unknown(number)
    return Ignored(f"Order {number} went to status {payload.excerpt(status)}, which says nothing of money.")


def undeclared_statuses(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """The status that is declared neither in the table nor by the source."""
    event = payload.parse_document(body)
    if isinstance(event, Refusal):
        return ()
    told = (
        payload.value_at(event, "order.status_id")
        if READ_BACK in event
        else payload.value_at(event, "data.status.new_status_id")
    )
    status = _status_name(told)
    known = told is None or status in AMOUNTLESS_STATUSES or meaning_of(status, source, STATUSES).is_declared
    return () if known else (status,)


def _full_order_rows(read: Mapping[str, Any], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    """An order read back: its status, and the goods of all paid refunds."""
    number = payload.id_text(payload.value_at(read, "order.id"))
    if number is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": "order", "field": "id"})
    status = _status_name(payload.value_at(read, "order.status_id"))
    version = _parse_mail_date(payload.value_at(read, "order.date_modified"))
    means = meaning_of(status, source, STATUSES)
    by_status = [
        payload.make_row("status", {**_common(number, status, source), **fields})
        for fields in _by_status(number, status, version, source)
    ]
    if means.takes is TAKES and status != "Refunded":
        return by_status
    beside = [row for row in by_status if isinstance(row, Row) and "subject" not in row.fields]
    return [*_refunds(number, read, _common(number, "", source), version, source), *beside]


def _refunds(
    number: str, read: Mapping[str, Any], common: Mapping[str, str | None], version: str | None, source: Source
) -> list[Row | Unreadable]:
    currency = payload.id_text(payload.value_at(read, "order.currency_code"))
    skus = {
        payload.id_text(payload.value_at(one, "id")): payload.id_text(payload.value_at(one, "sku"))
        for one in payload.as_list(read.get("products"))
    }
    back: dict[str | None, tuple[Decimal, int]] = {}
    for refund in payload.as_list(read.get("refunds")):
        payments = payload.as_list(payload.value_at(refund, "payments"))
        if payments and all(payload.value_at(payment, "is_declined") is True for payment in payments):
            continue
        for item in payload.as_list(payload.value_at(refund, "items")):
            if payload.value_at(item, "item_type") not in ("PRODUCT", "ORDER"):
                continue
            value, units = (
                payload.parse_amount(payload.value_at(item, "requested_amount")),
                payload.value_at(item, "quantity"),
            )
            if value is None:
                details = {
                    "field": "requested_amount",
                    "value": payload.excerpt(payload.value_at(item, "requested_amount")),
                }
                whose = payload.record_ids(common)
                return [Unreadable("refunds", "AMOUNT_UNREADABLE", details, "requested_amount", **whose)]
            is_product = payload.value_at(item, "item_type") == "PRODUCT"
            sku = skus.get(payload.id_text(payload.value_at(item, "item_id"))) if is_product else None
            so_far, units_so_far = back.get(sku, (Decimal(0), 0))
            counted = units if isinstance(units, int) and not isinstance(units, bool) and sku else 0
            back[sku] = so_far + value, units_so_far + counted
    subject = f"order/{number}"
    if not any(value for value, _ in back.values()):
        return [payload.make_row("refunds", {**common, **statement_fields(subject, version, takes=None)})]
    total = payload.id_text(payload.value_at(read, "order.total_inc_tax")) if source.basis == "order_total" else None
    return [
        payload.make_row(
            f"refunds[{n}]",
            {
                **common,
                "sku": sku if source.basis == "goods" else None,
                **statement_fields(subject, version, takes=amount_taken_fields(f"{value:f}", currency, total)),
                **({"quantity": str(units)} if units and source.basis == "goods" else {}),
            },
        )
        for n, (sku, (value, units)) in enumerate(back.items(), start=1)
    ]


def _by_status(number: str, status: str, version: str | None, source: Source) -> list[dict[str, str | None]]:
    """The statement of a status about its order, and a further change the source maps it to."""
    means = meaning_of(status, source, STATUSES)
    told: list[dict[str, str | None]] = []
    if means.takes in (TAKES, NOTHING):
        told.append(statement_fields(f"order/{number}", version, takes=TAKE_ALL if means.takes is TAKES else None))
    if means.beside is not None:
        asked: dict[str, str | None] = {"reference": f"{number}/{status}", "change": means.beside}
        told.append(asked | ({"status": status} if means.beside == "set_status" else {}))
    return told


def _common(number: str, status: str, source: Source) -> dict[str, str | None]:
    return {"reference": number, "order_id": number, "reason": payload.mapped_reason(status, source, REASONS)}


def _status_name(told: Any) -> str:
    is_number = isinstance(told, int) and not isinstance(told, bool)
    return STATUS_NAMES.get(told, payload.excerpt(told)) if is_number else ""


def _parse_mail_date(told: Any) -> str | None:
    """Parse the mail date format of older resources: `Tue, 20 Nov 2026 00:00:00 +0000`."""
    from email.utils import parsedate_to_datetime

    try:
        return format_instant(parsedate_to_datetime(told).astimezone(UTC)) if isinstance(told, str) else None
    except ValueError:
        return None


def _amount_unknown(number: str | None) -> Ignored:
    return Ignored(
        f"BigCommerce says that order {payload.excerpt(number)} was refunded, but not how much. Give the source a "
        "restricted key (store_hash and access_token) and it is read back; full refunds are read from "
        "store/order/statusUpdated as well."
    )
