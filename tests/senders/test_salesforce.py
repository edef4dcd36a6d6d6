"""Salesforce as a sender of states: cases, orders and their items on a simulated organisation, and what is left."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.salesforce import ADMIN
from retour.sync.salesforce import ingest_records, is_of_parent, read_back, reconcile
from tests.remote.salesforce_hub import DOCUMENT, SOURCE, SalesforceTestHub
from tests.remote.salesforce_hub import house as open_house

STATUSES = {"Returned": "reverse", "Partly returned": "take_back", "New": "nothing"}
ORDERS = {
    "object": "Order",
    "fields": {"order_id": "OrderNumber", "status": "Status"},
    "statuses": {"Cancelled": "reverse", "Activated": "nothing"},
}
ITEMS = {
    "object": "OrderItem",
    "fields": {"order_id": "Order.OrderNumber", "status": "Order.Status", "sku": "Sku__c"},
    "statuses": {"Cancelled": "reverse", "Activated": "nothing"},
}


def document(**options: Any) -> dict[str, Any]:
    """The usual program, its source with these options, and nothing held as a possible duplicate."""
    usual = {name: value for name, value in SOURCE["options"].items() if name != "write_back"}  # type: ignore[attr-defined]
    source = {**SOURCE, "options": {**usual, **options}}
    return {**DOCUMENT, "possible_duplicate_days": 0, "sources": {"crm": source}}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[SalesforceTestHub]:
    with open_house(tmp_path) as house:
        house.document = document(statuses=STATUSES)
        for order in ("1057", "1058"):
            house.sell(order)
        yield house


def crm(house: SalesforceTestHub) -> Any:
    return house.acme.sources["crm"]


def sync(house: SalesforceTestHub, *ids: str, by_parent: bool = False) -> None:
    read_back(house, house.acme, crm(house), ids, by_parent)  # type: ignore[arg-type]


def poll(house: SalesforceTestHub) -> None:
    reconcile(house, house.acme, crm(house), lambda: True)  # type: ignore[arg-type]


def left(house: SalesforceTestHub) -> list[str]:
    return [f"{house.left(order) / 100:.2f}" for order in ("1057", "1058")]


def told(house: SalesforceTestHub, record: str, *statuses: str, **fields: Any) -> None:
    for status in statuses:
        house.record(status, fields.pop("order", "1057"), record, **fields)
        sync(house, record)


def test_a_case_that_is_new_again_gives_back_what_it_took(house: SalesforceTestHub) -> None:
    """A19."""
    record = house.record("Returned", "1057")
    sync(house, record)
    assert left(house) == ["0.00", "100.00"]
    told(house, record, "New")
    assert left(house) == ["100.00", "100.00"]


def test_a_status_nobody_declared_keeps_what_was_said_and_is_listed(house: SalesforceTestHub) -> None:
    """A19."""
    record = house.record("Returned", "1057")
    sync(house, record)
    told(house, record, "Closed", "Closed")
    assert left(house) == ["0.00", "100.00"]
    assert [subject for subject in house.kept.waiting if subject.startswith("crm#")] == ["crm#Closed"]


def test_a_case_whose_order_number_is_corrected_moves_what_it_took(house: SalesforceTestHub) -> None:
    """A24."""
    record = house.record("Returned", "1057")
    sync(house, record)
    house.record("Returned", "1058", record)
    sync(house, record)
    assert left(house) == ["100.00", "0.00"]


def test_a_deleted_case_gives_back_what_it_took(house: SalesforceTestHub) -> None:
    record = house.record("Returned", "1057")
    poll(house)
    assert left(house) == ["0.00", "100.00"]
    house.simulator.org.delete("Case", record)
    poll(house)
    assert left(house) == ["100.00", "100.00"]
    poll(house)
    assert left(house) == ["100.00", "100.00"]


def test_of_two_cases_that_are_merged_the_one_that_stays_speaks(house: SalesforceTestHub) -> None:
    master, merged = (house.record("Partly returned", "1057", Refund__c=amount) for amount in (30, 20))
    poll(house)
    assert left(house) == ["50.00", "100.00"]
    house.simulator.org.delete("Case", merged, master)
    poll(house)
    assert left(house) == ["70.00", "100.00"]


def test_a_cancelled_order_takes_all(house: SalesforceTestHub) -> None:
    """A25, the object Order."""
    house.document = document(**ORDERS)
    org = house.simulator.org
    record = org.save("Order", None, {"OrderNumber": "1057", "Status": "Activated"}, ADMIN)
    sync(house, record)
    org.save("Order", record, {"Status": "Cancelled"}, ADMIN)
    sync(house, record)
    assert left(house) == ["0.00", "100.00"]


@pytest.mark.parametrize("way", ["told of the order", "found by the reconcile"])
def test_a_cancelled_order_takes_its_items(house: SalesforceTestHub, way: str) -> None:
    """A25, the object OrderItem with the status on its Order."""
    house.document = document(**ITEMS)
    org = house.simulator.org
    order = org.save("Order", None, {"OrderNumber": "1057", "Status": "Activated"}, ADMIN)
    org.save("OrderItem", None, {"OrderId": order, "Quantity": 1}, ADMIN)
    poll(house)
    assert left(house) == ["100.00", "100.00"]
    org.save("Order", order, {"Status": "Cancelled"}, ADMIN)
    assert is_of_parent(crm(house), "Order")
    sync(house, order, by_parent=True) if way == "told of the order" else poll(house)
    assert left(house) == ["0.00", "100.00"]
    org.save("Order", order, {"Status": "Activated"}, ADMIN)
    poll(house)
    assert left(house) == ["100.00", "100.00"]


STATES = {"Returned": 10_000, "Partly returned": 3_000, "New": 0, "Waiting": None}


@pytest.mark.parametrize("length", [1, 2, 3])
def test_readings_of_two_cases_in_any_order_leave_the_sale_less_their_newest_word(
    house: SalesforceTestHub, length: int
) -> None:
    """Two readers overtake each other; what one read before does not come back. Every sequence, one reading twice."""
    count = 0
    for chosen in itertools.product(itertools.product((0, 1), STATES), repeat=length):
        for arrival in itertools.permutations(range(length)):
            count += 1
            order = f"{length}-{count}"
            house.sell(order)
            readings = [reading(order, n, status, at) for at, (n, status) in enumerate(chosen)]
            for at in (*arrival, arrival[0]):
                ingest_records(house, house.acme, crm(house), [readings[at]])  # type: ignore[arg-type]
            assert house.left(order) == judged(chosen, arrival), (chosen, arrival)
        if count > 250:
            break
    print(f"salesforce: {count} sequences of {length}")


def judged(chosen: Any, arrival: Any) -> int:
    """What is left. A status that says nothing leaves the last word that was read before it came."""
    words: dict[int, tuple[int, int]] = {}
    seen: dict[int, int] = {}
    for at in arrival:
        case, status = chosen[at]
        if seen.get(case, -1) > at:
            continue
        takes = STATES[status]
        if takes is not None or case in words:
            seen[case] = at
        if takes is not None:
            words[case] = at, takes
    return max(10_000 - sum(takes for _, takes in words.values()), 0)


def reading(order: str, case: int, status: str, at: int) -> dict[str, Any]:
    stamp = datetime.fromisoformat("2026-11-20T10:00:00+00:00") + timedelta(minutes=at)
    number = sum(ord(letter) * 131**n for n, letter in enumerate(order)) % 10**9
    return {
        "Id": f"5005e{case}{number:09d}"[:15] + "AAA",
        "SystemModstamp": stamp.isoformat(),
        "Status": status,
        "Order_Number__c": order,
        "Refund__c": 30 if status == "Partly returned" else None,
    }
