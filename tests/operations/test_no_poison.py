"""What one delivery does to its worker: it ends with a reference, and everything else goes on."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from functions.apply import app as stream
from functions.file_drop import app as file_drop
from functions.tick import app as tick
from tests.conftest import ProgramHarness
from tests.functions.test_inbound_email import CONTEXT
from tests.settings import change_settings

from retour.api.maintenance import redrive
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.intake import ingest as ingesting
from retour.intake import processing
from retour.intake.decision import carry_out_decision
from retour.intake.ingest import announce_file
from retour.operations.redrive import resume_open_files
from retour.operations.sweep import recheck_deliveries
from retour.replies.send import send_reply
from retour.schedule.locking import finalise_due
from retour.store.deliveries import DeliveryHeader
from retour.store.programs import Principal

ROWS = b"order_id;change;amount\nA-1;set_total;80.00\n"
DOWN = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}, "PutItem")


@pytest.fixture
def waiting(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Delivery]:
    """A file that was announced and lies there, with nobody at work on it."""
    house.report({"order_id": "A-1", "amount": "100.00"})
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)

    def wait(name: str = "may.csv", body: bytes = ROWS, **more: Any) -> Delivery:
        delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name=name, body_key="-", **more)
        key = f"email/{house.program}/warehouse/{delivery.id}/{name}"
        delivery = replace(delivery, body_key=key)
        announce_file(house.hub, delivery)
        house.hub.inbox.put(key, body)
        return delivery

    return wait


def poisoned(
    monkeypatch: pytest.MonkeyPatch, at: str, name: str = "poison.csv", error: BaseException | None = None
) -> None:
    """Whatever a worker does with the file of this name goes wrong at one place; with any other nothing does."""
    module, _, function = at.rpartition(".")
    import importlib

    real = getattr(importlib.import_module(module), function)

    def break_down(*arguments: Any, **more: Any) -> Any:
        named = [one for one in arguments if isinstance(one, Delivery)]
        named += [one.delivery for one in arguments if hasattr(one, "delivery")]
        if any(one.name == name for one in named):
            raise error or IndexError("string index out of range")
        return real(*arguments, **more)

    monkeypatch.setattr(at, break_down)


def header(house: ProgramHarness, delivery: Delivery) -> DeliveryHeader:
    found = house.hub.deliveries(house.program).get(delivery.id)
    assert found is not None
    return found


def amount(house: ProgramHarness) -> int:
    [(left, _, _)] = house.payouts("A-1").values()
    return left


STEPS = (
    "retour.intake.encrypted_files.open_delivery",
    "retour.intake.file.read_rows",
    "retour.intake.file.remind_waiting",
    "retour.intake.file.earlier_identical_delivery",
    "retour.intake.file.close_batch",
)


@pytest.mark.parametrize("at", STEPS)
def test_a_file_that_no_worker_can_handle_ends_refused_with_a_reference(
    house: ProgramHarness,
    waiting: Callable[..., Delivery],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    at: str,
) -> None:
    poison = waiting("poison.csv")
    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        poisoned(broken, at)
        file_drop.handler({"detail": {"object": {"key": poison.body_key}}}, CONTEXT)
    ended = header(house, poison)
    reference = ended.report["details"]["reference"]
    assert (ended.state, ended.report["code"]) == ("refused", "NOT_HANDLED")
    assert reference in [getattr(record, "reference", "") for record in caplog.records]
    assert list(house.hub.deliveries(house.program).open()) == [], "nothing holds the fence"
    assert ("answers", {"program": house.program, "delivery": poison.id, "what": "batch"}) in house.sent
    send_reply(house.hub, {"program": house.program, "delivery": poison.id, "what": "batch"})
    result = house.hub.inbox.read(f"sftp/{house.program}/warehouse/result_poison.csv.csv")
    assert reference.encode() in result
    from retour.intake.file import process_file

    assert process_file(house.hub, ended.delivery).state == "done", "read again once it is mended"
    assert amount(house) == 8000


def test_the_store_that_fails_refuses_nothing_and_all_goes_on_by_itself(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = [waiting(f"{n}.csv", ROWS.replace(b"80", b"%d" % left)) for n, left in enumerate((80, 70, 40))]
    for error in (DOWN, EndpointConnectionError(endpoint_url="http://x"), TimeoutError(), *[DOWN] * 6):
        with monkeypatch.context() as down:
            down.setattr(processing, "ingest", lambda *_, fault=error: (_ for _ in ()).throw(fault))
            assert resume_open_files(house.hub, house.program) == {"failed": 3}
            with pytest.raises(type(error)):
                processing.process_delivery(house.hub, deliveries[0])
    assert resume_open_files(house.hub, house.program) == {"files": 3}
    assert {header(house, one).state for one in deliveries} == {"done"}
    assert amount(house) == 4000


@pytest.mark.parametrize("at", STEPS)
def test_a_file_that_kills_every_worker_is_refused_and_keeps_nobody_waiting(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    poison, good = waiting("poison.csv"), waiting("good.csv")
    poisoned(monkeypatch, at, error=SystemExit("out of memory"))
    monkeypatch.setattr(processing, "clear_attempt", lambda *_: None)  # A process that is gone gives nothing back.
    deaths = 0
    for _ in range(processing.WORKER_DEATHS_MAX + 2):
        try:
            resume_open_files(house.hub, house.program)
        except SystemExit:
            deaths += 1
        assert deaths <= 1 or header(house, good).state == "done", "what killed before comes last"
    assert deaths == processing.WORKER_DEATHS_MAX
    assert (header(house, poison).state, header(house, poison).report["code"]) == ("refused", "NOT_HANDLED")
    assert header(house, good).state == "done"


@pytest.mark.parametrize("error", [IndexError("string index out of range"), SystemExit("out of memory")])
def test_a_call_that_no_worker_can_end_is_refused_with_a_reference_and_keeps_no_other(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Its sender was told that something went wrong; what was stored must not be tried for ever."""
    house.report({"order_id": "A-1", "amount": "100.00"}, {"order_id": "A-2", "amount": "100.00"})
    real = ingesting.post_rows
    down = [True]

    def post(ledger: Any, program: Any, reads: Any, *more: Any) -> Any:
        references = {read.reference for _, read in reads}
        if "poison" in references or (down and "unlucky" in references):
            raise error
        return real(ledger, program, reads, *more)

    monkeypatch.setattr(ingesting, "post_rows", post)
    for order, reference in (("A-1", "poison"), ("A-2", "unlucky")):
        with pytest.raises(type(error)):
            house.modify({"reference": reference, "order_id": order, "change": "set_total", "amount": "80.00"})
    down.clear()
    monkeypatch.setattr(processing, "clear_attempt", lambda *_: None)  # A process that is gone gives nothing back.
    program = house.hub.program(house.program)
    assert program is not None
    found = Counter[str]()
    for _ in range(processing.WORKER_DEATHS_MAX + 1):
        house.clock.moment += timedelta(minutes=30)
        with suppress(SystemExit):
            found += recheck_deliveries(house.hub, program, timedelta(0))
    assert found["failed"] == 0 and house.payouts("A-2")["A-2~sale"][0] == 8000
    [poison] = [one for one in house.hub.deliveries(house.program).newest("20261102") if one.state == "refused"]
    assert (poison.report["code"], bool(poison.report["details"]["reference"])) == ("NOT_HANDLED", True)
    assert recheck_deliveries(house.hub, program, timedelta(0)) == Counter()
    monkeypatch.setattr(ingesting, "post_rows", real)
    body = house.hub.deliveries(house.program).body(poison)
    assert ingesting.ingest(house.hub, poison.delivery, body).counts == {"applied": 1}, "read again once it is mended"


@pytest.mark.parametrize("again", [False, True])
def test_a_release_whose_worker_ended_is_carried_out_and_a_failing_one_holds_nobody_up(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    held = waiting("poison.csv", held="UNAUTHENTICATED")
    processing.process_delivery(house.hub, held)
    send_reply(house.hub, house.sent.pop()[1])
    decision = {"delivery": held.id, "decision": "release"}
    body = json.dumps(decision).encode()
    decided = house.delivery(DeliveryKind.DECISION, body, "", Channel.CONSOLE)
    program, deliveries = house.hub.program(house.program), house.hub.deliveries(house.program)
    assert program is not None
    with monkeypatch.context() as broken:
        poisoned(broken, STEPS[1], error=None if again else SystemExit("out of memory"))
        with pytest.raises(IndexError if again else SystemExit):
            carry_out_decision(house.hub, decided, body)
        if again:
            assert [state for _, state in deliveries.open_with_state()] == ["held"], "no worker has it"
            house.clock.moment += timedelta(minutes=30)
            assert recheck_deliveries(house.hub, program, timedelta(0)) == Counter(redone=1)
            refused = header(house, decided)
            assert (refused.state, refused.report["code"]) == ("refused", "NOT_HANDLED")
            assert header(house, held).state == "held" and amount(house) == 10000, "a person may decide once more"
            return
    house.sent.clear()
    house.clock.moment += timedelta(minutes=30)
    assert recheck_deliveries(house.hub, program, timedelta(0)) == Counter(redone=1, answers=1)
    assert (header(house, held).state, amount(house)) == ("done", 8000)
    assert list(deliveries.open()) == [] and list(deliveries.due("held")) == []


def test_a_file_whose_worker_ended_before_it_asked_for_the_answer_is_answered_once(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    done, program = waiting("may.csv"), house.hub.program(house.program)
    assert program is not None
    with monkeypatch.context() as killed:
        killed.setattr(house.hub, "send", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            processing.process_delivery(house.hub, done)
    assert header(house, done).state == "done" and house.sent == []
    house.clock.moment += timedelta(minutes=30)
    assert recheck_deliveries(house.hub, program, timedelta(0)) == Counter(answers=1)
    send_reply(house.hub, house.sent[0][1])
    house.hub.state(house.program, "").delete("looked-at-deliveries")
    assert recheck_deliveries(house.hub, program, timedelta(0)) == Counter()


def test_a_redrive_takes_up_what_lost_its_event_behind_many_held_ones(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        held = waiting(f"held-{n}.csv", held="UNAUTHENTICATED")
        processing.process_delivery(house.hub, held)
    poison, lost = waiting("poison.csv"), waiting("lost.csv")
    poisoned(monkeypatch, "retour.intake.file.read_rows")
    answer = redrive(house.hub, Principal(house.program, "admin", "acme"))
    assert (answer["moved"]["files"], answer["failed"], answer["left"]) == (2, 0, 0)
    assert header(house, lost).state == "done" and header(house, poison).state == "refused"
    assert sum(1 for _ in house.hub.deliveries(house.program).open()) == 20


def test_the_others_become_final_in_time_beside_one_that_no_worker_can_end(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = waiting("poison.csv")
    with monkeypatch.context() as down:
        down.setattr(processing, "ingest", lambda *_: (_ for _ in ()).throw(DOWN))
        assert resume_open_files(house.hub, house.program) == {"failed": 1}
    program = house.hub.program(house.program)
    assert program is not None
    [head] = house.order("A-1").heads.values()
    assert head.locks_at is not None
    house.clock.moment = head.locks_at + timedelta(hours=71)
    assert finalise_due(house.hub, program)["held_back"] == 1
    house.clock.moment = head.locks_at + timedelta(hours=73)
    assert finalise_due(house.hub, program)["final"] == 1
    assert header(house, stuck).state == "arriving", "and it is still taken up"


@pytest.fixture
def streamed(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """Every item that the table holds, as the stream tells of it."""
    monkeypatch.setattr(stream, "hub", lambda: house.hub)

    def records() -> list[dict[str, Any]]:
        pages = house.hub._dynamodb.get_paginator("scan").paginate(TableName=house.hub._table)
        return [
            {"eventName": "INSERT", "dynamodb": {"Keys": {"PK": item["PK"], "SK": item["SK"]}}}
            for page in pages
            for item in page["Items"]
        ]

    return records


def kinds(records: list[dict[str, Any]]) -> Iterator[str]:
    for record in records:
        yield record["dynamodb"]["Keys"]["PK"]["S"].partition("#")[0]


def test_the_stream_function_is_right_for_every_item_of_the_table(
    house: ProgramHarness, waiting: Callable[..., Delivery], streamed: Callable[[], list[dict[str, Any]]]
) -> None:
    processing.process_delivery(house.hub, waiting())
    house.modify({"action_id": "unknown", "change": "reverse", "reason": "CANCELLED"})
    others = [
        {"PK": "M#2026-11", "SK": "M#x"}, {"PK": "A#", "SK": "M#x"}, {"PK": "A#only", "SK": "C#x"},
        {"PK": "A#nosuch-program#1", "SK": "M#x"}, {"PK": "R#acme#2026-11", "SK": "M#2026-11"}, {},
    ]  # fmt: skip
    odd = [{"dynamodb": {"Keys": {name: {"S": value} for name, value in keys.items()}}} for keys in others]
    told = streamed()
    assert {"A", "I", "D", "T", "P"} <= set(kinds(told))
    mine = [one for one in told if f"#{house.program}#" in one["dynamodb"]["Keys"]["PK"]["S"]]
    stream.handler({"Records": [*odd, *mine, {}]}, CONTEXT)
    parked = [message for queue, message in house.sent if queue == "parked"]
    assert parked == [{"program": "nosuch-program", "home": "1"}]


def test_one_record_of_a_batch_stops_no_other(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "hub", lambda: house.hub)
    house.report({"order_id": "A-1", "amount": "100.00"}, {"order_id": "A-2", "amount": "100.00"})
    seen: list[str] = []

    def fold(_hub: Any, _program: str, home: str) -> list[str]:
        seen.append(home)
        if home == "A-1":
            raise RuntimeError
        return []

    def send(*_: Any) -> None:
        raise DOWN

    monkeypatch.setattr(stream, "refold_order", fold)
    keys = [{"dynamodb": {"Keys": {"PK": {"S": f"A#{house.program}#{key}"}}}} for key in ("A-1", "A-2")]
    stream.handler({"Records": keys}, CONTEXT)
    assert seen == ["A-1", "A-2"]
    monkeypatch.setattr(house.hub, "send", send)
    with pytest.raises(RuntimeError, match="1 orders"):
        stream.handler({"Records": keys}, CONTEXT)
    assert seen == ["A-1", "A-2"] * 2, "the rest of the batch is done first"


def test_what_is_no_message_of_ours_and_a_place_that_cannot_be_read_keep_no_other(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = house.hub._sqs
    dead = sqs.create_queue(QueueName=f"{house.program}-odd")["QueueUrl"]
    change_settings(house.hub, queues={**house.hub.settings.queues, "answers_dead": dead})
    message = {"program": house.program, "delivery": "x", "what": "batch"}
    for body in ("no JSON", "[1]", json.dumps(message)):
        sqs.send_message(QueueUrl=dead, MessageBody=body)
    lost, admin = waiting("lost.csv"), Principal("*", "admin", "admin")
    monkeypatch.setattr(type(house.hub.programs), "ids", lambda _: ["none", house.program])
    real = resume_open_files

    def resume(hub: Any, program: str, *more: Any) -> Counter[str]:
        if program == "none":
            raise KeyError("a list that cannot be read")
        return real(hub, program, *more)

    monkeypatch.setattr("retour.operations.redrive.resume_open_files", resume)
    answer = redrive(house.hub, admin)
    assert (answer["moved"]["answers"], answer["moved"]["files"], answer["failed"]) == (1, 1, 1)
    assert header(house, lost).state == "done" and ("answers", message) in house.sent


@pytest.mark.parametrize("place", ["redrive_dead_letters", "refold_parked"])
def test_a_place_that_cannot_be_swept_keeps_no_program_from_its_sweep(
    house: ProgramHarness, waiting: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lost = waiting("lost.csv")
    house.clock.moment += timedelta(minutes=30)
    monkeypatch.setattr(tick, "hub", lambda: house.hub)
    monkeypatch.setattr(type(house.hub.programs), "ids", lambda _: [house.program])
    monkeypatch.setattr(f"retour.operations.redrive.{place}", lambda *_: (_ for _ in ()).throw(DOWN))
    assert len(tick.sweep_all(time.monotonic() + 600, timedelta(minutes=20), thoroughly=False)) == 1
    assert header(house, lost).state == "done"


def test_a_dead_letter_goes_back_to_its_queue(house: ProgramHarness) -> None:
    sqs = house.hub._sqs
    dead = sqs.create_queue(QueueName=f"{house.program}-dead")["QueueUrl"]
    change_settings(house.hub, queues={**house.hub.settings.queues, "answers_dead": dead, "files_dead": dead})
    message = {"program": house.program, "delivery": "x", "what": "batch"}
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(message))
    admin = Principal("*", "admin", "admin")
    answer = redrive(house.hub, admin)
    assert answer["moved"]["answers"] == 1
    assert ("answers", message) in house.sent
    assert redrive(house.hub, admin)["moved"].get("answers") is None


@pytest.mark.parametrize(
    ("ways", "ended"),
    [
        (["RUNNING"], None),
        (["FAILED", "RUNNING"], None),
        (["ABORTED"], "working"),
        (["FAILED", "TIMED_OUT"], "working"),
        (["FAILED", "TIMED_OUT", "FAILED"], "refused"),
    ],
)
def test_a_large_file_whose_ways_were_all_lost_is_refused(
    house: ProgramHarness,
    waiting: Callable[..., Delivery],
    monkeypatch: pytest.MonkeyPatch,
    ways: list[str],
    ended: str | None,
) -> None:
    large = waiting("large.csv")
    house.hub.deliveries(house.program).put(large, None, "working", {})
    monkeypatch.setattr(type(house.hub), "execution_statuses", lambda *_: ways)
    monkeypatch.setattr(type(house.hub), "start_execution", lambda *_: True)
    batch = processing.resume_delivery(house.hub, header(house, large))
    assert (batch and batch.state) == ended
    assert header(house, large).report.get("code", "") == ("NOT_HANDLED" if ended == "refused" else "")
