"""What came in is counted once an hour is over, by source and outcome, and again while something of it is open."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import ProgramHarness

from retour.counting import rollup
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Program
from retour.intake.ingest import announce_file, ingest
from retour.schedule import hourly_counts


def program_of(house: ProgramHarness) -> Program:
    program = house.hub.program(house.program)
    assert program is not None
    return program


def count(house: ProgramHarness) -> int:
    return hourly_counts.count_arrivals(house.hub, program_of(house))


def hours(house: ProgramHarness, day: str = "20261102") -> dict[str, Any]:
    found = rollup.rollups_of(house.hub, program_of(house)).days([day])
    return dict(found.get(day, {}).get("hours", {}))


def at(house: ProgramHarness, hour: int, minute: int = 0, day: int = 2) -> None:
    house.clock.moment = datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_an_hour_is_counted_when_it_is_over(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"}, {"order_id": "A-2", "amount": "100.00"})
    house.modify({"order_id": "A-1", "change": "reverse"}, {"order_id": "A-9", "change": "reverse"})
    house.modify({"order_id": "A-1", "change": "reverse", "amount": "x"})
    at(house, 10, 4)
    assert count(house) == 0 and hours(house) == {}
    at(house, 10, 5)
    assert count(house) == 1
    assert {name: (one["deliveries"], one["counts"]) for name, one in hours(house)["09"].items()} == {
        "": (1, {"applied": 2}),
        "erp": (2, {"applied": 1, "waiting": 1, "refused": 1}),
    }
    assert count(house) == 0, "once"


def test_hours_that_were_missed_are_made_up_for(house: ProgramHarness) -> None:
    at(house, 9, 30)
    house.report({"order_id": "A-1", "amount": "100.00"})
    at(house, 23, 30)
    house.modify({"order_id": "A-1", "change": "reverse"})
    at(house, 1, 30, day=4)
    assert count(house) == 40
    assert list(hours(house)) == ["09", "23"] and hours(house, "20261103") == {}
    assert hours(house)["23"]["erp"]["counts"] == {"applied": 1}


def test_an_hour_with_something_unfinished_is_counted_again(house: ProgramHarness) -> None:
    body = b"order_id,change\nA-1,reverse\n"
    delivery = house.delivery(
        DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name="may.csv", body_key=f"raw/{house.program}/x"
    )
    announce_file(house.hub, delivery)
    at(house, 10, 10)
    assert count(house) == 1
    assert hours(house)["09"]["warehouse"]["counts"] == {}
    house.report({"order_id": "A-1", "amount": "100.00"})
    house.hub.inbox.put(delivery.body_key, body)
    ingest(house.hub, delivery, None)
    assert count(house) == 1
    assert hours(house)["09"]["warehouse"]["counts"] == {"applied": 1}
    assert count(house) == 0


def test_what_was_refused_whole_is_listed(house: ProgramHarness) -> None:
    house.file(b"\x00\x01", name="broken.csv")
    at(house, 10, 10)
    count(house)
    assert [name for _, name in hours(house)["09"]["warehouse"]["refused"]] == ["broken.csv"]


def test_too_many_rows_are_told_and_not_looked_at(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourly_counts, "ROWS_MAX", 2)
    house.modify(*({"order_id": f"A-{n}", "change": "reverse"} for n in range(2)))
    house.modify(*({"order_id": f"B-{n}", "change": "reverse"} for n in range(3)))
    at(house, 10, 10)
    count(house)
    assert hours(house)["09"]["erp"]["counts"] == {"waiting": 2, "rows": 3}


def test_a_program_that_is_old_is_counted_from_two_weeks_back(house: ProgramHarness) -> None:
    house.clock.moment += timedelta(days=100)
    assert count(house) == 15 * 24 - 1
    assert hours(house) == {}
