"""D8, D9: a tick that has nothing to do costs the same, however long and however much there is that waits."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from functions.tick import app
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_tick import CONTEXT, clocked  # noqa: F401
from tests.meter import ReadMeter

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.batch import HELD
from retour.intake.ingest import announce_file, ingest
from retour.replies.send import send_reply
from retour.schedule import time_budget

NOON = datetime(2026, 11, 4, 11, 7, tzinfo=UTC)
EXPECTING = {**PROGRAM["sources"], "erp": {"channel": "api", "expected_by": "12:00"}}


def requests_of_a_tick(house: ProgramHarness, looks: ReadMeter, moment: datetime) -> dict[str, int]:
    """Of the second tick of this moment: what the first found to do is done."""
    house.clock.moment = moment
    app.handler({}, CONTEXT)
    house.clock.moment = moment + timedelta(minutes=15)
    looks.clear()
    app.handler({}, CONTEXT)
    return dict(looks.asked)


def nothing(house: ProgramHarness, n: int) -> None:
    pass


def hold(house: ProgramHarness, n: int) -> None:
    """Deliveries of several hours that wait for a person."""
    deliveries = house.hub.deliveries(house.program)
    for k in range(n):
        house.clock.moment = NOON - timedelta(minutes=40 * k + 20)
        delivery = house.delivery(
            DeliveryKind.FILE, b"x", "warehouse", Channel.SFTP, name=f"{k}.csv", body_key=f"raw/{k}"
        )
        deliveries.put(delivery, None, HELD, {})


def wait(house: ProgramHarness, n: int) -> None:
    house.modify(*({"reference": f"w{k}", "order_id": f"W-{k}", "change": "reverse"} for k in range(n)))


def record_versions(house: ProgramHarness, n: int) -> None:
    for k in range(n):
        house.apply({**PROGRAM, "sources": EXPECTING, "name": f"Acme {k}"})


def announce(house: ProgramHarness, n: int) -> None:
    """Uploads whose address was asked for, and that did not come yet."""
    for k in range(n):
        house.clock.moment = NOON - timedelta(hours=3)
        delivery = house.delivery(
            DeliveryKind.FILE, b"x", "erp", Channel.API, name=f"{k}.csv", body_key=f"api/{house.program}/erp/x/{k}.csv"
        )
        announce_file(house.hub, delivery)


def change(house: ProgramHarness, n: int) -> None:
    """Calls of the day before, that are done."""
    house.clock.moment = NOON - timedelta(hours=20)
    for k in range(n):
        house.modify({"reference": f"d{k}", "order_id": "A-1", "change": "take_back", "amount": "0.01"})


def hold_records(house: ProgramHarness, n: int) -> None:
    """Records that may repeat others, for a person to look at."""
    house.clock.moment = NOON - timedelta(days=3)
    house.report(*({"order_id": f"H-{k}", "amount": "10.00"} for k in range(n)))
    for source in ("erp", "till"):
        changes = ({"order_id": f"H-{k}", "change": "take_back", "amount": "2.00"} for k in range(n))
        house.modify(*changes, source=source)


def list_cases(house: ProgramHarness, n: int) -> None:
    """Undeclared statuses, and what came after its action was final."""
    deliveries = house.hub.deliveries(house.program)
    for k in range(n):
        deliveries.remind("status", NOON - timedelta(days=2), f"erp#s{k}", {"source": "erp", "status": f"s{k}"})
        deliveries.remind("alarm", NOON - timedelta(days=2), f"x{k}", {"code": "x", "action": "a", "delivery": "d"})


def forget_for(house: ProgramHarness, n: int) -> None:
    """A source is silent for so many days, and looked at every day."""
    for day in range(n):
        house.clock.moment = NOON + timedelta(days=day)
        app.handler({}, CONTEXT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grow", "most", "days"),
    [
        (hold, 24, 0),
        (wait, 60, 0),
        (record_versions, 12, 0),
        (forget_for, 100, 100),
        (announce, 12, 0),
        (change, 40, 0),
        (hold_records, 20, 0),
        (list_cases, 30, 0),
    ],
    ids=["held", "waiting", "versions", "days-and-notes", "announced", "done", "held-records", "cases"],
)
def test_requests_of_an_idle_tick_do_not_grow(
    clocked: ProgramHarness,  # noqa: F811
    looks: Callable[[], ReadMeter],
    grow: Callable[[ProgramHarness, int], None],
    most: int,
    days: int,
) -> None:
    clocked.apply({**PROGRAM, "sources": EXPECTING})
    counted = looks()
    grow(clocked, 1)
    few = requests_of_a_tick(clocked, counted, NOON + timedelta(days=1))
    grow(clocked, most)
    many = requests_of_a_tick(clocked, counted, NOON + timedelta(days=max(days, 1), hours=1 if not days else 0))
    assert few and many == few


def test_a_forgotten_source_is_one_note_and_one_alarm(clocked: ProgramHarness) -> None:  # noqa: F811
    clocked.apply({**PROGRAM, "sources": EXPECTING})
    forget_for(clocked, 10)
    [(name, doc)] = clocked.hub.deliveries(clocked.program).due("silent")
    assert (name, doc["deadline"][:10]) == ("erp", "2026-11-04")
    clocked.modify({"order_id": "T-2", "change": "reverse", "reason": "CANCELLED"})
    app.handler({}, CONTEXT)
    assert list(clocked.hub.deliveries(clocked.program).due("silent")) == []


def test_five_thousand_mailed_rows_expire_with_one_answer(
    clocked: ProgramHarness,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailed: list[bytes] = []
    monkeypatch.setattr(clocked.hub, "send_mail", lambda raw, sender, to: mailed.append(raw))
    options = {"allow_from": ["a@shop.example"]}
    source = {"channel": "email", "default_reason": "ITEM_RETURNED", "options": options}
    clocked.apply({**PROGRAM, "sources": {"post": source}})
    rows = b"reference,order_id,event_type,change\n" + b"".join(
        b"r%d,N-%d,sale,reverse\n" % (n, n) for n in range(5_000)
    )
    reply = {"to": "a@shop.example", "subject": "May", "message_id": "<1@shop.example>", "from": "post@in.retour.test"}
    delivery = clocked.delivery(DeliveryKind.FILE, rows, "post", Channel.EMAIL, name="may.csv", reply=reply)
    batch = ingest(clocked.hub, delivery, rows)
    assert batch.counts == {"waiting": 5_000}
    clocked.sent.clear()
    clocked.clock.moment = delivery.received_at + timedelta(days=36)
    app.handler({}, CONTEXT)
    answers = [message for queue, message in clocked.sent if queue == "answers"]
    assert len(answers) == 1
    assert len(json.dumps(answers[0])) < 10_000, "a message on the queue has room for 256 KB"
    assert list(clocked.hub.deliveries(clocked.program).due("waiting")) == []
    send_reply(clocked.hub, answers[0])
    [mail] = mailed
    assert (len(mail) < 100_000 and b"5,000" in mail) or b"5000" in mail
    app.handler({}, CONTEXT)
    assert len([message for queue, message in clocked.sent if queue == "answers"]) == 1


def test_one_order_that_cannot_be_given_up_keeps_no_other(
    clocked: ProgramHarness,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from retour.posting import waiting

    clocked.modify(*({"reference": f"w{k}", "order_id": f"W-{k}", "change": "reverse"} for k in range(5)))
    clocked.sent.clear()
    real = waiting.refuse_if_waiting

    def given_up(ledger: Any, home: str, *more: Any) -> str:
        if home == "W-2":
            raise ConnectionError
        return real(ledger, home, *more)

    monkeypatch.setattr(waiting, "refuse_if_waiting", given_up)
    clocked.clock.moment += timedelta(days=36)
    app.handler({}, CONTEXT)
    [answer] = [message for queue, message in clocked.sent if queue == "answers"]
    assert len(answer["modifications"]) == 4
    monkeypatch.setattr(waiting, "refuse_if_waiting", real)
    app.handler({}, CONTEXT)
    assert [len(message["modifications"]) for queue, message in clocked.sent if queue == "answers"] == [4, 1]


def test_a_program_that_had_no_turn_has_the_first_in_the_next_run(
    clocked: ProgramHarness,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(type(clocked.hub.programs), "ids", lambda _: ["a", "b", "c"])
    name = f"test-{clocked.program}"

    def run(seconds: float) -> list[str]:
        seen = []
        for program, _ in time_budget.programs_in_turn(clocked.hub, name, clock[0] + 10):
            seen.append(program)
            clock[0] += seconds
        return seen

    assert run(6) == ["a", "b"]
    assert run(6) == ["c", "a"]
    assert run(11) == ["b"]
    assert run(1) == ["c", "a", "b"]
    assert run(1) == ["a", "b", "c"]


def test_what_one_duty_cannot_do_keeps_no_other_from_being_done(
    clocked: ProgramHarness,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> None:
        raise ConnectionError

    done = []
    monkeypatch.setitem(app.JOBS, "silent", broken)  # type: ignore[arg-type]
    monkeypatch.setitem(app.JOBS, "rolled_up", partial(lambda *_: done.append(1)))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=clocked.program):
        app.handler({}, CONTEXT)
    assert done == [1]
