"""A full export that no longer lists a return: nothing is taken back because of it, once a person released that."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.intake.test_large import small_limits
from tests.intake.test_thresholds import decided, drop, listed_held

from retour.domain.actions.outcome import Outcome
from retour.intake.batch import DONE, HELD, Batch
from retour.intake.ingest import ingest
from retour.setup.program_file import parse_program

__all__ = ["small_limits"]
COLUMNS = {"order_id": "Bestellung", "reference": "Retoure", "amount": "Betrag"}


def exporting(house: ProgramHarness, **source: Any) -> None:
    body = {"channel": "sftp", "references": "restate", "absent": "nothing_taken", "amount_means": "take_back"}
    mapping = {"columns": COLUMNS, "decimal": ",", "order_id_width": 4}
    house.apply({**PROGRAM, "sources": {"warehouse": {**body, "mapping": mapping, **source}}})


def sold(house: ProgramHarness, *orders: int) -> None:
    house.report(*[{"order_id": f"{n:04}", "currency": "EUR", "amount": "100.00"} for n in orders])


def export(house: ProgramHarness, *rows: str, name: str = "export.csv") -> Batch:
    house.clock.moment += timedelta(days=1)
    return drop(house, "\n".join(["Bestellung;Retoure;Betrag", *rows, ""]).encode(), name)


def left(house: ProgramHarness, *orders: int) -> list[int]:
    return [next(iter(house.payouts(f"{n:04}").values()))[0] for n in orders]


def test_a_return_that_is_missing_is_given_back_once_a_person_released_it(house: ProgramHarness) -> None:
    exporting(house)
    sold(house, 1, 2, 3)
    export(house, "0001;RT-1;10,00", "2;RT-2;20,00", "0002;RT-3;30,00", "0003;RT-4;40,00")
    assert left(house, 1, 2, 3) == [9000, 5000, 6000]
    held = export(house, "0001;RT-1;10,00", "0002;RT-3;35,00", "0003;RT-4;40,00")
    assert (held.state, held.code, held.details["count"]) == (HELD, "ROWS_ABSENT", "1")
    assert left(house, 1, 2, 3) == [9000, 5000, 6000], "nothing of it before"
    assert held.preview["counts"] == {"unchanged": 2, "applied": 2}
    released = decided(house, held, "release")
    assert released is not None
    assert [(one.place, one.outcome) for one in released.results][-1] == ("absent:3", Outcome.APPLIED)
    assert left(house, 1, 2, 3) == [9000, 6500, 6000]
    assert listed_held(house) == []


def test_what_a_person_discards_stays_as_it_was_and_the_next_export_says_it_again(house: ProgramHarness) -> None:
    exporting(house)
    sold(house, 1)
    export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    for _ in range(2):
        held = export(house, "0001;RT-1;10,00")
        assert held.code == "ROWS_ABSENT"
        decided(house, held, "discard")
        assert left(house, 1) == [7000]
    back = export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    assert (back.state, back.counts) == (DONE, {"unchanged": 2})


def test_what_was_given_back_is_not_missed_again_and_counts_when_it_is_listed_again(house: ProgramHarness) -> None:
    exporting(house)
    sold(house, 1)
    export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    decided(house, export(house, "0001;RT-1;10,00"), "release")
    assert left(house, 1) == [9000]
    again = export(house, "0001;RT-1;10,00")
    assert (again.state, again.counts) == (DONE, {"unchanged": 1})
    listed = export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    assert listed.state == DONE
    assert left(house, 1) == [7000]


def test_a_return_that_is_listed_under_another_order_is_given_back_to_the_one_before(house: ProgramHarness) -> None:
    exporting(house)
    sold(house, 1, 2)
    export(house, "0001;RT-1;10,00")
    decided(house, export(house, "0002;RT-1;10,00"), "release")
    assert left(house, 1, 2) == [10000, 9000]


def test_without_a_word_of_the_source_a_missing_row_says_nothing(house: ProgramHarness) -> None:
    exporting(house, absent="keep")
    sold(house, 1)
    export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    assert export(house, "0001;RT-1;10,00").state == DONE
    assert left(house, 1) == [7000]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rejected_export.csv", ["0001;RT-1;10,00"]),
        ("export.csv", ["0001;RT-1;10,00", "0001;RT-2"]),
    ],
    ids=["corrected rows sent again", "a row that cannot be read"],
)
def test_what_is_no_whole_export_gives_nothing_back(house: ProgramHarness, name: str, rows: list[str]) -> None:
    exporting(house)
    sold(house, 1)
    export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    assert export(house, *rows, name=name).state == DONE
    assert left(house, 1) == [7000]
    held = export(house, "0001;RT-1;10,00")
    assert held.code == "ROWS_ABSENT", "compared with the whole one before"


def test_what_another_source_said_is_not_missed(house: ProgramHarness) -> None:
    exporting(house)
    house.apply(
        {
            **PROGRAM,
            "possible_duplicate_days": 0,
            "sources": {
                "warehouse": {
                    "channel": "sftp",
                    "references": "restate",
                    "absent": "nothing_taken",
                    "amount_means": "take_back",
                    "reference_namespace": "returns",
                },
                "erp": {"channel": "api", "kind": "standard", "reference_namespace": "returns"},
            },
        }
    )
    sold(house, 1)
    drop(house, b"order_id,reference,amount\n0001,RT-1,10.00\n")
    record = {"order_id": "0001", "subject": "RT-9", "change": "take_back", "amount": "5.00", "currency": "EUR"}
    house.modify(record)
    house.clock.moment += timedelta(days=1)
    batch = drop(house, b"order_id,reference,amount\n0001,RT-1,12.00\n")
    assert batch.state == DONE
    assert left(house, 1) == [8300]


def test_an_export_too_large_for_one_piece_is_compared_as_well(house: ProgramHarness, small_limits: None) -> None:
    exporting(house)
    sold(house, *range(60))
    rows = [f"{n:04};RT-{n};10,00" for n in range(60)]
    assert export(house, *rows).state == DONE
    held = export(house, *(row for n, row in enumerate(rows) if n not in (7, 50)))
    assert (held.state, held.code, held.details["count"]) == (HELD, "ROWS_ABSENT", "2")
    assert left(house, 7, 50, 8) == [9000, 9000, 9000]
    released = decided(house, held, "release")
    assert released is not None
    assert released.state == DONE
    assert left(house, 7, 50, 8) == [10000, 10000, 9000]
    assert export(house, *(row for n, row in enumerate(rows) if n not in (7, 50))).state == DONE


def test_an_export_that_was_held_is_read_again_to_the_same_end(house: ProgramHarness) -> None:
    exporting(house)
    sold(house, 1)
    export(house, "0001;RT-1;10,00", "0001;RT-2;20,00")
    held = export(house, "0001;RT-1;10,00")
    assert ingest(house.hub, held.delivery, None).state == HELD
    assert left(house, 1) == [7000]


def test_it_is_only_for_what_is_restated() -> None:
    document = """
program: acme
name: Acme
currency: EUR
time_zone: Europe/Berlin
event_types: {sale: {}}
contracts:
  standard: {event_type: sale, valid_from: 2026-01-01, payout: 8%, lock: {days_after_event: 30}}
sources:
  export: {channel: sftp, absent: nothing_taken}
"""
    [fault] = parse_program(document)
    assert "references: restate" in str(fault)
    assert isinstance(parse_program(document.replace("absent:", "references: restate, absent:")), dict)
