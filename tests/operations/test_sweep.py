"""The sweep: what no event told of is found, what is stored is moved away, and the cost stays as it is."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from functions.file_drop import app as file_drop
from functions.tick import app as tick
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_file_drop import ROWS, bodies, headers, put_quietly, remove, rename
from tests.functions.test_tick import CONTEXT
from tests.meter import ReadMeter
from tests.test_cascade import with_policy

from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Program
from retour.intake import sftp_uploads
from retour.intake.ingest import announce_file
from retour.operations import sweep as sweeping
from retour.operations.sweep import recheck_deliveries, sweep
from retour.posting import held_records
from retour.replies.send import send_reply
from retour.store.inbox import ObjectVersion

HOUR, NOW = timedelta(hours=1), timedelta(0)


@pytest.fixture
def swept(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counter[str]]:
    """A sweep so long after the uploads, by the real clock."""
    house.report({"order_id": "A-1", "amount": "100.00"})
    monkeypatch.setattr(sftp_uploads, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)

    def run(later: timedelta = timedelta(minutes=30), older_than: timedelta = NOW) -> Counter[str]:
        monkeypatch.setattr(house.hub, "real_now", lambda: datetime.now(UTC) + later)
        return sweep(house.hub, program(house), older_than)

    return run


def program(house: ProgramHarness) -> Program:
    found = house.hub.program(house.program)
    assert found is not None
    return found


def lying(house: ProgramHarness) -> set[str]:
    folder = f"sftp/{house.program}/warehouse/"
    return {one.key.removeprefix(folder) for one in house.hub.inbox.versions(folder)}


def test_uploads_that_no_event_told_of_are_taken_in(house: ProgramHarness, swept: Callable[..., Counter[str]]) -> None:
    contents = [ROWS.replace(b"80.00", b"%d.00" % left) for left in (90, 70, 40)]
    for content in contents:
        put_quietly(house, "daily.csv", content)
    put_quietly(house, "removed.csv", ROWS.replace(b"80.00", b"33.00"))
    remove(house, "removed.csv")
    put_quietly(house, "june.csv.uploading", ROWS.replace(b"80.00", b"11.00"))
    rename(house, "june.csv.uploading", "june.csv")
    assert swept(older_than=HOUR)["uploads"] == 0, "the event may still come"
    assert swept()["uploads"] == 5
    assert sorted(bodies(house)) == sorted(
        [*contents, ROWS.replace(b"80.00", b"33.00"), ROWS.replace(b"80.00", b"11.00")]
    )
    assert {header.state for header in headers(house)} == {"done"}
    assert swept() == Counter(), "once"


def test_what_is_stored_is_moved_after_an_hour_and_answers_stay(
    house: ProgramHarness, swept: Callable[..., Counter[str]]
) -> None:
    put_quietly(house, "may.csv", ROWS)
    put_quietly(house, "june.csv.part", ROWS.replace(b"80.00", b"70.00"))
    rename(house, "june.csv.part", "june.csv")
    swept()
    for header in headers(house):
        send_reply(house.hub, {"program": house.program, "delivery": header.delivery.id, "what": "batch"})
    swept()
    assert {"may.csv", "june.csv"} <= lying(house), "clients look at, rename or remove what they have just uploaded"
    assert swept(2 * HOUR)["moved"] == 2
    swept(4 * HOUR)
    assert not {"may.csv", "june.csv", "june.csv.part"} & lying(house)
    assert {"receipt_may.csv", "result_may.csv.csv"} <= lying(house)
    assert sorted(bodies(house)) == sorted([ROWS, ROWS.replace(b"80.00", b"70.00")])


@pytest.fixture
def kept(house: ProgramHarness) -> None:
    source = {"channel": "sftp", "options": {"keep": True}}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "warehouse": source}})


@pytest.mark.usefixtures("kept")
def test_a_source_may_keep_its_uploads_where_they_are_and_each_says_what_it_became(
    house: ProgramHarness, swept: Callable[..., Counter[str]]
) -> None:
    for left in (90, 80):
        put_quietly(house, "may.csv", ROWS.replace(b"80.00", b"%d.00" % left))
    assert swept()["uploads"] == 2
    assert swept(30 * HOUR) == Counter(moved=1), "what was written over is no file of theirs any more"
    assert swept(90 * HOUR) == Counter()
    [version] = house.hub.inbox.versions(f"sftp/{house.program}/warehouse/may.csv")
    tags = house.hub.inbox.client.get_object_tagging(
        Bucket=house.hub.inbox.bucket, Key=version.key, VersionId=version.id
    )["TagSet"]
    assert tags == [{"Key": "retour-delivery", "Value": headers(house)[-1].delivery.id}]


@pytest.mark.usefixtures("kept")
def test_what_a_sweep_asks_for_does_not_grow_with_what_is_kept(
    house: ProgramHarness,
    swept: Callable[..., Counter[str]],
    looks: Callable[[], ReadMeter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = type(house.hub.inbox).versions

    def put_later(inbox: Any, prefix: str) -> Iterator[ObjectVersion]:
        """The same, those of June put four hours after they were."""
        for one in versions(inbox, prefix):
            yield replace(one, at=one.at + 4 * HOUR) if "june" in one.key else one

    monkeypatch.setattr(type(house.hub.inbox), "versions", put_later)

    def cost(later: timedelta) -> tuple[int, int]:
        asked: list[str] = []
        count = lambda model, **_: asked.append(model.name)  # noqa: E731
        house.hub.inbox.client.meta.events.register("before-call.s3", count)
        read = looks()
        swept(later)
        house.hub.inbox.client.meta.events.unregister("before-call.s3", count)
        return len(asked), read.requests

    put_quietly(house, "may.csv", ROWS)
    swept()
    swept(2 * HOUR)
    house.clock.moment += 3 * HOUR
    swept(3 * HOUR)
    idle = cost(3 * HOUR)
    june = {f"june-{n}.csv" for n in range(8)}
    for n, name in enumerate(sorted(june)):
        put_quietly(house, name, ROWS.replace(b"80.00", b"%d.00" % (80 - 5 * n)))
    assert swept(5 * HOUR)["uploads"] == 8
    swept(6 * HOUR)
    house.clock.moment += 6 * HOUR
    swept(8 * HOUR)
    assert cost(9 * HOUR) == idle
    assert june <= lying(house)


def test_a_working_name_that_stays_is_the_file_s_name_and_half_files_are_listed(
    house: ProgramHarness, swept: Callable[..., Counter[str]]
) -> None:
    put_quietly(house, "_may.csv", ROWS)
    put_quietly(house, "june.csv.part", ROWS)
    assert swept(timedelta(minutes=1))["uploads"] == 0
    assert swept(timedelta(minutes=30))["uploads"] == 1
    told = {header.delivery.name: header.state for header in headers(house)}
    assert told == {"_may.csv": "done", "june.csv.part": "ignored"}
    assert len(headers(house)) == 2 and swept() == Counter()
    rename(house, "june.csv.part", "june.csv")
    assert swept()["uploads"] == 1


def test_one_that_cannot_be_handled_keeps_no_other(
    house: ProgramHarness, swept: Callable[..., Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        put_quietly(house, name, ROWS.replace(b"80.00", b"%d.00" % (80 - ord(name[0]) % 7 * 10)))
    copy = type(house.hub.inbox).copy

    def failing(inbox: Any, key: str, to: str, version: str = "", metadata: Any = None) -> Any:
        if key.endswith("b.csv"):
            raise TimeoutError
        return copy(inbox, key, to, version, metadata or {})

    with monkeypatch.context() as broken:
        broken.setattr(type(house.hub.inbox), "copy", failing)
        assert swept() == Counter(uploads=2, failed=1)
    assert swept()["uploads"] == 1
    assert {header.state for header in headers(house)} == {"done"}


def test_an_open_delivery_without_a_worker_is_taken_up(
    house: ProgramHarness, swept: Callable[..., Counter[str]]
) -> None:
    delivery = house.delivery(DeliveryKind.FILE, ROWS, "warehouse", Channel.SFTP, name="may.csv")
    delivery = replace(delivery, body_key=f"raw/{house.program}/{delivery.id}")
    announce_file(house.hub, delivery)
    house.hub.inbox.put(delivery.body_key, ROWS)
    assert swept(older_than=HOUR)["files"] == 0, "its worker may still be at it"
    house.clock.moment += 2 * HOUR
    assert swept(older_than=HOUR)["files"] == 1
    assert headers(house)[0].state == "done"


def test_d13_held_records_of_many_orders_are_listed_at_once(house: ProgramHarness) -> None:
    orders = [f"H-{n}" for n in range(12)]
    house.report(*({"order_id": order, "amount": "100.00"} for order in orders))
    taken = [{"order_id": order, "change": "take_back", "amount": "20.00"} for order in orders]
    house.modify(*taken)
    again = house.modify(*taken, source="till")
    assert again.counts == {"held": 12}
    rows = "".join(f"{order};take_back;20.00\n" for order in orders)
    assert house.file(b"order_id;change;amount\n" + rows.encode()).counts == {"held": 12}
    assert sum(1 for _ in house.hub.deliveries(house.program).due("held")) == 24


def test_a_held_record_that_nobody_listed_is_found_and_a_settled_one_is_not(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"}, {"order_id": "A-2", "amount": "100.00"})
    both = [{"order_id": order, "change": "take_back", "amount": "20.00"} for order in ("A-1", "A-2")]
    house.modify(*both)
    with monkeypatch.context() as lost:
        lost.setattr("retour.intake.ingest.list_held_results", lambda *_: 0)
        lost.setattr("retour.intake.file.list_held_results", lambda *_: 0)
        first = house.modify(both[0], source="till")
        house.file(b"order_id;change;amount\nA-2;take_back;20.00\n")
    assert list(house.hub.deliveries(house.program).due("held")) == []
    assert recheck_deliveries(house.hub, program(house), NOW)["held"] == 2
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter()
    [held] = first.results
    decision = {"order_id": "A-1", "change": "release", "undoes": held.modification}
    house.modify(decision, source="console", channel=Channel.CONSOLE)
    held_records.list_held(house.hub.deliveries(house.program), house.order("A-1"))
    house.hub.state(house.program, "").delete("looked-at-deliveries")
    assert recheck_deliveries(house.hub, program(house), NOW)["held"] == 0, "what a person settled stays settled"


@pytest.mark.parametrize("at", ["retour.intake.ingest.post_rows", "retour.posting.rows.fold_and_save"])
def test_a_call_whose_worker_ended_in_its_midst_is_done_to_its_end(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    with monkeypatch.context() as killed:
        killed.setattr(at, lambda *_, **__: (_ for _ in ()).throw(SystemExit("out of time")))
        with pytest.raises(SystemExit):
            house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00"})
    assert house.payouts("A-1")["A-1~sale"][0] == 10000
    house.clock.moment += timedelta(minutes=30)
    assert recheck_deliveries(house.hub, program(house), HOUR) == Counter(), "it may still be at it"
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter(redone=1)
    assert house.payouts("A-1")["A-1~sale"][0] == 8000
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter()


def test_what_an_order_owes_others_is_done_where_neither_its_worker_nor_the_stream_did(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children follow their parent, and who waited for it is answered."""
    with_policy(house, "cascade")
    early = house.modify({"order_id": "W-1", "change": "reverse"})
    assert early.counts == {"waiting": 1}
    house.report({"order_id": "P-1", "amount": "100.00"})
    house.report({"order_id": "C-1", "event_type": "lead", "amount": "5.00", "parent": "P-1~sale"})
    with monkeypatch.context() as lost:
        lost.setattr("retour.posting.rows.cascade.propagate_to_children", lambda _ledger, order, _now: order)
        house.modify({"order_id": "P-1", "change": "reverse"})
        lost.setattr("retour.intake.actions.answer_settled", lambda *_: None)
        house.report({"order_id": "W-1", "amount": "100.00"})
    house.sent.clear()
    assert house.payouts("C-1")["C-1~lead"][2] == "pending"
    house.clock.moment += timedelta(minutes=30)
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter()
    assert house.payouts("C-1")["C-1~lead"][2] == "reversed"
    [(queue, message)] = house.sent
    assert (queue, message["what"], message["delivery"]) == ("answers", "settled", early.delivery.id)


def test_a_delivery_that_cannot_be_looked_at_costs_a_look_at_it_alone(
    house: ProgramHarness, looks: Callable[[], ReadMeter], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.report(*({"order_id": f"A-{n}", "amount": "100.00"} for n in range(12)))
    bad = house.modify({"order_id": "A-0", "change": "take_back", "amount": "1.00"})
    for n in range(1, 12):
        house.modify({"order_id": f"A-{n}", "change": "take_back", "amount": "1.00"})
    real = sweeping.recheck_records

    def broken(hub: Any, reader: Any, header: Any) -> Any:
        if header.delivery.id == bad.delivery.id:
            raise KeyError("a record of another release")
        return real(hub, reader, header)

    monkeypatch.setattr(sweeping, "recheck_records", broken)
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter(failed=1)
    seen = looks()
    house.clock.moment += timedelta(hours=1)
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter(failed=1)
    assert seen.requests <= 14, "the notes, the one delivery, and the shards of the day"
    monkeypatch.setattr(sweeping, "recheck_records", real)
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter()
    house.clock.moment += timedelta(hours=1)
    seen.clear()
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter()
    assert seen.asked["GetItem"] <= 2


def test_reports_whose_worker_ended_are_done_as_well(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("retour.intake.ingest.ingest_actions", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            house.report({"order_id": "A-1", "amount": "100.00"})
    house.clock.moment += timedelta(minutes=30)
    assert recheck_deliveries(house.hub, program(house), NOW) == Counter(redone=1)
    assert house.payouts("A-1")["A-1~sale"][0] == 10000


def test_the_tick_sweeps_once_an_hour(
    house: ProgramHarness, swept: Callable[..., Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "hub", lambda: house.hub)
    monkeypatch.setattr(type(house.hub.programs), "ids", lambda _: [house.program])
    put_quietly(house, "may.csv", ROWS)
    tick.handler({"sweep": {"older_than_seconds": 60}}, CONTEXT)
    assert headers(house) == []
    later = datetime.now(UTC) + timedelta(hours=77)
    monkeypatch.setattr(house.hub, "real_now", lambda: later)
    tick.handler({}, CONTEXT)
    assert house.payouts("A-1")["A-1~sale"][0] == 8000
    put_quietly(house, "june.csv", ROWS.replace(b"80.00", b"70.00"))
    tick.handler({}, CONTEXT)
    assert house.payouts("A-1")["A-1~sale"][0] == 8000, "the next hour's"


def test_what_a_sweep_asks_for_does_not_grow_with_what_came_before(
    house: ProgramHarness, swept: Callable[..., Counter[str]]
) -> None:
    asked: Counter[str] = Counter()
    s3 = house.hub.inbox.client
    s3.meta.events.register("before-call.s3", lambda model, **_: asked.update([model.name]))

    def cost(later: timedelta) -> int:
        before = sum(asked.values())
        swept(later)
        return sum(asked.values()) - before

    swept()
    idle = cost(timedelta(minutes=40))
    for n in range(6):
        put_quietly(house, f"{n}.csv", ROWS.replace(b"80.00", b"%d.00" % (80 - 10 * n)))
    swept(timedelta(minutes=50))
    for header in headers(house):
        send_reply(house.hub, {"program": house.program, "delivery": header.delivery.id, "what": "batch"})
    swept(3 * HOUR)
    swept(5 * HOUR)
    asked.clear()
    house.clock.moment += 3 * HOUR
    assert cost(7 * HOUR) == idle, asked
