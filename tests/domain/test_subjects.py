"""What is left is what the records without subject leave, less what the newest version of every subject says."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.cases import CONTRACT, REPORTED, action, balances_of, contract, fold_records, outcomes_of, record

from retour.domain.actions.action import LifecycleState
from retour.domain.actions.fold import fold
from retour.domain.actions.make_good import make_good
from retour.domain.actions.modification import (
    Approve,
    Change,
    Modification,
    Provenance,
    Restore,
    Reverse,
    SetQuantity,
    SetTotal,
    TakeBack,
    Undo,
    Version,
    content_hash,
    parse_version,
    receipt_version,
)
from retour.domain.actions.order import Order
from retour.domain.actions.replay import restore_state
from retour.domain.delivery import Channel

NOTHING = TakeBack(D(0))
ALL = Reverse()


def says(
    change: Change, version: int | None = None, subject: str = "refund/re_1", hours: float = 1, **more: Any
) -> Modification:
    """A record of a subject; without a version its receipt is it. `delivery` groups what came together."""
    received_at = REPORTED + timedelta(hours=hours)
    delivery = more.pop("delivery", None)
    told_version = (
        receipt_version(received_at, delivery or f"d{hours}")
        if version is None
        else parse_version(str(version), received_at)
    )
    usual = {"content": content_hash(change, "EUR"), "subject": subject, "version": told_version}
    made = record(change, hours, **(usual | more))
    if delivery is None:
        return made
    return replace(made, provenance=Provenance(delivery, "file", made.provenance.delivery, "", ""))


def amount(order: Order) -> int:
    return order.heads["A~sale"].standing.amount


@pytest.mark.parametrize(
    ("records", "left"),
    [
        ([says(TakeBack(D(40)), 1)], 6000),
        ([says(TakeBack(D(40)), 1), says(NOTHING, 2, hours=2)], 10000),
        ([says(NOTHING, 2), says(TakeBack(D(40)), 1, hours=2)], 10000),
        ([says(TakeBack(D(60)), 1), says(TakeBack(D(40)), 2, hours=2)], 6000),
        ([says(ALL, 1, "dispute/d"), says(TakeBack(D(100)), 1, hours=2), says(NOTHING, 2, "dispute/d", 3)], 0),
        ([says(TakeBack(D(60)), 1, "a"), says(TakeBack(D(60)), 1, "b", 2), says(NOTHING, 2, "a", 3)], 4000),
        ([says(TakeBack(D(20)), 1), record(SetTotal(D(50)), 2), says(TakeBack(D(60)), 2, hours=3)], 1000),
        ([says(TakeBack(D(20)), 1), record(SetTotal(D(50)), 2), says(NOTHING, 2, hours=3)], 7000),
        ([says(TakeBack(D(30)), 1), record(ALL, 2), says(NOTHING, 2, hours=3)], 0),
        ([says(TakeBack(D(30)), 1), record(ALL, 2), says(NOTHING, 2, hours=3), record(Restore(), 4)], 10000),
        ([says(ALL, 1, "order/1"), record(Restore(), 2), says(ALL, 2, "order/1", 3)], 10000),
        ([says(ALL, 1, "o"), record(Restore(), 2), says(NOTHING, 2, "o", 3), says(ALL, 3, "o", 4)], 0),
        ([record(TakeBack(D(50)), 1), says(TakeBack(D(60)), 1, hours=2)], 0),
        ([says(ALL, 7, "order/1", delivery="x"), says(NOTHING, 7, "order/1", 2, delivery="y")], 0),
        ([says(NOTHING, 7, "order/1", delivery="y"), says(ALL, 7, "order/1", 2, delivery="x")], 0),
        ([says(SetTotal(D(70)), 1)], 7000),
        ([says(SetTotal(D(70)), 1), says(SetTotal(D(100)), 2, hours=2)], 10000),
    ],
)  # fmt: skip
def test_what_is_left(records: list[Modification], left: int) -> None:
    assert amount(fold_records(action(), records)) == left


def test_an_order_refund_and_a_refund_of_a_line_leave_the_same_in_either_order() -> None:
    sold = action(("A", 1, 8000), ("B", 1, 2000))
    both = [says(TakeBack(D(50)), 1, "refund/1"), says(TakeBack(D(20)), 1, "refund/2", 2, sku="B")]
    for arrived in itertools.permutations(both):
        assert balances_of(fold_records(sold, arrived)) == [(3000, 1), (0, 0)]


def test_rows_of_one_delivery_add_up_and_a_correction_replaces_them_all() -> None:
    sold = action(("A", 2, 10000), ("B", 1, 2000))
    two = [says(TakeBack(quantity=1), None, "RT-7", delivery="one", sku="A") for _ in range(2)]
    assert balances_of(fold_records(sold, two)) == [(0, 0), (2000, 1)]
    of_both = [says(TakeBack(quantity=1), None, "RT-7", delivery="one", sku=sku) for sku in "AB"]
    assert balances_of(fold_records(sold, of_both)) == [(5000, 1), (0, 0)]
    corrected = [*of_both, says(TakeBack(quantity=1), None, "RT-7", 2, delivery="two", sku="A")]
    assert balances_of(fold_records(sold, corrected)) == [(5000, 1), (2000, 1)]


def test_the_same_version_from_another_delivery_is_a_duplicate_row_by_row() -> None:
    sold = action(("A", 3, 9000))
    once = [says(TakeBack(quantity=1), 4, "RT-7", delivery="one", sku="A") for _ in range(2)]
    again = [says(TakeBack(quantity=1), 4, "RT-7", 2, delivery="two", sku="A") for _ in range(2)]
    order = fold_records(sold, [*once, *again])
    assert balances_of(order) == [(3000, 1)]
    assert [outcome for outcome, _ in outcomes_of(order)] == ["applied", "applied", "duplicate", "duplicate"]


def test_units_of_several_subjects_sum_exactly_to_the_line() -> None:
    three = [says(TakeBack(quantity=1), 1, f"refund/{n}", n) for n in (1, 2, 3)]
    sold = action(("X", 3, 1999))
    assert [amount(fold_records(sold, three[:n])) for n in (1, 2, 3)] == [1333, 666, 0]
    assert fold_records(sold, three).heads["A~sale"].state(REPORTED) is LifecycleState.REVERSED


@pytest.mark.parametrize("hours", [1, 3])
def test_a_version_is_refused_only_for_what_is_wrong_in_itself(hours: float) -> None:
    wrong = says(TakeBack(D("100.01")), 1, hours=hours)
    other = says(ALL, 1, "dispute/d", 2)
    order = fold_records(action(), [wrong, other])
    assert ("refused", "AMOUNT_EXCEEDS_SALE") in outcomes_of(order)
    clamped = says(TakeBack(D("110"), clamp=True), 1, "dispute/e")
    assert outcomes_of(fold_records(action(), [clamped])) == [("applied", "CLAMPED_TO_SALE")]


def test_older_versions_are_superseded_and_equal_words_unchanged() -> None:
    history = [says(TakeBack(D(40)), 5), says(TakeBack(D(20)), 3, hours=2), says(TakeBack(D(40)), 6, hours=3)]
    assert [outcome for outcome, _ in outcomes_of(fold_records(action(), history))] == [
        "applied",
        "superseded",
        "unchanged",
    ]


def test_an_undone_version_leaves_the_one_before_until_something_else_is_said() -> None:
    first, second = says(TakeBack(D(40)), 1), says(TakeBack(D(60)), 2, hours=2)
    undo = record(Undo(second.public_id), 3, channel=Channel.CONSOLE)
    same, other = says(TakeBack(D(60)), 3, hours=4), says(TakeBack(D(70)), 4, hours=5)
    history = [first, second, undo, same, other]
    assert [amount(fold_records(action(), history[:n])) for n in range(1, 6)] == [6000, 4000, 6000, 6000, 3000]


def test_what_remains_is_priced_by_the_newest_record_that_still_counts() -> None:
    before, now = contract("20"), contract("8", number=2, recorded_at=REPORTED + timedelta(hours=1))
    terms = [before, now]
    taken, failed = says(TakeBack(D(40)), 1, hours=2), says(NOTHING, 2, hours=3)
    assert fold_records(action(), [taken], terms).heads["A~sale"].payout == 480
    assert fold_records(action(), [taken, failed], terms).heads["A~sale"].payout == 2000


def test_a_reversal_by_a_subject_ends_an_approval_and_the_lock_it_set() -> None:
    terms = contract(lock={"open_ended": True})
    far = REPORTED + timedelta(days=730)
    sold = replace(action(), locks_at=far)
    history = [record(Approve(), 1), says(ALL, 1, "order/1", 2), says(NOTHING, 2, "order/1", 96)]
    approved = fold_records(sold, history[:1], [terms]).heads["A~sale"]
    assert approved.locks_at is not None and approved.locks_at < far
    back = fold_records(sold, history, [terms]).heads["A~sale"]
    assert (back.state(REPORTED), back.locks_at, back.standing.amount) == (LifecycleState.PENDING, far, 10000)


def test_after_the_lock_the_version_before_it_stays_and_a_make_good_is_named() -> None:
    late = says(NOTHING, 2, "dispute/d", 24 * 40)
    order = fold_records(action(), [says(ALL, 1, "dispute/d"), late])
    assert (amount(order), outcomes_of(order)[-1]) == (0, ("refused", "ACTION_LOCKED"))
    settled = make_good(order, order.heads["A~sale"], late, "ACTION_LOCKED", [CONTRACT])
    assert settled is not None and (settled.amount, settled.payout) == (10000, 800)


def test_a_time_is_never_later_than_its_receipt() -> None:
    assert parse_version("2035-01-01T00:00:00Z", REPORTED) == parse_version("2026-11-01T12:00:00Z", REPORTED)
    assert parse_version("3;2", REPORTED) > parse_version("3;1", REPORTED) > parse_version("3", REPORTED)
    for unclear in ("new", "1.5", "-1", "2026-11-01", "2026-11-01T10:00:00", "1" * 16, ""):
        with pytest.raises(ValueError, match=r"."):
            parse_version(unclear, REPORTED)


# An oracle that knows nothing of the fold: one line, amounts, and what each subject said last.

SUBJECTS = ("refund/1", "refund/2", "dispute/3")
statements = st.tuples(st.sampled_from(SUBJECTS), st.integers(1, 4), st.integers(0, 100))


def left_by_hand(history: Sequence[tuple[str, int, int]]) -> int:
    newest: dict[str, tuple[int, int]] = {}
    for subject, version, taken in history:
        newest[subject] = max(newest.get(subject, (0, 0)), (version, taken))
    return max(0, 10000 - 100 * sum(taken for _, taken in newest.values()))


def as_records(history: Sequence[tuple[str, int, int]]) -> list[Modification]:
    return [
        says(TakeBack(D(taken)), version, subject, n + 1, delivery=f"d{n}")
        for n, (subject, version, taken) in enumerate(history)
    ]


@settings(max_examples=200)
@given(st.lists(statements, max_size=8), st.integers(0, 2**32))
def test_arrival_and_repetition_decide_nothing(history: list[tuple[str, int, int]], seed: int) -> None:
    dice = random.Random(seed)
    again = [*history, *dice.choices(history, k=3)] if history else []
    dice.shuffle(again)
    assert amount(fold_records(action(), as_records(history))) == left_by_hand(history)
    assert amount(fold_records(action(), as_records(again))) == left_by_hand(history)


@settings(max_examples=100)
@given(st.lists(statements, max_size=6))
def test_withdrawing_everything_nets_to_zero(history: list[tuple[str, int, int]]) -> None:
    withdrawn = [*history, *((subject, 9, 0) for subject in SUBJECTS)]
    order = fold_records(action(), as_records(withdrawn))
    head = order.heads["A~sale"]
    assert (head.standing.amount, head.payout, head.state(REPORTED)) == (10000, 800, LifecycleState.PENDING)


@settings(max_examples=100)
@given(st.lists(statements, min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=8))
def test_folding_piece_by_piece_is_folding_at_once(history: list[tuple[str, int, int]], cuts: list[int]) -> None:
    records = as_records(history)
    order = Order(key="A", actions=[action()], records=[])
    for upto in sorted({min(cut, len(records)) for cut in cuts} | {len(records)}):
        order = fold(replace(order, records=records[:upto]), [CONTRACT], REPORTED + timedelta(days=90))
        head = order.heads["A~sale"]
        again = restore_state(action(), replace(head, booked=None), records[:upto], [CONTRACT])
        assert (again.standing.rests, again.standing.contract) == (head.standing.rests, head.standing.contract)
    assert amount(order) == left_by_hand(history)


kinds = st.one_of(
    st.just(Reverse()),
    st.builds(lambda n: TakeBack(D(n)), st.integers(0, 20)),
    st.builds(lambda n: TakeBack(quantity=n), st.integers(0, 2)),
    st.builds(lambda n: SetTotal(D(n)), st.integers(0, 20)),
    st.builds(SetQuantity, st.integers(0, 2)),
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(kinds, st.sampled_from(SUBJECTS), st.integers(1, 3), st.sampled_from("AB")), max_size=7),
    st.randoms(use_true_random=False),
)
def test_lines_keep_within_their_sale_whatever_comes(
    told_: list[tuple[Change, str, int, str]], dice: random.Random
) -> None:
    sold = action(("A", 2, 2000), ("B", 3, 2999))
    records = [
        says(change, version, subject, n + 1, delivery=f"d{n}", sku=sku)
        for n, (change, subject, version, sku) in enumerate(told_)
    ]
    order = fold_records(sold, records)
    for rest, line in zip(order.heads["A~sale"].standing.rests, sold.lines, strict=True):
        assert 0 <= rest.amount <= line.amount and 0 <= rest.quantity <= line.quantity
        assert (rest.amount == 0) == (rest.quantity == 0)
    shuffled = list(records)
    dice.shuffle(shuffled)
    times = sorted(one.received_at for one in records)
    moved = [replace(one, received_at=at, orders_by=at) for one, at in zip(shuffled, times, strict=True)]
    assert balances_of(fold_records(sold, moved)) == balances_of(order)


def test_versions_order_numbers_before_times_and_old_records_first() -> None:
    received = receipt_version(REPORTED, "d")
    assert Version(0, 5) < parse_version("3", REPORTED) < parse_version("2020-01-01T00:00:00Z", REPORTED) < received
