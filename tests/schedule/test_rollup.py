"""The count says what the ledger says, wherever it was cut off; and it costs what is open, not what ever was."""

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.meter import ReadMeter, item_bytes

from retour.counting import rollup
from retour.counting.tally import Tally
from retour.domain.actions.fence import GRACE
from retour.domain.program import Program
from retour.schedule import locking

LOCK = datetime(2026, 12, 1, 23, 0, tzinfo=UTC)
"""Of what the house reports by default."""
NIGHT = datetime(2026, 12, 2, 2, 0, tzinfo=UTC)
"""3:00 in Berlin, after that lock."""


def program_of(house: ProgramHarness) -> Program:
    program = house.hub.program(house.program)
    assert program is not None
    return program


def count(house: ProgramHarness, *, now: bool = True) -> bool:
    return rollup.roll_up(house.hub, program_of(house), now=now)


def rollups(house: ProgramHarness) -> Any:
    return rollup.rollups_of(house.hub, program_of(house))


def total(house: ProgramHarness) -> Tally:
    return Tally(rollups(house).summary()["numbers"])


def of_partner(house: ProgramHarness, partner: str) -> Tally:
    return Tally(rollups(house).partner(partner)["numbers"])


def lock(house: ProgramHarness) -> None:
    locking.finalise_due(house.hub, program_of(house))


def sold(house: ProgramHarness, *orders: str, partner: str = "nordlicht", **more: Any) -> None:
    house.report(
        *({"order_id": one, "partner": partner, "currency": "EUR", "amount": "100.00"} | more for one in orders)
    )


def test_sums_by_state_lock_day_and_partner(house: ProgramHarness) -> None:
    sold(house, "A-1", "A-2", "A-3", "A-4")
    sold(house, "B-1", partner="schuhblog", event_time="2026-11-02T08:00:00+01:00")
    house.modify(
        {"order_id": "A-3", "change": "reverse", "reason": "CANCELLED"}, {"order_id": "A-4", "change": "approve"}
    )
    assert count(house)
    assert list(total(house).by_state()) == [
        ("approved", "EUR", 1, 800), ("pending", "EUR", 3, 2400), ("reversed", "EUR", 1, 0),
    ]  # fmt: skip
    assert [(str(day), *rest) for day, *rest in total(house).by_lock()] == [
        ("2026-12-02", "approved", "EUR", 1, 800, 800),
        ("2026-12-02", "pending", "EUR", 2, 1600, 1600),
        ("2026-12-03", "pending", "EUR", 1, 800, 800),
    ]
    assert list(of_partner(house, "schuhblog").by_state()) == [("pending", "EUR", 1, 800)]
    lines = rollups(house).page(0)["lines"]
    assert [line["partner"] for line in lines] == ["nordlicht", "schuhblog"], "by what is pending"


def test_what_locks_by_itself_is_expected_and_an_open_end_is_not_until_it_is_approved(house: ProgramHarness) -> None:
    open_end = {**PROGRAM["contracts"]["standard"], "lock": {"open_ended": True}}
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": open_end}})
    sold(house, "A-1", "A-2")
    house.modify({"order_id": "A-2", "change": "approve"})
    assert count(house)
    assert [(state, payout, expected) for _, state, _, _, payout, expected in total(house).by_lock()] == [
        ("approved", 800, 800), ("pending", 800, 0),
    ]  # fmt: skip


def test_locked_and_final_ones_are_counted_once_before_and_after_the_fence(house: ProgramHarness) -> None:
    sold(house, "A-1", "A-2")
    sold(house, "A-3", event_time="2026-11-02T08:00:00+01:00")
    house.modify({"order_id": "A-2", "change": "reverse"})
    expected = [("locked", "EUR", 1, 800), ("pending", "EUR", 1, 800), ("reversed", "EUR", 1, 0)]
    house.clock.moment = LOCK + timedelta(minutes=1)
    assert count(house)
    assert list(total(house).by_state()) == expected, "locked, not final"
    house.clock.moment = LOCK + GRACE
    lock(house)
    assert count(house)
    assert list(total(house).by_state()) == expected, "final"


def test_an_action_that_is_final_before_any_night_saw_it_is_found(house: ProgramHarness) -> None:
    sold(house, "OLD", event_time="2026-06-01T12:00:00+02:00")
    lock(house)
    assert count(house)
    assert list(total(house).by_state()) == [("locked", "EUR", 1, 800)]
    assert total(house).orders == (0, 0), "long before the window"


def test_returns_have_reasons_and_days_and_what_came_too_late_its_cost(house: ProgramHarness) -> None:
    sold(house, "A-1", "A-2", "A-3")
    house.clock.moment += timedelta(days=9)
    taken = {"change": "take_back", "amount": "20.00", "currency": "EUR", "reason": "ITEM_RETURNED"}
    house.modify({"order_id": "A-1", **taken}, {"order_id": "A-2", "change": "reverse", "reason": "CANCELLED"})
    house.clock.moment = LOCK + GRACE
    house.modify({"order_id": "A-3", **taken})
    expected = {
        "returns": {"9": [2, 0], "30": [1, 1]},
        "reasons": {"ITEM_RETURNED": [2], "CANCELLED": [1]},
        "late": {"EUR": [1, 160]},
        "orders": {"": [3, 1]},
        "rules": {"30": [3]},
    }
    assert count(house)
    assert {name: total(house).rows(name) for name in expected} == expected
    lock(house)
    house.modify({"order_id": "A-1", **taken, "reference": "again"})
    assert count(house)
    after = expected | {"returns": {"9": [2, 0], "30": [2, 2]}, "reasons": {"ITEM_RETURNED": [3], "CANCELLED": [1]},
                        "late": {"EUR": [2, 320]}}  # fmt: skip
    assert {name: total(house).rows(name) for name in after} == after, "booked beside what is final"


def test_what_was_undone_is_no_return(house: ProgramHarness) -> None:
    sold(house, "A-1")
    batch = house.modify({"order_id": "A-1", "change": "reverse", "reference": "r"})
    house.modify({"order_id": "A-1", "change": "undo", "undoes": batch.results[0].modification})
    assert count(house)
    assert total(house).rows("returns") == {} and total(house).orders == (1, 0)


def test_a_count_that_is_cut_off_everywhere_comes_to_the_same(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(1, 5):
        sold(house, f"A-{day}", f"B-{day}", event_time=f"2026-10-{day:02}T12:00:00+02:00")
        sold(house, f"C-{day}", partner="schuhblog", event_time=f"2026-11-{day:02}T12:00:00+01:00")
    house.modify({"order_id": "A-1", "change": "reverse"}, {"order_id": "C-2", "change": "approve"})
    house.clock.moment = datetime(2026, 11, 5, 9, tzinfo=UTC)
    lock(house)
    assert count(house)
    whole = rollups(house).summary()
    monkeypatch.setattr(rollup, "PIECE_SIZE", 1)
    house.clock.moment += timedelta(minutes=1)
    program, runs, now = program_of(house), 1, True
    while not rollup.roll_up(house.hub, program, lambda: False, now=now):
        runs, now = runs + 1, False
        assert rollups(house).summary()["at"] == whole["at"], "the one before stands until the new one is whole"
    cut = rollups(house).summary()
    assert runs > 10 and cut["at"] > whole["at"]
    assert {**cut, "at": whole["at"]} == whole


def test_two_at_once_count_everything_once(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    sold(house, *(f"A-{n}" for n in range(6)))
    monkeypatch.setattr(rollup, "PIECE_SIZE", 2)
    program = program_of(house)
    assert not rollup.roll_up(house.hub, program, lambda: False, now=True)
    store = rollups(house)
    run = store.current_run()["run"]
    slow = rollup.RollUpRun(house.hub, program, store, house.hub.ledger(program), run)
    stale = store.last_piece(run)
    assert not rollup.roll_up(house.hub, program, lambda: False)
    monkeypatch.setattr(type(store), "last_piece", lambda *_: stale)
    assert not slow.resume(lambda: True), "who comes too late with a piece leaves it"
    monkeypatch.undo()
    assert rollup.roll_up(house.hub, program)
    assert list(total(house).by_state()) == [("pending", "EUR", 6, 4800)]


def test_it_is_due_every_night_and_when_something_came_to_a_small_program(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold(house, "A-1")
    assert count(house, now=False)
    first = rollups(house).summary()["at"]
    house.clock.moment += timedelta(hours=1)
    assert count(house, now=False) and rollups(house).summary()["at"] == first, "nothing came"
    sold(house, "A-2")
    assert count(house, now=False)
    second = rollups(house).summary()["at"]
    assert second > first and list(total(house).by_state()) == [("pending", "EUR", 2, 1600)]
    monkeypatch.setattr(rollup, "SMALL_PROGRAM_MAX", 0)
    sold(house, "A-3")
    assert count(house, now=False) and rollups(house).summary()["at"] == second, "a large one waits for the night"
    house.clock.moment = datetime(2026, 11, 3, 1, 59, tzinfo=UTC)
    assert count(house, now=False) and rollups(house).summary()["at"] == second
    house.clock.moment = datetime(2026, 11, 3, 2, 1, tzinfo=UTC)
    assert count(house, now=False) and rollups(house).summary()["at"] > second


def test_months_in_which_nothing_moves_are_not_read_again(
    house: ProgramHarness, looks: Callable[[], ReadMeter]
) -> None:
    for number in range(20):
        sold(house, f"OLD-{number}", event_time="2026-03-01T12:00:00+01:00")
    sold(house, "NEW")
    lock(house)
    assert count(house)
    seen = looks()
    house.clock.moment += timedelta(days=1)
    assert count(house)
    assert list(total(house).by_state()) == [("locked", "EUR", 20, 16000), ("pending", "EUR", 1, 800)]
    assert rollups(house).summary()["looked"] == 1
    assert seen.items < 20, seen


def test_a_piece_fits_where_every_action_is_of_another_partner_with_a_long_name(house: ProgramHarness) -> None:
    names = [hashlib.sha256(str(number).encode()).hexdigest() * 4 for number in range(rollup.PIECE_SIZE)]
    partners = {name: {"states": {"pending EUR": [1, 800]}, "locks": {"2026-12-02 pending EUR": [1, 800, 800]},
                       "orders": {"": [1, 0]}, "rules": {"30": [1]}} for name in names}  # fmt: skip
    store = rollups(house)
    assert store.put_piece("run", 1, {"partners": partners}, house.hub.real_now())
    assert next(store.pieces("run"))["partners"] == partners
    (item,) = store._query(f"L#{house.program}#run", "")
    assert item_bytes(item) < 400_000


def test_a_partner_who_lost_everything_is_gone(house: ProgramHarness) -> None:
    sold(house, "A-1")
    assert count(house)
    house.modify({"order_id": "A-1", "change": "reattribute", "partner": "schuhblog"})
    assert count(house)
    summary, store = rollups(house).summary(), rollups(house)
    assert summary["partners"] == 1 and [one["partner"] for one in store.page(0)["lines"]] == ["schuhblog"]
    assert store.partner("nordlicht")["at"] < summary["at"] == store.partner("schuhblog")["at"]


def test_heads_written_before_they_said_when_are_read_with_their_order(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retour.store import rollups as store

    sold(house, "A-1")
    known = store.head_line
    monkeypatch.setattr(store, "head_line", lambda item: known({name: item[name] for name in item if name != "evt"}))
    assert count(house)
    assert total(house).orders == (1, 0)


def test_a_modification_costs_no_more_than_before(house: ProgramHarness, metered: Callable[[], Any]) -> None:
    meter = metered()
    sold(house, "A-1")
    assert count(house)
    meter.calls.clear()
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "1.00", "currency": "EUR"})
    kinds = Counter(key.split("#")[0] for key, _, _ in meter.calls)
    assert kinds == Counter({"A": 2, "D": 1}) and sum(cost for key, _, cost in meter.calls if key[0] == "A") == 2
