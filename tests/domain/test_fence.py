"""The fence: when an action may become final, what of it is booked then, and what comes too late."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, contract, fold_records, outcomes_of, record

from retour.domain.actions.fence import GRACE, LowWaterMark, held_records, is_ready, with_final_action
from retour.domain.actions.fold import fold
from retour.domain.actions.make_good import make_good
from retour.domain.actions.modification import (
    Change,
    Discard,
    Modification,
    Reattribute,
    Release,
    Restore,
    Reverse,
    SetStatus,
    SetTotal,
    TakeBack,
)
from retour.domain.actions.order import NO_ACTION, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.contracts.lock import at_report

PATIENCE = timedelta(hours=72)
DRY = LowWaterMark()


def lock_of(order: Order) -> datetime:
    lock = order.heads["A~sale"].locks_at
    assert lock is not None
    return lock


LOCK = lock_of(fold_records(action(), []))
LATE = (LOCK - REPORTED) / timedelta(hours=1)
"""Hours from the report to the lock."""


def ready(order: Order, now: datetime, water: LowWaterMark = DRY) -> bool:
    return is_ready(order.heads["A~sale"], now, water, PATIENCE)


def test_it_is_final_only_after_the_lock_and_its_grace() -> None:
    order = fold_records(action(), [])
    assert not ready(order, LOCK)
    assert not ready(order, LOCK + GRACE - timedelta(milliseconds=1))
    assert ready(order, LOCK + GRACE)
    assert not ready(with_final_action(order, "A~sale", LOCK + GRACE), LOCK + GRACE), "once is enough"


@pytest.mark.parametrize(
    ("received", "waits"), [(LOCK - timedelta(milliseconds=1), True), (LOCK, False), (LOCK + timedelta(days=1), False)]
)
def test_what_is_at_work_holds_it_back_for_ever_if_it_came_before_the_lock(received: datetime, waits: bool) -> None:
    order = fold_records(action(), [])
    assert ready(order, LOCK + timedelta(days=300), LowWaterMark(working=received)) is not waits


def test_what_is_held_holds_it_back_only_so_long() -> None:
    order, water = fold_records(action(), []), LowWaterMark(held=LOCK - timedelta(days=5))
    assert not ready(order, LOCK + PATIENCE - timedelta(milliseconds=1), water)
    assert ready(order, LOCK + PATIENCE, water)
    assert ready(order, LOCK + GRACE, LowWaterMark(held=LOCK))


def held_order() -> tuple[Order, Modification]:
    """An order with a second, equal refund from elsewhere, which is held."""
    first = record(TakeBack(amount=Decimal("20.00")), 1, doubles={"days": "14"})
    second = record(TakeBack(amount=Decimal("20.00")), 2, source="shop", namespace="shop", doubles={"days": "14"})
    order = fold_records(action(), [first, second])
    assert outcomes_of(order) == [("applied", ""), ("held", "POSSIBLE_DUPLICATE")]
    return order, second


def test_a_held_record_holds_it_back_and_is_refused_with_the_fence() -> None:
    order, held = held_order()
    assert not ready(order, LOCK + PATIENCE - timedelta(milliseconds=1))
    assert ready(order, LOCK + PATIENCE)
    final = with_final_action(order, "A~sale", LOCK + PATIENCE)
    assert outcomes_of(final)[-1] == ("refused", "NOT_RELEASED_IN_TIME")
    head = final.heads["A~sale"]
    assert head.final == LOCK + PATIENCE
    assert (head.log[-1].id, head.log[-1].amount, head.log[-1].payout) == (held.id, 8000, 640)
    assert held_records(head) == []


@pytest.mark.parametrize(
    ("decision", "hours", "outcome", "code"),
    [
        (Release, 71.9, "applied", ""),
        (Release, 72.0, "refused", "NOT_RELEASED_IN_TIME"),
        (Discard, 71.9, "applied", ""),
        (Discard, 72.0, "refused", "NOT_RELEASED_IN_TIME"),
    ],
)
def test_a_person_may_decide_as_long_as_the_fence_waits(
    decision: type[Release] | type[Discard], hours: float, outcome: str, code: str
) -> None:
    order, held = held_order()
    decided = record(decision(held.public_id), LATE + hours)
    decided = replace(decided, counts_after=decided.received_at - PATIENCE)
    after = fold(replace(order, records=[*order.records, decided]), (CONTRACT,), LOCK + PATIENCE)
    entry = after.heads["A~sale"].last_entry(decided.id)
    assert entry is not None and (entry.outcome.value, entry.code) == (outcome, code)
    released = decision is Release and outcome == "applied"
    assert after.heads["A~sale"].standing.amount == (6000 if released else 8000)


def test_what_was_released_late_counts_only_for_what_locks_later() -> None:
    change = record(Reverse(), 5)
    in_time = replace(change, counts_after=LOCK - timedelta(milliseconds=1))
    late = replace(change, counts_after=LOCK)
    assert outcomes_of(fold_records(action(), [in_time])) == [("applied", "")]
    assert outcomes_of(fold_records(action(), [late])) == [("refused", "NOT_RELEASED_IN_TIME")]


@pytest.mark.parametrize(
    ("hours", "counts_after", "code"),
    [
        (1, None, "AFTER_FINAL"),
        (1, LOCK, "NOT_RELEASED_IN_TIME"),
        (LATE, None, "ACTION_LOCKED"),
        (LATE + 500, None, "ACTION_LOCKED"),
    ],
)
def test_a_final_action_takes_nothing_and_says_why_beside_it(
    hours: float, counts_after: datetime | None, code: str
) -> None:
    final = with_final_action(fold_records(action(), []), "A~sale", LOCK + GRACE)
    late = record(Reverse(), hours, counts_after=counts_after)
    after = fold(replace(final, records=[late]), (CONTRACT,), LOCK + timedelta(days=1))
    assert after.heads["A~sale"] is final.heads["A~sale"]
    assert [(entry.outcome, entry.code) for entry in after.heads[NO_ACTION].log] == [(Outcome.REFUSED, code)]


@pytest.mark.parametrize(
    ("change", "amount", "payout"),
    [
        (TakeBack(amount=Decimal("20.00")), -2000, -160),
        (SetTotal(Decimal("55.55")), -4445, -356),
        (Reverse(), -10000, -800),
    ],
)
@pytest.mark.parametrize("final", [False, True])
def test_a_change_that_came_too_late_names_the_make_good(change: Change, amount: int, payout: int, final: bool) -> None:
    order = fold_records(action(), [])
    if final:
        order = with_final_action(order, "A~sale", LOCK + GRACE)
    late = record(change, LATE)
    after = fold(replace(order, records=[late]), (CONTRACT,), LOCK + timedelta(days=1))
    booked = after.booking_of(late.id)
    assert booked is not None
    owed = make_good(after, booked[0], late, booked[1].code, (CONTRACT,))
    assert owed is not None
    assert (owed.partner, owed.amount, owed.payout, owed.currency) == ("nordlicht", amount, payout, "EUR")


def test_a_late_restore_is_owed_to_the_partner() -> None:
    reversal, late = record(Reverse(), 1), record(Restore(), LATE)
    order = fold_records(action(), [reversal, late])
    booked = order.booking_of(late.id)
    assert booked is not None and booked[1].code == "ACTION_LOCKED"
    owed = make_good(order, booked[0], late, booked[1].code, (CONTRACT,))
    assert owed is not None and (owed.amount, owed.payout) == (10000, 800)


def test_a_late_reattribution_names_what_both_partners_settle() -> None:
    better = contract("10", number=2, partners=["south"])
    terms = (CONTRACT, better)
    late = record(Reattribute("south"), LATE)
    order = fold_records(action(), [late], terms)
    booked = order.booking_of(late.id)
    assert booked is not None
    owed = make_good(order, booked[0], late, booked[1].code, terms)
    assert owed is not None and (owed.partner, owed.payout) == ("nordlicht", -800)
    assert owed.also is not None and (owed.also.partner, owed.also.amount, owed.also.payout) == ("south", 10000, 1000)


@pytest.mark.parametrize("change", [TakeBack(amount=Decimal("200.00")), SetStatus("shipped"), SetTotal(Decimal("100"))])
def test_what_would_have_moved_nothing_is_not_made_good(change: Change) -> None:
    late = record(change, LATE)
    order = fold_records(action(), [late])
    booked = order.booking_of(late.id)
    assert booked is not None
    assert make_good(order, booked[0], late, booked[1].code, (CONTRACT,)) is None


def test_a_refusal_of_another_kind_has_no_make_good() -> None:
    wrong = record(TakeBack(amount=Decimal("200.00")), 1)
    order = fold_records(action(), [wrong])
    booked = order.booking_of(wrong.id)
    assert booked is not None and booked[1].code == "AMOUNT_EXCEEDS_SALE"
    assert make_good(order, booked[0], wrong, booked[1].code, (CONTRACT,)) is None


@pytest.mark.parametrize(
    ("lock", "event", "instant"),
    [
        ({"days_after_event": 30}, "2026-02-27T12:00:00Z", "2026-03-29T22:00:00Z"),
        ({"days_after_event": 30}, "2026-09-25T12:00:00Z", "2026-10-25T23:00:00Z"),
        ({"months_after_month_end": 1, "days_after_month_end": 2}, "2027-01-31T12:00:00Z", "2027-03-02T23:00:00Z"),
        ({"months_after_month_end": 1}, "2028-01-31T12:00:00Z", "2028-02-29T23:00:00Z"),
        ({"months_after_month_end": 1}, "2026-12-31T23:30:00Z", "2027-02-28T23:00:00Z"),
    ],
)
def test_state_and_fence_follow_the_programs_own_clock(lock: dict[str, int], event: str, instant: str) -> None:
    """Through summer time, month ends and leap years; the state is a question to the clock, nobody has to run."""
    terms, when = contract(lock=lock), datetime.fromisoformat(event)
    sold = action(event_time=when, reported_at=when, locks_at=at_report(terms.lock, when, "Europe/Berlin").locks_at)
    locks = datetime.fromisoformat(instant)
    head = fold(Order(key="A", actions=[sold]), (terms,), when).heads["A~sale"]
    assert head.locks_at == locks
    assert head.state(locks - timedelta(milliseconds=1)).value == "pending"
    assert head.state(locks).value == "locked"
    assert not is_ready(head, locks + GRACE - timedelta(milliseconds=1), DRY, PATIENCE)
    assert is_ready(head, locks + GRACE, DRY, PATIENCE)
