"""Stripe's webhooks: refunds take back, a dispute reverses and, once won, restores.

Two families of events tell of one refund. `refund.*` says what each refund is worth and is what Retour reads. The
older `charge.refunded` knows, in newer API versions, only the sum so far: it counts where it lists its refunds (each
under its own id, so twice told is once counted) and where nothing is left of the charge (a reversal). A source whose
order id stands on the charge alone declares `amount_means: set_total`: then `charge.refunded` is read, by what it
leaves, and `refund.*` is not.

The order id is looked for in the object's metadata, then among its own fields (`payment_intent`).
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

from retour.channels import payload, signature
from retour.channels.webhook import header_identity
from retour.domain.money import UnknownCurrency, exponent
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable

# Where Stripe's smallest unit is not ISO 4217's (its list of zero-decimal currencies and its special cases).
EXPONENTS = {"MGA": 0, "ISK": 2, "UGX": 2}
REFUND_REASONS = {"duplicate": "DUPLICATE", "fraudulent": "CONS_FRAUD"}
Reading = Sequence[Row | Unreadable] | Ignored


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    """`t=…,v1=…`: hex of HMAC-SHA256 over `t.body`, keyed by the endpoint secret's own text."""
    parts = [part.strip().partition("=") for part in headers.get("stripe-signature", "").split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    if len(moments) != 1 or not signature.fresh(moments[0], now):
        return False
    offered = [_hex(value) for name, _, value in parts if name == "v1"][: signature.SIGNATURES_MAX]
    content = moments[0].encode() + b"." + body
    return any(signature.signed(signature.text_key(secret), content, offered) for secret in secrets if secret)


def signed(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    moment = str(int(now.timestamp()))
    content = moment.encode() + b"." + body
    offered = (hmac.new(signature.text_key(secret), content, hashlib.sha256).hexdigest() for secret in secrets)
    return {"stripe-signature": ",".join([f"t={moment}", *(f"v1={one}" for one in offered)])}


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    event = payload.document(body)
    return header_identity(body, "" if isinstance(event, Refusal) else payload.text_of(event.get("id")) or "")


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {}


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    event = payload.document(body)
    if isinstance(event, Refusal):
        return event
    kind = event.get("type")
    reader = READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return Ignored(f"Event {payload.shown(kind)} is not used. Choose {', '.join(READERS)}.")
    found = payload.at(event, "data.object")
    if payload.text_of(payload.at(found, "id")) is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": str(kind), "field": "data.object.id"})
    return reader(event, found, source)


def _refund(event: Mapping[str, Any], refund: Mapping[str, Any], source: Source) -> Reading:
    if _by_charge(source):
        return Ignored("This source reads charge.refunded (amount_means: set_total), so refund events are not used.")
    return _one_refund("1", refund, {}, source, _had_counted(event), str(event["type"]))


def _had_counted(event: Mapping[str, Any]) -> bool:
    """Whether the refund may have succeeded before what this event tells; not every event says what was before."""
    changed = payload.at(event, "data.previous_attributes")
    return not isinstance(changed, Mapping) or changed.get("status") == "succeeded"


def _one_refund(
    place: str, refund: Any, charge: Mapping[str, Any], source: Source, had_counted: bool, topic: str
) -> Reading:
    reference, status = payload.text_of(payload.at(refund, "id")), payload.at(refund, "status")
    order = _order_id(refund, source) or _order_id(charge, source)
    if reference is None:
        return (Unreadable(place, "REFERENCE_NOT_SENT", {"field": "id"}, "id"),)
    whose = payload.whose({"order_id": order, "reference": reference})
    if status in ("failed", "canceled") and had_counted:
        return (Unreadable(place, "REFUND_FAILED", {"refund": reference}, "status", **whose),)
    if status != "succeeded":
        return Ignored(f"Refund {payload.shown(reference)} is {payload.shown(status)}; only succeeded ones count.")
    fields = {
        "reference": reference,
        "change": "take_back",
        "reason": payload.reason(payload.at(refund, "reason"), source, REFUND_REASONS),
        "occurred_at": payload.moment(payload.at(refund, "created")),
    }
    amounts = {"amount": refund}
    if charge and source.basis == "order_total":
        amounts["order_total"] = charge
    return (_priced(place, fields, amounts, order, source, topic),)


def _charge(event: Mapping[str, Any], charge: Mapping[str, Any], source: Source) -> Reading:
    reference, amount, back = str(payload.text_of(charge["id"])), charge.get("amount"), charge.get("amount_refunded")
    moment = payload.moment(event.get("created"))
    order = _order_id(charge, source)
    if charge.get("refunded") is True and (order is not None or _by_charge(source)):
        reversal = {"reference": f"{reference}/refunded", "change": "reverse", "occurred_at": moment}
        return (_priced("1", reversal, {}, order, source, "charge.refunded"),)
    if not _by_charge(source):
        listed = payload.listed(payload.at(charge, "refunds.data"))
        read = [
            _one_refund(f"refunds.data[{n}]", refund, charge, source, False, "charge.refunded")
            for n, refund in enumerate(listed, start=1)
        ]
        return tuple(row for reading in read if not isinstance(reading, Ignored) for row in reading) or Ignored(
            "charge.refunded gives only the sum of the refunds; refund.created and refund.updated bring each of them."
        )
    fields = {"reference": f"{reference}/{payload.text_of(back)}", "occurred_at": moment}
    if source.basis == "goods":
        left = _less(amount, back)
        fields["change"] = "set_total"
        return (_priced("1", fields, {"amount": {**charge, "amount": left}}, order, source, "charge.refunded"),)
    before = payload.at(event, "data.previous_attributes.amount_refunded")
    if before is None:
        whose = payload.whose({"order_id": order, "reference": fields["reference"]})
        return (Unreadable("1", "PREVIOUS_SUM_NOT_SENT", {"charge": reference}, "amount_refunded", **whose),)
    step = _less(back, before)
    fields["change"] = "take_back"
    amounts = {"amount": {**charge, "amount": step}, "order_total": charge}
    return (_priced("1", fields, amounts, order, source, "charge.refunded"),)


def _dispute(event: Mapping[str, Any], dispute: Mapping[str, Any], source: Source) -> Reading:
    reference, status = str(payload.text_of(dispute["id"])), payload.at(dispute, "status")
    if isinstance(status, str) and status.startswith("warning_"):
        return Ignored(f"Dispute {payload.shown(reference)} is an inquiry: no money was withdrawn yet.")
    fields = {
        "reference": reference,
        "change": "reverse",
        "reason": payload.reason(dispute.get("reason"), source, {}) or "CHARGEBACK",
        "occurred_at": payload.moment(dispute.get("created")),
    }
    return (_priced("1", fields, {}, _order_id(dispute, source), source, str(event["type"])),)


def _dispute_closed(event: Mapping[str, Any], dispute: Mapping[str, Any], source: Source) -> Reading:
    reference, status = str(payload.text_of(dispute["id"])), payload.at(dispute, "status")
    if status != "won":
        return Ignored(f"Dispute {payload.shown(reference)} was closed as {payload.shown(status)}; nothing changes.")
    fields = {
        "reference": f"{reference}/won",
        "change": "restore",
        "occurred_at": payload.moment(event.get("created")),
    }
    return (_priced("1", fields, {}, _order_id(dispute, source), source, "charge.dispute.closed"),)


def _priced(
    place: str,
    fields: Mapping[str, str | None],
    amounts: Mapping[str, Any],
    order: str | None,
    source: Source,
    topic: str,
) -> Row | Unreadable:
    """The row with each amount, in whole smallest units of Stripe's, as decimal text."""
    if order is None:
        field = source.order_id_field or "order_id"
        return payload.no_order(topic, f"metadata.{field}", fields.get("reference"))
    filled = {**fields, "order_id": order}
    whose = payload.whose(filled)
    for name, priced in amounts.items():
        value, currency = payload.at(priced, "amount"), payload.at(priced, "currency")
        code = currency.upper() if isinstance(currency, str) else ""
        try:
            places = EXPONENTS[code] if code in EXPONENTS else exponent(code)
        except UnknownCurrency:
            return Unreadable(place, "CURRENCY_UNKNOWN", {"value": payload.shown(currency)}, "currency", **whose)
        if not _whole(value):
            details = {"field": name, "value": payload.shown(value)}
            return Unreadable(place, "MINOR_UNITS_UNREADABLE", details, name, **whose)
        filled |= {name: f"{Decimal(value).scaleb(-places):f}", "currency": code}
    return payload.row(place, filled)


def _order_id(found: Any, source: Source) -> str | None:
    field = source.order_id_field or "order_id"
    return payload.text_of(payload.at(payload.at(found, "metadata"), field)) or payload.text_of(
        payload.at(found, field)
    )


def _by_charge(source: Source) -> bool:
    return source.amount_means == "set_total"


def _less(amount: Any, part: Any) -> int | None:
    return amount - part if _whole(amount) and _whole(part) else None


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _hex(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""


READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Source], Reading]] = {
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.refunded": _charge,
    "charge.dispute.created": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.closed": _dispute_closed,
}
