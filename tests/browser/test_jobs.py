"""Each person's main job in a real browser, from signing in to the result that is seen."""

import re
from pathlib import Path

import pytest
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub

pytestmark = pytest.mark.xdist_group("browser")

FILE = "reference,order_id,change,amount,currency,reason\r\nF-1,A-1012,take_back,11.00,EUR,ITEM_RETURNED\r\n"


def test_a_partner_manager_reverses_with_a_preview_and_undoes(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("manager", name="Mara")
    page.goto("/console/acme/actions")
    page.click("text=A-1010")
    page.click("main a:has-text('Reverse')")
    page.select_option("#act select[name=reason]", "CANCELLED")
    page.wait_for_selector(".preview >> text=This would happen")
    assert hub.action("acme", "A-1010~sale")["state"] == "pending"
    page.fill("#act input[name=note]", "rang us")
    page.click("#act button.danger")
    page.wait_for_selector("text=Pays nothing to nordlicht")
    seen = hub.action("acme", "A-1010~sale")
    assert (seen["state"], seen["history"][-1]["sender"]) == ("reversed", "Mara")
    page.click(".timeline a:has-text('the record') >> nth=0")
    page.click("#undo button")
    page.wait_for_selector(".toast >> text=Undid the change of A-1010")
    assert hub.action("acme", "A-1010~sale")["state"] == "pending"
    assert not page.faults


def test_a_partner_manager_modifies_an_item_and_sees_the_payout_while_typing(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("manager")
    page.goto("/console/acme/action?id=A-1011~sale&act=modify")
    page.fill("input[name='amount.1']", "60.00")
    page.wait_for_selector(".preview >> text=This would happen")
    assert "payout" in page.inner_text(".preview")
    assert page.evaluate("document.activeElement.name") == "amount.1"
    page.select_option("#act select[name=reason]", "ITEM_RETURNED")
    page.click("#act button.primary")
    page.wait_for_selector(".toast >> text=Changed A-1011")
    assert hub.action("acme", "A-1011~sale")["items"][0]["amount"] == "60.00"
    assert not page.faults


def test_many_are_approved_at_once(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("manager")
    page.goto("/console/acme/actions?partner=schuhblog&state=pending")
    page.check("input[aria-label='Select order A-1013']")
    page.check("input[aria-label='Select order A-1015']")
    page.select_option("#b-act", "approve")
    page.click(".selectbar button >> nth=0")
    page.wait_for_selector("text=2 actions will change")
    page.click("button[value=do]")
    page.wait_for_url("**/deliveries/**")
    assert page.locator("tr[data-row]").count() == 2
    assert {hub.action("acme", f"A-{n}~sale")["state"] for n in (1013, 1015)} == {"approved"}
    assert not page.faults


def test_an_operator_sends_a_file_after_a_dry_run_and_follows_it(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("operator")
    page.goto("/console/acme/today")
    page.click("text=Send a file >> visible=true")
    page.set_input_files("#file", {"name": "may.csv", "mimeType": "text/csv", "buffer": FILE.encode()})
    page.click("text=Show what it would do")
    page.wait_for_selector("text=1 row in = 1 applied")
    before = hub.action("acme", "A-1012~sale")["amount"]
    page.click("main form button.primary")
    page.wait_for_url("**/deliveries/**")
    page.wait_for_selector("tr[data-row]", timeout=60_000)
    assert "1 row in" in page.inner_text("main")
    assert float(before) - float(hub.action("acme", "A-1012~sale")["amount"]) == 11
    assert not page.faults


def test_an_operator_finds_why_rows_were_refused(visitor: Visitor) -> None:
    page = visitor("operator")
    page.goto("/console/acme/deliveries?channel=api")
    page.click("text=Call with modifications")
    page.click("text=/Refused 2/")
    assert page.locator("tr[data-row]").count() == 2
    with page.expect_download() as download:
        page.click("text=Refused rows")
    assert b"A-1007" in Path(download.value.path()).read_bytes()
    assert not page.faults


def test_an_administrator_applies_a_new_version_after_looking_at_its_difference(
    visitor: Visitor, hub: LocalHub
) -> None:
    page = visitor("admin")
    page.goto("/console/zenith/setup/program")
    text = page.input_value("#text")
    page.fill("#text", text.replace("payout: 8%", "payout: eight"))
    page.get_by_role("button", name="Show what it changes").click()
    page.wait_for_selector("[role=alert] >> text=/Line \\d+/")
    assert "payout: eight" in page.input_value("#text")
    page.fill("#text", text.replace("payout: 8%", "payout: 9%"))
    page.get_by_role("button", name="Show what it changes").click()
    page.wait_for_selector(".diff .plus >> text=payout: 9%")
    page.click("button[value=save]")
    page.wait_for_url("**/versions/2")
    assert hub.call("GET", "/v1/programs/zenith")["version"] == 2
    assert not page.faults


def test_partners_of_two_programs_never_see_each_other(visitor: Visitor) -> None:
    seen: dict[str, set[str]] = {}
    for program, partner in (("acme", "nordlicht"), ("acme", "schuhblog"), ("zenith", "radblog"), ("zenith", "velo24")):
        page = visitor("partner", program=program, partner=partner, name=f"{partner} by name")
        page.goto("/my/credit")
        assert page.url.endswith("/my/credit")
        orders = set(re.findall(r"\b[AZ]-1\d{3}\b", page.inner_text("main")))
        assert orders
        for others, names in seen.items():
            assert not orders & names, (partner, others)
        seen[partner] = orders
        foreign = page.goto(f"/console/{program}/actions")
        assert foreign.status == 404
    acme = visitor("manager", program="acme")
    assert acme.goto("/console/zenith/actions").status == 404


def test_the_keyboard_goes_everywhere(visitor: Visitor) -> None:
    page = visitor("admin")
    page.goto("/console/acme/today")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/actions")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('[data-row]') !== null")
    page.keyboard.press("x")
    assert page.locator("[data-row] input:checked").count() == 1
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("A-1003")
    page.keyboard.press("Enter")
    page.wait_for_url("**/action?id=A-1003**")


@pytest.mark.parametrize("path", ["today", "deliveries", "actions", "action?id=A-1003~sale"])
def test_everything_can_be_read_without_javascript(visitor: Visitor, path: str) -> None:
    page = visitor("admin", java_script_enabled=False)
    assert page.goto(f"/console/acme/{path}").status == 200
    assert page.locator("table").count() >= 1
