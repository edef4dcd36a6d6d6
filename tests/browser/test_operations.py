"""Operations in a real browser: a row put right by keyboard, many by one rule, a large file from the drop zone on."""

from typing import Any

import pytest
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub

pytestmark = pytest.mark.xdist_group("browser")

HEAD = "reference,order_id,change,amount,currency,reason\r\n"


def sent(page: Any, name: str, *rows: str) -> None:
    """A file sent from the page for it, up to its delivery with its rows."""
    page.goto("/console/acme/send")
    body = (HEAD + "".join(f"{row}\r\n" for row in rows)).encode()
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": body})
    page.click("text=Show what it would do")
    page.click("main form button.primary")
    page.wait_for_url("**/deliveries/**")
    page.wait_for_selector("tr[data-row]", timeout=60_000)


def test_a_refused_row_is_corrected_by_keyboard_alone(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("operator", name="Ole")
    sent(page, "june.csv", "J-1,A-1014,take_back,1.00,EUR,CANCELLED", "J-2,A-1014,take_back,2x,EUR,CANCELLED")
    before = float(hub.action("acme", "A-1014~sale")["amount"])
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.dataset.key") == "c"
    page.keyboard.press("c")
    page.wait_for_selector("tr.fix .fault input")
    page.wait_for_function("document.activeElement.name === 'c.amount'")
    page.keyboard.press("Escape")
    page.wait_for_selector("tr.fix", state="hidden")
    assert page.evaluate("document.activeElement.dataset.key") == "c"
    page.keyboard.press("c")
    page.locator("tr.fix .fault input").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("3x")
    page.wait_for_selector("tr.fix .panel.bad")
    page.keyboard.press("Control+a")
    page.keyboard.type("2.00")
    page.wait_for_selector("tr.fix >> text=This would happen")
    assert page.evaluate("document.activeElement.name") == "c.amount", "what is typed in is never swapped"
    assert float(hub.action("acme", "A-1014~sale")["amount"]) == before
    page.keyboard.press("Enter")
    page.wait_for_selector("text=3 was sent again.")
    page.wait_for_selector("text=Corrected by Ole:")
    assert float(hub.action("acme", "A-1014~sale")["amount"]) == before - 2
    assert not page.faults


def test_one_wrong_value_is_mended_in_many_rows(visitor: Visitor, hub: LocalHub) -> None:
    page = visitor("operator")
    sent(page, "july.csv", *(f"K-{n},A-{n},take_back,1.00,EUR,RETURN" for n in (1016, 1017, 1018)))
    page.fill("form.mend input[name=to]", "ITEM_RETURNED")
    page.click("form.mend button")
    page.wait_for_selector("text=In 3 rows reason would say ITEM_RETURNED in the place of RETURN")
    page.click("button[value=do]")
    page.wait_for_selector("text=3 rows in")
    assert hub.action("acme", "A-1016~sale")["history"][-1]["reason"] == "ITEM_RETURNED"
    assert not page.faults


def test_a_large_file_is_dropped_put_to_its_own_address_and_followed(visitor: Visitor) -> None:
    page = visitor("operator")
    page.goto("/console/acme/send")
    note = "x" * 2_000
    rows = "".join(f"L-{n},A-1020,take_back,1.00,EUR,CANCELLED,{note}\r\n" for n in range(2_300))
    dropped = page.evaluate_handle(
        "text => { const it = new DataTransfer(); it.items.add(new File([text], 'large.csv')); return it; }",
        HEAD.replace("reason\r\n", "reason,note\r\n") + rows,
    )
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": dropped})
    assert page.evaluate("document.querySelector('#file').files[0].name") == "large.csv"
    asked: list[tuple[str, str]] = []
    page.on("request", lambda request: asked.append((request.method, request.url)))
    page.click("text=Show what it would do")
    page.wait_for_url("**/dry-runs/**", timeout=60_000)
    ours = page.url.split("/console")[0]
    assert [url.startswith(ours) for method, url in asked if method == "PUT"] == [False]
    page.wait_for_selector("text=/2,300 rows in = 2,300 refused/", timeout=120_000)
    page.click("main form button.primary")
    page.wait_for_url("**/deliveries/**")
    page.wait_for_selector("text=/2,300 rows in/", timeout=120_000)
    assert not page.faults


def test_several_deliveries_are_selected_and_read_again(visitor: Visitor) -> None:
    page = visitor("operator")
    page.goto("/console/acme/deliveries")
    for box in page.locator("tr[data-row] input[type=checkbox]").all()[:2]:
        box.check()
    page.select_option("#b-what", "replay")
    page.click(".selectbar button")
    page.wait_for_selector("text=/Read \\d deliver/")
    page.click("button[value=do]")
    page.wait_for_selector("text=/of 2 w(as|ere) done/")
    assert not page.faults
