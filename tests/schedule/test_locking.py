"""The locker on the real storage: what is due becomes final, nothing else is touched, and no kill changes the end."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.meter import Meter

from retour.domain.actions.fence import GRACE
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Program
from retour.intake.decision import release_delivery
from retour.intake.ingest import announce_file, ingest
from retour.posting.refold import refold_order
from retour.schedule import locking
from retour.store.ledger import TableLedger

LOCK = datetime(2026, 12, 1, 23, 0, tzinfo=UTC)
"""Of what the house reports by default: 30 days after 1 November in Berlin."""
DUE = LOCK + GRACE


def program_of(house: ProgramHarness) -> Program:
    program = house.hub.program(house.program)
    assert program is not None
    return program


def run(house: ProgramHarness, moment: datetime = DUE) -> Counter[str]:
    house.clock.moment = moment
    return locking.finalise_due(house.hub, program_of(house))


def ledger_of(house: ProgramHarness) -> TableLedger:
    return house.hub.ledger(program_of(house))


def final(house: ProgramHarness, order: str) -> dict[str, bool]:
    return {head.action: head.final is not None for head in house.order(order).heads.values() if head.action}


def test_due_actions_become_final_and_others_stay(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.report({"order_id": "A-2", "amount": "50.00", "event_time": "2026-11-02T08:00:00+01:00"})
    assert run(house, LOCK) == Counter()
    assert final(house, "A-1") == {"A-1~sale": False}
    assert run(house) == Counter(final=1)
    assert (final(house, "A-1"), final(house, "A-2")) == ({"A-1~sale": True}, {"A-2~sale": False})
    assert run(house) == Counter()
    assert run(house, DUE + timedelta(days=1)) == Counter(final=1)


def test_nobody_has_to_run_for_an_action_to_be_locked(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.clock.moment = LOCK + timedelta(days=9)
    assert house.payouts("A-1") == {"A-1~sale": (10000, 800, "locked")}
    batch = house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00"})
    [result] = batch.results
    assert (result.outcome.value, result.code) == ("refused", "ACTION_LOCKED")
    assert result.make_good is not None and result.make_good.payout == -160


def test_the_fence_folds_what_nobody_folded_yet(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    with monkeypatch.context() as killed:
        killed.setattr("retour.posting.rows.fold_and_save", lambda *_: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00"})
    assert run(house) == Counter(final=1)
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "locked")}


def test_what_waits_beside_the_merchants_own_id_is_folded_too(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.report({"order_id": "A-1", "action_id": "N-1", "amount": "100.00"})
    with monkeypatch.context() as earlier:
        # As if the look for the order had been made just before the report.
        earlier.setattr("retour.posting.rows.with_order_key", lambda _names, _program, modification: modification)
        earlier.setattr("retour.posting.rows.fold_into_reported_order", lambda *_: None)
        house.modify({"action_id": "N-1", "change": "take_back", "amount": "20.00"})
    assert house.payouts("A-1") == {"N-1": (10000, 800, "pending")}
    assert run(house) == Counter(final=1)
    assert house.payouts("A-1") == {"N-1": (8000, 640, "locked")}


def test_a_moved_lock_is_found_where_it_went(house: ProgramHarness) -> None:
    terms = {"event_type": "sale", "valid_from": "2026-01-01", "payout": "8%"}
    by_status = {"lock": {"days_after_status": 7, "statuses": ["shipped"]}}
    house.apply({**PROGRAM, "event_types": {"sale": {}}, "contracts": {"standard": terms | by_status}})
    house.report({"order_id": "S-1", "amount": "100.00"})
    assert run(house, DUE + timedelta(days=400)) == Counter(), "no status, no lock"
    house.clock.moment = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
    house.modify({"order_id": "S-1", "change": "set_status", "status": "shipped"})
    lock = datetime(2026, 11, 9, 23, 0, tzinfo=UTC)
    assert run(house, lock) == Counter()
    assert run(house, lock + GRACE) == Counter(final=1)


# What is still open holds back


def file_on_its_way(house: ProgramHarness, **more: Any) -> Any:
    body = b"reference,order_id,change,amount\nr-9,A-1,take_back,20.00\n"
    key = f"api/{house.program}/warehouse/x/late.csv"
    delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name="late.csv", body_key=key, **more)
    announce_file(house.hub, delivery)
    house.hub.inbox.put(key, body)
    return delivery


def test_a_file_received_in_time_is_waited_for_and_counts(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.clock.moment = LOCK - timedelta(minutes=1)
    delivery = file_on_its_way(house)
    assert run(house, DUE + timedelta(days=9)) == Counter(held_back=1)
    batch = ingest(house.hub, delivery, None)
    assert batch.counts == {"applied": 1}
    assert run(house, DUE + timedelta(days=9)) == Counter(final=1)
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "locked")}


def test_a_file_received_after_the_lock_is_not_waited_for(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.clock.moment = LOCK
    file_on_its_way(house)
    assert run(house) == Counter(final=1)


def test_a_held_file_is_waited_for_three_days_and_then_does_not_count(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    held = file_on_its_way(house, held="UNAUTHENTICATED")
    assert ingest(house.hub, held, None).state == "held"
    patience = timedelta(hours=72)
    assert run(house, LOCK + patience - timedelta(minutes=1)) == Counter(held_back=1)
    assert run(house, LOCK + patience) == Counter(final=1)
    [result] = release_delivery(house.hub, held, house.hub.now()).results
    assert (result.outcome.value, result.code, result.action) == ("refused", "NOT_RELEASED_IN_TIME", "A-1~sale")
    assert result.make_good is not None and result.make_good.payout == -160
    assert refold_order(house.hub, house.program, "A-1") == [], "foreseen, and no reason for an alarm"


def test_what_is_released_at_the_last_moment_counts_however_long_it_takes(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    held = file_on_its_way(house, held="UNAUTHENTICATED")
    ingest(house.hub, held, None)
    released_at = LOCK + timedelta(hours=72) - timedelta(minutes=1)
    with monkeypatch.context() as killed:
        killed.setattr("retour.intake.file.post_rows", lambda *_: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            release_delivery(house.hub, held, released_at)
    assert run(house, LOCK + timedelta(hours=80)) == Counter(held_back=1)
    assert release_delivery(house.hub, held, released_at).counts == {"applied": 1}
    assert run(house, LOCK + timedelta(hours=80)) == Counter(final=1)
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "locked")}


@pytest.mark.parametrize(("hours", "outcome"), [(71, "applied"), (73, "refused")])
def test_a_held_record_may_be_released_as_long_as_the_fence_waits(
    house: ProgramHarness, hours: int, outcome: str
) -> None:
    usual = {"order_id": "A-1", "change": "take_back", "amount": "20.00"}
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.modify(usual)
    [held] = house.modify(usual, source="shop").results
    assert (held.outcome.value, held.code) == ("held", "POSSIBLE_DUPLICATE")
    house.clock.moment = LOCK + timedelta(hours=hours)
    decision = {"order_id": "A-1", "change": "release", "undoes": held.modification}
    [release] = house.modify(decision, source="console", channel=Channel.CONSOLE).results
    assert (release.outcome.value, release.code) == (outcome, "" if hours < 72 else "NOT_RELEASED_IN_TIME")
    expected = (6000, 480, "locked") if outcome == "applied" else (8000, 640, "locked")
    assert house.payouts("A-1") == {"A-1~sale": expected}
    assert run(house, LOCK + timedelta(hours=80)) == Counter(final=1)
    head = house.order("A-1").heads["A-1~sale"]
    entry = head.last_entry(held.modification.rpartition("~")[2])
    assert entry is not None and entry.code == ("" if outcome == "applied" else "NOT_RELEASED_IN_TIME")


def test_what_shows_up_in_time_after_final_is_an_alarm_that_stays_listed(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    body = json.dumps([{"reference": "r-1", "order_id": "A-1", "change": "take_back", "amount": "20.00"}]).encode()
    lost = house.delivery(DeliveryKind.MODIFICATIONS, body, "erp", Channel.API)
    assert run(house) == Counter(final=1)
    [result] = ingest(house.hub, lost, body).results
    assert (result.outcome.value, result.code) == ("refused", "AFTER_FINAL")
    assert refold_order(house.hub, house.program, "A-1") == [result.modification]
    assert refold_order(house.hub, house.program, "A-1") == [], "once"
    [(subject, doc)] = house.hub.deliveries(house.program).due("alarm")
    assert (subject, doc["action"], doc["delivery"]) == (result.modification, "A-1~sale", lost.id)
    assert house.payouts("A-1") == {"A-1~sale": (10000, 800, "locked")}


def test_a_parent_waits_for_its_children(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    owed = True
    monkeypatch.setattr(
        "retour.posting.cascade.is_waiting_for_children",
        lambda _ledger, _order, action: owed and action.id == "A-1~sale",
    )
    assert run(house) == Counter(open=1)
    owed = False
    assert run(house) == Counter(final=1)


def test_one_orders_trouble_keeps_no_other_from_its_turn(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for order in ("A-1", "A-2"):
        house.report({"order_id": order, "amount": "100.00"})

    def broken(_ledger: Any, order: Any, _action: Any) -> bool:
        if order.key == "A-1":
            raise ConnectionError
        return False

    with monkeypatch.context() as trouble:
        trouble.setattr("retour.posting.cascade.is_waiting_for_children", broken)
        assert run(house) == Counter(final=1, failed=1)
    assert run(house) == Counter(final=1)


# What it touches


@contextmanager
def requests(house: ProgramHarness) -> Iterator[list[tuple[str, str]]]:
    """Every request that goes to the table meanwhile: its operation, and the partition it means."""
    client, seen = house.hub._dynamodb, []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        values = params.get("ExpressionAttributeValues", {})
        place = params.get("Key") or params.get("Item")
        seen.append((model.name, place["PK"]["S"] if place else next(iter(values.values()))["S"]))

    client.meta.events.register("provide-client-params.dynamodb", note)
    try:
        yield seen
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb", note)


def test_only_what_is_due_is_touched(house: ProgramHarness) -> None:
    house.clock.moment = datetime(2026, 11, 11, 9, 0, tzinfo=UTC)
    for day in range(1, 11):
        for number in range(3):
            at = f"2026-11-{day:02}T12:00:00+01:00"
            house.report({"order_id": f"D{day}-{number}", "amount": "100.00", "event_time": at})
    with requests(house) as before:
        run(house, LOCK - timedelta(hours=1))
    program = house.program
    assert [key for _, key in before if key.startswith(("A#", f"L#{program}#"))] == [
        f"L#{program}#2026-12-01#2026-11-01", f"L#{program}#2026-12-01#2026-11-01",
    ], "of the day that has begun the index alone"  # fmt: skip
    with requests(house) as seen:
        assert run(house) == Counter(final=3)
    orders = [key for _, key in seen if key.startswith("A#")]
    assert set(orders) == {f"A#{program}#D1-{number}" for number in range(3)}
    assert Counter(operation for operation, key in seen if key.startswith("A#")) == Counter(Query=3, PutItem=3)
    assert {key for _, key in seen if key.startswith(f"L#{program}#")} == {f"L#{program}#2026-12-01#2026-11-01"}
    assert len(seen) <= 2 * 3 + 6


def test_a_report_lists_its_partition_once_and_a_modification_never(
    house: ProgramHarness, metered: Callable[[], Meter]
) -> None:
    meter = metered()
    house.report(*({"order_id": f"R-{number}", "amount": "100.00"} for number in range(5)))
    listed = [cost for key, _, cost in meter.calls if key == f"L#{house.program}"]
    assert listed == [1]
    house.modify({"order_id": "R-1", "change": "take_back", "amount": "1.00"})
    house.modify({"order_id": "R-1", "change": "reverse"})
    assert [cost for key, _, cost in meter.calls if key == f"L#{house.program}"] == [1]


def test_the_fence_costs_two_units_an_action_and_one_a_partner_month(
    house: ProgramHarness, metered: Callable[[], Meter]
) -> None:
    meter = metered()
    house.report(*({"order_id": f"U-{number}", "amount": "100.00"} for number in range(10)))
    before = meter.written
    assert run(house) == Counter(final=10)
    assert meter.written - before == 2 * 10 + 1


def test_empty_partitions_leave_the_list_after_an_hour_and_not_while_somebody_comes(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(house.hub, "real_now", lambda: real)

    def listed() -> list[str]:
        return [partition.event_day for partition in ledger_of(house).lock_partitions("9999")]

    house.report({"order_id": "E-1", "amount": "100.00"})
    run(house)
    assert listed() == ["2026-11-01"]
    run(house)
    real += timedelta(minutes=59)
    run(house)
    assert listed() == ["2026-11-01"], "marked, and not yet an hour empty"
    house.report({"order_id": "E-2", "amount": "100.00"})
    real += timedelta(minutes=2)
    assert run(house) == Counter(final=1), "listed anew, so the mark is gone"
    run(house)
    assert listed() == ["2026-11-01"]
    real += timedelta(minutes=61)
    run(house)
    assert listed() == []
    house.report({"order_id": "E-3", "amount": "100.00"})
    assert run(house) == Counter(final=1), "a late report is found as well"


def test_a_partition_listed_while_it_is_taken_off_stays(house: ProgramHarness) -> None:
    house.report({"order_id": "E-1", "amount": "100.00"})
    run(house)
    ledger = ledger_of(house)
    [partition] = ledger.lock_partitions("2026-12-31")
    ledger.mark_empty(partition, DUE)
    [marked] = ledger.lock_partitions("2026-12-31")
    assert marked.empty_since == DUE
    house.hub._listed.clear()  # As for another process.
    house.report({"order_id": "E-2", "amount": "100.00"})
    ledger.unlist(marked)
    assert [one.event_day for one in ledger.lock_partitions("2026-12-31")] == ["2026-11-01"]


def test_it_stops_when_its_time_is_over_and_goes_on_in_the_next_run(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "CHUNK", 3)
    house.report(*({"order_id": f"T-{number}", "amount": "100.00"} for number in range(8)))
    house.clock.moment = DUE
    looks = iter([True, True, False])
    counts = locking.finalise_due(house.hub, program_of(house), lambda: next(looks))
    assert counts == Counter(final=6, left=1)
    assert run(house) == Counter(final=2)


# Killed, and two at once


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Mortal:
    """A DynamoDB client whose process dies before or after its nth call, for every thread at once."""

    client: Any
    dies_at: int
    after: bool
    calls: int = 0
    dead: bool = False
    lock: Lock = field(default_factory=Lock)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        return found if name in ("exceptions", "meta") else lambda *args, **more: self.called(found, *args, **more)

    def called(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        with self.lock:
            self.calls += 1
            last = self.calls == self.dies_at
            self.dead = self.dead or (last and not self.after)
            if self.dead:
                raise Killed
            try:
                return call(*args, **more)
            finally:
                if last:
                    self.dead = True
                    raise Killed


def story(house: ProgramHarness, name: str) -> None:
    """Two orders that are due: one with two actions and a record nobody folded, one with a record that is held."""
    usual = {"reason": "ITEM_RETURNED", "change": "take_back"}
    house.clock.moment = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
    house.report(
        {"order_id": f"{name}-1", "action_id": f"{name}-x", "amount": "100.00"},
        {"order_id": f"{name}-1", "action_id": f"{name}-y", "amount": "60.00"},
        {"order_id": f"{name}-2", "amount": "40.00"},
    )
    with pytest.MonkeyPatch.context() as unfolded:
        unfolded.setattr("retour.posting.rows.fold_and_save", lambda *_: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            house.modify({**usual, "action_id": f"{name}-x", "amount": "10.00"})
    house.modify({**usual, "reference": "a", "order_id": f"{name}-2", "amount": "5.00"})
    house.modify({**usual, "reference": "b", "order_id": f"{name}-2", "amount": "5.00"}, source="shop")


def told(house: ProgramHarness, name: str) -> list[Any]:
    """What the ledger says of a story: for every action its standing, whether it is final, and its log."""
    heads = [*house.order(f"{name}-1").heads.values(), *house.order(f"{name}-2").heads.values()]
    return sorted(
        (
            head.action.removeprefix(name),
            head.version,
            head.standing.amount,
            head.payout,
            head.final is not None,
            [(entry.outcome.value, entry.code) for entry in head.log],
        )
        for head in heads
        if head.action
    )


def test_killed_before_or_after_any_call_it_comes_to_the_same_ledger(house: ProgramHarness) -> None:
    end, client = LOCK + timedelta(hours=72), house.hub._dynamodb
    story(house, "K")
    counted = Mortal(client, 0, after=False)
    house.hub.__dict__["_dynamodb"] = counted
    assert run(house, end) == Counter(final=3)
    house.hub.__dict__["_dynamodb"] = client
    expected = told(house, "K")
    assert [one[4] for one in expected] == [True] * 3
    assert expected[0][5] == [("applied", ""), ("held", "POSSIBLE_DUPLICATE"), ("refused", "NOT_RELEASED_IN_TIME")]
    assert counted.calls > 8
    for dies_at in range(1, counted.calls + 1):
        for after in (False, True):
            name = f"K{dies_at}{'b' if after else 'a'}"
            story(house, name)
            house.hub.__dict__["_dynamodb"] = Mortal(client, dies_at, after)
            with pytest.raises(Killed):
                run(house, end)
                raise AssertionError(f"it made fewer than {dies_at} calls")
            house.hub.__dict__["_dynamodb"] = client
            run(house, end)
            assert told(house, name) == expected, (dies_at, after)


def test_two_lockers_at_once_set_one_fence(house: ProgramHarness) -> None:
    house.report(*({"order_id": f"P-{number}", "amount": "100.00"} for number in range(30)))
    house.clock.moment = DUE
    program = program_of(house)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: locking.finalise_due(house.hub, program), range(2)))
    assert all(not counts["failed"] for counts in made)
    for number in range(30):
        [head] = house.order(f"P-{number}").heads.values()
        assert (head.version, head.final is not None) == (2, True)


def test_a_record_that_comes_while_the_fence_is_set_is_in_or_beside_it_and_never_lost(house: ProgramHarness) -> None:
    """Whoever writes the head first wins; the other folds again on what it left."""
    house.report({"order_id": "A-1", "amount": "100.00"})
    body = json.dumps([{"reference": "r-1", "order_id": "A-1", "change": "take_back", "amount": "20.00"}]).encode()
    in_time = house.delivery(DeliveryKind.MODIFICATIONS, body, "erp", Channel.API)
    house.clock.moment = DUE
    ledger = ledger_of(house)
    write_heads = TableLedger.write_heads
    outcomes: list[str] = []

    def meanwhile(self: TableLedger, *args: Any) -> bool:
        if not outcomes:
            outcomes.append("")
            outcomes[0] = ingest(house.hub, in_time, body).results[0].outcome.value
        return write_heads(self, *args)

    with pytest.MonkeyPatch.context() as racing:
        racing.setattr(TableLedger, "write_heads", meanwhile)
        [due] = ledger.due(next(ledger.lock_partitions("2026-12-01")), LOCK)
        water = house.hub.deliveries(house.program).low_water()
        assert locking.fence_order(ledger, due.order_key, [due.action], water, DUE, timedelta(hours=72)) == {
            due.action: True
        }
    assert outcomes == ["applied"]
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "locked")}
