"""Bulk inserts on the embedded AWS: ready bodies, sent and judged as boto3's own are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import ProgramHarness
from tests.meter import Meter

from retour.domain.actions.modification import Modification, SetTotal
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.money import parse_decimal
from retour.domain.row import Row
from retour.normalise import Normaliser
from retour.store import bulk
from retour.store.ledger import TableLedger


def ledger_of(house: ProgramHarness) -> TableLedger:
    program = house.hub.program(house.program)
    assert program is not None
    return house.hub.ledger(program)


def modifications(house: ProgramHarness, count: int, **more: str) -> list[Modification]:
    program = house.hub.program(house.program)
    assert program is not None
    reading = Normaliser(
        program, program.sources["erp"], house.delivery(DeliveryKind.MODIFICATIONS, b"", "erp", Channel.API)
    )
    rows = [
        Row(str(n), {"reference": f"r{n}", "order_id": f"B-{n}", "change": "set_total", "amount": "1", **more})
        for n in range(count)
    ]
    read = [reading.modification(row) for row in rows]
    assert all(isinstance(one, Modification) for one in read)
    return [one for one in read if isinstance(one, Modification)]


def insert_all(ledger: TableLedger, wanted: list[Modification]) -> list[Modification | None]:
    with ThreadPoolExecutor(4) as pool:
        return bulk.insert_all(ledger, wanted, pool)


def test_what_is_inserted_reads_back_as_if_inserted_one_by_one(house: ProgramHarness) -> None:
    ledger = ledger_of(house)
    wanted = modifications(house, 60, note='quotes " and \\ and ünïcode\nand a new line', currency="EUR")
    assert insert_all(ledger, wanted) == [None] * 60
    for modification in wanted:
        assert ledger.order(modification.home).records == [modification]
    alone = replace(wanted[0], order_key="C-1")
    assert ledger.insert(alone) is None
    assert ledger.order("C-1").records == [alone]


def test_the_first_write_wins_and_is_read_back(house: ProgramHarness) -> None:
    ledger = ledger_of(house)
    wanted = modifications(house, 30)
    assert insert_all(ledger, wanted[:10]) == [None] * 10
    later = [replace(one, note="later") for one in wanted]
    assert insert_all(ledger, later) == [*wanted[:10], *[None] * 20]
    assert ledger.order("B-3").records == [wanted[3]]
    assert ledger.order("B-20").records == [later[20]]


def test_a_statement_refused_for_another_reason_is_tried_by_itself(house: ProgramHarness) -> None:
    ledger = ledger_of(house)
    wanted = modifications(house, 3)
    client = house.hub._dynamodb

    def throttle(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Responses"] = [{}, {"Error": {"Code": "ThrottlingError", "Message": "slow down"}}, {}]

    client.meta.events.register("after-call.dynamodb.BatchExecuteStatement", throttle)
    # The throttled one was in truth inserted: as after an answer that got lost, what stands is the same record.
    assert insert_all(ledger, wanted) == [None, wanted[1], None]


def test_the_body_is_signed_and_goes_where_the_client_points(house: ProgramHarness) -> None:
    seen: list[Any] = []
    house.hub._dynamodb.meta.events.register(
        "before-send.dynamodb.BatchExecuteStatement", lambda request, **_: seen.append(request)
    )
    insert_all(ledger_of(house), modifications(house, 1))
    (request,) = seen
    assert b"INSERT INTO" in request.body
    assert request.headers["Content-Length"] in (str(len(request.body)), str(len(request.body)).encode())
    assert b"AWS4-HMAC-SHA256" in request.headers["Authorization"]


def test_ordinary_batches_still_pass(house: ProgramHarness) -> None:
    ledger = ledger_of(house)
    insert_all(ledger, modifications(house, 1))
    statement = f"SELECT SK FROM \"{ledger.table}\" WHERE PK = '{ledger.partition_key('B-0')}' AND SK = 'M#nothing'"
    answer = house.hub._dynamodb.batch_execute_statement(Statements=[{"Statement": statement}])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    nowhere = house.hub._dynamodb.batch_execute_statement(Statements=[{"Statement": 'SELECT SK FROM "nowhere"'}])
    assert "Error" in nowhere["Responses"][0]


def test_names_are_looked_up_many_at_once(house: ProgramHarness) -> None:
    ledger = ledger_of(house)
    for n in range(3):
        ledger.claim_name(f"a{n}", f"B-{n}")
    assert bulk.order_keys(ledger, [f"a{n}" for n in range(150)]) == {"a0": "B-0", "a1": "B-1", "a2": "B-2"}


def test_the_meter_counts_a_batch_as_its_single_writes(house: ProgramHarness, metered: Callable[[], Meter]) -> None:
    ledger = ledger_of(house)
    wanted = modifications(house, 12, note="n" * 300)
    meter = metered()
    insert_all(ledger, wanted[:10])
    assert meter.written == 10
    insert_all(ledger, wanted)
    assert meter.written == 10 + 12, "a refused insert costs as well"


@pytest.mark.parametrize("many", [3, 40])
def test_rows_of_many_orders_end_as_those_of_few(house: ProgramHarness, many: int) -> None:
    house.report(*({"order_id": f"A-{n}", "amount": "100.00", "currency": "EUR"} for n in range(many)))
    records = [
        {"order_id": f"A-{n}", "change": "take_back", "amount": amount, "reference": f"{n}/{amount}"}
        for n in range(many)
        for amount in ("10", "20", "200")
    ]
    batch = house.modify(*records)
    assert batch.counts == {"applied": 2 * many, "refused": many}
    assert [result.place for result in batch.results] == [str(n + 1) for n in range(3 * many)]
    assert {house.payouts(f"A-{n}")[f"A-{n}~sale"][:2] for n in range(many)} == {(7000, 560)}
    again = house.modify(*records)
    assert again.counts == {"duplicate": 2 * many, "refused": many}
    assert {house.payouts(f"A-{n}")[f"A-{n}~sale"][:2] for n in range(many)} == {(7000, 560)}


def test_amounts_keep_their_digits(house: ProgramHarness) -> None:
    ledger = ledger_of(house)
    exact = [replace(one, change=SetTotal(parse_decimal("0.10"))) for one in modifications(house, 1)]
    insert_all(ledger, exact)
    assert str(ledger.order("B-0").records[0].change.amount) == "0.10"  # type: ignore[union-attr]
