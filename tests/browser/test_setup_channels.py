"""Whoever sets a program up opens a channel, sees it tested step by step, and changes a secret without a gap."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
from tests.browser.conftest import Visitor
from tests.browser.hub import LocalHub

pytestmark = pytest.mark.xdist_group("browser")
CHANNELS = "/console/zenith/setup/event-types/sale/channels"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATIENCE = 60_000


@pytest.fixture
def merchant(tmp_path: Path) -> Iterator[int]:
    """A merchant's server with one file in its folder; its port."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/may.csv").write_bytes(b"order_id,change\n")
    allowed = DummyAuthorizer()
    allowed.add_user("retour", "s3cret", str(tmp_path), perm="elr")
    server = FTPServer(("127.0.0.1", 0), type("Handler", (FTPHandler,), {"authorizer": allowed}))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            server.serve_forever(timeout=0.05, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.address[1]
    ended.set()
    thread.join()


def source(hub: LocalHub, name: str) -> dict[str, Any]:
    found: dict[str, Any] = hub.call("GET", f"/v1/programs/zenith/sources/{name}")
    return found


def test_a_webhooks_test_ticks_in_its_card_and_its_secret_is_changed_without_a_gap(
    visitor: Visitor, hub: LocalHub
) -> None:
    page = visitor(program="zenith")
    page.goto(CHANNELS)
    page.locator('form[action$="/sources/orders/test"] button').click()
    page.wait_for_selector("#test-orders .steps >> text=Reject a forged signature", timeout=PATIENCE)
    page.wait_for_selector("#test-orders >> text=all 5 steps work", timeout=PATIENCE)
    assert page.url.endswith("/channels"), "the card moved, not the page"
    assert source(hub, "orders")["test"]["state"] == "passed"

    page.goto("/console/zenith/setup/keys")
    page.locator("#orders").get_by_role("button", name="Make a second").click()
    shown = page.locator(".id").first.inner_text()
    assert shown.startswith("whsec_")
    page.get_by_role("link", name="I have stored them").click()
    assert shown not in page.content()
    assert page.locator("#orders tbody tr").count() == 2
    page.locator("#orders tbody tr").last.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke for good").click()
    assert page.locator("#orders tbody tr").count() == 1
    assert not page.faults


def test_a_merchants_server_is_written_down_given_its_password_and_tested_while_one_looks(
    visitor: Visitor, hub: LocalHub, merchant: int
) -> None:
    page = visitor(program="zenith")
    page.goto("/console/zenith/setup/new-source?channel=pull&event_type=sale")
    page.fill('[name="name"]', "Not A Name")
    for name, value in (("host", "127.0.0.1"), ("port", str(merchant)), ("user", "retour"), ("folder", "/out")):
        page.fill(f'[name="options.{name}"]', value)
    page.select_option('[name="options.protocol"]', "ftps")
    page.get_by_role("button", name="Show what it changes").last.click()
    assert page.locator("#w-name").is_visible() and page.input_value('[name="options.host"]') == "127.0.0.1"
    page.fill('[name="name"]', "depot")
    page.get_by_role("button", name="Show what it changes").last.click()
    page.get_by_role("button", name=re.compile("Apply as version")).click()
    page.fill("#value", "s3cret")
    page.get_by_role("button", name="Hand it over").click()
    assert "s3cret" not in page.content()

    page.get_by_role("button", name="Test it").click()
    page.wait_for_selector("#test-depot >> text=Failed here", timeout=PATIENCE)
    assert "does not speak TLS" in page.inner_text("#test-depot"), "the server has plain FTP only, and is told so"
    document = hub.call("GET", "/v1/programs/zenith")["document"]
    document["sources"]["depot"]["options"] |= {"protocol": "ftp", "allow_plain": True}
    hub.call("PUT", "/v1/programs/zenith", document)
    page.get_by_role("button", name="Test it").click()
    page.wait_for_selector("#test-depot >> text=all 7 steps work", timeout=PATIENCE)
    assert "may.csv" in page.inner_text("#test-depot")
    assert source(hub, "depot")["last_received_at"] is None, "nothing was fetched"
    assert not page.faults


@pytest.mark.parametrize(("width", "colours", "language"), [(1280, "light", "en"), (390, "dark", "de")])
def test_pages_with_something_wrong_running_or_about_to_end_are_for_everybody(
    visitor: Visitor, hub: LocalHub, width: int, colours: str, language: str
) -> None:
    from tests.browser import install

    page = visitor(program="zenith", viewport={"width": width, "height": 900}, color_scheme=colours, locale=language,
                   bypass_csp=True)  # fmt: skip
    for name in ("warehouse", "mail"):
        hub.call("POST", f"/v1/programs/zenith/sources/{name}/test")
    key = hub.call("GET", "/v1/programs/zenith/keys")["items"][0]["id"]
    for path in (CHANNELS, "/console/zenith/setup/sources/mail", f"/console/zenith/setup/keys?id={key}",
                 "/console/zenith/setup/new-source?channel=salesforce"):  # fmt: skip
        page.goto(path)
        page.evaluate(install.AXE.read_text())
        found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]], path
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
