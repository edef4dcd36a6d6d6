"""Sums are what was counted, with the time they are of; a person may have them counted now."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.conftest import ProgramHarness
from tests.console.conftest import Console

from retour.counting import rollup
from retour.schedule.hourly_counts import count_arrivals

Sold = Callable[..., None]
EURO = "\N{NO-BREAK SPACE}EUR"


def count(house: ProgramHarness) -> None:
    program = house.hub.program(house.program)
    assert program is not None
    count_arrivals(house.hub, program)
    assert rollup.roll_up(house.hub, program, now=True)


def test_before_the_first_count_pages_say_so_and_who_may_asks_for_one(console: Console, sold: Sold) -> None:
    sold("A-1", "A-2")
    operator, finance = console.person("operator"), console.person("finance", name="Finn")
    for page in ("today", "partners", "actions"):
        assert "Sums are not counted yet; they are every night at 3:00." in operator.get(f"{console.base}/{page}").text
    assert "Count now" not in finance.get(f"{console.base}/today").text
    answer = operator.send(operator.get(f"{console.base}/partners").form("/count"))
    assert (answer.status, answer.location) == (303, f"{console.base}/partners?counted=whole")
    page = operator.get(answer.location).text
    assert "Sums as of" in page and f"16.00{EURO}" in page and "nordlicht" in page
    assert finance.post(f"{console.base}/count", csrf="x").status == 403


def test_nobody_counts_again_within_five_minutes(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    browser = console.person("operator")
    form = browser.get(f"{console.base}/today").form("/count")
    assert browser.send(form).location.endswith("?counted=whole")
    sold("A-2")
    again = browser.send(form)
    assert again.location.endswith("?counted=lately")
    page = browser.get(again.location).text
    assert "Counted less than 5 minutes ago" in page and f"16.00{EURO}" not in page
    house.clock.moment += timedelta(minutes=5)
    assert browser.send(form).location.endswith("?counted=whole")
    assert f"16.00{EURO}" in browser.get(f"{console.base}/today").text


def test_a_large_program_is_counted_on_by_the_clock(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold("A-1", "A-2")
    monkeypatch.setattr(rollup, "PIECE_SIZE", 1)
    monkeypatch.setattr("retour.console.program_counts.SECONDS", 0.0)
    browser = console.person("operator")
    answer = browser.send(browser.get(f"{console.base}/today").form("/count"))
    assert answer.location.endswith("?counted=begun")
    assert "Being counted anew since 10:00." in browser.get(answer.location).text
    program = house.hub.program(house.program)
    assert program is not None and rollup.roll_up(house.hub, program)
    assert "Being counted" not in browser.get(f"{console.base}/today").text


def test_the_form_leads_back_to_a_page_of_this_program_only(console: Console, sold: Sold) -> None:
    browser = console.person("operator")
    form = browser.get(f"{console.base}/today").form("/count")
    assert browser.send(form, page="https://elsewhere.example/").location.startswith(f"{console.base}/today?")


def test_tabs_tell_what_each_state_comes_to(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2", "A-3")
    house.modify({"order_id": "A-1", "change": "reverse"}, {"order_id": "A-2", "change": "approve"})
    count(house)
    said = console.person("finance").get(f"{console.base}/actions").said
    for told in (f"Pending 1 · 8.00{EURO}", f"Approved 1 · 8.00{EURO}", "Reversed 1"):
        assert told in said, said
    assert "Locked 1" not in said


def test_what_locks_when_is_by_the_programs_own_days_and_currencies(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2")
    sold("A-3", event_time="2026-11-01T23:30:00+01:00")
    house.modify({"order_id": "A-2", "change": "reverse"})
    count(house)
    page = console.person("finance").get(f"{console.base}/today").text
    assert f"16.00{EURO}" in page and 'title="2 actions"' in page
    assert "open_from=2026-12-01&open_to=2026-12-01" in page


def test_partners_are_judged_by_their_orders_of_90_days_and_not_by_too_few(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold(*(f"A-{n}" for n in range(40)))
    sold("B-1", "B-2", partner="schuhblog")
    back = [{"order_id": f"A-{n}", "change": "reverse", "reason": "CANCELLED"} for n in range(10)]
    house.modify(*back, {"order_id": "B-1", "change": "reverse", "reason": "ITEM_RETURNED"})
    house.clock.moment = datetime(2026, 12, 2, 9, 0, tzinfo=UTC)
    house.modify({"order_id": "A-20", "change": "take_back", "amount": "20.00", "currency": "EUR",
                  "reason": "ITEM_RETURNED"})  # fmt: skip
    count(house)
    said = console.person("finance").get(f"{console.base}/partners").said
    assert "25% 14.2% – 40.2%" in said, "ten of forty, with its interval"
    assert "1 of 2 too few" in said
    assert "1 of 12 returns came after it, 1.60" in said and "locks after 30 days" in said
    assert "Cancelled: 83.3%" in said


def test_no_partner_and_no_return_say_so(console: Console, house: ProgramHarness, sold: Sold) -> None:
    browser = console.person("finance")
    count(house)
    empty = browser.get(f"{console.base}/partners").said
    assert "No partner yet." in empty and "Is the lock late enough" not in empty
    sold("A-1")
    count(house)
    assert "Is the lock late enough" not in browser.get(f"{console.base}/partners").said


def test_many_partners_come_page_by_page_by_what_is_pending(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "PARTNERS_PER_PAGE", 2)
    for number in range(5):
        sold(*(f"P{number}-{n}" for n in range(number + 1)), partner=f"partner-{number}")
    count(house)
    browser = console.person("finance")
    first = browser.get(f"{console.base}/partners").text
    assert first.index("partner-4") < first.index("partner-3") and 'id=partner-2"' not in first
    last = browser.get(f"{console.base}/partners?page=3").text
    assert 'id=partner-0"' in last and 'id=partner-4"' not in last
    assert (
        browser.get(f"{console.base}/partners?page=99").status
        == browser.get(f"{console.base}/partners?page=x").status
        == 200
    )


def test_a_source_shows_what_was_counted_and_what_came_since(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2", "A-3")
    house.modify({"order_id": "A-1", "change": "reverse"})
    house.clock.moment = datetime(2026, 11, 2, 11, 0, tzinfo=UTC)
    count(house)
    house.modify({"order_id": "A-2", "change": "reverse"})
    said = console.person("finance").get(f"{console.base}/today").said
    assert "2 applied" in said, "one of the hour that is counted, one since"
    house.clock.moment += timedelta(days=1)
    count(house)
    page = console.person("finance", name="Finn").get(f"{console.base}/today").text
    assert "erp: 2 rows in 14 days" in page


def test_other_currencies_stand_beside_the_programs_own(console: Console, house: ProgramHarness, sold: Sold) -> None:
    sold("A-1")
    count(house)
    store = rollup.rollups_of(house.hub, house.hub.programs.get(house.program) or pytest.fail("no program"))
    summary = store.summary()
    assert summary is not None
    summary["numbers"]["states"]["pending USD"] = [2, 500]
    summary["numbers"]["locks"]["2026-12-02 pending USD"] = [2, 500, 500]
    store.put_summary(summary)
    browser = console.person("finance")
    assert "5.00\N{NO-BREAK SPACE}USD" in browser.get(f"{console.base}/today").text
    assert f"Pending 1 · 8.00{EURO} 2 · 5.00\N{NO-BREAK SPACE}USD" in browser.get(f"{console.base}/actions").said
