"""Mollie's next-generation webhooks, described: refunds and chargebacks as snapshots, payments for their names.

| object | state | taken back in total |
|---|---|---|
| refund | queued, pending, processing, refunded | its amount |
| refund | failed, canceled | nothing |
| chargeback | received | its amount |
| chargeback | reversed | nothing |

The version is the time of the event, then the rank of the state. A message that brings only an id says nothing: choose
the full payload at Mollie. Its classic webhooks are not signed, and are not taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from retour.channels.signed import ReadResult, SignedSender
from retour.domain.program import Source

SIGNATURE: Mapping[str, Any] = {"header": "X-Mollie-Signature", "encoding": "hex", "prefix": "sha256="}
REFUND = {
    "queued": "take_back",
    "pending": "take_back",
    "processing": "take_back",
    "refunded": "take_back",
    "failed": "nothing",
    "canceled": "nothing",
}
REFUND_RANKS = ["queued", "pending", "processing", "refunded", ["failed", "canceled"]]
CHARGEBACK = {"chargeback.received": "take_back", "chargeback.reversed": "nothing"}
REFUND_EVENTS = tuple(f"refund.{state}" for state in REFUND)
PAYMENT_EVENTS = ("payment.paid", "payment.authorized")
MESSAGES = (*REFUND_EVENTS, *CHARGEBACK, *PAYMENT_EVENTS)
ENTITY = "$._embedded.entity"


@dataclass(frozen=True)
class MollieSender(SignedSender):
    """The sender of one source, with Mollie's description in place of options."""

    @property
    def MESSAGES(self) -> Sequence[str]:
        return MESSAGES

    def rows(self, body: bytes, headers: Mapping[str, str], source: Source) -> ReadResult:
        return super().rows(body, headers, described(source))

    def undeclared_statuses(self, body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
        return super().undeclared_statuses(body, headers, described(source))


def bind(source: Source, url: str = "") -> MollieSender:
    return MollieSender(described(source), url)


def described(source: Source) -> Source:
    """The source with Mollie's description as options. The source's own statuses take precedence."""
    return replace(
        source,
        options=MappingProxyType(
            {**source.options, "signature": SIGNATURE, "delivery_id": "$.id", "events": events(source)}
        ),
    )


def events(source: Source) -> list[dict[str, Any]]:
    own = source.mapping.get("statuses", {})
    order = f"@.metadata.{source.order_id_field or 'order_id'}"
    common = {"version": "$.createdAt", "amount": "@.amount.value", "currency": "@.amount.currency", "order_id": order}
    return [
        {
            "when": {"$.type": list(REFUND_EVENTS)},
            "records": ENTITY,
            "fields": {**common, "subject": "refund/{@.id}", "status": "@.status"},
            "names": ["payment:{@.paymentId}"],
            "statuses": {**REFUND, **own},
            "ranks": REFUND_RANKS,
        },
        {
            "when": {"$.type": list(CHARGEBACK)},
            "records": ENTITY,
            "fields": {**common, "subject": "chargeback/{@.id}", "status": "$.type"},
            "names": ["payment:{@.paymentId}"],
            "statuses": {**CHARGEBACK, **own},
            "ranks": list(CHARGEBACK),
        },
        {
            "when": {"$.type": list(PAYMENT_EVENTS)},
            "records": ENTITY,
            "fields": {"order_id": order, "order_total": "@.amount.value", "currency": "@.amount.currency"},
            "names": ["payment:{@.id}"],
            "tells": "names",
        },
    ]
