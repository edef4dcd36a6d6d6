"""Work comes first: rows that are seen without scrolling, one line each, under a short head; menus that close."""

import pytest
from tests.browser import install
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub
from tests.browser.test_pages import RULES

pytestmark = pytest.mark.xdist_group("browser")

SEEN = """() => [...document.querySelectorAll("tr[data-row]")].filter(row => {
  const box = row.getBoundingClientRect(); return box.height > 0 && box.bottom <= innerHeight; }).length"""
HEIGHTS = "() => [...new Set([...document.querySelectorAll('tr[data-row]')].map(row => row.offsetHeight))]"
HEAD = "() => document.querySelector('table').getBoundingClientRect().top - document.querySelector('main').offsetTop"


@pytest.mark.parametrize(("width", "height", "rows"), [(1024, 768, 10), (1440, 900, 16)])
@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_so_many_actions_are_seen_at_once(
    visitor: Visitor, hub: LocalHub, width: int, height: int, rows: int, language: str
) -> None:
    page = visitor("manager", viewport={"width": width, "height": height}, locale=language)
    page.goto("/console/acme/actions")
    assert page.evaluate(SEEN) >= rows
    assert page.evaluate(HEIGHTS) == [40]
    assert page.evaluate(HEAD) <= 150
    page.context.add_cookies([{"name": "retour_rows", "value": "compact", "url": hub.api}])
    page.reload()
    assert page.evaluate(HEIGHTS) == [32]


@pytest.mark.parametrize("path", ["today", "inbox", "deliveries", "actions", "partners", "setup/people", "setup"])
def test_nothing_scrolls_sideways_on_the_smallest_phone(visitor: Visitor, path: str) -> None:
    page = visitor("admin", viewport={"width": 320, "height": 640}, locale="de")
    page.goto(f"/console/acme/{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.click(".more-pages > summary")
    assert page.is_visible(".more-pages >> text=Partner")


@pytest.mark.parametrize("menu", [".switch", ".sheet", ".columns-of", ".user"])
def test_a_menu_closes_with_esc_and_by_a_click_elsewhere_and_is_readable(visitor: Visitor, menu: str) -> None:
    page = visitor("admin", bypass_csp=True, viewport={"width": 1024, "height": 768})
    page.goto("/console/acme/actions?partner=nordlicht")
    opened = page.locator(f"{menu}[open]")
    page.click(f"{menu} > summary")
    page.evaluate(install.AXE.read_text())
    found = page.evaluate("([menu, rules]) => axe.run(menu, {runOnly: rules})", [menu, RULES])
    assert opened.count() == 1 and found["violations"] == [], "what it covers is not looked at"
    page.keyboard.press("Escape")
    assert opened.count() == 0
    assert page.evaluate(f"document.activeElement === document.querySelector('{menu} > summary')")
    page.click(f"{menu} > summary")
    page.mouse.click(600, 600)
    assert opened.count() == 0
    assert not page.faults


def test_a_page_asks_for_little_and_does_not_move(visitor: Visitor) -> None:
    page = visitor("manager", viewport={"width": 1440, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(
        "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(one => { moved += one.value; }))"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    page.goto("/console/acme/actions")
    page.wait_for_load_state("networkidle")
    assert len(asked) <= 5, asked
    assert page.evaluate("moved") <= 0.05
