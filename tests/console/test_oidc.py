"""Signing in at a provider: the whole code flow on loopback, and everything that must not get anybody in."""

import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.conftest import ProgramHarness
from tests.console.conftest import Answer, Browser, Console
from tests.console.provider import CLIENT, Provider, provider
from tests.settings import change_settings

from retour.console import people
from retour.settings import SignIn
from retour.wiring import Hub


@pytest.fixture
def idp(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    with provider() as found:
        change_settings(house.hub, sign_in=SignIn(found.issuer, CLIENT, found.issuer))
        yield found


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def at_provider(address: str) -> str:
    """The user agrees; the path and query the browser is sent back to."""
    try:
        urllib.request.build_opener(Stay).open(address)
    except urllib.error.HTTPError as redirect:
        parts = urlsplit(redirect.headers["location"])
        assert parts.netloc == "retour.test"
        return f"{parts.path}?{parts.query}"
    raise AssertionError("no redirect")


def signed_in(browser: Browser, back: str = "") -> Answer:
    return browser.get(at_provider(browser.post("/console/login", back=back).location))


def test_the_flow_ends_where_one_wanted_to_go(console: Console, idp: Provider) -> None:
    browser = console.visitor()
    asked = browser.get(f"{console.base}/actions?state=pending")
    door = browser.get(asked.location)
    form = door.form("/console/login")
    assert form["back"] == f"{console.base}/actions?state=pending"
    assert f"form-action 'self' {idp.issuer}" in door.headers["content-security-policy"]
    answer = browser.get(at_provider(browser.send(form).location))
    assert answer.status == 303 and answer.location == f"{console.base}/actions?state=pending"
    page = browser.get(answer.location)
    assert page.status == 200 and "ana@acme.example" in page.text


def test_groups_open_programs_and_nothing_else(console: Console, idp: Provider, house: ProgramHarness) -> None:
    idp.groups = [f"{house.program}/finance", "other/admin", "something", "a/b/c/d"]
    browser = console.visitor()
    signed_in(browser)
    assert browser.get(f"{console.base}/today").status == 200
    assert browser.get(f"{console.base}/send").status == 403
    idp.groups = [f"{house.program}/partner/nordlicht"]
    partner = console.visitor()
    signed_in(partner)
    assert partner.get("/my/credit").status == 200
    assert partner.get(f"{console.base}/today").status == 404


@pytest.mark.parametrize("groups", [[], ["nobody"], ["acme/partner/"], ["/admin"]])
def test_who_has_no_grant_stays_outside(console: Console, idp: Provider, groups: list[str]) -> None:
    idp.groups = groups
    browser = console.visitor()
    answer = signed_in(browser)
    assert answer.status == 403 and "nothing was opened to you" in answer.text
    assert people.COOKIE not in browser.cookies


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"aud": "another-client"},
        {"exp": 1_700_000_000},
        {"nonce": "another"},
        {"token_use": "access"},
        {"sub": None},
    ],
)
def test_a_token_that_is_not_for_us_and_now_gets_nobody_in(
    console: Console, idp: Provider, claims: dict[str, Any]
) -> None:
    idp.claims = claims
    browser = console.visitor()
    assert signed_in(browser).status == 403
    assert people.COOKIE not in browser.cookies


def test_a_token_signed_by_another_key_gets_nobody_in(console: Console, idp: Provider) -> None:
    idp.signs_with = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert signed_in(console.visitor()).status == 403


def test_an_answer_is_good_once_and_in_the_browser_that_asked(console: Console, idp: Provider) -> None:
    mine, other = console.visitor(), console.visitor()
    back = at_provider(mine.post("/console/login").location)
    assert other.get(back).status == 403 and people.COOKIE not in other.cookies
    assert mine.get(back).status == 403, "the state was used up by the wrong browser"
    back = at_provider(mine.post("/console/login").location)
    assert mine.get(back).status == 303
    mine.cookies.pop(people.COOKIE)
    assert mine.get(back).status == 403


def test_a_code_that_was_taken_elsewhere_is_worth_nothing(console: Console, idp: Provider) -> None:
    """A code without the verifier of this very browser: PKCE."""
    mine, thief = console.visitor(), console.visitor()
    stolen = parse_qs(urlsplit(at_provider(mine.post("/console/login").location)).query)["code"][0]
    state = parse_qs(urlsplit(thief.post("/console/login").location).query)["state"][0]
    assert thief.get(f"/console/callback?code={stolen}&state={state}").status == 403
    assert people.COOKIE not in thief.cookies


def test_a_flow_that_took_too_long_starts_anew(
    console: Console, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = console.visitor()
    back = at_provider(browser.post("/console/login").location)
    later = console.house.hub.real_now() + timedelta(minutes=11)
    monkeypatch.setattr(Hub, "real_now", lambda _: later)
    assert browser.get(back).status == 403


@pytest.mark.parametrize("query", ["", "?error=access_denied", "?state=x&code=y", "?code=", "?state="])
def test_a_made_up_answer_gets_nobody_in(console: Console, idp: Provider, query: str) -> None:
    browser = console.visitor()
    browser.post("/console/login")
    assert browser.get(f"/console/callback{query}").status == 403
    assert people.COOKIE not in browser.cookies


def test_without_a_provider_there_is_the_link(console: Console) -> None:
    browser = console.visitor()
    assert browser.post("/console/login").status == 404
    assert "sign-in link" in browser.get("/console/sign-in").text
