"""Takes a picture of every page, on a hub of its own: python docs/screens/take.py"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "infra")]
HERE = Path(__file__).parent
LOOKS = (("", 1280, "light"), ("-phone", 390, "dark"))
ON_THE_PHONE = ("today", "deliveries", "delivery", "actions", "action", "reverse", "mapping", "credit")
LEFT_OUT = (
    "needs",
    "inbox-kind",
    "search",
    "actions-pending",
    "actions-locked",
    "actions-by-event",
    "actions-by-payout",
)
"""Parts of pages, and pages that look like another."""


def main() -> None:
    from playwright.sync_api import sync_playwright
    from tests import pages
    from tests.browser import install
    from tests.browser.conftest import FLAGS, count
    from tests.browser.hub import local_hub
    from tests.browser.test_pages import blanks

    with tempfile.TemporaryDirectory() as data, local_hub(Path(data)) as hub, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(install.CHROMIUM), headless=True, args=[*FLAGS])
        context = browser.new_context(base_url=hub.api)
        page = context.new_page()
        page.goto(hub.ready["console"])
        page.click("button:text('Sign in')")
        count(page, "acme")
        page.goto("/console/acme/setup/people")
        page.fill("#name", "Nordlicht")
        page.select_option("#role", "partner")
        page.fill("#partner", "nordlicht")
        page.click("main form button")
        link = page.inner_text("#link")
        partner = browser.new_context(base_url=hub.api)
        entered = partner.new_page()
        entered.goto(link)
        entered.click("button:text('Sign in')")
        named = blanks(hub, page)
        for addresses, state in ((pages.CONSOLE, context.storage_state()), (pages.PORTAL, partner.storage_state())):
            for suffix, width, colours in LOOKS:
                look = browser.new_context(
                    base_url=hub.api,
                    viewport={"width": width, "height": 900},
                    color_scheme=colours,  # type: ignore[arg-type]
                    storage_state=state,
                )
                shown = look.new_page()
                for name, path in pages.fill_addresses(addresses, **named).items():
                    if name in LEFT_OUT or (suffix and name not in ON_THE_PHONE):
                        continue
                    shown.goto(path)
                    shown.wait_for_timeout(400)
                    shown.screenshot(path=HERE / f"{name}{suffix}.png", full_page=not suffix)
        browser.close()


if __name__ == "__main__":
    main()
