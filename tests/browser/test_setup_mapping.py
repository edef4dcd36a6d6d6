"""Setting up in a real browser: a mapping drawn while the reading follows, rules ranked, a day of locks picked."""

from typing import Any

import pytest
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub

pytestmark = pytest.mark.xdist_group("browser")

SAMPLE = "Bestellnummer;Wert;Datum;Grund\r\nA-1009;3,50;04/05/26;R1\r\nA-1010;4,50;06/05/26;R2\r\n"


def given(page: Any, text: str = SAMPLE, name: str = "mai.csv") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": text.encode()})
    page.click("main form button.primary")
    page.wait_for_selector("#editor")


def test_an_administrator_draws_a_mapping_and_the_reading_follows(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("admin")
    page.goto("/console/acme/setup/sources/erp")
    page.click("text=Set up the mapping with a sample file")
    given(page)
    assert page.locator("text=suggested >> visible=true").count() >= 4
    page.check("input[name=amount_means][value=take_back]")
    page.wait_for_selector("text='04/05/26' is not a valid date or time")
    assert page.evaluate("document.activeElement.value") == "take_back", "the focus stays where it was"
    page.check("input[name=date][value='%d/%m/%y']")
    page.wait_for_selector("text='R1' is not a reason of this program")
    page.select_option("#reason-1", "ITEM_RETURNED")
    page.select_option("#reason-2", "ORDER_ERROR")
    page.wait_for_selector("#read >> text=2 read, 0 not read")
    page.wait_for_selector("text=Order A-1009: 3.50 is taken back.")
    before = hub.call("GET", "/v1/programs/acme")
    assert "mapping" not in before["document"]["sources"]["erp"]
    page.click("button[value=show]")
    page.wait_for_selector(".diff .plus >> text=amount_means: take_back")
    page.click("button[value=save]")
    page.wait_for_url("**/setup/versions/**")
    after = hub.call("GET", "/v1/programs/acme")
    assert after["version"] == before["version"] + 1
    mapping = after["document"]["sources"]["erp"]["mapping"]
    assert mapping["reasons"] == {"R1": "ITEM_RETURNED", "R2": "ORDER_ERROR"} and mapping["date"] == "%d/%m/%y"
    history = hub.action("acme", "A-1009~sale")["history"]
    assert not [one for one in history if one["object"] == "mai.csv"], "nothing of the sample was written"
    assert not page.faults


def test_a_session_that_ended_takes_nothing_of_the_drawing_away(visitor: Visitor) -> None:
    page = visitor("admin")
    page.goto("/console/acme/setup/sources/mail/mapping")
    given(page)
    page.select_option("#column-4", "note")
    page.wait_for_selector("#read >> text=2 rows")
    page.context.clear_cookies()
    page.check("input[name=amount_means][value=take_back]")
    page.wait_for_selector("#lost >> text=Your session is over")
    assert page.input_value("#column-4") == "note" and page.locator("#editor").count() == 1
    assert page.is_checked("#editor input[name=amount_means][value=take_back]")


def test_a_mapping_is_drawn_without_javascript(visitor: Visitor) -> None:
    page = visitor("admin", java_script_enabled=False)
    page.goto("/console/acme/setup/sources/mail/mapping")
    given(page)
    page.check("input[name=amount_means][value=set_total]")
    page.click("#editor .acts >> text=Read it again")
    page.wait_for_selector("text='04/05/26' is not a valid date or time")
    assert page.is_checked("input[name=amount_means][value=set_total]")


def test_a_known_layout_says_that_it_needs_no_mapping(visitor: Visitor) -> None:
    page = visitor("admin")
    page.goto("/console/acme/setup/sources/mail/mapping")
    given(page, "PID,OID,AMOUNT\n1,A-1011,30.00\n", "pepperjam.csv")
    page.wait_for_selector("text=it needs no mapping")
    assert page.locator("button[value=show]").count() == 0


def test_a_rule_is_added_ranked_and_tried_beside_the_version_in_force(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("admin")
    page.goto("/console/zenith/setup/contracts")
    page.click("main >> text=Edit")
    page.click("button[value=add]")
    page.fill("#pays-rule-2", "10%")
    page.fill("#category-rule-2", "shoes")
    page.fill("input[name='category:1']", "shoes")
    page.click("button[value='up:2']")
    page.wait_for_selector("text=Rule 1 pays 10% of shoes")
    page.fill("#pays-rule-1", "12%")
    page.press("#pays-rule-1", "Tab")
    page.wait_for_selector("text=Rule 1 pays 12% of shoes")
    assert page.locator(".beside >> text=Version").count() == 1
    page.click("button[value=show]")
    page.wait_for_selector("text=Nothing is booked by saving")
    before = hub.action("zenith", "Z-1001~sale")["payout"]
    page.click("button[value=save]")
    page.wait_for_url("**/setup/versions/**")
    rules = hub.call("GET", "/v1/programs/zenith")["document"]["contracts"]["standard"]["rules"]
    assert rules[0] == {"category": ["shoes"], "pays": "12%"}
    assert hub.action("zenith", "Z-1001~sale")["payout"] == before
    assert not page.faults


def test_a_day_of_the_lock_calendar_is_picked(visitor: Visitor) -> None:
    page = visitor("finance")
    page.goto("/console/acme/setup/lock")
    page.fill("#day", "2027-01-31")
    page.dispatch_event("#day", "change")
    page.wait_for_url("**day=2027-01-31**")
    assert "An order of 31 Jan 2027 can change until the end of 2 Mar 2027" in page.inner_text("#said")
    page.click("main table td a >> nth=0")
    page.wait_for_url("**day=**")
    assert page.locator("svg.chart").count() == 1
    assert not page.faults
