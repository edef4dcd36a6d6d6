"""Every page, large and small, light and dark: nothing WCAG 2.2 AA forbids, nothing too wide, none too heavy."""

from typing import Any

import pytest
from tests.browser import install
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.xdist_group("browser")

PAGES = {
    "today": "/console/acme/today",
    "inbox": "/console/acme/inbox",
    "deliveries": "/console/acme/deliveries",
    "deliveries-filtered": "/console/acme/deliveries?channel=email",
    "actions": "/console/acme/actions",
    "actions-wrong": "/console/acme/actions?locks_before=never",
    "action": "/console/acme/action?id=A-1000~sale",
    "reverse": "/console/acme/action?id=A-1001~sale&act=reverse",
    "modify": "/console/acme/action?id=A-1001~sale&act=modify",
    "partners": "/console/acme/partners",
    "send": "/console/acme/send",
    "setup": "/console/acme/setup",
    "source": "/console/acme/setup/sources/warehouse",
    "version": "/console/acme/setup/versions/1",
    "program": "/console/acme/setup/program",
    "contracts": "/console/acme/setup/contracts?order=A-1000",
    "lock": "/console/acme/setup/lock",
    "people": "/console/acme/setup/people",
    "missing": "/console/acme/nothing",
    "door": "/console/sign-in",
}
PORTAL = {
    "credit": "/my/credit",
    "changes": "/my/changes",
    "order": "/my/order?program=acme&id=A-1000~sale",
    "calendar": "/my/calendar",
}
LOOKS = [(1280, "light", "en"), (390, "dark", "de"), (390, "light", "fr"), (1280, "dark", "en")]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HEAVY = 100_000


def looked_at(page: Any, name: str, path: str) -> None:
    page.goto(path)
    page.evaluate(install.AXE.read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    told = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
    assert not told, (name, told)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} is {wide} px wider than the screen"
    sizes = page.evaluate("performance.getEntriesByType('resource').map(one => one.transferSize)")
    weight = sum(sizes) + len(page.content().encode())
    assert weight < HEAVY, f"{name} weighs {weight}"


@pytest.mark.parametrize(("width", "colours", "language"), LOOKS)
def test_every_page_of_the_console(visitor: Visitor, width: int, colours: str, language: str) -> None:
    page = visitor("admin", viewport={"width": width, "height": 900}, color_scheme=colours, locale=language,
                   bypass_csp=True)  # fmt: skip
    for name, path in PAGES.items():
        looked_at(page, name, path)


@pytest.mark.parametrize(("width", "colours", "language"), LOOKS)
def test_every_page_of_the_portal(visitor: Visitor, width: int, colours: str, language: str) -> None:
    page = visitor("partner", partner="nordlicht", viewport={"width": width, "height": 900}, color_scheme=colours,
                   locale=language, bypass_csp=True)  # fmt: skip
    for name, path in PORTAL.items():
        looked_at(page, name, path)


def test_nothing_of_another_host_is_asked_for(visitor: Visitor) -> None:
    page = visitor("admin")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/console/acme/today")
    page.wait_for_load_state("networkidle")
    host = page.url.split("/")[2]
    assert asked and {url.split("/")[2] for url in asked} == {host}
    assert not page.faults
