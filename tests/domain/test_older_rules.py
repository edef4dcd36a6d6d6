"""What older rules booked: shown as it was booked, moved by what comes, and given up by a refold alone."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, contract, fold_records, record

from retour.domain.actions.fold import fold
from retour.domain.actions.lines import LineBalance
from retour.domain.actions.modification import (
    Change,
    Modification,
    RaiseLimit,
    Refold,
    Reverse,
    SetStatus,
    TakeBack,
    Undo,
)
from retour.domain.actions.order import RULES_VERSION, ActionHead, BookedState, Order
from retour.domain.actions.replay import as_of, refold_head, restore_state

LINES = (("S1", 2, 10000), ("S2", 1, 1000))
FLAT = contract(payout="1.50")
TAKEN = record(TakeBack(Decimal("100")), 1, sku="S1")
LOCK = action().locks_at


def booked(*rests: tuple[int, int], **more: Any) -> BookedState:
    usual = {"is_reversed": False, "is_approved": False, "contract": 1, "locks_at": LOCK}
    return BookedState(rests=tuple(LineBalance(*rest) for rest in rests), **(usual | more))


def read(order: Order, was: BookedState, payout: int = 450, rules: int = 1) -> Order:
    """The order as it is read where its head was written by other rules."""
    head = replace(order.heads["A~sale"], booked=was, rules=rules, payout=payout)
    return replace(order, heads={"A~sale": restore_state(order.actions[0], head, order.records, [FLAT])})


def after(order: Order, *changes: Modification) -> ActionHead:
    return fold(replace(order, records=[*order.records, *changes]), [FLAT], REPORTED).heads["A~sale"]


def rests(head: ActionHead) -> list[tuple[int, int]]:
    return [(rest.amount, rest.quantity) for rest in head.standing.rests]


@pytest.fixture
def old() -> Order:
    """All of S1 came back by its amount; its two units were left."""
    return read(fold_records(action(*LINES), [TAKEN], [FLAT]), booked((0, 2), (1000, 1)))


def test_it_is_shown_as_booked(old: Order) -> None:
    head = old.heads["A~sale"]
    assert (rests(head), head.payout, head.rules) == ([(0, 2), (1000, 1)], 450, 1)
    assert head.standing.drift == (LineBalance(0, 2), LineBalance(0, 0))


def test_of_todays_rules_nothing_is_kept_beside() -> None:
    order = fold_records(action(*LINES), [TAKEN], [FLAT])
    head = read(order, booked((0, 2), (1000, 1)), rules=RULES_VERSION).heads["A~sale"]
    assert (rests(head), head.standing.drift) == ([(0, 0), (1000, 1)], ())
    same = read(order, booked((0, 0), (1000, 1))).heads["A~sale"]
    assert (rests(same), same.standing.drift) == ([(0, 0), (1000, 1)], ())


def test_a_change_of_another_line_leaves_it(old: Order) -> None:
    head = after(old, record(TakeBack(Decimal("4")), 2, sku="S2"))
    assert (rests(head), head.payout, head.rules) == ([(0, 2), (600, 1)], 450, 1)
    assert after(old, record(Reverse(), 2)).standing.is_reversed


def test_an_undo_leaves_it_too(old: Order) -> None:
    taken = record(TakeBack(Decimal("4")), 2, sku="S2")
    head = after(old, taken, record(Undo(taken.id), 3))
    assert (rests(head), head.payout) == ([(0, 2), (1000, 1)], 450)


def test_a_refold_gives_it_up_and_is_decided_by_todays_rules(old: Order) -> None:
    refold = record(Refold(), 2)
    head = after(old, refold)
    assert (rests(head), head.payout, head.rules, head.standing.drift) == ([(0, 0), (1000, 1)], 150, RULES_VERSION, ())
    assert [entry.outcome.value for entry in head.log] == ["applied", "applied"]
    assert head.changes == 1, "it is no change of the action"
    again = restore_state(action(*LINES), replace(head, booked=booked((0, 2), (1000, 1))), [TAKEN, refold], [FLAT])
    assert rests(again) == [(0, 0), (1000, 1)], "and is read by them"


def test_a_refold_that_comes_after_the_lock_changes_nothing(old: Order) -> None:
    head = after(old, record(Refold(), 24 * 40))
    assert (rests(head), head.rules) == ([(0, 2), (1000, 1)], 1)
    assert head.log[-1].code == "ACTION_LOCKED"


def test_what_it_would_come_to_is_told_without_booking(old: Order) -> None:
    head = refold_head(old, old.actions[0], old.heads["A~sale"], [FLAT])
    assert (rests(head), head.payout, head.rules, head.booked) == ([(0, 0), (1000, 1)], 150, RULES_VERSION, None)


@pytest.mark.parametrize(
    ("was", "state"),
    [
        (booked((0, 0), (0, 0), is_reversed=True), (True, False)),
        (booked((0, 2), (1000, 1), is_approved=True), (False, True)),
        (booked((0, 2), (1000, 1)), (False, False)),
    ],
)
def test_state_contract_and_lock_are_those_that_were_booked(was: BookedState, state: tuple[bool, bool]) -> None:
    was = replace(was, contract=2, locks_at=REPORTED + timedelta(days=3))
    order = fold_records(action(*LINES), [TAKEN, record(SetStatus("shipped"), 2), record(SetStatus("lost"), 3)], [FLAT])
    head = read(order, was).heads["A~sale"]
    assert (head.standing.is_reversed, head.standing.approved) == state
    assert (head.standing.contract, head.locks_at) == (2, REPORTED + timedelta(days=3))
    assert head.standing.countdown.status == "lost"


def test_a_reversal_that_today_would_be_none_stays_and_the_other_way_round() -> None:
    gone = fold_records(action(*LINES), [record(Reverse(), 1)], [FLAT])
    open_ = read(gone, booked((0, 2), (1000, 1))).heads["A~sale"]
    assert (open_.standing.is_reversed, rests(open_)) == (False, [(0, 2), (1000, 1)])
    assert refold_head(gone, gone.actions[0], open_, [FLAT]).standing.is_reversed


def test_the_past_is_told_by_the_records(old: Order) -> None:
    before = as_of(old, [FLAT], REPORTED + timedelta(minutes=5))
    assert rests(before.heads["A~sale"]) == [(10000, 2), (1000, 1)]


@pytest.mark.parametrize(("change", "limit"), [(RaiseLimit(1_500), 1_500), (RaiseLimit(10), 1_000)])
def test_a_raised_limit_stands_with_the_action(change: Change, limit: int) -> None:
    head = fold_records(action(), [record(change, 1)]).heads["A~sale"]
    assert (head.standing.limit, head.changes) == (limit, 0)
    assert restore_state(action(), head, [], [CONTRACT]).standing.limit == 1_000
