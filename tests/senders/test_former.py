"""What an older release recorded, told again after the upgrade: nothing is taken twice, nothing is lost."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from retour.domain.actions.legacy import legacy_subjects
from retour.domain.actions.modification import (
    Change,
    Modification,
    Provenance,
    Restore,
    Reverse,
    SetTotal,
    TakeBack,
    content_hash,
    digest,
)
from retour.domain.delivery import Channel
from retour.posting.fold import fold_and_save
from tests.senders.messages import (
    Message,
    bigcommerce_status,
    shopify,
    shopify_line,
    shopify_order,
    shopify_refund,
    shopify_transaction,
    stripe_dispute,
    stripe_refund,
    woocommerce_order,
)
from tests.senders.webhook_harness import NOW, WebhookHarness

GOODS = {"basis": "goods", "excess": "clamp"}


def recorded(hall: WebhookHarness, order: str, *old: tuple[str, Change]) -> None:
    """Records as older releases left them: without subject, under the references their adapters made."""
    for number, (reference, change) in enumerate(old):
        at = NOW - timedelta(days=2) + timedelta(minutes=number)
        currency = "EUR" if getattr(change, "amount", None) is not None else None
        hall.books.insert(
            Modification(
                identity=digest("shop", reference, "", order, "sale", "", ""),
                content=content_hash(change, currency),
                program="acme",
                channel=Channel.API,
                source="shop",
                namespace="shop",
                reference=reference,
                provenance=Provenance("20261118T090000000Z-0000000000", "hook", "1", "0" * 64, hall.kind),
                order_key=order,
                action_id=None,
                event_type="sale",
                sku=None,
                line=None,
                change=change,
                currency=currency,
                reason=None,
                disposition=None,
                note=None,
                occurred_at=None,
                received_at=at,
                orders_by=at,
            )
        )
    fold_and_save(hall.books, order, hall.now())


def took(amount: str) -> TakeBack:
    return TakeBack(Decimal(amount), clamp=True)


def hall_with(kind: str, said: dict[str, Any], *old: tuple[str, Change], order: str = "1057") -> WebhookHarness:
    hall = WebhookHarness(kind, said, moment=NOW - timedelta(days=4))
    hall.sell(order)
    hall.moment = NOW
    recorded(hall, order, *old)
    return hall


def sent(hall: WebhookHarness, *messages: Message, order: str = "1057") -> list[str]:
    left = []
    for body, headers in messages:
        answer = hall.post(body, **headers)
        assert "refused" not in answer.get("counts", {}), answer
        left.append(hall.left(order))
    return left


def test_a_refund_that_was_booked_is_told_again_and_then_fails() -> None:
    """E19."""
    hall = hall_with("stripe", GOODS, ("re_1", took("40.00")))
    assert hall.left("1057") == "60.00"
    again, failed = stripe_refund("re_1", "succeeded", "40.00"), stripe_refund("re_1", "failed", "40.00", 5)
    assert sent(hall, again, failed) == ["60.00", "100.00"]


def test_a_refund_that_was_booked_fails_without_being_told_again() -> None:
    hall = hall_with("stripe", GOODS, ("re_1", took("40.00")), ("re_2", took("10.00")))
    assert sent(hall, stripe_refund("re_1", "failed", "40.00", 5)) == ["90.00"]


def test_what_is_not_told_again_stays_as_it_was() -> None:
    hall = hall_with("stripe", GOODS, ("re_1", took("40.00")))
    assert sent(hall, stripe_refund("re_2", "succeeded", "10.00")) == ["50.00"]


def test_a_dispute_that_was_reversed_and_won_is_told_lost_after_all() -> None:
    hall = hall_with("stripe", GOODS, ("dp_1", Reverse()), ("dp_1/won", Restore()))
    assert hall.left("1057") == "100.00"
    assert sent(hall, stripe_dispute("dp_1", "lost", "30.00", 5)) == ["70.00"]


def test_a_dispute_that_was_reversed_is_won() -> None:
    hall = hall_with("stripe", GOODS, ("re_1", took("20.00")), ("dp_1", Reverse()))
    assert hall.left("1057") == "0.00"
    assert sent(hall, stripe_dispute("dp_1", "won", "100.00", 5)) == ["80.00"]


def test_running_sums_of_a_charge_are_taken_up_by_the_next() -> None:
    from tests.senders.messages import stripe_charge

    sums = {**GOODS, "amount_means": "set_total"}
    hall = hall_with("stripe", sums, ("ch_1/2000", SetTotal(Decimal("80.00"))))
    assert sent(hall, stripe_charge("charge.refunded", "100.00", "60.00", 5)) == ["40.00"]


@pytest.mark.parametrize(
    ("old", "messages", "left"),
    [
        ([("701", took("20.00"))], [woocommerce_order("processing", ["20.00", "20.00"], 5)], ["60.00"]),
        ([("701", took("20.00")), ("702", took("20.00"))], [woocommerce_order("processing", ["20.00"], 5)], ["80.00"]),
        ([("1057/cancelled", Reverse())], [woocommerce_order("processing", [], 5)], ["100.00"]),
        ([("1057/failed", Reverse())], [woocommerce_order("failed", [], 5)], ["0.00"]),
    ],
)
def test_refunds_and_statuses_of_woocommerce(
    old: list[tuple[str, Change]], messages: Sequence[Message], left: list[str]
) -> None:
    assert sent(hall_with("woocommerce", {"order_id_field": "id"}, *old), *messages) == left


def test_a_refund_of_shopify_that_is_told_again_by_its_transaction() -> None:
    number = "450789469"
    hall = hall_with("shopify", {}, ("1", took("40.00")), order=number)
    refund = shopify_refund(1, [shopify_line("40.00")], [shopify_transaction(11, "success", "40.00")])
    again = shopify("orders/updated", shopify_order([refund], at=5))
    failed = shopify("order_transactions/create", shopify_transaction(11, "failure", "40.00"))
    assert sent(hall, again, failed, order=number) == ["60.00", "100.00"]


def test_a_cancelled_order_of_shopify_and_of_bigcommerce() -> None:
    hall = hall_with("shopify", {}, ("450789469/cancelled", Reverse()), order="450789469")
    cancelled = shopify("orders/cancelled", shopify_order(at=5, cancelled=True))
    assert sent(hall, cancelled, order="450789469") == ["0.00"]
    assert sent(hall_with("bigcommerce", {}, ("1057/Cancelled", Reverse())), bigcommerce_status(11, 5)) == ["100.00"]


@pytest.mark.parametrize(
    ("kind", "reference", "subjects"),
    [
        ("stripe", "re_1", ["refund/re_1", "dispute/re_1"]),
        ("stripe", "dp_1/won", ["dispute/dp_1"]),
        ("stripe", "ch_1/refunded", ["charge/ch_1"]),
        ("stripe", "ch_1/1500", ["charge/ch_1"]),
        ("shopify", "929361462", ["refund/929361462"]),
        ("shopify", "450789469/cancelled", ["order/450789469"]),
        ("woocommerce", "727/refunded", ["order/727"]),
        ("woocommerce", "701", ["order/*"]),
        ("bigcommerce", "250/Cancelled", ["order/250"]),
        ("standard", "RT-7", ["RT-7"]),
    ],
)
def test_every_adapter_knows_its_old_references(kind: str, reference: str, subjects: list[str]) -> None:
    assert legacy_subjects(kind, reference) == subjects
