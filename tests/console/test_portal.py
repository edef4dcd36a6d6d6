"""What partners see of their credit, and that they see nothing else."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.console.conftest import Browser, Console

from retour.console import calendar_feed, portal
from retour.counting import rollup

Sold = Callable[..., None]
PORTAL = ("credit", "changes", "credit.csv")


def test_two_partners_never_see_each_other(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", partner="nordlicht")
    sold("B-2", partner="schuhblog")
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00", "currency": "EUR", "note": "secret",
                  "reason": "ITEM_RETURNED"})  # fmt: skip
    house.modify({"order_id": "B-2", "change": "reverse", "reason": "CANCELLED"})
    for partner, own, other in (("nordlicht", "A-1", "B-2"), ("schuhblog", "B-2", "A-1")):
        browser = console.person("partner", partner, name=partner)
        for page in PORTAL:
            text = browser.get(f"/my/{page}").text
            assert own in text and other not in text, page
            assert "secret" not in text and "erp" not in text, page
        assert browser.get(f"/my/order?program={house.program}&id={own}~sale").status == 200
        foreign = browser.get(f"/my/order?program={house.program}&id={other}~sale")
        missing = browser.get(f"/my/order?program={house.program}&id=no~sale")
        assert foreign.status == missing.status == 404


def test_what_is_credited_to_another_now_is_gone(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", partner="nordlicht")
    house.modify({"order_id": "A-1", "change": "reattribute", "partner": "schuhblog"})
    before, now = console.person("partner", "nordlicht"), console.person("partner", "schuhblog")
    assert "A-1" not in before.get("/my/credit").text
    assert before.get(f"/my/order?program={house.program}&id=A-1~sale").status == 404
    page = now.get("/my/credit").text
    assert "A-1" in page
    assert "nordlicht" not in now.get(f"/my/order?program={house.program}&id=A-1~sale").text


def test_a_day_is_expected_and_a_change_has_its_reason_in_their_language(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00", "currency": "EUR",
                  "reason": "ITEM_RETURNED"})  # fmt: skip
    browser = console.person("partner", "nordlicht")
    credit = browser.get("/my/credit").said
    assert "Expected 2 Dec 2026" in credit and "can change until the end of 1 Dec 2026" in credit
    changes = browser.get("/my/changes", accept_language="de-DE,de;q=0.9").text
    assert "Artikel zurückgegeben" in changes and "8,00\N{NO-BREAK SPACE}EUR → 6,40\N{NO-BREAK SPACE}EUR" in changes


def test_the_countdown_is_earliest_until_the_status_and_expected_after_it(
    console: Console, house: ProgramHarness
) -> None:
    countdown = {**PROGRAM["contracts"]["standard"], "lock": {"days_after_status": 21, "statuses": ["shipped"]}}
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": countdown}})
    house.report({"order_id": "G-1", "currency": "EUR", "amount": "100.00"})
    browser = console.person("partner", "nordlicht")
    assert "Earliest 23 Nov 2026" in browser.get("/my/credit").text
    house.modify({"order_id": "G-1", "change": "set_status", "status": "shipped"})
    page = browser.get("/my/credit").text
    assert "Expected 23 Nov 2026" in page and "21 days after 2 Nov 2026, when the order became shipped" in page
    house.clock.moment += timedelta(days=3)
    house.modify({"order_id": "G-1", "change": "set_status", "status": "returned"})
    house.modify({"order_id": "G-1", "change": "set_status", "status": "shipped"})
    moved = browser.get("/my/credit").text
    assert "Expected 26 Nov 2026" in moved and "the 21 days started again on 5 Nov 2026" in moved


def counted(house: ProgramHarness) -> None:
    program = house.hub.program(house.program)
    assert program is not None and rollup.roll_up(house.hub, program, now=True)


def calendar_of(console: Console, browser: Browser) -> str:
    form = browser.get("/my/calendar").form("/my/calendar")
    return browser.send(form).text.partition('<code id="link">https://retour.test')[2].partition("<")[0]


def events(text: str) -> dict[str, dict[str, str]]:
    """The entries of a calendar by their day."""
    found = {}
    for part in text.split("BEGIN:VEVENT")[1:]:
        fields = dict(line.split(":", 1) for line in part.strip().splitlines() if ":" in line)
        found[fields["DTSTART;VALUE=DATE"]] = fields
    return found


def test_a_calendar_follows_the_days_and_cancels_those_that_are_gone(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2")
    counted(house)
    browser = console.person("partner", "nordlicht")
    link = calendar_of(console, browser)
    reader = console.visitor()
    first = reader.get(link)
    assert first.status == 200 and first.headers["content-type"].startswith("text/calendar")
    one = events(first.text)["20261201"]
    assert (one["SEQUENCE"], one["STATUS"], one["DTEND;VALUE=DATE"]) == ("0", "CONFIRMED", "20261202")
    assert "16.00" in one["SUMMARY"] and len(events(first.text)) == 1
    assert reader.get(link).text == first.text, "nothing was counted since, so nothing is new, the stamp neither"
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "30.00", "currency": "EUR"})
    counted(house)
    second = events(reader.get(link).text)["20261201"]
    assert (second["UID"], second["SEQUENCE"]) == (one["UID"], "1") and "13.60" in second["SUMMARY"]
    for order in ("A-1", "A-2"):
        house.modify({"order_id": order, "change": "reverse", "reason": "CANCELLED"})
    counted(house)
    gone = events(reader.get(link).text)["20261201"]
    assert (gone["UID"], gone["STATUS"], gone["SEQUENCE"]) == (one["UID"], "CANCELLED", "2")
    new = calendar_of(console, browser)
    assert reader.get(link).status == 404
    after = events(reader.get(new).text)["20261201"]
    assert (after["UID"], after["SEQUENCE"]) == (one["UID"], "2"), "a renewed address tells the same entries on"


def test_a_day_that_has_come_stays_and_is_not_cancelled(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    sold("A-2", event_time="2026-11-02T08:00:00+01:00")
    counted(house)
    link = calendar_of(console, console.person("partner", "nordlicht"))
    reader = console.visitor()
    assert set(events(reader.get(link).text)) == {"20261201", "20261202"}
    house.clock.moment = datetime(2026, 12, 2, 3, 0, tzinfo=UTC)
    counted(house)
    come = events(reader.get(link).text)
    assert come["20261201"]["STATUS"] == "CONFIRMED" and come["20261201"]["SEQUENCE"] == "0"
    house.clock.moment += timedelta(days=120)
    counted(house)
    assert events(reader.get(link).text) == {}, "long ago"


def test_lines_of_a_calendar_are_folded_and_escaped() -> None:
    line = calendar_feed.fold_line("SUMMARY:" + "ü" * 100)
    assert all(len(part.encode()) <= 75 for part in line.split("\r\n"))
    assert line.replace("\r\n ", "") == "SUMMARY:" + "ü" * 100
    assert calendar_feed.escape_ics("a,b;c\\d\ne") == "a\\,b\\;c\\\\d\\ne"


def test_the_sums_of_a_partner_are_what_was_counted_and_say_when(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2")
    sold("B-1", partner="schuhblog")
    browser = console.person("partner", "nordlicht")
    before = browser.get("/my/credit").said
    assert "Sums are counted every night" in before and "16.00" not in before
    counted(house)
    said = browser.get("/my/credit").said
    assert "Not yet locked" in said and "16.00" in said and "Sums as of 2 Nov 2026" in said
    house.clock.moment = datetime(2026, 11, 27, 9, tzinfo=UTC)
    counted(house)
    assert "16.00\N{NO-BREAK SPACE}EUR of it becomes certain within 7 days" in browser.get("/my/credit").said
    house.clock.moment = datetime(2026, 12, 2, 3, tzinfo=UTC)
    counted(house)
    later = browser.get("/my/credit").said
    assert "2 Dec 2026" in later and "the action is locked." in later and "0.00\N{NO-BREAK SPACE}EUR" in later


def test_a_page_of_many_orders_leads_to_the_next(
    console: Console, sold: Sold, monkeypatch: pytest.MonkeyPatch, house: ProgramHarness
) -> None:
    monkeypatch.setattr(portal, "PAGE_SCAN_MAX", 3)
    sold(*(f"A-{n}" for n in range(7)))
    browser = console.person("partner", "nordlicht")
    address, seen = "/my/credit", []
    while address:
        page = browser.get(address)
        seen.append(re.findall(r">(A-\d)</a>", page.text))
        address = unescape(next(iter(re.findall(r'href="(/my/credit\?program[^"]*)"', page.body.decode())), ""))
    assert sorted(order for page in seen for order in page) == [f"A-{n}" for n in range(7)]
    assert [len(page) for page in seen] == [3, 3, 1]
    other = console.person("partner", "schuhblog")
    assert other.get("/my/credit?cursor=x.y&program=" + house.program).status == 400
