"""Money in a browser: is the funding safe, and what do the next statements hold before their day is moved."""

import pytest
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.xdist_group("browser")


def test_figures_are_tried_until_the_funding_is_safe(visitor: Visitor) -> None:
    page = visitor("finance", name="Fay")
    page.goto("/console/acme/today")
    page.click("nav >> text=Money")
    page.click("text=Published: Amazon Seller")
    assert "tight" in page.inner_text("#verdict").lower()
    assert page.locator("svg.chart[role=img] path.line").count() == 3
    page.fill("#skew_days", "1")
    page.click("text=Try them")
    page.wait_for_url("**lock_after=**")
    said = page.inner_text("#verdict")
    assert "Unsafe: 303 of the 146,097 dates" in said and "With the lock one day later" in said
    page.fill("#lock_days", "4")
    page.press("#lock_days", "Enter")
    page.wait_for_selector("#verdict.ok")
    assert page.input_value("#skew_days") == "1" and page.input_value("#statement_day") == "4"
    assert page.faults == []


def test_a_lock_that_is_none_is_told_where_it_stands(visitor: Visitor) -> None:
    page = visitor("finance", name="Fay")
    page.goto("/console/acme/money/funding?preset=net-30")
    page.fill("#lock_days", "soon")
    page.click("text=Try them")
    page.wait_for_selector("[role=alert]")
    assert "Not a valid lock" in page.inner_text("[role=alert]") and page.input_value("#lock_days") == "soon"


def test_the_next_statements_are_seen_before_their_day_is_saved(visitor: Visitor) -> None:
    page = visitor("admin")
    page.goto("/console/acme/money/statements")
    assert "no statements are made" in page.inner_text("main")
    page.click("main >> text=Edit the program")
    text = page.input_value("textarea[name=text]")
    page.fill("textarea[name=text]", text + "\nbilling_groups:\n  default: {statement: {day: 4}}\n")
    page.click("main form button:not(.hidden):has-text('Show what it changes')")
    page.wait_for_selector("#changes")
    said = page.inner_text("#changes")
    assert "The next statements, as it stands" in said and said.count("default") >= 2
    page.goto("/console/acme/money/statements?next=1")
    assert "no statements are made" in page.inner_text("main"), "nothing was saved"
    assert page.faults == []
