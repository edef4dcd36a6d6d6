"""PayPal's webhooks as a table: refunds of captures, claims, and captures that were never paid.

| object | state | taken back in total |
|---|---|---|
| refund | PENDING, COMPLETED | its gross amount |
| refund | FAILED, CANCELLED | nothing |
| claim on a capture | open from stage CHARGEBACK on, or reversed | its amount |
| claim on a capture | resolved | what the seller was debited, or given back for buyer's favour or acceptance |
| claim on a capture | inquiry; seller's favour, cancelled, payout by PayPal, denied, none | nothing |
| capture | DECLINED, FAILED, told by DENIED and DECLINED | its amount |

A lost claim is told as up to three events: the reversal of the capture and the dispute share one subject, so that it
counts once. Versions are the objects' own `update_time`, then the rank of the state. Amounts are of what was paid. A
capture does not tell the order's total: `CHECKOUT.ORDER.COMPLETED` does, and names the captures.

PayPal signs its delivery's id, its time and the webhook's id with a CRC-32 of the body, by a certificate that
lies at an address of PayPal's own. A CRC-32 protects no body from somebody who has seen a genuine delivery: so each id
is believed with the bytes that it first came with (`single_use`), for the days in which PayPal repeats it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from retour.channels import payload
from retour.channels.signature_scheme import SignatureScheme, is_certificate_of
from retour.channels.statements import KEEP, NOTHING, TAKES, amount_taken_fields, meaning_of, statement_fields
from retour.channels.webhook import header_identity
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable

CERTIFICATE = re.compile(r"https://api(\.sandbox)?\.paypal\.com/v1/notifications/certs/[A-Za-z0-9_-]{1,100}")
"""URLs of PayPal's certificates. Any other URL could prove anything."""
REPEATED_SECONDS = 4 * 86400
"""PayPal retries unanswered deliveries for three days."""
REFUND = {"PENDING": TAKES, "COMPLETED": TAKES, "FAILED": NOTHING, "CANCELLED": NOTHING}
REFUND_RANKS = {"COMPLETED": 1, "FAILED": 2, "CANCELLED": 2}
INQUIRY, RESOLVED = "INQUIRY", "RESOLVED"
STAGES = {INQUIRY: NOTHING, "CHARGEBACK": TAKES, "PRE_ARBITRATION": TAKES, "ARBITRATION": TAKES}
OUTCOMES = {
    "RESOLVED_BUYER_FAVOUR": TAKES,
    "ACCEPTED": TAKES,
    "RESOLVED_SELLER_FAVOUR": NOTHING,
    "RESOLVED_WITH_PAYOUT": NOTHING,
    "CANCELED_BY_BUYER": NOTHING,
    "DENIED": NOTHING,
    "NONE": NOTHING,
}
CLAIM_RANK, RESOLVED_RANK = 1, 2
SETTLEMENT = "DISPUTE_SETTLEMENT"
ReadResult = Sequence[Row | Unreadable] | OrderNames | Ignored


@dataclass(frozen=True)
class PayPalSender:
    """The sender of one source. The id of its PayPal webhook is part of what is signed."""

    source: Source
    url: str = ""

    @property
    def MESSAGES(self) -> Sequence[str]:
        return tuple(READERS)

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
        """Verify by the certificate at the URL in the request."""
        webhook = self.source.options.get("webhook_id", "")
        if not webhook or headers.get("paypal-auth-algo", "") != "SHA256withRSA":
            return False
        scheme = SignatureScheme(
            header="paypal-transmission-sig",
            algorithm="rsa-sha256",
            signs=f"{{id}}|{{timestamp}}|{webhook}|{{body|crc32}}",
            id="paypal-transmission-id",
            timestamp="paypal-transmission-time",
            tolerance=REPEATED_SECONDS,
            public_keys=tuple(one for one in secrets if is_certificate_of(one, now)),
        )
        return scheme.verify(body, headers, (), now, self.url)

    def certificate_url(self, headers: Mapping[str, str]) -> str | None:
        """The URL of the signing certificate; None if it is not PayPal's."""
        url = headers.get("paypal-cert-url", "")
        return url if CERTIFICATE.fullmatch(url) else None

    def single_use(self, headers: Mapping[str, str]) -> str:
        """The delivery's id, which is accepted with one body only."""
        return headers.get("paypal-transmission-id", "")

    def sign_headers(self, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
        """Headers without a valid signature, since only PayPal has the private key."""
        return {
            "paypal-transmission-id": header_identity(body, ""),
            "paypal-transmission-time": now.isoformat(),
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-transmission-sig": "AAAA",
        }

    def identity(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The event's id, which stays the same when an event is redelivered."""
        event = payload.parse_document(body)
        return header_identity(body, "" if isinstance(event, Refusal) else payload.id_text(event.get("id")) or "")

    def facts(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {}

    def rows(self, body: bytes, headers: Mapping[str, str], source: Source) -> ReadResult | Refusal:
        event = payload.parse_document(body)
        if isinstance(event, Refusal):
            return event
        kind = event.get("event_type")
        reader = READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            return payload.unused_event(kind, READERS)
        found = event.get("resource")
        if not isinstance(found, Mapping):
            return Refusal("PAYLOAD_INCOMPLETE", {"topic": str(kind), "field": "resource"})
        return reader(event, found, source)

    def undeclared_statuses(self, body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
        """The states declared neither in the tables nor by the source."""
        event = payload.parse_document(body)
        if isinstance(event, Refusal):
            return ()
        kind, found = str(event.get("event_type")), event.get("resource")
        if kind in REFUND_EVENTS:
            state, table = _text(found, "status"), REFUND
        elif kind in DISPUTE_EVENTS:
            state, table = _dispute_state(found), {**STAGES, **OUTCOMES}
        else:
            return ()
        return (state,) if state and not meaning_of(state, source, table).is_declared else ()


bind = PayPalSender


# Events


def _read_refund(event: Mapping[str, Any], refund: Mapping[str, Any], source: Source) -> ReadResult:
    reference, status = payload.id_text(refund.get("id")), _text(refund, "status")
    if reference is None:
        return (Unreadable("1", "REFERENCE_NOT_SENT", {"field": "resource.id"}, "resource.id"),)
    takes = meaning_of(status, source, REFUND).takes
    if takes is KEEP:
        return Ignored(
            f"Refund {payload.excerpt(reference)} is {payload.excerpt(status)}, which says nothing of money."
        )
    gross = payload.value_at(refund, "seller_payable_breakdown.gross_amount") or refund.get("amount")
    about = _Statement(f"refund/{reference}", event, refund, REFUND_RANKS.get(status, 0), _capture_above(refund))
    return about.rows(gross if takes is TAKES else None, source, {"reference": reference})


def _read_reversal(event: Mapping[str, Any], reversal: Mapping[str, Any], source: Source) -> ReadResult:
    """A reversal of the capture it links to, else of itself."""
    capture = _capture_above(reversal) or payload.id_text(reversal.get("id"))
    if capture is None:
        return (Unreadable("1", "REFERENCE_NOT_SENT", {"field": "resource.links"}, "resource.links"),)
    about = _Statement(_claim(capture), event, reversal, CLAIM_RANK, capture)
    return about.rows(reversal.get("amount"), source, {"reason": "CHARGEBACK"})


def _read_dispute(event: Mapping[str, Any], dispute: Mapping[str, Any], source: Source) -> ReadResult:
    disputed = payload.as_list(dispute.get("disputed_transactions"))
    captures = [payload.id_text(payload.value_at(one, "seller_transaction_id")) for one in disputed]
    if len(captures) != 1 or captures[0] is None:
        path = "resource.disputed_transactions"
        code = "SEVERAL_VALUES" if len(captures) > 1 else "REFERENCE_NOT_SENT"
        return (Unreadable("1", code, {"path": path, "field": path}, path),)
    state = _dispute_state(dispute)
    takes = meaning_of(state, source, {**STAGES, **OUTCOMES}).takes
    if takes is KEEP:
        return Ignored(f"The dispute is {payload.excerpt(state)}, which says nothing of money.")
    rank = RESOLVED_RANK if _text(dispute, "status") == RESOLVED else 0 if state == INQUIRY else CLAIM_RANK
    about = _Statement(_claim(captures[0]), event, dispute, rank, captures[0], disputed[0])
    told = {"reason": payload.mapped_reason(dispute.get("reason"), source, {}) or "CHARGEBACK"}
    debited = _seller_debited(dispute) if rank == RESOLVED_RANK else None
    if debited is not None:
        return about.rows(debited, source, told)
    if rank == RESOLVED_RANK:
        given_back = payload.value_at(dispute, "dispute_outcome.amount_refunded")
        return about.rows(given_back if takes is TAKES else None, source, told)
    return about.rows(dispute.get("dispute_amount") if takes is TAKES else None, source, told)


def _read_refused_capture(event: Mapping[str, Any], capture: Mapping[str, Any], source: Source) -> ReadResult:
    """A pending capture that ended unpaid."""
    reference = payload.id_text(capture.get("id"))
    if reference is None:
        return (Unreadable("1", "REFERENCE_NOT_SENT", {"field": "resource.id"}, "resource.id"),)
    about = _Statement(f"capture/{reference}", event, capture, 1, reference, capture)
    return about.rows(capture.get("amount"), source, {"reason": "PAYMENT_FAILED"})


def _read_capture(event: Mapping[str, Any], capture: Mapping[str, Any], source: Source) -> ReadResult:
    """The names of a payment, which its refunds do not contain."""
    number = payload.id_text(capture.get("id"))
    order = payload.id_text(payload.value_at(capture, "supplementary_data.related_ids.order_id"))
    names = tuple(f"{kind}:{id}" for kind, id in (("capture", number), ("paypal_order", order)) if _is_name(id))
    own = _order_id(capture, source)
    return OrderNames(own, names) if names and (own or len(names) > 1) else Ignored("It names no order.")


def _read_order(event: Mapping[str, Any], order: Mapping[str, Any], source: Source) -> ReadResult:
    """The names of an order's captures, and its total."""
    units = payload.as_list(order.get("purchase_units"))
    captures = [
        payload.id_text(payload.value_at(one, "id"))
        for unit in units
        for one in payload.as_list(payload.value_at(unit, "payments.captures"))
    ]
    told = [*(("capture", id) for id in captures), ("paypal_order", payload.id_text(order.get("id")))]
    names = tuple(f"{kind}:{id}" for kind, id in told if _is_name(id))
    own = next((id for unit in units if (id := _order_id(unit, source))), None)
    amounts = [payload.parse_amount(payload.value_at(unit, "amount.value")) for unit in units]
    currencies = {payload.value_at(unit, "amount.currency_code") for unit in units}
    if not names:
        return Ignored("It names no payment.")
    if len(currencies) == 1 and all(amount is not None for amount in amounts):
        total = sum((amount for amount in amounts if amount is not None), Decimal(0))
        return OrderNames(own, names, f"{total:f}", str(currencies.pop()))
    return OrderNames(own, names)


# Rows


@dataclass(frozen=True, slots=True)
class _Statement:
    """The subject and version of an event. `named_by`: the part that may contain the order id."""

    subject: str
    event: Mapping[str, Any]
    found: Mapping[str, Any]
    rank: int
    capture: str | None
    named_by: Any = None

    def rows(self, amount: Any, source: Source, told: Mapping[str, str | None]) -> Sequence[Row | Unreadable]:
        """The rows for an amount in PayPal's format; None takes nothing."""
        order = _order_id(self.named_by if self.named_by is not None else self.found, source)
        names = (f"capture:{self.capture}",) if _is_name(self.capture) else ()
        if order is None and not names:
            topic = str(self.event.get("event_type"))
            return (payload.order_id_missing(topic, source.order_id_field or "invoice_id", told.get("reference")),)
        fields = {**told, "order_id": order, "names": " ".join(names) or None, "occurred_at": self.version()}
        taken: Mapping[str, str | None] | None = None
        if amount is not None:
            value = payload.parse_amount(payload.value_at(amount, "value"))
            if value is None:
                shown = payload.excerpt(payload.value_at(amount, "value"))
                details = {"field": "amount.value", "value": shown}
                whose = payload.record_ids(fields)
                return (Unreadable("1", "AMOUNT_UNREADABLE", details, "amount.value", **whose),)
            currency = payload.id_text(payload.value_at(amount, "currency_code"))
            total_of = names[0] if source.basis == "order_total" and names else None
            taken = amount_taken_fields(f"{value:f}", currency, None, total_of) if value else None
        statement = statement_fields(self.subject, self.version(), rank=self.rank, takes=taken)
        return (payload.make_row("1", {**fields, **statement}),)

    def version(self) -> str | None:
        told = (self.found.get("update_time"), self.found.get("create_time"), self.event.get("create_time"))
        return next((text for one in told if (text := payload.id_text(one))), None)


def _order_id(found: Any, source: Source) -> str | None:
    """The merchant's order id: `invoice_id`, else as the source declares. Disputes name both fields differently."""
    field = source.order_id_field or "invoice_id"
    other = {"invoice_id": "invoice_number", "custom_id": "custom"}.get(field, field)
    return payload.id_text(payload.value_at(found, field)) or payload.id_text(payload.value_at(found, other))


def _capture_above(found: Mapping[str, Any]) -> str | None:
    """The capture a refund or reversal belongs to, from its links."""
    for link in payload.as_list(found.get("links")):
        href = payload.value_at(link, "href")
        if payload.value_at(link, "rel") == "up" and isinstance(href, str) and "/captures/" in href:
            return href.rpartition("/captures/")[2].partition("/")[0] or None
    return None


def _claim(capture: str) -> str:
    return f"capture/{capture}/claim"


def _dispute_state(dispute: Any) -> str:
    """The outcome of a resolved dispute, or the stage of an open one."""
    if _text(dispute, "status") == RESOLVED:
        return _text(dispute, "dispute_outcome.outcome_code")
    return _text(dispute, "dispute_life_cycle_stage")


def _seller_debited(dispute: Mapping[str, Any]) -> Mapping[str, str] | None:
    """What the settlement took from the seller; None if its money movements are missing."""
    moves = payload.as_list(dispute.get("money_movements"))
    if not moves:
        return None
    total, currency = Decimal(0), _text(dispute, "dispute_amount.currency_code")
    for move in moves:
        if _text(move, "affected_party") != "SELLER" or _text(move, "reason") != SETTLEMENT:
            continue
        value = payload.parse_amount(payload.value_at(move, "amount.value"))
        if value is None:
            return {"value": payload.excerpt(payload.value_at(move, "amount.value"))}
        total += -value if _text(move, "type") == "CREDIT" else value
        currency = _text(move, "amount.currency_code") or currency
    return {"value": f"{max(total, Decimal(0)):f}", "currency_code": currency}


def _text(found: Any, path: str) -> str:
    told = payload.value_at(found, path)
    return told if isinstance(told, str) else ""


def _is_name(id: str | None) -> bool:
    return id is not None and " " not in id and id.isprintable()


REFUND_EVENTS = ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.PENDING", "PAYMENT.REFUND.COMPLETED",
                 "PAYMENT.REFUND.FAILED", "PAYMENT.REFUND.CANCELLED")  # fmt: skip
DISPUTE_EVENTS = ("CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.RESOLVED")
READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Source], ReadResult]] = {
    **dict.fromkeys(REFUND_EVENTS, _read_refund),
    **dict.fromkeys(DISPUTE_EVENTS, _read_dispute),
    "PAYMENT.CAPTURE.REVERSED": _read_reversal,
    "PAYMENT.CAPTURE.DENIED": _read_refused_capture,
    "PAYMENT.CAPTURE.DECLINED": _read_refused_capture,
    "PAYMENT.CAPTURE.COMPLETED": _read_capture,
    "CHECKOUT.ORDER.COMPLETED": _read_order,
}
