"""Rules that mutants had shown to be watched by nobody: one small case each."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, balances_of, fold_records, outcomes_of, record

from retour.domain.actions.fold import fold, waiting_reason
from retour.domain.actions.legacy import legacy_subject
from retour.domain.actions.modification import (
    Modification,
    Provenance,
    Reverse,
    SetQuantity,
    SetTotal,
    TakeBack,
    content_hash,
    has_amount,
)
from retour.domain.actions.order import NO_ACTION, Order

DAYS = {"days": "14"}


def take(amount: str, hours: float = 1, **more: object) -> Modification:
    return record(TakeBack(Decimal(amount)), hours, **more)


@pytest.mark.parametrize(("days", "outcome"), [(14, "held"), (15, "applied")])
def test_what_came_long_before_is_no_possible_duplicate(days: int, outcome: str) -> None:
    other = take("20", 1 + 24 * days, source="till", namespace="till", doubles=DAYS)
    assert outcomes_of(fold_records(action(), [take("20"), other]))[1][0] == outcome


def test_what_is_refused_beside_every_action_moves_nothing() -> None:
    two = [action(), action(id="A~lead", event_type="lead")]
    order = fold(Order(key="A", actions=two, records=[take("5")]), [CONTRACT], REPORTED)
    [entry] = order.heads[NO_ACTION].log
    assert (entry.code, entry.amount, entry.payout, entry.contract) == ("EVENT_TYPE_NEEDED", 0, 0, 0)


@pytest.mark.parametrize(("left", "rest"), [(0, (0, 0)), (1, (5000, 1)), (2, (10000, 2))])
def test_a_quantity_leaves_its_share_of_the_line(left: int, rest: tuple[int, int]) -> None:
    order = fold_records(action(("S1", 2, 10000)), [record(SetQuantity(left), 1)])
    assert balances_of(order) == [rest]


def test_that_nothing_is_left_agrees_with_a_reversal_of_another() -> None:
    records = [record(Reverse(), 1), *(record(change, 2 + n, source="till") for n, change in enumerate(
        (SetQuantity(0), SetTotal(Decimal(0)), SetQuantity(1), SetTotal(Decimal(1)))))]  # fmt: skip
    codes = [code for _, code in outcomes_of(fold_records(action(), records))]
    assert codes == ["", "", "", "ACTION_REVERSED", "ACTION_REVERSED"]


def test_why_a_record_waits() -> None:
    of_a_charge = record(TakeBack(Decimal(5), total_of="ch_1"), 1)
    known, unknown = Order(key="A", actions=[action()], records=[of_a_charge]), Order(key="A", records=[of_a_charge])
    assert waiting_reason(known, of_a_charge) == "ORDER_TOTAL_UNKNOWN"
    assert waiting_reason(unknown, of_a_charge) == "ACTION_NOT_FOUND"
    assert waiting_reason(replace(known, records=[take("5")]), take("5")) == "ACTION_NOT_FOUND"


@pytest.mark.parametrize(
    ("amounts", "outcomes"),
    [
        (("20", "20"), [("applied", ""), ("duplicate", "")]),
        (("20", "25"), [("applied", ""), ("refused", "REFERENCE_REUSED")]),
        (("900", "25"), [("refused", "AMOUNT_EXCEEDS_SALE"), ("applied", "")]),
    ],
)
def test_a_reference_stands_for_the_first_record_that_was_not_refused(
    amounts: tuple[str, str], outcomes: list[tuple[str, str]]
) -> None:
    records = [take(amount, 1 + n, reference="R-1", attempt=f"{n}") for n, amount in enumerate(amounts)]
    assert outcomes_of(fold_records(action(), records)) == outcomes


def test_another_quantity_is_other_content() -> None:
    assert (
        content_hash(SetQuantity(1), None) == content_hash(SetQuantity(1), None) != content_hash(SetQuantity(2), None)
    )


def test_only_some_changes_have_an_amount() -> None:
    assert has_amount(TakeBack(Decimal(1))) and not has_amount(TakeBack(None, 1)) and not has_amount(Reverse())


@pytest.mark.parametrize(
    ("sender", "reference", "subject"),
    [("stripe", "re_1", "refund/re_1"), ("shopify", "9", "refund/9"), ("erp", "R-1", "R-1"), ("stripe", "re_2", None)],
)
def test_of_which_subject_an_older_record_spoke(sender: str, reference: str, subject: str | None) -> None:
    told_ = {("erp", "refund/re_1"), ("erp", "refund/9"), ("erp", "R-1"), ("other", "refund/re_2")}
    old = take("5", reference=reference, provenance=Provenance("d", "hook", "1", "", sender))
    assert legacy_subject(old, told_) == subject
