"""How an action stands after a few records: what it keeps beside its lines, worked out by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, contract, fold_records, outcomes_of, record

from retour.domain.actions.fold import fold
from retour.domain.actions.lines import NOTHING_LEFT, LineBalance
from retour.domain.actions.modification import (
    NUMBER_VERSION,
    Approve,
    Change,
    Modification,
    RaiseLimit,
    Reattribute,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Version,
)
from retour.domain.actions.order import Order
from retour.domain.actions.replay import as_of
from retour.domain.actions.state import (
    ActionState,
    Reversal,
    apply_drift,
    as_of_partner,
    initial_state,
    is_nothing_left,
    is_reversed_by_another,
    reads_balances,
    with_position,
    with_sum_subject,
    with_taken,
)
from retour.domain.actions.subjects import Pricing

DAY = timedelta(days=1)
TWO = (("A", 2, 10000), ("B", 1, 5000))
TEN = TakeBack(D(10))


def told_of(change: Change, version: int, hours: float, **more: Any) -> Modification:
    usual: dict[str, Any] = {"subject": "refund/1", "version": Version(NUMBER_VERSION, version), "content": f"{change}"}
    return record(change, hours, **(usual | more))


def standing(*records: Modification, lines: tuple[tuple[str, int, int], ...] = TWO) -> ActionState:
    return fold_records(action(*lines), records).heads["A~sale"].standing


def test_an_action_as_it_was_reported() -> None:
    sold = action(*TWO)
    fresh = initial_state(sold, {"x"})
    assert fresh.own == fresh.rests == (LineBalance(10000, 2), LineBalance(5000, 1)) and fresh.before_zero == (
        None,
        None,
    )
    assert (fresh.partner, fresh.contract, fresh.lock_contract, fresh.undone) == ("nordlicht", 1, 1, {"x"})
    assert (fresh.countdown.locks_at, fresh.own_priced, fresh.amount) == (sold.locks_at, Pricing(1), 15000)
    assert not (fresh.is_reversed or fresh.approved or fresh.emptied or fresh.subjects or fresh.drift)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ([TEN], 1000),
        ([TEN, TEN], 2000),
        ([TEN, SetTotal(D(145))], 500),
        ([TEN, SetTotal(D(150))], 0),
        ([Reverse()], 15000),
        ([Reverse(), Restore()], 0),
        ([TEN, Reverse(), Restore()], 1000),
    ],
)
def test_what_a_source_took_without_a_subject(changes: list[Change], taken: int) -> None:
    records = [record(change, hours) for hours, change in enumerate(changes, 1)]
    assert standing(*records).taken == {"erp": taken}
    plain = initial_state(action())
    assert with_taken(plain, "erp", -5) == {"erp": 0} and with_taken(plain, "erp", 5) == {"erp": 5}
    assert with_taken(replace(plain, taken={"erp": 3, "x": 1}), "erp", 5) == {"erp": 8, "x": 1}


def test_a_reversal_remembers_whose_it_is_and_what_was_before() -> None:
    first, again = record(Reverse(), 2, source="till"), record(Reverse(), 3)
    after = standing(record(TEN, 1, sku="A"), first, again)
    assert after.reversal == Reversal("till", (LineBalance(9000, 2), LineBalance(5000, 1)))
    assert after.own == (NOTHING_LEFT, NOTHING_LEFT) and after.before_zero == (
        LineBalance(9000, 2),
        LineBalance(5000, 1),
    )
    assert is_reversed_by_another(after, record(TEN)) and not is_reversed_by_another(after, first)
    assert not is_reversed_by_another(initial_state(action()), record(TEN))
    back = standing(record(TEN, 1, sku="A"), first, record(Restore(), 4))
    assert (back.reversal, back.own, back.before_zero) == (
        None,
        (LineBalance(9000, 2), LineBalance(5000, 1)),
        (None, None),
    )


def test_an_item_comes_back_as_it_was_before_it_went_to_zero() -> None:
    taken, gone = record(TEN, 1, sku="A"), record(Reverse(), 2, sku="A")
    after = standing(taken, gone)
    assert (after.own, after.before_zero, after.reversal) == (
        (NOTHING_LEFT, LineBalance(5000, 1)),
        (LineBalance(9000, 2), None),
        None,
    )
    again = standing(taken, gone, record(Reverse(), 3, sku="A"), record(TEN, 4, sku="B"))
    assert again.before_zero == (LineBalance(9000, 2), None)
    back = standing(taken, gone, record(Restore(), 3, sku="A"))
    assert (back.own, back.before_zero) == ((LineBalance(9000, 2), LineBalance(5000, 1)), (None, None))
    one_of_all = standing(taken, record(Reverse(), 2), record(Restore(), 3, sku="B"))
    assert (one_of_all.own, one_of_all.reversal, one_of_all.before_zero) == (
        (NOTHING_LEFT, LineBalance(5000, 1)), None, (LineBalance(9000, 2), None),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "rests", "nothing"),
    [
        (TWO, ((0, 0), (0, 0)), True),
        (TWO, ((0, 2), (0, 1)), True),
        (TWO, ((0, 0), (1, 1)), False),
        ((("A", 2, 0),), ((0, 2),), False),
        ((("A", 2, 0),), ((0, 0),), True),
        ((("A", 0, 0),), ((0, 0),), False),
    ],
)
def test_whether_nothing_is_left(
    lines: tuple[tuple[str, int, int], ...], rests: tuple[tuple[int, int], ...], nothing: bool
) -> None:
    assert is_nothing_left(action(*lines), tuple(LineBalance(*rest) for rest in rests)) is nothing


def test_what_older_rules_booked_stays_within_the_sale() -> None:
    sold = action(*TWO)
    rests = (LineBalance(9000, 1), LineBalance(100, 1))
    assert apply_drift(sold, rests, (LineBalance(500, 1), LineBalance(0, 0))) == (
        LineBalance(9500, 2),
        LineBalance(100, 1),
    )
    assert apply_drift(sold, rests, (LineBalance(5000, 5), LineBalance(-200, -3))) == (
        LineBalance(10000, 2),
        LineBalance(0, 0),
    )


def test_the_action_of_the_partner_that_it_belongs_to() -> None:
    sold = action()
    plain = initial_state(sold)
    assert as_of_partner(sold, plain) is sold
    other = as_of_partner(sold, replace(plain, partner="suedwind"))
    assert other == replace(sold, partner="suedwind")
    groups = {"gold": ["suedwind"]}
    terms = contract(rules=[{"partner_group": ["gold"], "pays": "20%"}, {"pays": "8%"}], groups_of_program=groups)
    head = fold_records(sold, [record(Reattribute("suedwind"), 1)], [terms]).heads["A~sale"]
    assert (head.payout, head.standing.partner) == (2000, "suedwind")


def test_the_place_of_the_newest_of_all_stays() -> None:
    early, late = record(TEN, 1), record(TEN, 2)
    plain = initial_state(action())
    after = with_position(with_position(plain, late), early)
    assert after.last == with_position(plain, late).last and with_position(after, record(TEN, 3)).last != after.last
    looking: list[Change] = [Approve(), SetTotal(D(1)), SetQuantity(1)]
    assert all(reads_balances(record(change)) for change in looking)
    assert not reads_balances(record(TEN)) and not reads_balances(record(Reverse()))
    assert not reads_balances(told_of(SetTotal(D(1)), 1, 1))
    part = told_of(TEN, 1, 1, part_of="charge/1")
    assert with_sum_subject(plain, part) == {("erp", "charge/1")} and with_sum_subject(plain, early) == frozenset()


def test_what_moved_the_lines_last_prices_them_also_beside_a_subject() -> None:
    terms = [contract("8"), contract("10", number=2, recorded_at=REPORTED + timedelta(hours=2))]
    subject, own = told_of(TEN, 1, 1), record(TEN, 3)
    head = fold_records(action(), [subject, own], terms).heads["A~sale"]
    assert (head.standing.contract, head.payout) == (2, 800)
    same = fold_records(action(), [subject, record(SetTotal(D(90)), 3)], terms).heads["A~sale"]
    assert (same.standing.contract, same.payout) == (1, 720), "what moves nothing prices nothing"
    back = fold_records(action(), [record(Reverse(), 1), told_of(TakeBack(D(0)), 1, 1.5), record(Restore(), 3)], terms)
    assert back.heads["A~sale"].standing.contract == 2
    priced = fold_records(action(), [subject, record(Reprice(), 3)], terms).heads["A~sale"]
    assert (priced.standing.contract, priced.payout) == (2, 900)
    moved = fold_records(action(), [subject, record(Reattribute("suedwind"), 3)], terms).heads["A~sale"]
    assert (moved.standing.contract, moved.standing.lock_contract, moved.payout) == (2, 2, 900)


def test_a_subject_that_a_restore_left_out_counts_again_when_it_says_something_else() -> None:
    taken = told_of(TakeBack(D(20)), 1, 1, sku="A")
    other = told_of(TEN, 1, 1.5, sku="B", subject="refund/2")
    of_a = record(Restore(), 2, sku="A")
    after = standing(taken, other, of_a)
    assert [rest.amount for rest in after.rests] == [10000, 4000], "only what takes of what is brought back"
    said_again = told_of(TakeBack(D(20)), 2, 3, sku="A")
    more = told_of(TakeBack(D(30)), 3, 4, sku="A")
    assert standing(taken, other, of_a, said_again).amount == 14000
    assert standing(taken, other, of_a, said_again, more).amount == 11000


def test_a_status_counts_until_the_lock_and_an_approval_goes_with_a_reversal() -> None:
    terms = contract(lock={"days_after_status": 3, "statuses": ["shipped"]})
    sold = replace(action(), locks_at=datetime(2026, 11, 4, 23, tzinfo=UTC))
    hours = (sold.locks_at - REPORTED) / timedelta(hours=1)
    late = fold_records(sold, [record(SetStatus("lost"), hours)], [terms])
    assert outcomes_of(late) == [("unchanged", "STATUS_AFTER_LOCK")]
    assert late.heads["A~sale"].locks_at == sold.locks_at and late.heads["A~sale"].standing.countdown.status is None
    in_time = fold_records(sold, [record(SetStatus("lost"), hours - 0.001)], [terms]).heads["A~sale"]
    assert (in_time.locks_at, in_time.standing.countdown.status) == (None, "lost")
    open_ended = contract(lock={"open_ended": True})
    long = replace(action(), locks_at=REPORTED + 730 * DAY)
    approved = fold_records(long, [record(Approve(), 1)], [open_ended]).heads["A~sale"].standing
    assert (approved.approved, approved.lock_unapproved) == (True, REPORTED + 730 * DAY)
    gone = fold_records(long, [record(Approve(), 1), record(Reverse(), 2)], [open_ended]).heads["A~sale"].standing
    assert (gone.approved, gone.lock_unapproved, gone.countdown.locks_at) == (False, None, REPORTED + 730 * DAY)


@pytest.mark.parametrize(("times", "limit"), [(1500, 1500), (900, 1000), (1000, 1000)])
def test_a_limit_is_never_lowered(times: int, limit: int) -> None:
    assert standing(record(RaiseLimit(times), 1)).limit == limit
    assert standing(record(RaiseLimit(1800), 1), record(RaiseLimit(times), 2)).limit == 1800


def test_the_past_has_what_was_reported_received_and_booked_by_then() -> None:
    first, second = record(TEN, 1), record(TEN, 30)
    early = fold(Order(key="A", actions=[action()], records=[first]), [CONTRACT], REPORTED + DAY)
    order = fold(replace(early, records=[first, second]), [CONTRACT], REPORTED + 2 * DAY)
    final = REPORTED + 40 * DAY
    order = replace(order, heads={"A~sale": replace(order.heads["A~sale"], final=final)})
    now, at_last, before = (as_of(order, [CONTRACT], final + n * DAY) for n in (1, 0, -1))
    assert [one.heads["A~sale"].final for one in (now, at_last, before)] == [final, final, None]
    assert (now.heads["A~sale"].payout, len(now.heads["A~sale"].log)) == (640, 2)
    then = as_of(order, [CONTRACT], REPORTED + DAY)
    assert (then.heads["A~sale"].payout, len(then.heads["A~sale"].log), then.records) == (720, 1, [first])
    assert as_of(order, [CONTRACT], REPORTED + DAY - timedelta(seconds=1)).heads["A~sale"].payout == 800
    assert as_of(order, [CONTRACT], REPORTED).actions == [action()] and then.key == "A"
    unread = as_of(replace(order, heads={}), [CONTRACT], REPORTED + DAY)
    assert unread.heads["A~sale"].payout == 800
