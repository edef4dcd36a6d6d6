"""A headless chromium on a local hub of its own; only `make test-browser` uses it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.browser import install
from tests.browser.hub import LocalHub, local_hub

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
Visitor = Callable[..., Any]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    if os.environ.get("RETOUR_BROWSER") != "must":
        pytest.skip("make test-browser drives the browser")
    if why := install.missing():
        pytest.fail(why)
    with local_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture(scope="session")
def chromium(hub: LocalHub) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(install.CHROMIUM), headless=True, args=[*FLAGS])
        yield browser
        browser.close()


def count(page: Any, program: str) -> None:
    """Count a program's sums, as a person does."""
    page.goto(f"/console/{program}/today")
    page.click("text=Count now")
    page.wait_for_selector("text=/Sums as of/")


@pytest.fixture(scope="session")
def admin(hub: LocalHub, chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session of who runs the hub, come in by the link of the ready-file; and what there is, counted once."""
    path = tmp_path_factory.mktemp("sessions") / "admin.json"
    with chromium.new_context(base_url=hub.api) as context:
        page = context.new_page()
        link = hub.ready["console"]
        page.goto(link)
        page.click("button:text('Sign in')")
        page.wait_for_url("**/today")
        assert hub.ready["console"] != link, "the ready-file has the next one"
        for program in ("acme", "zenith"):
            count(page, program)
        context.storage_state(path=path)
    return path


@pytest.fixture(scope="session")
def sessions(
    hub: LocalHub, chromium: Any, admin: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str, str, str], Path]:
    """The session of a role, once for each person: signed in by a link that the administrator makes for them."""
    folder = tmp_path_factory.mktemp("people")

    @cache
    def of(role: str, program: str, partner: str, name: str) -> Path:
        if role == "admin":
            return admin
        with chromium.new_context(base_url=hub.api, storage_state=admin) as context:
            page = context.new_page()
            page.goto(f"/console/{program}/setup/people")
            page.fill("#name", name)
            page.select_option("#role", role)
            page.fill("#partner", partner)
            page.click("main form button")
            link = str(page.inner_text("#link"))
        with chromium.new_context(base_url=hub.api) as context:
            page = context.new_page()
            page.goto(link)
            page.click("button:text('Sign in')")
            path = folder / f"{len(list(folder.iterdir()))}.json"
            context.storage_state(path=path)
        return path

    return of


@pytest.fixture
def visitor(hub: LocalHub, chromium: Any, sessions: Callable[[str, str, str, str], Path]) -> Iterator[Visitor]:
    """A new browser for a role. Errors reported by its pages are in `faults`."""
    with ExitStack() as ending:

        def come(role: str = "admin", program: str = "acme", partner: str = "", name: str = "Ana", **more: Any) -> Any:
            session = sessions(role, program, partner, name)
            context = ending.enter_context(chromium.new_context(base_url=hub.api, storage_state=session, **more))
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.faults = faults = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
            return page

        yield come
