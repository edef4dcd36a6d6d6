"""What shops and payment services really send, in the orders in which it really arrives: what is left of the sale.

The ids are those of the reference's sequences (ST, SH, WO) and of the cases (A, E).
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.ingest import ingest
from tests.gateway import hook
from tests.senders.messages import (
    START as START_OF_MESSAGES,
)
from tests.senders.messages import (
    Message,
    bigcommerce_status,
    shopify,
    shopify_adjustment,
    shopify_dispute,
    shopify_line,
    shopify_order,
    shopify_refund,
    shopify_transaction,
    stripe_charge,
    stripe_dispute,
    stripe_refund,
    woocommerce_deleted,
    woocommerce_order,
)
from tests.senders.webhook_harness import CONTEXT, WebhookHarness

GOODS = {"basis": "goods", "excess": "clamp"}
TOTAL = {"basis": "order_total"}
SUMS = {"amount_means": "set_total", **GOODS}
Case = tuple[str, Sequence[Message], str]


def left_after(hall: WebhookHarness, sent: Sequence[Message], order: str = "1057") -> str:
    for body, headers in sent:
        answer = hall.post(body, **headers)
        assert "refused" not in answer.get("counts", {}), answer
    return hall.left(order)


def hall_of(kind: str, said: dict[str, Any], amount: str = "100.00", **sale: Any) -> WebhookHarness:
    hall = WebhookHarness(kind, said)
    hall.sell("1057", amount, **sale)
    return hall


def refund(number: str, status: str = "succeeded", amount: str = "40.00", at: float = 1, **more: Any) -> Message:
    return stripe_refund(number, status, amount, at, **more)


def dispute(status: str, amount: str = "100.00", at: float = 1, number: str = "dp_1", **more: Any) -> Message:
    return stripe_dispute(number, status, amount, at, **more)


def charge(refunded: str, at: float = 1, total: str = "100.00", **more: Any) -> Message:
    return stripe_charge("charge.refunded", total, refunded, at, **more)


SUCCEEDED, FAILED = refund("re_1", at=1), refund("re_1", "failed", at=5)

STRIPE: list[Case] = [
    ("ST1", [refund("re_1")], "60.00"),
    ("ST2 pending", [refund("re_1", "pending")], "60.00"),
    ("ST2", [refund("re_1", "pending"), refund("re_1", at=2)], "60.00"),
    (
        "ST3",
        [
            SUCCEEDED,
            refund("re_1", "failed", at=5, kind="refund.updated"),
            refund("re_1", "failed", at=5, kind="charge.refund.updated"),
            FAILED,
        ],
        "100.00",
    ),
    ("ST4", [FAILED, SUCCEEDED], "100.00"),
    ("ST5", [refund("re_1", "failed"), refund("re_1", "pending"), refund("re_1")], "100.00"),
    ("ST6", [refund("re_1", "requires_action"), refund("re_1", "canceled", at=2)], "100.00"),
    (
        "ST7",
        [
            refund("re_1", amount="20.00"),
            refund("re_2", amount="20.00"),
            refund("re_1", amount="20.00"),
            refund("re_1", amount="20.00", kind="refund.created"),
        ],
        "60.00",
    ),
    ("ST8", [refund(f"re_{n}", amount="33.33") for n in (1, 2, 3)], "0.01"),
    (
        "ST9",
        [dispute("needs_response", "30.00"), dispute("under_review", "30.00", 2), dispute("lost", "30.00", 3)],
        "70.00",
    ),
    ("ST10", [dispute("won", at=9), dispute("needs_response", at=1)], "100.00"),
    ("ST11", [refund("re_1", amount="100.00"), dispute("needs_response", at=2), dispute("won", at=3)], "0.00"),
    ("ST12", [dispute("warning_needs_response"), dispute("warning_closed", at=2)], "100.00"),
    ("ST13 inquiry", [dispute("warning_needs_response")], "100.00"),
    (
        "ST13",
        [dispute("warning_needs_response"), dispute("needs_response", at=2), dispute("lost", at=3)],
        "0.00",
    ),
    *(
        (
            f"ST14 {end}",
            [
                refund("re_1", "pending", "60.00"),
                dispute("needs_response", at=2),
                refund("re_1", "failed", "60.00", 3),
                dispute(end, at=4),
            ],
            left,
        )
        for end, left in (("lost", "0.00"), ("won", "100.00"))
    ),
    ("ST15", [refund("re_1"), dispute("needs_response", "60.00", 2), dispute("won", "60.00", 3)], "60.00"),
    (
        "ST16",
        [
            dispute("needs_response", "50.00"),
            dispute("needs_response", "50.00", number="dp_2"),
            dispute("won", "50.00", 2),
            dispute("lost", "50.00", 3, number="dp_2"),
        ],
        "50.00",
    ),
    ("ST17", [dispute("won", at=20), dispute("lost", at=9)], "100.00"),
    ("ST18 open", [dispute("needs_response", "110.00")], "0.00"),
    ("ST18", [dispute("needs_response", "110.00"), dispute("won", "110.00", 2)], "100.00"),
    ("A2", [dispute("needs_response", "30.00")], "70.00"),
    ("A3", [dispute("won", at=9), dispute("needs_response", at=1)], "100.00"),
    (
        "A4",
        [
            refund("re_1", amount="25.00"),
            *(refund("re_1", "failed", "25.00", 2, kind=k) for k in ("", "refund.updated")),
        ],
        "100.00",
    ),
    ("E1", [dispute("needs_response"), refund("re_1", amount="100.00", at=2), dispute("won", at=3)], "0.00"),
    (
        "E2",
        [refund("re_1", amount="60.00"), refund("re_2", amount="60.00", at=2), refund("re_1", "failed", "60.00", 3)],
        "40.00",
    ),
]


@pytest.mark.parametrize(("sent", "left"), [case[1:] for case in STRIPE], ids=[case[0] for case in STRIPE])
def test_stripe(sent: Sequence[Message], left: str) -> None:
    assert left_after(hall_of("stripe", GOODS), sent) == left


A1 = [refund("re_1", amount="100.00", at=1), dispute("needs_response", at=2), dispute("won", at=3)]


@pytest.mark.parametrize("sent", list(itertools.permutations(A1)), ids=lambda _: "A1")
def test_a_won_dispute_pays_no_refunded_order_again(sent: Sequence[Message]) -> None:
    assert left_after(hall_of("stripe", GOODS), sent) == "0.00"


# Totals of orders, and names


@pytest.mark.parametrize(
    ("case", "sent"),
    [
        ("ST19", [refund("re_1", amount="60.00"), charge("60.00", 2, "120.00")]),
        (
            "A6 refund, then its charge",
            [refund("re_1", amount="60.00"), stripe_charge("charge.succeeded", "120.00", at=2)],
        ),
        (
            "A6 charge, then its refund",
            [stripe_charge("charge.succeeded", "120.00"), refund("re_1", amount="60.00", at=2)],
        ),
        (
            "A6 the charge knows no order",
            [refund("re_1", amount="60.00"), stripe_charge("charge.updated", "120.00", at=2, order=None)],
        ),
        ("A6 charge.refunded alone", [charge("60.00", 2, "120.00")]),
        ("A6 both, the charge first", [charge("60.00", 2, "120.00"), refund("re_1", amount="60.00")]),
        ("A18", [stripe_charge("charge.succeeded", "120.00"), refund("re_1", amount="60.00", at=2, order=None)]),
        (
            "A18 the other way round",
            [refund("re_1", amount="60.00", at=2, order=None), stripe_charge("charge.succeeded", "120.00")],
        ),
        (
            "A18 two messages about the charge",
            [
                refund("re_1", amount="60.00", order=None),
                stripe_charge("charge.updated", "120.00", order=None),
                stripe_charge("charge.succeeded", "120.00", at=2),
            ],
        ),
    ],
    ids=lambda said: said if isinstance(said, str) else "sent",
)
def test_a_refund_is_its_share_of_the_order_total_whoever_tells_that(case: str, sent: Sequence[Message]) -> None:
    assert left_after(hall_of("stripe", TOTAL), sent) == "50.00"


def test_a_refund_of_an_unknown_total_waits_and_is_listed() -> None:
    """A6, with no word of the charge."""
    hall = hall_of("stripe", TOTAL)
    body, _ = refund("re_1", amount="60.00")
    answer = hall.post(body)
    assert hall.left("1057") == "100.00"
    assert answer["counts"] == {"waiting": 1}
    assert answer["outcomes"][0]["code"] == "ORDER_TOTAL_UNKNOWN"
    assert len(hall.listed("waiting")) == 1


def test_a_charge_that_is_refunded_whole_needs_no_total() -> None:
    """A7: no basis is declared, and the charge holds shipping and tax."""
    assert left_after(hall_of("stripe", {}), [charge("120.00", 1, "120.00")]) == "0.00"


def test_two_refunds_of_an_order_total_take_all_of_the_sale() -> None:
    """ST20."""
    known = stripe_charge("charge.succeeded", "120.00")
    sent = [known, refund("re_1", amount="60.00"), refund("re_2", amount="60.00", at=2)]
    assert left_after(hall_of("stripe", TOTAL), sent) == "0.00"


def test_a_refund_that_fails_is_given_back_though_its_charge_told_the_sum() -> None:
    """The sum of a charge counts only while none of its refunds was told by itself."""
    sent = [charge("40.00", 1), SUCCEEDED, FAILED]
    for order in itertools.permutations(sent):
        assert left_after(hall_of("stripe", GOODS), order) == "100.00"


@pytest.mark.parametrize("sent", [[charge("60.00", 5), charge("40.00", 1)], [charge("40.00", 1), charge("60.00", 5)]])
def test_the_newest_running_sum_counts(sent: Sequence[Message]) -> None:
    """A5, ST21."""
    assert left_after(hall_of("stripe", SUMS), sent) == "40.00"


def test_a_running_sum_may_fall() -> None:
    """E8."""
    sent = [charge("60.00", 1), refund("re_1", "failed", at=2), charge("40.00", 3)]
    assert left_after(hall_of("stripe", SUMS), sent) == "60.00"


def test_a_dispute_without_metadata_is_found_by_its_payment() -> None:
    sent = [stripe_charge("charge.succeeded", "100.00"), dispute("needs_response", "30.00", 2, order=None)]
    assert left_after(hall_of("stripe", GOODS), sent) == "70.00"


def test_two_orders_that_claim_one_payment_leave_it_to_the_first() -> None:
    hall = hall_of("stripe", GOODS)
    hall.sell("1058")
    hall.post(stripe_charge("charge.succeeded", "100.00")[0])
    body, _ = stripe_charge("charge.updated", "100.00", at=2, order="1058")
    claimed = hall.post(body)
    assert (claimed["state"], claimed["code"]) == ("held", "NAME_CONFLICT")
    assert "1057" in claimed["explanation"]
    assert hall.listed("held") == [claimed["batch"]]
    assert left_after(hall, [refund("re_1", order=None)]) == "60.00"
    assert hall.left("1058") == "100.00"


def test_a_message_that_only_tells_names_is_kept_as_its_names_alone() -> None:
    hall = hall_of("stripe", TOTAL)
    answer = hall.post(stripe_charge("charge.succeeded", "120.00")[0])
    assert json.loads(hall.kept.bodies[answer["batch"]]) == {
        "order": "1057",
        "names": ["charge:ch_1", "payment_intent:pi_1"],
        "total": "120.00",
        "currency": "EUR",
    }


def test_a_status_nobody_declared_is_listed_once_and_says_nothing() -> None:
    hall = hall_of("stripe", GOODS)
    sent = [dispute("needs_response"), dispute("of_next_year", at=2), dispute("of_next_year", at=3, number="dp_2")]
    assert left_after(hall, sent) == "0.00"
    assert hall.listed("status") == ["shop#of_next_year"]


# Shopify


def told(*lines: Any, **more: Any) -> Message:
    """A refund: its lines, then `paid`, and `kept` or `owed` as adjustments say."""
    return shopify("refunds/create", refunded(*lines, **more))


def refunded(*lines: Any, paid: Sequence[Any] = (), adjusted: Sequence[Any] = (), number: int = 1, **more: Any) -> Any:
    return shopify_refund(number, lines, paid, adjusted, **more)


def paid(status: str, amount: str, number: int = 11, **more: Any) -> Any:
    return shopify_transaction(number, status, amount, **more)


def ended(status: str, amount: str, number: int = 11) -> Message:
    return shopify("order_transactions/create", paid(status, amount, number))


def updated(*refunds: Any, at: float = 9, **more: Any) -> Message:
    return shopify("orders/updated", shopify_order(refunds, at=at, **more))


OWED, PAID_OUT = shopify_adjustment("40.00"), shopify_adjustment("-40.00")
SHIPPING = shopify_adjustment("-10.00", kind="shipping_refund")
FORTY = shopify_line("40.00")
PENDING = told(FORTY, paid=[paid("pending", "40.00")], adjusted=[OWED])
CANCELLED = shopify("orders/cancelled", shopify_order(at=5, cancelled=True))
ALL_LINES = shopify_line("100.00", quantity=2)

SHOPIFY: list[Case] = [
    ("SH1", [told(FORTY, paid=[paid("success", "40.00")])], "60.00"),
    ("SH2", [PENDING], "60.00"),
    (
        "SH3",
        [
            PENDING,
            ended("success", "40.00"),
            updated(refunded(FORTY, paid=[paid("success", "40.00")], adjusted=[OWED, PAID_OUT])),
        ],
        "60.00",
    ),
    ("SH4", [PENDING, ended("failure", "40.00")], "100.00"),
    ("SH5", [ended("failure", "40.00"), PENDING], "100.00"),
    ("SH6", [told(FORTY, paid=[paid("failure", "40.00"), paid("success", "40.00", 12)])], "60.00"),
    ("SH7, A11", [told(FORTY, paid=[paid("success", "25.00")], adjusted=[shopify_adjustment("15.00")])], "75.00"),
    ("SH8 meanwhile", [told(FORTY, adjusted=[OWED])], "100.00"),
    (
        "SH8, A10",
        [
            told(FORTY, adjusted=[OWED]),
            told(paid=[paid("success", "40.00")], adjusted=[PAID_OUT], number=2),
        ],
        "60.00",
    ),
    ("SH9", [told(FORTY), updated(refunded(FORTY), financial_status="pending")], "60.00"),
    ("SH9 told by the order", [updated(refunded(FORTY), financial_status="pending")], "60.00"),
    ("SH10", [told(FORTY, adjusted=[OWED])], "100.00"),
    ("SH11, A12", [told(paid=[paid("pending", "15.00")])], "85.00"),
    ("A12 failed", [told(paid=[paid("pending", "15.00")]), ended("failure", "15.00")], "100.00"),
    ("SH12", [told(paid=[paid("success", "10.00")], adjusted=[SHIPPING])], "100.00"),
    (
        "SH13",
        [
            told(
                shopify_line("40.00", "3.20"),
                paid=[paid("success", "48.20")],
                adjusted=[shopify_adjustment("-5.00", kind="shipping_refund")],
            )
        ],
        "60.00",
    ),
    ("SH15", [told(shopify_line("50.00"), paid=[paid("success", "30.00")])], "70.00"),
    (
        "SH16",
        [told(ALL_LINES, paid=[paid("success", "60.00"), paid("success", "40.00", 12)])],
        "0.00",
    ),
    ("SH17", [CANCELLED, told(ALL_LINES, paid=[paid("success", "100.00")])], "0.00"),
    ("SH17 turned round", [told(ALL_LINES, paid=[paid("success", "100.00")]), CANCELLED], "0.00"),
    ("SH18", [CANCELLED, told(ALL_LINES)], "0.00"),
    (
        "SH19",
        [
            told(FORTY, paid=[paid("success", "40.00")]),
            told(FORTY, paid=[paid("success", "40.00")]),
            updated(refunded(FORTY, paid=[paid("success", "40.00")])),
        ],
        "60.00",
    ),
    ("SH20 meanwhile", [shopify_dispute(7, "chargeback", "needs_response", "30.00")], "70.00"),
    (
        "SH20",
        [
            shopify_dispute(7, "chargeback", "needs_response", "30.00"),
            shopify_dispute(7, "chargeback", "won", "30.00"),
        ],
        "100.00",
    ),
    (
        "SH21",
        [
            shopify_dispute(7, "inquiry", "needs_response", "100.00"),
            shopify_dispute(7, "chargeback", "needs_response", "100.00"),
            shopify_dispute(7, "chargeback", "lost", "100.00"),
        ],
        "0.00",
    ),
    (
        "SH22",
        [
            told(ALL_LINES, paid=[paid("success", "100.00")]),
            shopify_dispute(7, "chargeback", "needs_response", "100.00"),
            shopify_dispute(7, "chargeback", "won", "100.00"),
        ],
        "0.00",
    ),
    (
        "SH23",
        [shopify(f"returns/{what}", {"id": 5, "order_id": 450789469}) for what in ("request", "approve", "close")],
        "100.00",
    ),
]


@pytest.mark.parametrize(("sent", "left"), [case[1:] for case in SHOPIFY], ids=[case[0] for case in SHOPIFY])
def test_shopify(sent: Sequence[Message], left: str) -> None:
    hall = WebhookHarness("shopify", {"order_id_field": "name"})
    hall.sell("#1057")
    known = shopify("orders/create", shopify_order())
    assert left_after(hall, [known, *sent], "#1057") == left


@pytest.mark.parametrize("basis", ["goods", "order_total"])
def test_an_edited_order_is_taken_back_once(basis: str) -> None:
    """A10: A 80.00 in two units, B 20.00; and its goods are back only when the balance is paid out."""
    items = [{"sku": "A", "quantity": 2, "amount": "80.00"}, {"sku": "B", "quantity": 1, "amount": "20.00"}]
    hall = WebhookHarness("shopify", {"basis": basis})
    hall.sell("450789469", items=items)
    edited = told(shopify_line("40.00", sku="A"), adjusted=[OWED])
    balance = told(paid=[paid("success", "40.00")], adjusted=[PAID_OUT], number=2)
    assert left_after(hall, [edited, balance], "450789469") == "60.00"


def test_a_refund_that_is_shipping_only_takes_nothing() -> None:
    """A15."""
    hall = WebhookHarness("shopify", {"basis": "order_total"})
    hall.sell("450789469")
    sent = told(paid=[paid("success", "10.00")], adjusted=[SHIPPING])
    assert left_after(hall, [sent], "450789469") == "100.00"


@pytest.mark.parametrize(
    ("subtotal", "tax", "moved", "left"),
    [
        ("100.00", "15.97", "100.00", "0.00"), ("50.00", "7.98", "50.00", "42.01"), ("50.00", "7.99", "50.00", "42.02"),
        ("100.00", "15.97", None, "0.00"), ("50.00", "7.98", None, "42.01"), ("50.00", "7.99", None, "42.02"),
    ],
)  # fmt: skip
def test_an_action_reported_net_takes_the_net_price(subtotal: str, tax: str, moved: str | None, left: str) -> None:
    """A13: taxes are included; with the money that moved, and of an order that was never paid."""
    hall = WebhookHarness("shopify", {"prices": "net"})
    hall.sell("450789469", "84.03")
    units = 2 if subtotal == "100.00" else 1
    sent = told(shopify_line(subtotal, tax, quantity=units), paid=[paid("success", moved)] if moved else [])
    assert left_after(hall, [sent], "450789469") == left


def test_prices_of_a_program_hold_for_its_sources() -> None:
    hall = WebhookHarness("shopify", {}, {"prices": "net"})
    hall.sell("450789469", "100.00")
    sent = told(shopify_line("59.50", "9.50"), paid=[paid("success", "59.50")])
    assert left_after(hall, [sent], "450789469") == "50.00", "SH14"


@pytest.mark.parametrize(("currency", "amount", "left"), [("EUR", "92.00", "46.00"), ("USD", "100.00", "50.00")])
def test_an_action_takes_the_amount_of_its_own_currency(currency: str, amount: str, left: str) -> None:
    """A14."""
    hall = WebhookHarness("shopify", {})
    hall.sell("450789469", amount, currency=currency)
    line = shopify_line("50.00", currency="USD", presentment="46.00", presentment_currency="EUR")
    sent = told(line, paid=[paid("success", "46.00", currency="EUR")])
    assert left_after(hall, [sent], "450789469") == left


def test_a_refund_in_a_currency_the_action_does_not_have_is_refused_with_its_reason() -> None:
    hall = WebhookHarness("shopify", {})
    hall.sell("450789469", currency="USD")
    body, headers = told(paid=[paid("success", "46.00")])
    answer = hall.post(body, **headers)
    assert answer["outcomes"][0]["code"] == "CURRENCY_MISMATCH"
    assert hall.left("450789469") == "100.00"


def test_an_action_of_one_line_without_sku_takes_an_amount_of_any_line() -> None:
    """A16; units without an amount are of no item it knows."""
    hall = WebhookHarness("shopify", {})
    hall.sell("450789469", items=[{"quantity": 1, "amount": "100.00"}])
    sent = told(shopify_line("40.00", sku="ZZZ"), paid=[paid("success", "40.00")])
    assert left_after(hall, [sent], "450789469") == "60.00"


def test_a_refund_by_the_shops_number_finds_the_order_by_its_name() -> None:
    """A17, in both orders."""
    create, refund_ = shopify("orders/create", shopify_order()), told(FORTY, paid=[paid("success", "40.00")])
    for sent in ([create, refund_], [refund_, create]):
        hall = WebhookHarness("shopify", {"order_id_field": "name"})
        hall.sell("#1057")
        assert left_after(hall, sent, "#1057") == "60.00"
    assert hall.listed("name") == ["shop:order:450789469"]


def test_a_refund_with_a_fee_for_two_lines_gives_each_its_share() -> None:
    items = [{"sku": "A", "quantity": 1, "amount": "80.00"}, {"sku": "B", "quantity": 1, "amount": "20.00"}]
    hall = WebhookHarness("shopify", {})
    hall.sell("450789469", items=items)
    lines = shopify_line("80.00", sku="A"), shopify_line("20.00", sku="B", number=2)
    assert left_after(hall, [told(*lines, paid=[paid("success", "90.00")])], "450789469") == "10.00"
    assert [rest.amount for rest in hall.head("450789469").standing.rests] == [800, 200]


# WooCommerce


def woo(status: str, refunds: Sequence[str] = (), at: float = 1, **more: Any) -> Message:
    return woocommerce_order(status, refunds, at, **more)


WOOCOMMERCE: list[Case] = [
    ("WO1", [woo("processing", ["40.00"])], "60.00"),
    ("WO2", [woo("completed", ["20.00"]), woo("completed", ["20.00", "20.00"], 2)], "60.00"),
    ("WO3", [woo("completed", ["20.00", "20.00"], 300), woo("completed", ["20.00"])], "60.00"),
    ("WO4, A8", [woo("failed"), woo("processing", at=2)], "100.00"),
    ("WO5", [woo("processing", at=300), woo("failed")], "100.00"),
    ("WO6, A9", [woo("cancelled"), woo("processing", at=2), woo("cancelled", at=3)], "0.00"),
    ("WO7", [woo("on-hold"), woo("cancelled", at=2), woo("processing", at=3)], "100.00"),
    ("WO8", [woo("refunded", ["100.00"])], "0.00"),
    ("WO9", [woo("processing", ["30.00"]), woo("refunded", ["70.00", "30.00"], 2)], "0.00"),
    ("WO10", [woo("refunded", ["100.00"]), woo("processing", ["100.00"], 2)], "0.00"),
    ("WO11", [woo("refunded", ["100.00"]), woo("processing", at=2)], "100.00"),
    ("WO13", [woo("processing", ["40.00"]), woo("cancelled", ["40.00"], 2), woo("completed", ["40.00"], 3)], "60.00"),
    ("WO14", [woo("processing", ["59.00"], total="118.00")], "50.00"),
    ("WO15 deleted", [woo("processing"), woocommerce_deleted()], "0.00"),
    ("WO16", [woo("processing"), woo("processing", ["40.00"])], "60.00"),
    ("WO17", [woo("processing", ["-0.00"])], "100.00"),
    ("E29", [woo("processing"), woo("cancelled")], "0.00"),
    ("E29 turned round", [woo("cancelled"), woo("processing")], "0.00"),
    ("a status of a plug-in", [woo("cancelled"), woo("wc-packed", at=2)], "0.00"),
    ("its refunds count", [woo("wc-packed", ["40.00"], at=2)], "60.00"),
]


@pytest.mark.parametrize(("sent", "left"), [case[1:] for case in WOOCOMMERCE], ids=[case[0] for case in WOOCOMMERCE])
def test_woocommerce(sent: Sequence[Message], left: str) -> None:
    assert left_after(hall_of("woocommerce", {"order_id_field": "id"}), sent) == left


def test_a_trashed_order_that_is_restored_counts_again() -> None:
    """WO15: a deleted order tells no time, its arrival is its version; that it is restored is told later."""
    hall = hall_of("woocommerce", {"order_id_field": "id"})
    assert left_after(hall, [woo("processing"), woocommerce_deleted()]) == "0.00"
    later = (hall.moment - START_OF_MESSAGES).total_seconds() + 60
    hall.moment = hall.moment.replace(hour=hall.moment.hour + 1)
    body, _ = woo("processing", at=later)
    assert left_after(hall, [(body, {"x_wc_webhook_topic": "order.restored"})]) == "100.00"


# BigCommerce


@pytest.mark.parametrize(
    ("statuses", "left"),
    [([5, 11, 5], "0.00"), ([5, 11], "100.00"), ([4], "0.00"), ([6], "0.00"), ([5, 13], "0.00"), ([2, 10], "100.00")],
    ids=["A9", "paid after all", "refunded", "declined", "disputed says nothing", "nothing"],
)
def test_bigcommerce(statuses: Sequence[int], left: str) -> None:
    sent = [bigcommerce_status(status, at) for at, status in enumerate(statuses, start=1)]
    assert left_after(hall_of("bigcommerce", {}), sent) == left


# People beside senders


def by_a_person(hall: WebhookHarness, **record: Any) -> str:
    """What a person does to order 1057 in the console; its outcome."""
    body = json.dumps({"order_id": "1057", "event_type": "sale", **record}).encode()
    delivery = replace(hall.delivery(f"form-{hall.moment}", body, DeliveryKind.MODIFICATIONS), channel=Channel.CONSOLE)
    batch = ingest(hall, delivery, body)  # type: ignore[arg-type]
    return batch.results[0].outcome.value


def test_a_total_a_person_sets_moves_by_what_a_subject_says_later() -> None:
    """E11."""
    hall = hall_of("stripe", GOODS)
    assert left_after(hall, [refund("re_1", amount="20.00")]) == "80.00"
    assert by_a_person(hall, change="set_total", amount="50.00", currency="EUR") == "applied"
    assert left_after(hall, [refund("re_1", amount="60.00", at=2)]) == "10.00"


def test_a_reversal_by_a_person_holds_whatever_subjects_say() -> None:
    """E12."""
    hall = hall_of("stripe", GOODS)
    assert left_after(hall, [refund("re_1", amount="30.00")]) == "70.00"
    assert by_a_person(hall, change="reverse", reason="CONS_FRAUD") == "applied"
    assert left_after(hall, [refund("re_1", "failed", "30.00", 2)]) == "0.00"
    assert by_a_person(hall, change="restore") == "applied"
    assert hall.left("1057") == "100.00"


def test_what_a_person_restored_stays_until_the_sender_says_something_else() -> None:
    """E15."""
    hall = hall_of("woocommerce", {"order_id_field": "id"})
    assert left_after(hall, [woo("cancelled")]) == "0.00"
    assert by_a_person(hall, change="restore") == "applied"
    assert left_after(hall, [woo("cancelled", at=2)]) == "100.00"
    assert left_after(hall, [woo("processing", at=3), woo("cancelled", at=4)]) == "0.00"


@pytest.mark.parametrize("order", [0, 1], ids=["order first", "line first"])
def test_what_is_said_of_a_line_goes_before_what_is_said_of_the_order(order: int) -> None:
    """E3: lines A 80.00, B 20.00; 50.00 of the order and line B back."""
    items = [{"sku": "A", "quantity": 1, "amount": "80.00"}, {"sku": "B", "quantity": 1, "amount": "20.00"}]
    hall = WebhookHarness("shopify", {})
    hall.sell("450789469", items=items)
    sent = [
        told(paid=[paid("success", "50.00", 11)], number=1),
        told(shopify_line("20.00", sku="B", number=2), paid=[paid("success", "20.00", 12)], number=2),
    ]
    assert left_after(hall, sent[:: -1 if order else 1], "450789469") == "30.00"


def test_a_won_dispute_after_the_lock_is_refused_with_its_make_good() -> None:
    """E24."""
    hall = hall_of("stripe", GOODS)
    assert left_after(hall, [dispute("needs_response", "10.00")]) == "90.00"
    hall.moment = hall.moment.replace(year=2027, month=2)
    outcome = hall.post(dispute("won", "10.00", at=9)[0])["outcomes"][0]
    assert (outcome["outcome"], outcome["code"]) == ("refused", "ACTION_LOCKED")
    owed = outcome["make_good"]
    assert (owed["amount"].lstrip("+"), owed["payout"].lstrip("+")) == ("10.00", "1.00")


# What is wrong in a message


def test_a_message_without_its_total_waits_and_is_listed() -> None:
    hall = hall_of("woocommerce", {"order_id_field": "id"})
    body, headers = woo("processing", ["40.00"])
    answer = hall.post(body.replace(b'"total": "100.00"', b'"total": null'), **headers)
    assert answer["outcomes"][0]["code"] == "ORDER_TOTAL_UNKNOWN"
    assert len(hall.listed("waiting")) == 1
    assert left_after(hall, [woo("processing", ["40.00"], at=2)]) == "60.00"


def test_a_forged_message_with_the_right_id_is_not_believed() -> None:
    hall = hall_of("stripe", GOODS)
    body, _ = refund("re_1")
    good = hall.post(body)
    forged = hook("acme", "shop", body.replace(b"4000", b"9000"), {"stripe-signature": "t=1,v1=00"})
    assert hall.app.handler(forged, CONTEXT)["statusCode"] == 401
    assert good["counts"] == {"applied": 1}
    assert hall.left("1057") == "60.00"


def test_a_time_that_lies_ahead_is_none_later_than_the_receipt() -> None:
    """A version of 2035 does not silence all that is told until then."""
    hall = hall_of("stripe", GOODS)
    ahead = 9 * 365 * 86_400
    assert left_after(hall, [refund("re_1", at=ahead)]) == "60.00"
    hall.moment = hall.moment.replace(hour=hall.moment.hour + 1)
    later = (hall.moment - START_OF_MESSAGES).total_seconds()
    assert left_after(hall, [refund("re_1", "failed", at=later)]) == "100.00"
