"""tick through its front door: what becomes due while time passes."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from functions.tick import app
from tests.conftest import PROGRAM, ProgramHarness

from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.times import format_instant
from retour.intake.ingest import announce_file

CONTEXT = SimpleNamespace(
    function_name="tick",
    memory_limit_in_mb=512,
    invoked_function_arn="arn",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 900_000,
)
DEPOT = {"protocol": "ftps", "host": "ftp.merchant.example", "user": "retour", "at": "05:30"}
PULL: dict[str, Any] = {"channel": "pull", "options": DEPOT}


@pytest.fixture
def clocked(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> ProgramHarness:
    """Only this house's program is looked after; the business clock stands unless it is set."""
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    monkeypatch.setattr(type(house.hub.programs), "ids", lambda _: [house.program])
    return house


def tick(house: ProgramHarness, moment: datetime) -> list[dict[str, Any]]:
    """What is sent to the queue of visits by a tick at that moment."""
    house.clock.moment = moment
    before = len(house.sent)
    app.handler({}, CONTEXT)
    return [message for queue, message in house.sent[before:] if queue == "pulls"]


def test_the_daily_visit_is_asked_for_once_a_day_in_the_sources_own_zone(clocked: ProgramHarness) -> None:
    clocked.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "depot": PULL}})
    asked = {"program": clocked.program, "source": "depot"}
    state = clocked.hub.state(clocked.program, "depot")

    def visited(moment: datetime) -> None:
        state.put("last-visit", {"started": format_instant(moment)})

    berlin_0530 = datetime(2026, 11, 3, 4, 30, tzinfo=UTC)
    assert tick(clocked, berlin_0530 - timedelta(minutes=5)) == []
    assert tick(clocked, berlin_0530 + timedelta(minutes=1)) == [asked]
    assert tick(clocked, berlin_0530 + timedelta(minutes=16)) == [], "claimed, though nobody visited yet"
    visited(berlin_0530 + timedelta(minutes=2))
    assert tick(clocked, berlin_0530 + timedelta(hours=20)) == []
    missed_all_day = berlin_0530 + timedelta(days=1, hours=20)
    assert tick(clocked, missed_all_day) == [asked], "a missed tick is made up by the next"
    visited(missed_all_day)
    assert tick(clocked, berlin_0530 + timedelta(days=2, minutes=1)) == [asked], "and costs the next day nothing"


def test_what_waits_too_long_is_refused(clocked: ProgramHarness) -> None:
    batch = clocked.modify({"order_id": "T-1", "change": "reverse", "reason": "CANCELLED"})
    assert batch.counts == {"waiting": 1}
    tick(clocked, clocked.clock.moment + timedelta(days=34))
    order = clocked.order("T-1")
    assert order.booking_of(order.records[0].id) is None
    tick(clocked, clocked.clock.moment + timedelta(days=2))
    order = clocked.order("T-1")
    booked = order.booking_of(order.records[0].id)
    assert booked is not None and booked[1].code == "ACTION_NOT_FOUND"


def test_a_file_that_was_announced_and_never_came_is_refused_after_a_day(clocked: ProgramHarness) -> None:
    deliveries = clocked.hub.deliveries(clocked.program)
    never, there = (
        clocked.delivery(
            DeliveryKind.FILE, b"", "erp", Channel.API, name="may.csv", body_key=f"api/{clocked.program}/{name}"
        )
        for name in ("never", "there")
    )
    for delivery in (never, there):
        announce_file(clocked.hub, delivery)
    clocked.hub.inbox.put(there.body_key, b"")
    tick(clocked, never.received_at + timedelta(hours=23))
    assert {delivery.id for delivery in deliveries.open()} == {never.id, there.id}
    tick(clocked, never.received_at + timedelta(hours=25))
    assert [delivery.id for delivery in deliveries.open()] == [there.id]
    header = deliveries.get(never.id)
    assert header is not None and (header.state, header.report["code"]) == ("refused", "NEVER_ARRIVED")


def test_a_source_that_should_have_spoken_is_listed_until_it_speaks(clocked: ProgramHarness) -> None:
    sources = {**PROGRAM["sources"], "erp": {"channel": "api", "expected_by": "12:00"}}
    clocked.apply({**PROGRAM, "sources": sources})
    deliveries = clocked.hub.deliveries(clocked.program)

    def silent() -> list[str]:
        return [subject for subject, _ in deliveries.due("silent")]

    noon = datetime(2026, 11, 4, 11, 0, tzinfo=UTC)
    tick(clocked, noon - timedelta(days=2, minutes=-1))
    assert silent() == [], "known for less than a day"
    tick(clocked, noon - timedelta(days=2, minutes=-16))
    assert silent() == []
    tick(clocked, noon + timedelta(minutes=1))
    tick(clocked, noon + timedelta(minutes=16))
    assert silent() == ["erp"]
    clocked.clock.moment = noon + timedelta(hours=2)
    clocked.modify({"order_id": "T-2", "change": "reverse", "reason": "CANCELLED"})
    tick(clocked, noon + timedelta(hours=3))
    assert silent() == []
    tick(clocked, noon + timedelta(days=1, minutes=1))
    assert silent() == [], "it spoke within the day"
    tick(clocked, noon + timedelta(days=2, minutes=1))
    assert silent() == ["erp"]


def test_one_programs_trouble_keeps_no_other_from_its_turn(
    clocked: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocked.apply({**PROGRAM, "sources": {"depot": PULL}})
    monkeypatch.setattr(type(clocked.hub.programs), "ids", lambda _: ["broken", clocked.program])
    program = clocked.hub.program

    def breaking(name: str) -> Any:
        if name == "broken":
            raise ConnectionError
        return program(name)

    monkeypatch.setattr(clocked.hub, "program", breaking)
    with pytest.raises(RuntimeError, match="broken"):
        tick(clocked, datetime(2026, 11, 5, 12, 0, tzinfo=UTC))
    assert ("pulls", {"program": clocked.program, "source": "depot"}) in clocked.sent
