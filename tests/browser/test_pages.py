"""Every page, large and small, light and dark: nothing WCAG 2.2 AA forbids, nothing too wide, none too heavy."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from tests import pages
from tests.browser import install
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub

pytestmark = pytest.mark.xdist_group("browser")

LOOKS = [(1280, "light", "en"), (390, "dark", "de")]
"""Both widths and both colours, each once: what axe looks at."""
WIDTHS = [(390, "light", "fr"), (1280, "dark", "fr"), (768, "light", "de")]
"""The longest words, on every width."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HEAVY = 100_000
FILE = "reference,order_id,change,amount,currency,reason\r\nP-1,A-1013,take_back,11.00,EUR,ITEM_RETURNED\r\n"


def blanks(hub: LocalHub, page: Any) -> dict[str, str]:
    """What the addresses of pages name: an action with changes, a delivery with a refused row, a file's dry run."""
    batches = hub.call("GET", "/v1/programs/acme/batches?limit=50")["items"]
    refused = next(one for one in batches if one["counts"].get("refused"))
    batch = hub.call("GET", f"/v1/programs/acme/batches/{refused['id']}")
    row = next(one for one in batch["outcomes"] if one["outcome"] == "refused")
    modification = hub.action("acme", "A-1000~sale")["history"][0]["id"]
    page.goto("/console/acme/send")
    page.set_input_files("#file", {"name": "may.csv", "mimeType": "text/csv", "buffer": FILE.encode()})
    page.click("main form button.primary")
    page.wait_for_url("**/dry-runs/**")
    return {
        "program": "acme",
        "partner": "nordlicht",
        "order": "A-1000",
        "action": "A-1000~sale",
        "modification": quote(modification, safe=""),
        "delivery": refused["id"],
        "row": row["record"],
        "source": "warehouse",
        "contract": "standard",
        "run": page.url.rsplit("/", 1)[1],
    }


@pytest.fixture
def addresses(hub: LocalHub, visitor: Visitor) -> dict[str, str]:
    return pages.fill_addresses(pages.CONSOLE | pages.PORTAL, **blanks(hub, visitor("admin")))


def test_every_page_has_an_address() -> None:
    assert pages.routes_without_address() == []


def test_every_address_of_a_page_is_looked_at(addresses: dict[str, str]) -> None:
    assert set(addresses) == {*pages.CONSOLE, *pages.PORTAL}


def faults_of(page: Any, rules: bool) -> list[Any]:
    """What is wrong with the page that is shown."""
    found = []
    if rules:
        page.evaluate(install.AXE.read_text())
        axe = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        found += [(one["id"], one["nodes"][0]["html"][:200]) for one in axe["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    sizes = page.evaluate("performance.getEntriesByType('resource').map(one => one.transferSize)")
    weight = sum(sizes) + len(page.content().encode())
    return found + ([f"{wide} px too wide"] if wide > 0 else []) + ([f"{weight} bytes"] if weight > HEAVY else [])


def looked_at(page: Any, names: Mapping[str, str], addresses: dict[str, str], *, rules: bool) -> None:
    wrong = {}
    for name in names:
        page.goto(addresses[name])
        if faults := faults_of(page, rules):
            wrong[name] = faults
    assert not wrong


@pytest.mark.parametrize(("width", "colours", "language"), LOOKS)
def test_nothing_that_wcag_forbids(
    visitor: Visitor, addresses: dict[str, str], width: int, colours: str, language: str
) -> None:
    look = {"viewport": {"width": width, "height": 900}, "color_scheme": colours, "locale": language}
    looked_at(visitor("admin", bypass_csp=True, **look), pages.CONSOLE, addresses, rules=True)
    looked_at(visitor("partner", partner="nordlicht", bypass_csp=True, **look), pages.PORTAL, addresses, rules=True)


@pytest.mark.parametrize(("width", "colours", "language"), WIDTHS)
def test_nothing_too_wide_or_too_heavy(
    visitor: Visitor, addresses: dict[str, str], width: int, colours: str, language: str
) -> None:
    look = {"viewport": {"width": width, "height": 900}, "color_scheme": colours, "locale": language}
    looked_at(visitor("admin", **look), pages.CONSOLE, addresses, rules=False)
    looked_at(visitor("partner", partner="nordlicht", **look), pages.PORTAL, addresses, rules=False)


def test_nothing_of_another_host_is_asked_for(visitor: Visitor) -> None:
    page = visitor("admin")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/console/acme/today")
    page.wait_for_load_state("networkidle")
    host = page.url.split("/")[2]
    assert asked and {url.split("/")[2] for url in asked} == {host}
    assert not page.faults
