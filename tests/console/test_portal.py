"""What partners see of their credit, and that they see nothing else."""

from collections.abc import Callable
from datetime import timedelta

from tests.conftest import PROGRAM, House
from tests.console.conftest import Console

Sold = Callable[..., None]
PORTAL = ("credit", "changes", "credit.csv")


def test_two_partners_never_see_each_other(console: Console, sold: Sold, house: House) -> None:
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


def test_what_is_credited_to_another_now_is_gone(console: Console, sold: Sold, house: House) -> None:
    sold("A-1", partner="nordlicht")
    house.modify({"order_id": "A-1", "change": "reattribute", "partner": "schuhblog"})
    before, now = console.person("partner", "nordlicht"), console.person("partner", "schuhblog")
    assert "A-1" not in before.get("/my/credit").text
    assert before.get(f"/my/order?program={house.program}&id=A-1~sale").status == 404
    page = now.get("/my/credit").text
    assert "A-1" in page
    assert "nordlicht" not in now.get(f"/my/order?program={house.program}&id=A-1~sale").text


def test_a_day_is_expected_and_a_change_has_its_reason_in_their_language(
    console: Console, sold: Sold, house: House
) -> None:
    sold("A-1")
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00", "currency": "EUR",
                  "reason": "ITEM_RETURNED"})  # fmt: skip
    browser = console.person("partner", "nordlicht")
    assert "Expected 2 Dec 2026" in browser.get("/my/credit").text
    changes = browser.get("/my/changes", accept_language="de-DE,de;q=0.9").text
    assert "Artikel zurückgegeben" in changes and "8,00\N{NO-BREAK SPACE}EUR → 6,40\N{NO-BREAK SPACE}EUR" in changes


def test_the_countdown_is_earliest_until_the_status_and_expected_after_it(console: Console, house: House) -> None:
    countdown = {**PROGRAM["contracts"]["standard"], "lock": {"days_after_status": 21, "statuses": ["shipped"]}}
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": countdown}})
    house.report({"order_id": "G-1", "currency": "EUR", "amount": "100.00"})
    browser = console.person("partner", "nordlicht")
    assert "Earliest 23 Nov 2026" in browser.get("/my/credit").text
    house.modify({"order_id": "G-1", "change": "set_status", "status": "shipped"})
    page = browser.get("/my/credit").text
    assert "Expected 23 Nov 2026" in page and "after shipped on 2 Nov 2026" in page
    house.clock.moment += timedelta(days=3)
    house.modify({"order_id": "G-1", "change": "set_status", "status": "returned"})
    house.modify({"order_id": "G-1", "change": "set_status", "status": "shipped"})
    moved = browser.get("/my/credit").text
    assert "Expected 26 Nov 2026" in moved and "shipped again on 5 Nov 2026: the 21 days start anew" in moved


def test_a_calendar_follows_the_days_and_cancels_those_that_are_gone(
    console: Console, sold: Sold, house: House
) -> None:
    sold("A-1", "A-2")
    browser = console.person("partner", "nordlicht")
    form = browser.get("/my/calendar").form("/my/calendar")
    link = browser.send(form).text.partition('<code id="link">https://retour.test')[2].partition("<")[0]
    reader = console.visitor()
    first = reader.get(link)
    assert first.status == 200 and first.headers["content-type"].startswith("text/calendar")
    assert first.text.count("BEGIN:VEVENT") == 1
    assert "DTSTART;VALUE=DATE:20261202" in first.text and "16.00" in first.text and "SEQUENCE:0" in first.text
    uid = first.text.partition("UID:")[2].partition("\r\n")[0]
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "30.00", "currency": "EUR"})
    second = reader.get(link).text
    assert f"UID:{uid}" in second and "13.60" in second and "SEQUENCE:1" in second
    for order in ("A-1", "A-2"):
        house.modify({"order_id": order, "change": "reverse", "reason": "CANCELLED"})
    gone = reader.get(link).text
    assert "STATUS:CANCELLED" in gone and "SEQUENCE:2" in gone
    browser.send(form)
    assert reader.get(link).status == 404
