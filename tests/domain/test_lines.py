"""What changes and subjects leave of lines, each sum worked out by hand: pools of one SKU, units, shares, clamps."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.cases import action, record

from retour.domain.actions.action import Line
from retour.domain.actions.lines import (
    Claim,
    LineBalance,
    LineBalances,
    Statement,
    balances_after,
    balances_as_sold,
    balances_before_claims,
    claims_of,
    exceeds,
    merge_claims,
    resolve_for_action,
    scope_order,
    set_quantity,
    set_total,
    share_of,
    take_back,
    take_units,
    with_consistent_zero,
)
from retour.domain.actions.modification import Approve, Change, Price, Reverse, SetQuantity, SetTotal, TakeBack

SOLD = action(("A", 2, 1000), ("A", 3, 900), ("B", 1, 500))
ALL, POOL = (0, 1, 2), (0, 1)
FULL = [(1000, 2), (900, 3), (500, 1)]


def rests(*pairs: tuple[int, int]) -> LineBalances:
    return tuple(LineBalance(*pair) for pair in pairs)


def pairs(found: Any) -> Any:
    """What is left as pairs, by place where only some lines are meant; a code as it is."""
    if isinstance(found, dict):
        return {i: (rest.amount, rest.quantity) for i, rest in found.items()}
    return [(rest.amount, rest.quantity) for rest in found] if isinstance(found, tuple) else found


# What one record of a subject claims


@pytest.mark.parametrize(
    ("change", "target", "claims"),
    [
        (Reverse(), {}, (Claim((0,), 1000, 0, 2), Claim((1,), 900, 0, 3), Claim((2,), 500, 0, 1))),
        (Reverse(), {"sku": "A"}, (Claim((0,), 1000, 0, 2), Claim((1,), 900, 0, 3))),
        (Reverse(), {"line": "2"}, (Claim((1,), 900, 0, 3),)),
        (Reverse(), {"sku": "A", "line": "3"}, "UNKNOWN_ITEM"),
        (Reverse(), {"sku": "C"}, "UNKNOWN_ITEM"),
        (SetTotal(D("0")), {"line": "2"}, (Claim((1,), 900, 0, 3),)),
        (SetTotal(D("3.00")), {"sku": "B"}, (Claim((2,), 200),)),
        (SetTotal(D("24.00")), {}, (Claim(ALL, 0),)),
        (SetTotal(D("24.01")), {}, "AMOUNT_EXCEEDS_SALE"),
        (SetTotal(D("-0.01")), {}, "AMOUNT_NEGATIVE"),
        (SetTotal(D("0.001")), {}, "AMOUNT_TOO_FINE"),
        (SetQuantity(0), {"sku": "A"}, (Claim((0,), 1000, 0, 2), Claim((1,), 900, 0, 3))),
        (SetQuantity(2), {"sku": "A"}, (Claim(POOL, 0, 3),)),
        (SetQuantity(5), {"sku": "A"}, (Claim(POOL, 0, 0),)),
        (SetQuantity(2, D("7.00")), {"sku": "A"}, (Claim(POOL, 1200, 0, 3),)),
        (SetQuantity(6), {"sku": "A"}, "QUANTITY_EXCEEDS_SOLD"),
        (SetQuantity(1), {}, "ITEM_NEEDED"),
        (TakeBack(D("5")), {}, (Claim(ALL, 500),)),
        (TakeBack(D("5"), 2), {"sku": "A"}, (Claim(POOL, 500, 0, 2),)),
        (TakeBack(quantity=2), {"sku": "A"}, (Claim(POOL, 0, 2),)),
        (TakeBack(quantity=5), {"sku": "A"}, (Claim(POOL, 0, 5),)),
        (TakeBack(quantity=6), {"sku": "A"}, "QUANTITY_EXCEEDS_SOLD"),
        (TakeBack(quantity=6, clamp=True), {"sku": "A"}, (Claim(POOL, 0, 5),)),
        (TakeBack(quantity=1), {}, "ITEM_NEEDED"),
        (TakeBack(D("1"), 1), {}, "ITEM_NEEDED"),
        (TakeBack(D("1"), 0), {}, (Claim(ALL, 100),)),
        (TakeBack(D("19.00")), {"sku": "A"}, (Claim(POOL, 1900),)),
        (TakeBack(D("19.01")), {"sku": "A"}, "AMOUNT_EXCEEDS_SALE"),
        (TakeBack(D("19.01"), clamp=True), {"sku": "A"}, (Claim(POOL, 1900),)),
        (TakeBack(D("5"), of_total=D("10")), {}, (Claim(ALL, 1200),)),
        (TakeBack(D("-5")), {}, "AMOUNT_NEGATIVE"),
        (TakeBack(D("5"), of_total=D("-10")), {}, "AMOUNT_NEGATIVE"),
        (TakeBack(D("5"), of_total=D("10.001")), {}, "AMOUNT_TOO_FINE"),
        (Approve(), {}, "CHANGE_NOT_OFFERED"),
    ],
)
def test_what_a_record_claims(change: Change, target: dict[str, str], claims: object) -> None:
    assert claims_of(SOLD, record(change, **target)) == claims


def test_claims_on_one_target_add_up_and_what_takes_nothing_is_left_out() -> None:
    claims = [
        Claim(ALL, 1),
        Claim((1,), 5, 2, 3),
        Claim((0,), 0),
        Claim((1,), 7, 1, 4),
        Claim((2,), 0, 1),
        Claim(POOL, 0, 0, 1),
    ]
    assert merge_claims(claims) == (Claim(POOL, 0, 0, 1), Claim(ALL, 1), Claim((1,), 12, 3, 7), Claim((2,), 0, 1))
    assert merge_claims([Claim((0,), 5), Claim((0,), -5)]) == ()
    ranked = sorted([Claim(ALL, 1), Claim((2,), 1), Claim((1, 2), 1), Claim((0,), 1), Claim(POOL, 1)], key=scope_order)
    assert [claim.target for claim in ranked] == [(0,), (2,), POOL, (1, 2), ALL]


# What the statements of subjects leave


@pytest.mark.parametrize(
    ("statements", "left"),
    [
        ([], FULL),
        ([(Claim((2,), 200),)], [(1000, 2), (900, 3), (300, 1)]),
        ([(Claim((2,), 500),)], [(1000, 2), (900, 3), (0, 0)]),
        ([(Claim((2,), 0, 0, 1),)], [(1000, 2), (900, 3), (0, 0)]),
        ([(Claim((0,), 0, 1),)], [(500, 1), (900, 3), (500, 1)]),
        ([(Claim((0,), 100, 1),), (Claim((0,), 100),)], [(300, 1), (900, 3), (500, 1)]),
        ([(Claim((1,), 100, 0, 1),)], [(1000, 2), (800, 2), (500, 1)]),
        ([(Claim((0,), 5000),)], [(0, 0), (900, 3), (500, 1)]),
        ([(Claim(POOL, 0, 3),)], [(0, 0), (600, 2), (500, 1)]),
        ([(Claim(POOL, 0, 9),)], [(0, 0), (0, 0), (500, 1)]),
        ([(Claim(POOL, 950, 0, 1),)], [(500, 1), (450, 3), (500, 1)]),
        ([(Claim(POOL, 950, 0, 3),)], [(0, 0), (450, 2), (500, 1)]),
        ([(Claim(POOL, 600, 2),)], [(0, 0), (300, 3), (500, 1)]),
        ([(Claim(POOL, 9000),)], [(0, 0), (0, 0), (500, 1)]),
        ([(Claim(ALL, 1200),)], [(500, 2), (450, 3), (250, 1)]),
        ([(Claim(ALL, 700),), (Claim((2,), 500),)], [(632, 2), (568, 3), (0, 0)]),
        ([(Claim(ALL, 600),), (Claim(POOL, 0, 2),)], [(0, 0), (514, 3), (286, 1)]),
        ([(Claim((0,), 400),), (Claim(POOL, 600, 0, 1),)], [(360, 1), (540, 3), (500, 1)]),
    ],
)
def test_what_subjects_leave_of_the_sale(statements: Sequence[Statement], left: list[tuple[int, int]]) -> None:
    assert pairs(balances_after(SOLD, balances_as_sold(SOLD), statements)) == left
    assert pairs(balances_after(SOLD, balances_as_sold(SOLD), statements[::-1])) == left


@pytest.mark.parametrize(
    ("own", "claim", "left"),
    [
        # The second of two units is worth the half that is left of the sale, and no more than is there.
        ((400, 1), Claim((0,), 0, 1), (0, 0)),
        ((700, 2), Claim((0,), 0, 1), (200, 1)),
        # What was raised beyond the sale, for what subjects took by then, never shows as more than the sale.
        ((1300, 2), Claim((0,), 200), (1000, 2)),
        ((1300, 4), Claim((0,), 400, 0, 1), (900, 2)),
        ((1300, 3), Claim((0,), 0, 1), (800, 2)),
    ],
)
def test_what_subjects_leave_of_a_line_that_was_changed(
    own: tuple[int, int], claim: Claim, left: tuple[int, int]
) -> None:
    assert pairs(balances_after(SOLD, rests(own, *FULL[1:]), [(claim,)])) == [left, *FULL[1:]]


@pytest.mark.parametrize(
    ("left", "statements", "own"),
    [
        (FULL, [], FULL),
        ([*FULL[:2], (300, 1)], [(Claim((2,), 200),)], FULL),
        ([(500, 1), *FULL[1:]], [(Claim((0,), 0, 1),)], FULL),
        ([(400, 1), *FULL[1:]], [(Claim((0,), 600, 0, 1),)], FULL),
        ([(300, 1), *FULL[1:]], [(Claim((0,), 100, 1),), (Claim((0,), 100),)], FULL),
        ([(500, 2), (450, 3), (500, 1)], [(Claim(POOL, 950),)], FULL),
        ([(500, 1), (450, 3), (500, 1)], [(Claim(POOL, 950, 0, 1),)], FULL),
        ([(0, 0), (600, 2), (500, 1)], [(Claim(POOL, 0, 3),)], [(1000, 3), (600, 2), (500, 1)]),
        ([(0, 0), (0, 0), (500, 1)], [(Claim(POOL, 1900),)], [(1000, 0), (900, 0), (500, 1)]),
        ([(632, 2), (568, 3), (0, 0)], [(Claim(ALL, 700),), (Claim((2,), 500),)], [(1001, 2), (899, 3), (500, 0)]),
        (
            [(0, 0), (300, 3), (500, 1)],
            [(Claim((1,), 0, 0, 1),), (Claim(POOL, 600, 2),)],
            [(1000, 2), (900, 4), (500, 1)],
        ),
    ],
)
def test_what_has_to_be_there_before_the_subjects(
    left: list[tuple[int, int]], statements: Sequence[Statement], own: list[tuple[int, int]]
) -> None:
    assert pairs(balances_before_claims(SOLD, rests(*left), statements)) == own
    assert pairs(balances_before_claims(SOLD, rests(*left), statements[::-1])) == own


claims = st.builds(
    lambda i, amount, units, counted: Claim((i,), amount, units, counted),
    st.integers(0, 2), st.integers(0, 400), st.integers(0, 2), st.integers(0, 2),
)  # fmt: skip


@given(
    st.lists(st.tuples(claims), max_size=4),
    st.tuples(*(st.tuples(st.integers(1, a), st.integers(1, q)) for a, q in FULL)),
)
def test_what_is_there_before_the_subjects_leaves_just_that_with_them(
    statements: list[Statement], left: tuple[tuple[int, int], ...]
) -> None:
    own = balances_before_claims(SOLD, rests(*left), statements)
    assert pairs(balances_after(SOLD, own, statements)) == list(left)


# What records without subject leave


@pytest.mark.parametrize(
    ("have", "total", "target", "left"),
    [
        (FULL, "12.00", ALL, {0: (500, 2), 1: (450, 3), 2: (250, 1)}),
        (FULL, "24.00", ALL, {0: (1000, 2), 1: (900, 3), 2: (500, 1)}),
        (FULL, "24.01", ALL, "AMOUNT_EXCEEDS_SALE"),
        (FULL, "9.50", POOL, {0: (500, 2), 1: (450, 3)}),
        (FULL, "0", POOL, {0: (0, 0), 1: (0, 0)}),
        ([(0, 0), (0, 0), (500, 1)], "0", POOL, {}),
        ([(200, 1), (0, 0), (500, 1)], "17.00", ALL, {0: (671, 1), 1: (529, 3), 2: (500, 1)}),
        ([(200, 1), (0, 0), (500, 1)], "7.00", ALL, {0: (200, 1), 1: (0, 0), 2: (500, 1)}),
        ([(200, 1), (0, 0), (500, 1)], "6.99", ALL, {0: (200, 1), 1: (0, 0), 2: (499, 1)}),
        (FULL, "-1", ALL, "AMOUNT_NEGATIVE"),
        (FULL, "1.005", ALL, "AMOUNT_TOO_FINE"),
    ],
)  # fmt: skip
def test_what_a_total_leaves(have: list[tuple[int, int]], total: str, target: tuple[int, ...], left: object) -> None:
    assert pairs(set_total(SOLD, rests(*have), target, SetTotal(D(total)))) == left


@pytest.mark.parametrize(
    ("change", "target", "left"),
    [
        (SetQuantity(5), POOL, {0: (1000, 2), 1: (900, 3)}),
        (SetQuantity(4), POOL, {0: (500, 1), 1: (900, 3)}),
        (SetQuantity(2), POOL, {0: (0, 0), 1: (600, 2)}),
        (SetQuantity(0), POOL, {0: (0, 0), 1: (0, 0)}),
        (SetQuantity(6), POOL, "QUANTITY_EXCEEDS_SOLD"),
        (SetQuantity(5, D("9.50")), POOL, {0: (500, 2), 1: (450, 3)}),
        (SetQuantity(5, D("19.00")), POOL, {0: (1000, 2), 1: (900, 3)}),
        (SetQuantity(5, D("19.01")), POOL, "AMOUNT_EXCEEDS_SALE"),
        (SetQuantity(2, D("3.00")), POOL, {0: (0, 0), 1: (300, 2)}),
        (SetQuantity(2, D("0")), POOL, {0: (0, 0), 1: (0, 0)}),
        (SetQuantity(2, D("-1")), POOL, "AMOUNT_NEGATIVE"),
        (SetQuantity(1), ALL, "ITEM_NEEDED"),
        (SetQuantity(1), (2,), {2: (500, 1)}),
    ],
)
def test_what_a_quantity_leaves(change: SetQuantity, target: tuple[int, ...], left: object) -> None:
    assert pairs(set_quantity(SOLD, target, change)) == left


@pytest.mark.parametrize(
    ("have", "change", "target", "left"),
    [
        (FULL, TakeBack(D("9.50")), POOL, {0: (500, 2), 1: (450, 3)}),
        (FULL, TakeBack(D("19.00")), POOL, {0: (0, 0), 1: (0, 0)}),
        (FULL, TakeBack(D("19.01")), POOL, "AMOUNT_EXCEEDS_SALE"),
        (FULL, TakeBack(D("19.01"), clamp=True), POOL, {0: (0, 0), 1: (0, 0)}),
        ([(100, 1), (900, 3), (500, 1)], TakeBack(D("10.00")), POOL, {0: (0, 0), 1: (0, 0)}),
        ([(100, 1), (900, 3), (500, 1)], TakeBack(D("10.01")), POOL, "AMOUNT_EXCEEDS_SALE"),
        (FULL, TakeBack(quantity=1), POOL, {0: (500, 1), 1: (900, 3)}),
        (FULL, TakeBack(quantity=3), POOL, {0: (0, 0), 1: (600, 2)}),
        (FULL, TakeBack(quantity=5), POOL, {0: (0, 0), 1: (0, 0)}),
        (FULL, TakeBack(quantity=6), POOL, "QUANTITY_EXCEEDS_SOLD"),
        (FULL, TakeBack(quantity=6, clamp=True), POOL, {0: (0, 0), 1: (0, 0)}),
        (FULL, TakeBack(quantity=1), ALL, "ITEM_NEEDED"),
        (FULL, TakeBack(D("1.90"), 1), POOL, {0: (900, 1), 1: (810, 3)}),
        (FULL, TakeBack(D("1.90"), 2), POOL, {0: (0, 0), 1: (810, 3)}),
        (FULL, TakeBack(D("-1")), POOL, "AMOUNT_NEGATIVE"),
        (FULL, TakeBack(D("1"), of_total=D("24")), ALL, {0: (958, 2), 1: (863, 3), 2: (479, 1)}),
    ],
)
def test_what_taking_back_leaves(
    have: list[tuple[int, int]], change: TakeBack, target: tuple[int, ...], left: object
) -> None:
    assert pairs(take_back(SOLD, rests(*have), target, change)) == left


@pytest.mark.parametrize(
    ("change", "target", "more"),
    [
        (TakeBack(D("19.00")), POOL, False),
        (TakeBack(D("19.01")), POOL, True),
        (TakeBack(D("5.01")), (2,), True),
        (TakeBack(quantity=5), POOL, False),
        (TakeBack(quantity=6), POOL, True),
        (TakeBack(D("1"), 6), POOL, False),
        (TakeBack(D("1.001")), POOL, False),
        (TakeBack(), POOL, False),
    ],
)
def test_whether_more_is_taken_back_than_is_there(change: TakeBack, target: tuple[int, ...], more: bool) -> None:
    assert exceeds(SOLD, balances_as_sold(SOLD), target, change) is more


@pytest.mark.parametrize(
    ("left", "units", "worth"),
    [(3, 1, 667), (2, 1, 666), (1, 1, 667), (3, 2, 1333), (3, 3, 2000), (3, 4, 2000), (2, 9, 1333), (0, 1, 0),
     (5, 1, 667)],
)  # fmt: skip
def test_what_further_units_are_worth(left: int, units: int, worth: int) -> None:
    """Three units of 20.00: 6.67, 13.33 and 20.00 in all; none before the first, none after the last."""
    assert share_of(Line("1", "A", None, 3, 2000), LineBalance(0, left), units) == worth


def test_a_line_that_was_sold_without_units_has_no_share() -> None:
    assert share_of(Line("1", "A", None, 0, 2000), LineBalance(2000, 0), 1) == 0
    without = replace(SOLD, lines=(Line("1", "A", None, 0, 700),))
    assert pairs(set_quantity(without, (0,), SetQuantity(0))) == {0: (0, 0)}
    assert pairs(take_units(SOLD, {0: LineBalance(1000, 2), 1: LineBalance(100, 3)}, 3)) == {0: (0, 0), 1: (0, 2)}


@pytest.mark.parametrize(
    ("sold", "rest", "left"),
    [
        ((2, 1000), (1, 1), (1, 1)),
        ((2, 1000), (0, 1), (0, 0)),
        ((2, 1000), (-1, 1), (0, 0)),
        ((2, 1000), (5, 0), (0, 0)),
        ((2, 0), (0, 1), (0, 1)),
        ((2, 0), (0, 0), (0, 0)),
        ((0, 1000), (5, 0), (5, 0)),
        ((0, 1000), (0, 0), (0, 0)),
    ],
)
def test_amount_and_units_reach_zero_together(
    sold: tuple[int, int], rest: tuple[int, int], left: tuple[int, int]
) -> None:
    assert with_consistent_zero(Line("1", "A", None, *sold), LineBalance(*rest)) == LineBalance(*left)


# What a record means of an action

BARE = replace(action(), lines=(Line("1", None, None, 3, 6000),))


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        (TakeBack(D("5"), 2, clamp=True), TakeBack(D("5"), clamp=True)),
        (SetTotal(D("5")), SetTotal(D("5"))),
        (SetQuantity(2, D("5")), SetTotal(D("5"))),
    ],
)
def test_an_action_of_one_line_without_sku_takes_an_amount_of_any_item(change: Change, meant: Change) -> None:
    found = resolve_for_action(BARE, record(change, sku="ZZ", line="9"))
    assert not isinstance(found, str) and (found.change, found.sku, found.line) == (meant, None, None)


@pytest.mark.parametrize("change", [TakeBack(quantity=1), SetQuantity(2), Reverse()])
def test_units_of_an_item_that_it_does_not_know_stay_unknown(change: Change) -> None:
    given = record(change, sku="ZZ", line="9")
    assert resolve_for_action(BARE, given) is given
    of_two = record(TakeBack(D("5")), sku="ZZ")
    assert resolve_for_action(SOLD, of_two) is of_two and resolve_for_action(action(), of_two) is of_two
    known = record(TakeBack(D("5"), 2), line="1")
    assert resolve_for_action(BARE, known) is known


USD, EUR = Price("USD", D("6")), Price("EUR", D("5"), D("50"))


@pytest.mark.parametrize(
    ("change", "prices", "meant"),
    [
        (TakeBack(D("6"), 1, D("60")), (USD, EUR), TakeBack(D("5"), 1, D("50"))),
        (TakeBack(D("6"), 1, D("60")), (replace(EUR, of_total=None),), TakeBack(D("5"), 1, D("60"))),
        (SetTotal(D("6")), (USD, EUR), SetTotal(D("5"))),
        (SetQuantity(2, D("6")), (EUR,), SetQuantity(2, D("5"))),
        (Reverse(), (EUR,), Reverse()),
        (SetTotal(D("6")), (USD,), "CURRENCY_MISMATCH"),
        (Reverse(), (), "CURRENCY_MISMATCH"),
    ],
)
def test_of_several_currencies_the_actions_counts(change: Change, prices: tuple[Price, ...], meant: object) -> None:
    found = resolve_for_action(SOLD, record(change, currency="USD", prices=prices))
    if isinstance(meant, str):
        assert found == meant
        return
    assert not isinstance(found, str) and (found.change, found.currency) == (meant, "EUR")
