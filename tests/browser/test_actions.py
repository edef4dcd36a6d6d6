"""What partner managers do in the list of actions and on an action's page, with the keyboard and without JavaScript."""

import pytest
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub

pytestmark = pytest.mark.xdist_group("browser")

OPEN = "tr.brief:not([hidden])"


def test_a_row_is_opened_modified_in_its_place_and_taken_back(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("manager", name="Mara")
    page.goto("/console/acme/actions?partner=nordlicht&sort=-lock")
    row = page.locator("tr[data-row]", has_text="A-1014")
    row.locator("a.expand").click()
    page.click(f"{OPEN} >> text=Modify")
    page.fill(f"{OPEN} input[name='amount.1']", "60.00")
    page.wait_for_selector(f"{OPEN} .preview >> text=This would happen")
    assert page.evaluate("document.activeElement.name") == "amount.1"
    assert hub.action("acme", "A-1014~sale")["items"][0]["amount"] == "100.00"
    page.select_option(f"{OPEN} select[name=reason]", "ITEM_RETURNED")
    page.click(f"{OPEN} button.primary")
    page.wait_for_selector(".toast >> text=Changed A-1014, −3.20")
    assert "partner=nordlicht" in page.url and "open=A-1014" in page.url
    assert hub.action("acme", "A-1014~sale")["items"][0]["amount"] == "60.00"
    page.keyboard.press("u")
    page.wait_for_selector(".toast >> text=Undid the change of A-1014")
    assert hub.action("acme", "A-1014~sale")["items"][0]["amount"] == "100.00"
    page.click(".toast [data-shut]")
    assert page.locator(".toast").count() == 0 and "told=" not in page.url
    assert not page.faults


def test_keys_walk_the_list_one_came_from_and_lead_back_to_the_row(visitor: Visitor) -> None:
    page = visitor("manager")
    page.goto("/console/acme/actions?sort=-event")
    orders = page.locator("tr[data-row] th a").all_inner_texts()
    for key in ("j", "j", "e"):
        page.keyboard.press(key)
    page.wait_for_selector(f"{OPEN} >> text=SHOE-42")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"h1:text-is('{orders[1]}')")
    page.keyboard.press("]")
    page.wait_for_selector(f"h1:text-is('{orders[2]}')")
    page.keyboard.press("[")
    page.wait_for_selector(f"h1:text-is('{orders[1]}')")
    page.click("a.back")
    page.wait_for_selector(f"{OPEN} >> text=SHOE-42")
    assert "sort=-event" in page.url
    assert page.evaluate("document.activeElement.textContent") == orders[1]
    assert not page.faults


def test_keys_can_be_turned_off(visitor: Visitor) -> None:
    page = visitor("manager")
    page.goto("/console/acme/actions")
    page.keyboard.press("?")
    page.click("dialog >> text=Turn single keys off")
    page.wait_for_selector("html[data-keys=off]")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 0
    page.goto("/console/keys")
    page.click("main >> text=Turn single keys on")
    page.wait_for_selector("html:not([data-keys])")


def test_the_slider_moves_through_the_past_and_keeps_the_focus(visitor: Visitor) -> None:
    page = visitor("manager")
    page.goto("/console/acme/action?id=A-1002~sale")
    page.click("text=The payout over time")
    page.focus("#step")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("text=As it stood on")
    assert page.evaluate("document.activeElement.id") == "step"
    assert "As reported" in page.get_attribute("#step", "aria-valuetext")
    page.wait_for_url("**step=0**")
    assert page.locator("main form[action$='/decide']").count() == 0
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=As it stood on", state="detached")
    assert page.locator("main form[action$='/decide']").count() > 0
    assert not page.faults


def test_a_lost_race_shows_both_sides(visitor: Visitor) -> None:
    mara, ben = visitor("manager", name="Mara"), visitor("manager", name="Ben")
    ben.goto("/console/acme/action?id=A-1016~sale&act=modify")
    ben.fill("input[name='amount.1']", "70.00")
    ben.select_option("#act select[name=reason]", "OTHER")
    mara.goto("/console/acme/action?id=A-1016~sale")
    mara.click("main button:text-is('Approve')")
    mara.wait_for_selector(".toast >> text=Approved A-1016")
    ben.click("#act button.primary")
    ben.wait_for_selector("[role=alert] >> text=Mara")
    assert ben.input_value("input[name='amount.1']") == "70.00"
    ben.click("#act button.primary")
    ben.wait_for_selector(".toast >> text=Changed A-1016")


def test_the_list_is_read_and_acted_on_without_javascript(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("manager", java_script_enabled=False)
    page.goto("/console/acme/actions")
    page.locator("tr[data-row]", has_text="A-1018").locator("a.expand").click()
    page.click(f"{OPEN} >> text=Modify")
    page.fill("input[name='quantity.1']", "1")
    page.click("#act button:has-text('Preview')")
    assert "This would happen" in page.inner_text(".preview")
    page.select_option("#act select[name=reason]", "ITEM_RETURNED")
    page.click("#act button.primary")
    assert hub.action("acme", "A-1018~sale")["items"][0]["quantity"] == 1
