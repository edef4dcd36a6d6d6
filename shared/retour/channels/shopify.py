"""Shopify's webhooks as a table: the money that moved, the lines it was for, cancelled orders and disputes.

| object | state | taken back in total |
|---|---|---|
| transaction of a refund | pending, success | its share of the goods given back |
| transaction of a refund | failure, error | nothing |
| refund without transactions | | its lines, less what its adjustments say is not paid out |
| order | cancelled | all |
| dispute that is a chargeback | needs_response, under_review, accepted, lost | its amount |
| dispute | inquiry, won, prevented, charge_refunded | nothing |

Money wins over lines: what was given back for goods is the sum of a refund's transactions without shipping and duties.
Lines say whose price it was; where less was paid than they are worth (a fee was kept), each line gives its share, where
more was, the rest is of the whole order. Adjustments are not added up: a pending refund is told with one that cancels
it. `order_transactions/create` knows its transaction and no refund, so each transaction is a subject of its own.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from retour.channels import payload, signature
from retour.channels.statements import KEEP, NOTHING, TAKE_ALL, TAKES, amount_taken_fields, meaning_of, statement_fields
from retour.channels.webhook import header_identity, pick_headers
from retour.domain.money import UnknownCurrencyError, exponent
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable

TOPIC = "x-shopify-topic"
CANCEL_REASONS = {
    "customer": "CANCELLED",
    "inventory": "ITEM_OUT_OF_STOCK",
    "fraud": "CONS_FRAUD",
    "declined": "PAYMENT_FAILED",
    "staff": "ORDER_ERROR",
    "other": "CANCELLED",
}
TRANSACTION = {"pending": TAKES, "success": TAKES, "failure": NOTHING, "error": NOTHING}
TRANSACTION_RANKS = {"pending": 1, "success": 2, "failure": 3, "error": 3}
CHARGEBACK = {
    "needs_response": TAKES,
    "under_review": TAKES,
    "accepted": TAKES,
    "lost": TAKES,
    "won": NOTHING,
    "prevented": NOTHING,
    "charge_refunded": NOTHING,
}
DISPUTE_RANKS = {"needs_response": 2, "under_review": 3}
"""Ranks of dispute states, since disputes have no time of change. Inquiries come before, ends after them."""
INQUIRY_RANK, ENDED_RANK = 1, 4
NEVER_PAID = ("pending", "voided", "authorized")
IGNORED_TOPICS = {
    "orders/edited": "its money comes with refunds/create",
    "returns/": "a return carries no money before its refund",
    "tender_transactions/create": "refunds/create tells the same money with its lines",
}
ReadResult = Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
    return signature.verify_body(body, headers.get("x-shopify-hmac-sha256", ""), secrets)


def sign_headers(body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {"x-shopify-hmac-sha256": signature.sign_body(body, secrets[0])}


def identity(body: bytes, headers: Mapping[str, str]) -> str:
    """The Event-Id with a hash of the body.

    An event is sent once per subscription with one Event-Id and several Webhook-Ids. It can contain several refunds, so
    the Event-Id alone would lose all but the first.
    """
    event = headers.get("x-shopify-event-id") or headers.get("x-shopify-webhook-id", "")
    return header_identity(body, f"{event}.{hashlib.sha256(body).hexdigest()}" if event else "")


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    return pick_headers(headers, (TOPIC, "x-shopify-shop-domain", "x-shopify-api-version"))


def rows(body: bytes, headers: Mapping[str, str], source: Source) -> ReadResult:
    topic = headers.get(TOPIC, "")
    if topic not in READERS:
        why = next((why for known, why in IGNORED_TOPICS.items() if topic.startswith(known)), "")
        choose = f"Subscribe to {', '.join(READERS)}."
        return Ignored(f"Topic {payload.excerpt(topic)} is not used{f': {why}' if why else ''}. {choose}")
    document = payload.parse_document(body)
    if isinstance(document, Refusal):
        return document
    if payload.id_text(document.get("id")) is None:
        return Refusal("PAYLOAD_INCOMPLETE", {"topic": topic, "field": "id"})
    return READERS[topic](topic, document, source)


def undeclared_statuses(body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
    """The states declared neither in the tables nor by the source."""
    topic, document = headers.get(TOPIC, ""), payload.parse_document(body)
    if isinstance(document, Refusal):
        return ()
    if topic.startswith("disputes/"):
        found, table = [document.get("status")], CHARGEBACK
    else:
        refunds = [document, *payload.as_list(document.get("refunds"))]
        parts = [one for refund in refunds for one in payload.as_list(payload.value_at(refund, "transactions"))]
        parts += [document] if topic == "order_transactions/create" else []
        found, table = (
            [payload.value_at(one, "status") for one in parts if payload.value_at(one, "kind") == "refund"],
            TRANSACTION,
        )
    texts = {status for status in found if isinstance(status, str)}
    return sorted(status for status in texts if not meaning_of(status, source, table).is_declared)


# Topics


def _read_refund(topic: str, refund: Mapping[str, Any], source: Source) -> ReadResult:
    by_name = _order_reference(refund, topic, source)
    if isinstance(by_name, Unreadable):
        return (by_name,)
    told = _refund_rows(_Refund.of(refund, source), refund, by_name, source)
    return told or Ignored(f"Refund {payload.excerpt(refund['id'])} gives no money back for goods.")


def _read_order(topic: str, order: Mapping[str, Any], source: Source) -> ReadResult:
    """The whole order: its names, its cancellation, and all of its refunds."""
    number = str(payload.id_text(order["id"]))
    field = _order_field(source)
    order_id = number if field == "order_id" else payload.id_text(payload.value_at(order, field))
    if order_id is None:
        return (payload.order_id_missing(topic, field, number),)
    told: list[Row | Unreadable] = []
    # The topic is not signed, but the body is: an order without a cancellation date is not cancelled.
    if isinstance(order.get("cancelled_at"), str):
        version = payload.id_text(order.get("updated_at")) or order["cancelled_at"]
        fields = {
            "reference": number,
            "order_id": order_id,
            "reason": payload.mapped_reason(order.get("cancel_reason"), source, CANCEL_REASONS),
            "occurred_at": order["cancelled_at"],
        }
        told.append(
            payload.make_row("order", {**fields, **statement_fields(f"order/{number}", version, takes=TAKE_ALL)})
        )
    for n, refund in enumerate(payload.as_list(order.get("refunds")), start=1):
        if isinstance(refund, Mapping) and payload.id_text(refund.get("id")):
            read = _Refund.of(refund, source, order)
            told += _refund_rows(read, refund, {"order_id": order_id}, source, f"refunds[{n}] ")
    if field == "order_id":
        return told or Ignored(f"Order {number} has no cancelled_at and no refunds of goods.")
    names = (_order_name(number, source),)
    if not told:
        return OrderNames(order_id, names)
    # The first record also links the names, since later refunds only have the number.
    first = told[0]
    if isinstance(first, Row):
        told[0] = Row(first.place, {**first.fields, "names": " ".join(names)}, first.raw)
    return told


def _read_transaction(topic: str, transaction: Mapping[str, Any], source: Source) -> ReadResult:
    """The end of a transaction. A success is not news, since it counted from its start."""
    status, number = transaction.get("status"), str(payload.id_text(transaction["id"]))
    takes = meaning_of(status if isinstance(status, str) else "", source, TRANSACTION).takes
    if transaction.get("kind") != "refund" or takes is not NOTHING:
        return Ignored(
            f"Transaction {number} ({payload.excerpt(transaction.get('kind'))}) is {payload.excerpt(status)}; only a "
            "refund that failed says something new here."
        )
    by_name = _order_reference(transaction, topic, source)
    if isinstance(by_name, Unreadable):
        return (by_name,)
    fields = {**by_name, "reference": number, "occurred_at": payload.id_text(transaction.get("processed_at"))}
    return (payload.make_row("1", {**fields, **_failed_statement(number, str(status))}),)


def _read_dispute(topic: str, dispute: Mapping[str, Any], source: Source) -> ReadResult:
    number, status = str(payload.id_text(dispute["id"])), dispute.get("status")
    status = status if isinstance(status, str) else ""
    is_chargeback = dispute.get("type") == "chargeback"
    takes = meaning_of(status, source, CHARGEBACK).takes
    if takes is KEEP:
        return Ignored(f"Dispute {number} is {payload.excerpt(status)}, which says nothing of money.")
    by_name = _order_reference(dispute, topic, source)
    if isinstance(by_name, Unreadable):
        return (by_name,)
    taken: Mapping[str, str | None] | None = None
    if is_chargeback and takes is TAKES:
        value = payload.parse_amount(dispute.get("amount"))
        if value is None:
            details = {"field": "amount", "value": payload.excerpt(dispute.get("amount"))}
            whose = payload.record_ids({**by_name, "reference": number})
            return (Unreadable("1", "AMOUNT_UNREADABLE", details, "amount", **whose),)
        # A dispute covers shipping and tax too; the part beyond the sale is ignored.
        taken = {**amount_taken_fields(f"{value:f}", payload.id_text(dispute.get("currency"))), "excess": "clamp"}
    rank = DISPUTE_RANKS.get(status, ENDED_RANK) if is_chargeback else INQUIRY_RANK
    fields = {
        **by_name,
        "reference": number,
        "reason": payload.mapped_reason(dispute.get("reason"), source, {}) or "CHARGEBACK",
        "occurred_at": payload.id_text(dispute.get("initiated_at")),
    }
    return (payload.make_row("1", {**fields, **statement_fields(f"dispute/{number}", str(rank), takes=taken)}),)


# Refunds


@dataclass(frozen=True)
class _RefundLine:
    """A line of a refund, with prices by currency, as reported and as paid."""

    place: str
    sku: str | None
    quantity: int
    price: Mapping[str, Decimal]
    paid: Mapping[str, Decimal]


@dataclass(frozen=True)
class _Transaction:
    """A transaction that gives money back, by currency."""

    number: str
    status: str
    money: Mapping[str, Decimal]


@dataclass(frozen=True)
class _Refund:
    """A refund as told. `spared`: what of its money is no goods (shipping, duties), by currency, as paid.

    `unpaid`: what its adjustments say was not given back. `never_paid`: the order was not, as far as it is known.
    """

    number: str
    lines: Sequence[_RefundLine]
    parts: Sequence[_Transaction]
    failed: Sequence[_Transaction]
    spared: Mapping[str, Decimal]
    unpaid: Mapping[str, Decimal]
    never_paid: bool
    unreadable: Sequence[Unreadable]

    @classmethod
    def of(cls, refund: Mapping[str, Any], source: Source, order: Mapping[str, Any] | None = None) -> "_Refund":
        number = str(payload.id_text(refund["id"]))
        parts, failed, unreadable = _refund_transactions(refund, source, number)
        spared = _sum(_absolute(_by_currency(part, field)) for part, field in _non_goods_amounts(refund))
        unpaid = _sum(_by_currency(part, field) for part, field in _adjustments(refund))
        counted = _sum(part.money for part in parts)
        included = _taxes_included(refund, order, counted, spared, unpaid)
        lines, bad = _refund_lines(refund, source, included, next(iter(counted), ""))
        never_paid = order is not None and order.get("financial_status") in NEVER_PAID
        return cls(number, lines, parts, failed, spared, unpaid, never_paid, [*unreadable, *bad])


def _refund_rows(
    refund_read: _Refund, refund: Mapping[str, Any], by_name: Mapping[str, str | None], source: Source, before: str = ""
) -> list[Row | Unreadable]:
    common = {
        **by_name,
        "reference": refund_read.number,
        "note": payload.truncate_note(refund.get("note")),
        "occurred_at": payload.id_text(refund.get("created_at")),
    }
    told: list[Row | Unreadable] = []
    if refund_read.parts:
        told += _rows_by_transaction(refund_read, common, source, before)
    elif refund_read.lines and not refund_read.failed:
        told += _rows_by_line(refund_read, refund, common, source, before)
    for n, part in enumerate(refund_read.failed, start=1):
        told.append(payload.make_row(f"{before}failed[{n}]", {**common, **_failed_statement(part.number, part.status)}))
    whose = payload.record_ids(common)
    return [
        *told,
        *(
            Unreadable(f"{before}{bad.place}", bad.code, bad.details, bad.column, **whose)
            for bad in refund_read.unreadable
        ),
    ]


def _rows_by_transaction(
    refund_read: _Refund, common: Mapping[str, str | None], source: Source, before: str
) -> list[Row | Unreadable]:
    money = _sum(part.money for part in refund_read.parts)
    shared = [currency for currency in money if all(currency in part.money for part in refund_read.parts)]
    if not shared:
        details = {"currencies": ", ".join(sorted(currency or "?" for currency in money))}
        return [
            Unreadable(f"{before}transactions", "CURRENCIES_MIXED", details, "currency", **payload.record_ids(common))
        ]
    goods = {
        currency: max(money[currency] - refund_read.spared.get(currency, Decimal(0)), Decimal(0)) for currency in shared
    }
    told: list[Row | Unreadable] = []
    for place, sku, quantity, taken in _line_shares(refund_read, goods, source):
        rest = dict(taken)
        for n, part in enumerate(refund_read.parts, start=1):
            weight = part.money[shared[0]] / money[shared[0]] if money[shared[0]] else Decimal(0)
            last = n == len(refund_read.parts)
            share = rest if last else {c: _round_to_currency(value * weight, c) for c, value in taken.items()}
            rest = {currency: value - share.get(currency, Decimal(0)) for currency, value in rest.items()}
            if not any(share.values()):
                continue
            told.append(
                payload.make_row(
                    f"{before}{place}" if len(refund_read.parts) == 1 else f"{before}transactions[{n}] {place}",
                    {
                        **common,
                        "part_of": f"refund/{refund_read.number}",
                        "sku": sku,
                        **_amount_fields(share),
                        **({"quantity": str(quantity)} if quantity and len(refund_read.parts) == 1 else {}),
                        "subject": f"transaction/{part.number}",
                        "version": str(TRANSACTION_RANKS.get(part.status, 1)),
                    },
                )
            )
    return told


def _rows_by_line(
    refund_read: _Refund, refund: Mapping[str, Any], common: Mapping[str, str | None], source: Source, before: str
) -> list[Row | Unreadable]:
    """Goods removed from an order without money: all of them if it was never paid, else those no longer owed."""
    worth = _sum(line.paid for line in refund_read.lines)
    owed = {} if refund_read.never_paid else refund_read.unpaid
    goods = {currency: max(value - owed.get(currency, Decimal(0)), Decimal(0)) for currency, value in worth.items()}
    version = payload.id_text(refund.get("processed_at")) or payload.id_text(refund.get("created_at"))
    return [
        payload.make_row(
            f"{before}{place}",
            {
                **common,
                "sku": sku,
                **_amount_fields(taken),
                **({"quantity": str(quantity)} if quantity else {}),
                "subject": f"refund/{refund_read.number}",
                "version": version,
            },
        )
        for place, sku, quantity, taken in _line_shares(refund_read, goods, source)
        if any(taken.values())
    ]


def _line_shares(
    refund_read: _Refund, goods: Mapping[str, Decimal], source: Source
) -> Iterable[tuple[str, str | None, int, Mapping[str, Decimal]]]:
    """The returned amount of goods (`goods`, as paid, by currency) by line: place, SKU, units, amounts by currency.

    Units are stated only if their full price was returned and the line has a SKU.
    """
    worth, price = _sum(line.paid for line in refund_read.lines), _sum(line.price for line in refund_read.lines)
    known = next((currency for currency in goods if worth.get(currency)), None)
    if known is None:
        if any(goods.values()):
            yield "transactions", None, 0, goods
        return
    # The same share of each of the line's currencies was returned.
    share = min(goods[known] / worth[known], Decimal(1)) if not refund_read.unreadable else Decimal(1)
    taken = {currency: _round_to_currency(value * share, currency) for currency, value in price.items()}
    beyond = Decimal(0) if refund_read.unreadable else max(goods[known] / worth[known] - 1, Decimal(0))
    extra = {currency: _round_to_currency(value * beyond, currency) for currency, value in price.items()}
    if source.basis == "order_total":
        yield "refund_line_items", None, 0, {currency: value + extra[currency] for currency, value in taken.items()}
        return
    by_sku: dict[str | None, list[_RefundLine]] = {}
    for line in refund_read.lines:
        by_sku.setdefault(line.sku, []).append(line)
    rest = dict(taken)
    for n, (sku, lines) in enumerate(by_sku.items(), start=1):
        own = _sum(line.price for line in lines)
        part = (
            {currency: rest[currency] for currency in own}
            if n == len(by_sku)
            else {currency: _round_to_currency(value * share, currency) for currency, value in own.items()}
        )
        rest = {currency: value - part.get(currency, Decimal(0)) for currency, value in rest.items()}
        units = sum(line.quantity for line in lines) if sku and share == 1 else 0
        yield lines[0].place, sku, units, part
    if any(extra.values()):
        yield "transactions", None, 0, extra


def _refund_transactions(
    refund: Mapping[str, Any], source: Source, number: str
) -> tuple[list[_Transaction], list[_Transaction], list[Unreadable]]:
    """The transactions that give money back, those that failed, and unreadable ones."""
    parts: list[_Transaction] = []
    failed: list[_Transaction] = []
    unreadable: list[Unreadable] = []
    for n, transaction in enumerate(payload.as_list(refund.get("transactions")), start=1):
        status = payload.value_at(transaction, "status")
        status = status if isinstance(status, str) else ""
        takes = meaning_of(status, source, TRANSACTION).takes
        if payload.value_at(transaction, "kind") != "refund" or takes is KEEP:
            continue
        own = payload.id_text(payload.value_at(transaction, "id")) or f"{number}/{n}"
        if takes is NOTHING:
            failed.append(_Transaction(own, status, {}))
            continue
        value = payload.parse_amount(payload.value_at(transaction, "amount"))
        if value is None:
            details = {
                "field": "amount",
                "value": payload.excerpt(payload.value_at(transaction, "amount")),
            }
            unreadable.append(Unreadable(f"transactions[{n}]", "AMOUNT_UNREADABLE", details, "amount"))
            continue
        currency = payload.id_text(payload.value_at(transaction, "currency")) or ""
        parts.append(_Transaction(own, status, {currency: value, **_by_currency(transaction, "amount", plain=False)}))
    return parts, failed, unreadable


def _refund_lines(
    refund: Mapping[str, Any], source: Source, included: bool, moved: str
) -> tuple[list[_RefundLine], list[Unreadable]]:
    """The lines, and unreadable ones. A line without currency is in that of the money that `moved`."""
    lines: list[_RefundLine] = []
    unreadable: list[Unreadable] = []
    for n, line in enumerate(payload.as_list(refund.get("refund_line_items")), start=1):
        place = f"refund_line_items[{n}]"
        subtotal, taxes = _price_and_tax(line, moved)
        quantity = payload.value_at(line, "quantity")
        if not subtotal:
            details = {"field": "subtotal", "value": payload.excerpt(payload.value_at(line, "subtotal"))}
            unreadable.append(Unreadable(place, "AMOUNT_UNREADABLE", details, "subtotal"))
        elif isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 0:
            details = {"field": "quantity", "value": payload.excerpt(quantity)}
            unreadable.append(Unreadable(place, "QUANTITY_UNREADABLE", details, "quantity"))
        else:
            paid = {c: value + (0 if included else taxes[c]) for c, value in subtotal.items()}
            net = {c: value - (taxes[c] if included else 0) for c, value in subtotal.items()}
            by_prices = {"net": net, "gross": paid, None: paid if source.basis == "order_total" else subtotal}
            sku = payload.id_text(payload.value_at(line, "line_item.sku"))
            lines.append(_RefundLine(place, sku, quantity, by_prices[source.prices], paid))
    return lines, unreadable


def _price_and_tax(line: Any, moved: str) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """A line's price and tax by currency. A tax stated in only one is converted in proportion."""
    price, told = (
        _with_currency(moved, _by_currency(line, "subtotal")),
        _with_currency(moved, _by_currency(line, "total_tax")),
    )
    known = next((currency for currency in told if price.get(currency)), None)
    share = told[known] / price[known] if known is not None else Decimal(0)
    return price, {
        currency: told.get(currency, _round_to_currency(value * share, currency)) for currency, value in price.items()
    }


def _taxes_included(
    refund: Mapping[str, Any],
    order: Mapping[str, Any] | None,
    money: Mapping[str, Decimal],
    spared: Mapping[str, Decimal],
    unpaid: Mapping[str, Decimal],
) -> bool:
    """Whether line prices include tax. Refunds do not say so, but the amounts paid show it."""
    if order is not None and isinstance(order.get("taxes_included"), bool):
        return order["taxes_included"] is True
    lines = payload.as_list(refund.get("refund_line_items"))
    prices = [_price_and_tax(line, next(iter(money), "")) for line in lines]
    subtotal, tax = _sum(price for price, _ in prices), _sum(taxes for _, taxes in prices)
    for currency, moved in (money or dict.fromkeys(unpaid, Decimal(0))).items():
        if currency not in subtotal:
            continue
        goods = moved - spared.get(currency, Decimal(0))
        added = subtotal[currency] + tax.get(currency, Decimal(0))
        kept = unpaid.get(currency, Decimal(0))
        if goods in (subtotal[currency], subtotal[currency] - kept):
            return True
        if goods in (added, added - kept):
            return False
        return bool(goods <= subtotal[currency])
    return True


def _non_goods_amounts(refund: Mapping[str, Any]) -> Iterable[tuple[Any, str]]:
    """Shipping refunded, as an adjustment or (since 2025) in a list of its own, and duties."""
    adjustments = [one for one in payload.as_list(refund.get("order_adjustments")) if _is_shipping(one)]
    if adjustments:
        yield from ((one, field) for one in adjustments for field in ("amount", "tax_amount"))
    else:
        lines = payload.as_list(refund.get("refund_shipping_lines"))
        yield from ((one, field) for one in lines for field in ("subtotal_amount", "tax_amount"))
    yield from ((one, "amount") for one in payload.as_list(refund.get("refund_duties")))


def _adjustments(refund: Mapping[str, Any]) -> Iterable[tuple[Any, str]]:
    adjustments = [one for one in payload.as_list(refund.get("order_adjustments")) if not _is_shipping(one)]
    return ((one, field) for one in adjustments for field in ("amount", "tax_amount"))


def _is_shipping(adjustment: Any) -> bool:
    return bool(payload.value_at(adjustment, "kind") == "shipping_refund")


# Amounts


def _by_currency(part: Any, field: str, *, plain: bool = True) -> dict[str, Decimal]:
    """An amount in each of its currencies; without any, under an empty currency."""
    found = {}
    for money in ("shop_money", "presentment_money"):
        priced = payload.value_at(payload.value_at(part, f"{field}_set"), money)
        value, currency = (
            payload.parse_amount(payload.value_at(priced, "amount")),
            payload.value_at(priced, "currency_code"),
        )
        if value is not None and isinstance(currency, str):
            found[currency] = value
    value = payload.parse_amount(payload.value_at(part, field)) if plain and not found else None
    return found if value is None else {"": value}


def _with_currency(currency: str, told: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Assign a currency to amounts without one."""
    return {name or currency: value for name, value in told.items()}


def _sum(told: Iterable[Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """Sums by currency. Amounts stated in one currency are not added to another's."""
    total: dict[str, Decimal] = {}
    for one in told:
        for currency, value in one.items():
            total[currency] = total.get(currency, Decimal(0)) + value
    return total


def _absolute(told: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {currency: abs(value) for currency, value in told.items()}


def _round_to_currency(value: Decimal, currency: str) -> Decimal:
    try:
        places = exponent(currency) if currency else 2
    except UnknownCurrencyError:
        places = 2
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _amount_fields(taken: Mapping[str, Decimal]) -> dict[str, str | None]:
    """The fields of an amount in one or several currencies."""
    (currency, value), *others = taken.items()
    told = amount_taken_fields(f"{value:f}", currency or None)
    if others:
        told["prices"] = json.dumps([{"currency": other, "amount": f"{price:f}"} for other, price in others if other])
    return told


def _failed_statement(number: str, status: str) -> dict[str, str | None]:
    return statement_fields(f"transaction/{number}", str(TRANSACTION_RANKS.get(status, 3)), takes=None)


# Names


def _order_field(source: Source) -> str:
    return "order_id" if source.order_id_field in (None, "id") else source.order_id_field or "order_id"


def _order_reference(part: Mapping[str, Any], topic: str, source: Source) -> dict[str, str | None] | Unreadable:
    """The order of a refund, transaction or dispute, which only have the shop's own number."""
    field = _order_field(source)
    order, number = payload.id_text(payload.value_at(part, field)), payload.id_text(part.get("order_id"))
    if order is not None:
        return {"order_id": order}
    if number is None:
        return payload.order_id_missing(topic, field, payload.id_text(part.get("id")))
    return {"names": _order_name(number, source)}


def _order_name(number: str, source: Source) -> str:
    return f"{source.namespace}:order:{number}"


READERS = {
    "refunds/create": _read_refund,
    "order_transactions/create": _read_transaction,
    "orders/cancelled": _read_order,
    "orders/updated": _read_order,
    "orders/create": _read_order,
    "disputes/create": _read_dispute,
    "disputes/update": _read_dispute,
}
MESSAGES = tuple(READERS)
