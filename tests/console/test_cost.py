"""What a page asks of the table does not grow with the ledger: as many requests, and as many items looked at."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from tests import ledger, pages
from tests.conftest import PROGRAM, ProgramHarness
from tests.console.conftest import Browser, Console
from tests.meter import ReadMeter

from retour.console.people import Grant, create_link
from retour.counting.rollup import roll_up
from retour.schedule.hourly_counts import count_arrivals

pytestmark = pytest.mark.slow

FEW = 100
MANY = int(os.environ.get("RETOUR_LEDGER_ACTIONS", "1500"))
HEAVY = 100_000
"""Bytes of a page, charts and all."""
STATUS = {"missing": 404, "search": 404, "actions-wrong": 422}
ALIKE = 14
"""Requests more: 300 heads are looked at in batches where only 100 are there, and twice where they cannot be sorted."""
ITEMS_MAX = 1_200
"""Looked at for a page at most: 300 heads with their keys and reports, and the records of those that are shown."""


@dataclass
class Ledgered:
    """A program with so many actions, counted, and who looks at it."""

    house: ProgramHarness
    clerk: Browser
    partner: Browser

    def addresses(self) -> dict[str, str]:
        program = self.house.hub.program(self.house.program)
        assert program is not None
        order = ledger.SeededLedger(program, self.house.clock.moment).order(5)
        (delivery,) = self.house.hub.deliveries(program.id).newest(f"{self.house.clock.moment:%Y%m%d}", most=1)
        blanks = {
            "program": program.id,
            "partner": order.actions[0].partner,
            "order": order.key,
            "action": order.actions[0].id,
            "modification": order.records[0].public_id,
            "delivery": delivery.delivery.id,
            "source": "warehouse",
            "contract": "standard",
        }
        return pages.fill_addresses(pages.CONSOLE | pages.BLOCKS | pages.PORTAL, **blanks)

    def looker(self, name: str) -> Browser:
        return self.partner if name in pages.PORTAL else self.clerk


def ledgered(console: Console, house: ProgramHarness, count: int) -> Ledgered:
    ledger.seed_ledger(house, count)
    program = house.hub.program(house.program)
    assert program is not None
    count_arrivals(house.hub, program)
    assert roll_up(house.hub, program, now=True)
    house.modify({"order_id": "S-000005", "change": "take_back", "amount": "1.00", "currency": "EUR"})
    partner = console.visitor()
    partner.come_in(create_link(house.hub, "Nora", [Grant(house.program, "partner", "partner-00")]))
    clerk = console.visitor()
    clerk.come_in(create_link(house.hub, "Ana", [Grant(house.program, "admin")]))
    return Ledgered(house, clerk, partner)


@pytest.fixture
def two(console: Console, house: ProgramHarness) -> Iterator[tuple[Ledgered, Ledgered]]:
    other = replace(house, program=f"{house.program}-large")
    other.apply(PROGRAM)
    house.clock.moment = house.clock.moment.replace(day=20)
    yield ledgered(console, house, FEW), ledgered(console, other, MANY)


def test_every_page_asks_as_little_of_many_actions_as_of_few(
    two: tuple[Ledgered, Ledgered], looks: Callable[[], ReadMeter]
) -> None:
    """But for the order of each row that is shown: its last change is among its records."""
    seen, dear = looks(), {}
    measured: dict[str, list[tuple[int, int, int, int]]] = {}
    for one in two:
        for name, address in one.addresses().items():
            seen.clear()
            answer = one.looker(name).get(address)
            assert answer.status == STATUS.get(name, 200), (name, answer.said)
            rows = answer.body.count(b"<tr data-row")
            measured.setdefault(name, []).append((seen.requests, rows, seen.items, len(answer.body)))
    for name, (few, many) in measured.items():
        if many[0] - many[1] > few[0] - few[1] + ALIKE or many[2] > ITEMS_MAX or many[3] > HEAVY:
            dear[name] = (few, many)
    if os.environ.get("RETOUR_LEDGER_ACTIONS"):
        for name, (few, many) in measured.items():
            print(f"{name:20} {few} {many}")
    assert not dear, f"requests, rows shown, items looked at and bytes; of {FEW} actions and of {MANY}"


def test_every_page_there_is_has_an_address_that_is_looked_at() -> None:
    assert pages.routes_without_address() == []
