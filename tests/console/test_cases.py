"""The inbox: one line a matter, the dearest and nearest first, refused rows among them; and what the search finds."""

import re
from collections.abc import Callable

import pytest
from tests.conftest import ProgramHarness
from tests.console.conftest import Console
from tests.console.test_operations import dropped, row_form

from retour.console.cases import Case as OneCase
from retour.console.cases import CaseGroup, Stake, weigh
from retour.console.page_context import PageContext
from retour.console.request import Request
from retour.console.words import Words
from retour.counting.rollup import roll_up
from retour.posting.refold import refold_order
from retour.schedule.hourly_counts import count_arrivals

Sold = Callable[..., None]
LINE = re.compile(r'<tr data-row id="c-.*?</tr>', re.DOTALL)
BACK = {"change": "take_back", "amount": "20.00", "currency": "EUR", "reason": "ITEM_RETURNED"}


def lines(page: str) -> list[str]:
    """The lines of an inbox, as they are read."""
    return [" ".join(re.sub(r"<[^>]*>", " ", line).split()) for line in LINE.findall(page)]


def hold(house: ProgramHarness, order: str) -> None:
    house.modify({"order_id": order, "reference": f"E-{order}", **BACK}, source="erp")
    house.modify({"order_id": order, "reference": f"T-{order}", **BACK}, source="till")
    refold_order(house.hub, house.program, order)


def test_the_waiting_orders_of_one_file_are_one_line_with_a_list(console: Console, house: ProgramHarness) -> None:
    dropped(house, *(f"R-{n},N-{n},reverse,,,CANCELLED" for n in range(26)))
    house.modify({"order_id": "M-1", "change": "reverse", "reason": "CANCELLED"})
    shown = console.person("operator").get(f"{console.base}/inbox")
    assert len(lines(shown.text)) == 2
    assert "26 orders of may.csv are not known yet" in shown.said and "Order N-25 is not known yet" in shown.said


def test_what_is_dear_and_near_comes_first(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", event_time="2026-11-01T12:00:00+01:00")
    sold("A-2", event_time="2026-10-04T12:00:00+02:00")
    for order in ("A-1", "A-2"):
        hold(house, order)
    told = lines(console.person("operator").get(f"{console.base}/inbox").text)
    assert [re.search(r"Order (A-\d)", line)[1] for line in told] == ["A-2", "A-1"], told  # type: ignore[index]
    assert "today" in told[0] or "in 1 day" in told[0]
    assert "6.40" in told[0], "what its order still pays"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((2000, "2026-11-10T00:00:00Z"), (1000, "2026-11-10T00:00:00Z")),
        ((1000, "2026-11-05T00:00:00Z"), (1000, "2026-11-20T00:00:00Z")),
        ((1000, "2026-11-03T00:00:00Z"), (2000, "2026-11-30T00:00:00Z")),
        ((1, "2026-11-30T00:00:00Z"), (0, "2026-11-03T00:00:00Z")),
    ],
)
def test_money_is_weighed_by_nearness(house: ProgramHarness, first: tuple[int, str], second: tuple[int, str]) -> None:
    words = Words("en", "UTC", house.clock.moment)
    context = PageContext(house.hub, Request("GET", "/", {}, {}, {}, b""), words)
    one, other = (
        CaseGroup([OneCase("held", "", "")], "", Stake(payout, "EUR", deadline)) for payout, deadline in (first, second)
    )
    assert weigh(context, one) < weigh(context, other)


def test_refused_rows_are_a_case_until_they_are_corrected(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2")
    batch = dropped(house, "R-1,A-1,take_back,3x,EUR,ITEM_RETURNED", "R-2,A-2,take_back,4x,EUR,ITEM_RETURNED")
    browser = console.person("operator")
    assert "2 rows of may.csv were refused and not corrected." in browser.get(f"{console.base}/inbox").said
    form = row_form(browser.get(f"{console.base}/deliveries/{batch}/row?place=2"))
    assert browser.send(form, **{"c.amount": "3.00"}).status == 303
    assert "1 row of may.csv was refused and not corrected." in browser.get(f"{console.base}/inbox").said
    form = row_form(browser.get(f"{console.base}/deliveries/{batch}/row?place=3"))
    assert browser.send(form, **{"c.amount": "4.00"}).status == 303
    assert "not corrected" not in browser.get(f"{console.base}/inbox").said


def test_refused_rows_are_a_case_when_their_hour_was_counted(console: Console, house: ProgramHarness) -> None:
    dropped(house, "R-1,A-1,take_back,3x,EUR,ITEM_RETURNED")
    house.clock.moment = house.clock.moment.replace(hour=house.clock.moment.hour + 3)
    program = house.hub.program(house.program)
    assert program is not None and count_arrivals(house.hub, program)
    assert "1 row of may.csv was refused" in console.person("operator").get(f"{console.base}/inbox?kind=rows").said


def test_a_search_finds_partners_and_parts_of_ids(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("SHOP-20261102-0001", "SHOP-20261102-0002", partner="nordlicht")
    dropped(house, "R-1,SHOP-20261102-0001,take_back,3.00,EUR,ITEM_RETURNED", name="returns-may.csv")
    program = house.hub.program(house.program)
    assert program is not None and roll_up(house.hub, program, now=True)
    browser = console.person("finance")
    assert browser.get(f"{console.base}/search?q=nordlicht").location == f"{console.base}/partner?id=nordlicht"
    partly = browser.get(f"{console.base}/search?q=NORD")
    assert partly.status == 200 and "nordlicht" in partly.said
    found = browser.get(f"{console.base}/search?q=102-0002")
    assert "SHOP-20261102-0002" in found.said and "SHOP-20261102-0001" not in found.said
    assert "returns-may.csv" in browser.get(f"{console.base}/search?q=rns-ma").said
    assert browser.get(f"{console.base}/search?q=zzzz").status == 404
