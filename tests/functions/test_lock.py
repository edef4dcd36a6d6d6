"""lock through its front door: every program has its turn, its share of the time, and no other's trouble."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from functions.lock import app
from tests.conftest import ProgramHarness

DUE = datetime(2026, 12, 1, 23, 11, tzinfo=UTC)


def context(milliseconds: int = 900_000) -> Any:
    return SimpleNamespace(
        function_name="lock",
        memory_limit_in_mb=512,
        invoked_function_arn="arn",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: milliseconds,
    )


@pytest.fixture
def due(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> ProgramHarness:
    """An action that has just locked."""
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.clock.moment = DUE
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    return house


def is_final(house: ProgramHarness) -> bool:
    [head] = house.order("A-1").heads.values()
    return head.final is not None


@pytest.mark.parametrize("named", [False, True])
def test_a_run_makes_final_what_is_due(due: ProgramHarness, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    monkeypatch.setattr(type(due.hub.programs), "ids", lambda _: ["unknown", due.program])
    app.handler({"program": due.program} if named else {}, context())
    assert is_final(due)


def test_without_time_nothing_is_begun(due: ProgramHarness) -> None:
    app.handler({"program": due.program}, context(milliseconds=1_000))
    assert not is_final(due)


def test_one_programs_trouble_keeps_no_other_from_its_turn(
    due: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(due.hub.programs), "ids", lambda _: ["broken", due.program])
    program = due.hub.program

    def breaking(name: str) -> Any:
        if name == "broken":
            raise ConnectionError
        return program(name)

    monkeypatch.setattr(due.hub, "program", breaking)
    with pytest.raises(RuntimeError, match="broken"):
        app.handler({}, context())
    assert is_final(due)


def test_an_order_that_could_not_be_fenced_is_told(due: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bool:
        raise ConnectionError

    monkeypatch.setattr("retour.posting.cascade.is_waiting_for_children", broken)
    with pytest.raises(RuntimeError, match=due.program):
        app.handler({"program": due.program}, context())
    assert not is_final(due)
