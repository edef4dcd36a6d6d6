"""Large files: split, taken in by bucket, merged; the same ledger and answer as in one piece, killed or not."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.settings import change_settings

from retour.domain.delivery import DRY_RUN, Channel, Delivery, DeliveryKind
from retour.domain.row import Row, Unreadable
from retour.intake import file, large
from retour.intake.batch import Batch
from retour.intake.decision import release_delivery
from retour.intake.ingest import ingest
from retour.replies.send import send_reply
from retour.store import outcomes
from retour.store.bucket_work import row_from, row_text
from retour.store.inbox import PieceStream

HEADER = "reference,order_id,action_id,change,amount,currency\n"


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large begins early, so that the tests stay quick."""
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 40)
    monkeypatch.setattr(large, "BUCKET_BYTES", 1024)
    monkeypatch.setattr(large, "BUFFERED_CHARS_MAX", 6_000)
    monkeypatch.setattr(large, "ROWS_AT_ONCE", 30)


def rows(orders: int) -> Iterator[str]:
    """Three rows an order, far apart, one named by its action; some of them bad, some repeated."""
    for n in range(orders):
        yield f"r{n},A-{n},,take_back,10.00,EUR\n"
    yield "bad,A-1,,take_back,1e3,EUR\n"
    for n in range(orders):
        yield f"s{n},,A-{n}~sale,take_back,20.00,EUR\n"
    yield "r0,A-0,,take_back,10.00,EUR\n"
    yield "u0,UNKNOWN,,take_back,1.00,EUR\n"
    for n in range(orders):
        yield f"t{n},A-{n},,set_total,{2 * n}.00,EUR\n"


def a_file(orders: int, letter: str = "A") -> bytes:
    """The same for another letter, but for the references and the order that nobody knows."""
    text = "".join(rows(orders)).replace("A-", f"{letter}-").replace("UNKNOWN", f"{letter}-X")
    return (HEADER + "\n".join(f"{letter}{line}" for line in text.splitlines())).encode()


def report(house: ProgramHarness, orders: int, letter: str = "A") -> None:
    actions = [{"order_id": f"{letter}-{n}", "amount": "100.00", "currency": "EUR"} for n in range(orders)]
    for start in range(0, orders, 100):
        house.report(*actions[start : start + 100])


def kept(house: ProgramHarness, delivery: Delivery) -> list[dict[str, Any]]:
    return [outcomes.result_document(result) for result in outcomes.load_outcomes(house.hub.inbox, delivery)]


def ledger(house: ProgramHarness, orders: int, letter: str = "A") -> list[dict[str, tuple[int, int, str]]]:
    return [house.payouts(f"{letter}-{n}") for n in range(orders)]


def without_ids(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What does not depend on the delivery or the moment."""
    return [
        {k: v for k, v in one.items() if k not in ("modification", "applied_at", "reference", "details", "first")}
        for one in told
    ]


def test_split_or_in_one_piece_comes_to_the_same(house: ProgramHarness, request: pytest.FixtureRequest) -> None:
    report(house, 30)
    whole = house.file(a_file(30), name="whole.csv")
    expected = json.dumps(without_ids(kept(house, whole.delivery)))
    amounts = json.dumps(ledger(house, 30))

    request.getfixturevalue("small_limits")
    report(house, 30, "Z")
    batch = house.file(a_file(30, "Z"), name="split.csv")
    assert batch.counts == whole.counts
    assert json.dumps(without_ids(kept(house, batch.delivery))) == expected.replace("A-", "Z-")
    assert json.dumps(ledger(house, 30, "Z")) == amounts.replace("A-", "Z-")
    header = house.hub.deliveries(house.program).get(batch.delivery.id)
    assert header is not None
    assert (header.state, header.report["total"]) == ("done", 93)
    assert list(house.hub.deliveries(house.program).open()) == []
    keys = list(house.hub.inbox.keys(f"pieces/{house.program}/"))
    assert len([key for key in keys if "/outcomes/" in key]) > 1


@pytest.mark.usefixtures("small_limits")
def test_all_rows_of_an_order_meet_one_worker_and_one_write(house: ProgramHarness) -> None:
    report(house, 30)
    house.file(a_file(30))
    heads = [head for n in range(30) for head in house.order(f"A-{n}").heads.values()]
    assert {head.version for head in heads} == {2}, "reported once, written once"


@pytest.mark.usefixtures("small_limits")
def test_steps_run_again_change_nothing(house: ProgramHarness) -> None:
    report(house, 30)
    batch = house.file(a_file(30))
    before, amounts = kept(house, batch.delivery), ledger(house, 30)
    work = house.hub.work(house.program, batch.delivery.id)
    for _ in range(2):
        large.split_into_buckets(house.hub, batch.delivery)
        for item in reversed(work.items()):
            large.ingest_bucket(house.hub, batch.delivery, item)
            large.ingest_bucket(house.hub, batch.delivery, item)
        again = large.finish(house.hub, batch.delivery)
        assert again.counts == batch.counts
        assert kept(house, batch.delivery) == before
        assert ledger(house, 30) == amounts


class Killed(BaseException):
    pass


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("operation", ["BatchExecuteStatement", "PutItem", "Query"])
def test_a_worker_killed_anywhere_and_begun_again_ends_as_if_nothing_was(
    house: ProgramHarness, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(house, 30)
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: True)
    delivery = house.file(a_file(30)).delivery
    work = large.split_into_buckets(house.hub, delivery)
    calls = 0

    def die(**_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            raise Killed

    events = house.hub._dynamodb.meta.events
    killed = 0
    for item in work.items():
        for attempt in range(60):
            event = f"{'before' if attempt % 2 else 'after'}-call.dynamodb.{operation}"
            events.register(event, die, unique_id="die")
            try:
                large.ingest_bucket(house.hub, delivery, item)
                break
            except Killed:
                killed += 1
            finally:
                events.unregister(event, unique_id="die")
            if attempt > 3:
                large.ingest_bucket(house.hub, delivery, item)
                break
    assert killed
    batch = large.finish(house.hub, delivery)
    assert batch.counts == {"applied": 90, "refused": 1, "duplicate": 1, "waiting": 1}
    assert {amounts[f"A-{n}~sale"][0] for n, amounts in enumerate(ledger(house, 30))} == {200 * n for n in range(30)}


@pytest.mark.usefixtures("small_limits")
def test_a_bucket_that_is_missing_is_not_passed_over(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: True)
    batch = house.file(a_file(30))
    assert batch.state == "working"
    work = large.split_into_buckets(house.hub, batch.delivery)
    first, *others = work.items()
    for item in others:
        large.ingest_bucket(house.hub, batch.delivery, item)
    with pytest.raises((large.RowCountMismatchError, KeyError)):
        large.finish(house.hub, batch.delivery)
    header = house.hub.deliveries(house.program).get(batch.delivery.id)
    assert header is not None and header.state == "working"
    large.ingest_bucket(house.hub, batch.delivery, first)
    assert large.finish(house.hub, batch.delivery).counts["waiting"] == 91


@pytest.mark.usefixtures("small_limits")
def test_progress_tells_what_is_read_and_what_is_done(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    report(house, 30)
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: True)
    delivery = house.file(a_file(30)).delivery
    work = house.hub.work(house.program, delivery.id)
    assert large.Progress.of(work).document(house.hub.now()) == {
        "percent": 0, "read": 0, "recorded": 0, "applied": 0, "refused": 0, "duplicate": 0,
    }  # fmt: skip
    large.split_into_buckets(house.hub, delivery)
    assert large.Progress.of(work).document(house.hub.now())["total"] == 93
    for item in work.items()[:-1]:
        large.ingest_bucket(house.hub, delivery, item)
    midway = large.Progress.of(work).document(house.hub.now())
    assert 0 < midway["recorded"] < 93 and 10 < midway["percent"] < 100
    assert midway["per_second"] > 0 and midway["seconds_left"] >= 0
    large.ingest_bucket(house.hub, delivery, work.items()[-1])
    done = large.Progress.of(work).document(house.hub.now())
    assert (done["recorded"], done["applied"], done["refused"], done["duplicate"]) == (91, 90, 1, 1)
    assert (done["seconds_left"], done["percent"]) == (0, 100)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("orders", [5, 30])
def test_a_file_says_what_it_did_to_payouts_and_that_it_came_before(house: ProgramHarness, orders: int) -> None:
    report(house, orders)
    sent = "".join(f"r{n},A-{n},,take_back,10.00,EUR\n" for n in range(orders * 2 if orders > 5 else orders))
    body = (HEADER + sent).encode()
    first = house.file(body)
    header = house.hub.deliveries(house.program).get(first.delivery.id)
    assert header is not None and header.report["effect"] == {"EUR": -80 * orders}
    house.clock.moment += timedelta(days=1)
    for other, same_as in ((body, first.delivery.id), (body + b"\n", "")):
        again = house.file(other)
        kept_ = house.hub.deliveries(house.program).get(again.delivery.id)
        assert kept_ is not None and kept_.report["counts"].keys() == {"duplicate"}
        assert kept_.report.get("same_as", "") == same_as
        assert "effect" not in kept_.report


@pytest.mark.usefixtures("small_limits")
def test_archives_are_split_as_well(house: ProgramHarness) -> None:
    report(house, 20)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", a_file(20))
        archive.writestr("b.csv", HEADER + "zz,A-3,,take_back,0.01,EUR\n")
    batch = house.file(packed.getvalue(), name="both.zip")
    assert sum(batch.counts.values()) == 64
    places = [result.place for result in outcomes.load_outcomes(house.hub.inbox, batch.delivery)]
    assert places[:2] == ["a.csv:2", "a.csv:3"] and places[-1] == "b.csv:2"


def test_more_rows_take_no_more_memory_while_they_are_read(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: True)
    monkeypatch.setattr(large, "BUFFERED_CHARS_MAX", 200_000)
    monkeypatch.setattr(large, "ROWS_AT_ONCE", 500)

    def growth(count: int) -> int:
        body = (HEADER + "".join(f"r{n},A-{n},,take_back,10.00,EUR\n" for n in range(count))).encode()
        delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name=f"{count}.csv")
        delivery = ingest(house.hub, delivery, body).delivery
        del body
        tracemalloc.start()
        large.split_into_buckets(house.hub, delivery)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    growth(2_500)
    assert growth(20_000) < growth(5_000) + 1_500_000


def test_rows_pass_through_their_work_files_unchanged() -> None:
    for row in (
        Row("7", {"order_id": "A\n1", "note": "\u2028\U0010ff41 \ud800"}, raw='"A\n1"\r\n'),
        Unreadable("a.csv:9", "QUOTE_MISPLACED", {"line": "9"}, "amount", "raw\n", "A-1", "r1"),
    ):
        line = row_text(12, row)
        assert "\n" not in line
        assert row_from(json.loads(line)) == (12, row)


def test_a_stream_gives_every_byte_once() -> None:
    body = bytes(range(256)) * 40
    stream = PieceStream(iter([body[:1000], body[1000:1001], body[1001:]]))
    taken = b"".join(iter(lambda: stream.read(77), b""))
    assert taken == body
    assert stream.taken == len(body)


def test_an_object_of_unknown_size_is_put_in_pieces(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = house.hub.inbox
    lines = [b"%d\n" % n for n in range(1_300_000)]
    inbox.put_pieces("results/x/pieces", lines)
    assert inbox.size("results/x/pieces") == sum(map(len, lines))
    assert b"".join(inbox.pieces("results/x/pieces", 1 << 20)) == b"".join(lines)
    inbox.put_pieces("results/x/one", [b"a", b"b"])
    assert inbox.read("results/x/one") == b"ab"


def dry(house: ProgramHarness, body: bytes) -> Batch:
    delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name="may.csv", facts={DRY_RUN: "1"})
    return file.ingest_file(house.hub, delivery, body)


def test_a_dry_run_comes_to_the_same_in_buckets_as_in_one_piece_and_to_what_is_done_then(
    house: ProgramHarness, request: pytest.FixtureRequest
) -> None:
    report(house, 30)
    body = a_file(30)
    before = ledger(house, 30)
    whole = dry(house, body)
    request.getfixturevalue("small_limits")
    split = dry(house, body)
    assert (split.state, split.counts, split.preview) == (whole.state, whole.counts, whole.preview)
    assert split.state == "dry run"
    assert [without_ids(kept(house, one.delivery)) for one in (split,)] == [without_ids(kept(house, whole.delivery))]
    assert ledger(house, 30) == before
    assert not any(house.order(f"A-{n}").records for n in range(30))
    partner = split.preview["partners"][0]
    assert (partner["partner"], partner["actions"]) == ("nordlicht", 30)
    assert split.preview["worst"][0]["payout"]["before"] == "8.00"

    done = house.file(body, name="may.csv")
    assert done.counts == split.counts
    after = sum(payouts[f"A-{n}~sale"][1] for n, payouts in enumerate(ledger(house, 30)))
    assert split.preview["total"]["payout"]["after"] == f"{after / 100:.2f}"


@pytest.mark.usefixtures("small_limits")
def test_a_dry_run_is_in_no_list_and_found_by_its_id(house: ProgramHarness) -> None:
    report(house, 30)
    batch = dry(house, a_file(30))
    deliveries = house.hub.deliveries(house.program)
    header = deliveries.get(batch.delivery.id)
    assert header is not None and (header.state, header.report["total"]) == ("dry run", 93)
    day = batch.delivery.id[:8]
    assert batch.delivery.id not in [one.delivery.id for one in deliveries.newest(day, most=1000)]
    assert list(deliveries.open()) == []
    assert list(deliveries.due("waiting")) == []


@pytest.mark.usefixtures("small_limits")
def test_a_large_file_above_a_threshold_is_held_by_its_buckets_and_compared_when_released(
    house: ProgramHarness,
) -> None:
    source = {"channel": "sftp", "thresholds": {"pending_taken_back": "10%"}}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "warehouse": source}})
    report(house, 30)
    held = house.file(a_file(30))
    assert (held.state, held.code) == ("held", "THRESHOLD_EXCEEDED")
    assert held.preview["counts"] == {"applied": 90, "refused": 1, "duplicate": 1, "waiting": 1}
    assert not any(house.order(f"A-{n}").records for n in range(30))
    house.modify({"reference": "w", "order_id": "A-3", "change": "take_back", "amount": "75", "currency": "EUR"})
    done = release_delivery(house.hub, held.delivery, house.hub.now())
    assert sum(done.counts.values()) == 93
    header = house.hub.deliveries(house.program).get(held.delivery.id)
    assert header is not None and header.state == "done"
    assert {one["record"] for one in header.report["differs"]} <= {"5", "36", "68"} and header.report["differing"] >= 1


@pytest.mark.usefixtures("small_limits")
def test_a_file_whose_way_ended_goes_on(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    report(house, 30)
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: True)
    delivery = house.file(a_file(30)).delivery
    large.ingest_bucket(house.hub, delivery, large.split_into_buckets(house.hub, delivery).items()[0])
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: False)
    header = house.hub.deliveries(house.program).get(delivery.id)
    assert header is not None and header.state == "working"
    batch = large.resume(house.hub, header.delivery)
    assert batch.counts == {"applied": 90, "refused": 1, "duplicate": 1, "waiting": 1}


ACTION_HEADER = "order_id,event_type,partner,event_time,currency,sku,amount\n"


def sales(letter: str) -> bytes:
    """Of two lines each, the second without what the first said; one is wrong, one comes twice."""
    lines = [
        f"{letter}-{n},sale,nordlicht,2026-11-01T12:00:00+01:00,EUR,x,{10 + n}.00\n{letter}-{n},,,,,y,5.00\n"
        for n in range(60)
    ]
    lines.insert(30, f"{letter}-bad,sale,nordlicht,2026-11-01T12:00:00+01:00,XXX,x,1.00\n")
    return (ACTION_HEADER + "".join(lines) + lines[0]).encode()


def test_a_large_file_of_actions_goes_by_buckets_and_comes_to_the_same(
    house: ProgramHarness, request: pytest.FixtureRequest
) -> None:
    whole = house.file(sales("A"), name="sales.csv", facts={"layout": "actions"})
    request.getfixturevalue("small_limits")
    split = house.file(sales("Z"), name="sales.csv", facts={"layout": "actions"})
    assert split.counts == whole.counts == {"applied": 61, "refused": 1}
    told = json.dumps(without_ids(kept(house, whole.delivery)))
    assert json.dumps(without_ids(kept(house, split.delivery))) == told.replace("A-", "Z-")
    assert house.payouts("Z-7") == {"Z-7~sale": (2200, 176, "pending")}
    assert len([key for key in house.hub.inbox.keys(f"pieces/{house.program}/") if "/outcomes/" in key]) > 1


@pytest.mark.usefixtures("small_limits")
def test_a_replay_leaves_a_large_file_that_nobody_was_told_of_to_the_machine(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(house, 30)
    change_settings(house.hub, files_machine="arn")
    change_settings(house.hub, outward=False)
    batch = house.file(a_file(30))
    assert batch.state == "working" and not house.order("A-0").records
    assert send_reply(house.hub, {"program": house.program, "delivery": batch.delivery.id, "what": "batch"}) == ""
    house.hub.inbox.put(outcomes.results_folder(batch.delivery) + outcomes.ANSWERED_MARK, b"")
    assert large.resume(house.hub, batch.delivery).counts["applied"] == 90
