"""Stripe's webhooks as a table: refunds and disputes, each a subject; charges tell names, totals and running sums.

| object | state | taken back in total |
|---|---|---|
| refund | pending, requires_action, succeeded | its amount |
| refund | failed, canceled | nothing |
| dispute | needs_response, under_review, lost | its amount |
| dispute | warning_*, won, prevented, charge_refunded | nothing |
| charge, in `charge.refunded` | | the sum of its refunds, until one of them is told by itself |

The version is the event's second, then the rank of the state: states of one object only move one way within a second.
A source with `amount_means: set_total` reads running sums alone (its refunds do not carry the order id): then refunds
only tell names. A charge's amount is the order total that a refund or dispute is a part of.

The order id is looked for in the object's metadata, then among its own fields (`payment_intent`); where there is none,
the record goes by the names of its payment.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

from retour.channels import payload, signature
from retour.channels.statements import KEEP, NOTHING, TAKE_ALL, TAKES, amount_taken_fields, meaning_of, statement_fields
from retour.channels.webhook import header_identity
from retour.domain.money import UnknownCurrencyError, exponent
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable

# Currencies whose smallest unit in Stripe differs from ISO 4217 (zero-decimal list and special cases).
EXPONENTS = {"MGA": 0, "ISK": 2, "UGX": 2}
REFUND_REASONS = {"duplicate": "DUPLICATE", "fraudulent": "CONS_FRAUD"}
REFUND = {
    "pending": TAKES,
    "requires_action": TAKES,
    "succeeded": TAKES,
    "failed": NOTHING,
    "canceled": NOTHING,
}
REFUND_RANKS = {"succeeded": 1, "failed": 2, "canceled": 2}
DISPUTE = {
    "warning_needs_response": NOTHING,
    "warning_under_review": NOTHING,
    "warning_closed": NOTHING,
    "needs_response": TAKES,
    "under_review": TAKES,
    "lost": TAKES,
    "won": NOTHING,
    "prevented": NOTHING,
    "charge_refunded": NOTHING,
}
DISPUTE_RANKS = {"needs_response": 1, "under_review": 2, "lost": 3, "won": 3, "prevented": 3, "charge_refunded": 3}
ReadResult = Sequence[Row | Unreadable] | OrderNames | Ignored


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    """Verify `t=…,v1=…`: hex of HMAC-SHA256 over `t.body`, keyed by the endpoint secret's text."""
    parts = [part.strip().partition("=") for part in headers.get("stripe-signature", "").split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    if len(moments) != 1 or not signature.is_fresh(moments[0], now):
        return False
    offered = [_hex_bytes(value) for name, _, value in parts if name == "v1"][: signature.SIGNATURES_MAX]
    content = moments[0].encode() + b"." + body
    return any(signature.verify_hmac(signature.text_key(secret), content, offered) for secret in secrets if secret)


def sign_headers(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    moment = str(int(now.timestamp()))
    content = moment.encode() + b"." + body
    offered = (hmac.new(signature.text_key(secret), content, hashlib.sha256).hexdigest() for secret in secrets)
    return {"stripe-signature": ",".join([f"t={moment}", *(f"v1={one}" for one in offered)])}


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    event = payload.parse_document(body)
    return header_identity(body, "" if isinstance(event, Refusal) else payload.id_text(event.get("id")) or "")


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def rows(
    body: bytes, headers: Mapping[str, str], source: Source
) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
    event = payload.parse_document(body)
    if isinstance(event, Refusal):
        return event
    kind = event.get("type")
    reader = READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return payload.unused_event(kind, READERS)
    found = payload.value_at(event, "data.object")
    if payload.id_text(payload.value_at(found, "id")) is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": str(kind), "field": "data.object.id"})
    return reader(event, found, source)


def undeclared_statuses(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """The states declared neither in the table nor by the source."""
    event = payload.parse_document(body)
    kind = "" if isinstance(event, Refusal) else event.get("type")
    table = DISPUTE if str(kind).startswith("charge.dispute.") else REFUND if kind in REFUND_EVENTS else None
    status = None if isinstance(event, Refusal) else payload.value_at(event, "data.object.status")
    unknown = table is not None and isinstance(status, str) and not meaning_of(status, source, table).is_declared
    return (str(status),) if unknown else ()


# Events


def _read_refund(event: Mapping[str, Any], refund: Mapping[str, Any], source: Source) -> ReadResult:
    if _reads_charges_only(source):
        return _order_names(refund, source) or Ignored(
            "This source reads charge.refunded (amount_means: set_total), so refund events are not used."
        )
    return _refund_rows("1", event, refund, refund, source)


def _refund_rows(
    place: str, event: Mapping[str, Any], refund: Any, of: Mapping[str, Any], source: Source
) -> ReadResult:
    """What a refund takes. `of` is the object with its payment: itself, or the charge that lists it."""
    reference, status = payload.id_text(payload.value_at(refund, "id")), payload.value_at(refund, "status")
    if reference is None:
        return (Unreadable(place, "REFERENCE_NOT_SENT", {"field": "id"}, "id"),)
    status = status if isinstance(status, str) else ""
    takes = meaning_of(status, source, REFUND).takes
    if takes is KEEP:
        return Ignored(
            f"Refund {payload.excerpt(reference)} is {payload.excerpt(status)}, which says nothing of money."
        )
    fields = {
        "reference": reference,
        "part_of": _charge_subject(of),
        "reason": payload.mapped_reason(payload.value_at(refund, "reason"), source, REFUND_REASONS),
        "occurred_at": payload.time_from_epoch(payload.value_at(refund, "created")),
    }
    about = _StatementHeader(f"refund/{reference}", event, REFUND_RANKS.get(status, 0), fields)
    whole = of if of is not refund else None
    return (_statement_row(place, about, refund if takes is TAKES else None, (refund, of), source, whole),)


def _read_dispute(event: Mapping[str, Any], dispute: Mapping[str, Any], source: Source) -> ReadResult:
    reference, status = str(payload.id_text(dispute["id"])), payload.value_at(dispute, "status")
    status = status if isinstance(status, str) else ""
    takes = meaning_of(status, source, DISPUTE).takes
    if takes is KEEP:
        return Ignored(
            f"Dispute {payload.excerpt(reference)} is {payload.excerpt(status)}, which says nothing of money."
        )
    fields = {
        "reference": reference,
        "reason": payload.mapped_reason(dispute.get("reason"), source, {}) or "CHARGEBACK",
        "occurred_at": payload.time_from_epoch(dispute.get("created")),
    }
    about = _StatementHeader(f"dispute/{reference}", event, DISPUTE_RANKS.get(status, 0), fields)
    return (_statement_row("1", about, dispute if takes is TAKES else None, (dispute,), source),)


def _read_refunded_charge(event: Mapping[str, Any], charge: Mapping[str, Any], source: Source) -> ReadResult:
    if not _reads_charges_only(source):
        read = [
            _refund_rows(f"refunds.data[{n}]", event, refund, charge, source)
            for n, refund in enumerate(payload.as_list(payload.value_at(charge, "refunds.data")), start=1)
        ]
        listed = [row for told in read if not isinstance(told, Ignored | OrderNames) for row in told]
        if listed:
            return listed
    reference = str(payload.id_text(charge["id"]))
    fields = {"reference": reference, "occurred_at": payload.time_from_epoch(event.get("created"))}
    about = _StatementHeader(f"charge/{reference}", event, 0, fields)
    if charge.get("refunded") is True:
        return (_statement_row("1", about, TAKE_ALL, (charge,), source),)
    return (_statement_row("1", about, {**charge, "amount": charge.get("amount_refunded")}, (charge,), source, charge),)


def _read_payment(event: Mapping[str, Any], found: Mapping[str, Any], source: Source) -> ReadResult:
    return _order_names(found, source) or Ignored("It names no payment.")


# Rows


class _StatementHeader:
    """The subject and version of an event, and other fields of its statement."""

    def __init__(self, subject: str, event: Mapping[str, Any], rank: int, fields: Mapping[str, str | None]) -> None:
        self.subject, self.rank, self.fields = subject, rank, fields
        self.version = payload.time_from_epoch(event.get("created"))
        self.topic = str(event["type"])


def _statement_row(
    place: str,
    about: _StatementHeader,
    takes: Mapping[str, Any] | None,
    named_by: Sequence[Any],
    source: Source,
    whole: Mapping[str, Any] | None = None,
) -> Row | Unreadable:
    """The statement as a row. `takes` has `amount` and `currency`, or is ALL or None; `whole` has the order total."""
    order = next((order for found in named_by if (order := _order_id(found, source))), None)
    names = _payment_names(named_by[-1])
    if order is None and not names:
        field = source.order_id_field or "order_id"
        return payload.order_id_missing(about.topic, f"metadata.{field}", about.fields.get("reference"))
    by_name = {"order_id": order} if order else {"names": " ".join(names)}
    whose = payload.record_ids({**about.fields, "order_id": order})
    taken: Mapping[str, str | None] | None = takes
    if takes is not None and takes is not TAKE_ALL:
        priced = _price(takes, "amount", place, whose)
        if isinstance(priced, Unreadable):
            return priced
        scaled = source.basis == "order_total"
        total = (
            _price({**whole, "amount": _total_paid(whole)}, "order_total", place, whose) if scaled and whole else None
        )
        if isinstance(total, Unreadable):
            return total
        taken = amount_taken_fields(*priced, total and total[0], names[0] if scaled and names else None)
    return payload.make_row(
        place,
        {**about.fields, **by_name, **statement_fields(about.subject, about.version, rank=about.rank, takes=taken)},
    )


def _price(priced: Mapping[str, Any], name: str, place: str, whose: Mapping[str, str]) -> tuple[str, str] | Unreadable:
    """An amount in Stripe's smallest units as decimal text with its currency."""
    value, currency = payload.value_at(priced, "amount"), payload.value_at(priced, "currency")
    code = currency.upper() if isinstance(currency, str) else ""
    try:
        places = EXPONENTS[code] if code in EXPONENTS else exponent(code)
    except UnknownCurrencyError:
        return Unreadable(place, "CURRENCY_UNKNOWN", {"value": payload.excerpt(currency)}, "currency", **whose)
    if not _is_minor_amount(value):
        details = {"field": name, "value": payload.excerpt(value)}
        return Unreadable(place, "MINOR_UNITS_UNREADABLE", details, name, **whose)
    return f"{Decimal(value).scaleb(-places):f}", code


def _order_names(found: Mapping[str, Any], source: Source) -> OrderNames | None:
    """The names of a payment in an object, with its total if the object is the charge."""
    names = _payment_names(found)
    order = _order_id(found, source) or payload.id_text(found.get("client_reference_id"))
    total = _total_paid(found)
    priced = _price({**found, "amount": total}, "amount", "", {}) if total is not None else None
    told = priced if isinstance(priced, tuple) else ("", "")
    return OrderNames(order, names, *told) if names and (order or told[0] or len(names) > 1) else None


def _payment_names(found: Any) -> tuple[str, ...]:
    """The other names of an object's payment, its charge first."""
    kind, own = payload.value_at(found, "object"), payload.id_text(payload.value_at(found, "id"))
    charge = payload.value_at(found, "charge") or payload.value_at(found, "latest_charge")
    intent = payload.value_at(found, "payment_intent")
    if kind == "charge":
        charge = own
    elif kind == "payment_intent":
        intent = own
    told = (("charge", payload.id_text(charge)), ("payment_intent", payload.id_text(intent)))
    return tuple(f"{kind}:{id}" for kind, id in told if id and " " not in id and id.isprintable())


def _charge_subject(found: Mapping[str, Any]) -> str | None:
    kind, _, charge = next(iter(_payment_names(found)), "").partition(":")
    return f"charge/{charge}" if kind == "charge" else None


def _total_paid(found: Mapping[str, Any]) -> int | None:
    """The total paid, by a charge, payment intent or checkout session."""
    fields = {
        "charge": ("amount_captured", "amount"),
        "payment_intent": ("amount_received", "amount"),
        "checkout.session": ("amount_total",),
    }.get(str(found.get("object")), ())
    return next((value for name in fields if _is_minor_amount(value := found.get(name)) and value), None)


def _order_id(found: Any, source: Source) -> str | None:
    field = source.order_id_field or "order_id"
    return payload.id_text(payload.value_at(payload.value_at(found, "metadata"), field)) or payload.id_text(
        payload.value_at(found, field)
    )


def _reads_charges_only(source: Source) -> bool:
    return source.amount_means == "set_total"


def _is_minor_amount(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _hex_bytes(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""


REFUND_EVENTS = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Source], ReadResult]] = {
    **dict.fromkeys(REFUND_EVENTS, _read_refund),
    "charge.refunded": _read_refunded_charge,
    **dict.fromkeys(
        [
            "charge.dispute.created",
            "charge.dispute.updated",
            "charge.dispute.closed",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.funds_reinstated",
        ],
        _read_dispute,
    ),
    **dict.fromkeys(
        ["charge.succeeded", "charge.captured", "charge.updated", "payment_intent.succeeded"], _read_payment
    ),
    "checkout.session.completed": _read_payment,
}
MESSAGES = tuple(READERS)
