"""Who comes in, and how: links that work once, sessions, forms of this session only, and what a role opens."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.conftest import ProgramHarness
from tests.console.conftest import Browser, Console

from retour.console import people
from retour.console.people import Grant

PAGES = (
    "today", "inbox", "deliveries", "actions", "actions.csv", "partners", "send", "setup", "setup/program",
    "setup/contracts", "setup/lock", "setup/people", "setup/sources/warehouse", "setup/versions/1", "search?q=A-1",
)  # fmt: skip


def test_a_link_signs_in_once_and_says_when_it_was_used(console: Console, house: ProgramHarness) -> None:
    link = people.create_link(house.hub, "Ana", [Grant("*", "admin")])
    first, second = console.visitor(), console.visitor()
    looked = first.get(link)
    assert looked.status == 200 and "signs you in as Ana" in looked.said and not first.cookies
    assert console.visitor().ask("HEAD", link, b"", {}).status == 200
    form = second.get(link).form("/console/sign-in")
    answer = first.come_in(link)
    assert answer.status == 303 and answer.location == "/console"
    again, late = second.get(link), second.send(form)
    assert again.status == late.status == 403 and "was used at" in late.text
    assert again.status == 403 and "was used at" in again.text and not second.cookies
    assert first.get(f"{console.base}/today").status == 200


def test_a_link_opened_beside_the_page_leads_back_to_it(console: Console, house: ProgramHarness) -> None:
    browser = console.visitor()
    asked = browser.get(f"{console.base}/actions?state=pending&partner=n%C3%B6rd")
    assert browser.get(asked.location).status == 200
    assert browser.come_in(people.create_link(house.hub, "Ana", [Grant("*", "admin")])).location == (
        f"{console.base}/actions?state=pending&partner=n%C3%B6rd"
    )
    assert "retour_back" not in browser.cookies


def test_a_link_is_not_redeemed_by_a_form_of_another_website(console: Console, house: ProgramHarness) -> None:
    browser = console.visitor()
    form = browser.get(people.create_link(house.hub, "Mallory", [Grant("*", "admin")])).form("/console/sign-in")
    for name, value in (("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")):
        browser.headers[name] = value
        assert browser.send(form).status == 403
        del browser.headers[name]
    browser.headers["origin"] = "https://retour.test"
    assert browser.send(form).status == 303


def test_sessions_and_unused_links_are_listed_and_ended_at_once(console: Console, house: ProgramHarness) -> None:
    ana = console.person(name="Ana")
    mara = console.visitor()
    mara.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    mara.come_in(people.create_link(house.hub, "Mara", [Grant(house.program, "manager")]))
    waiting = people.create_link(house.hub, "Ben", [Grant(house.program, "partner", "nordlicht")])
    everywhere = people.create_link(house.hub, "Root", [Grant("*", "admin")])
    page = ana.get(f"{console.base}/setup/people")
    assert "browsers are signed in" in page.said and "Firefox, Linux" in page.said
    assert "unused links" in page.said and "Ben" in page.said
    ends = [form for form in page.forms() if form["action"].endswith("/people/end")]
    assert len(ends) == 3, "who sets up one program does not end what opens every one"
    assert mara.get(f"{console.base}/today").status == 200
    for form in ends:
        if form["key"].startswith("link#") or not is_own(ana, form["key"]):
            assert ana.send(form).status == 303
    assert mara.get(f"{console.base}/today").status == 303, "signed out"
    assert console.visitor().get(waiting).status == 403
    assert console.visitor().get(everywhere).status == 200
    assert ana.send(ends[-1]).status == 409, "it has ended already"


def is_own(browser: Browser, key: str) -> bool:
    return key == f"session#{people.hash_token(browser.cookies[people.COOKIE])}"


def test_a_session_that_was_ended_is_not_begun_anew_by_a_page_on_its_way(
    console: Console, house: ProgramHarness
) -> None:
    browser = console.person()
    key = f"session#{people.hash_token(browser.cookies[people.COOKIE])}"
    state = people.session_store(house.hub)
    doc = state.get(key)
    assert doc is not None
    state.delete(key)
    people.note_seen(house.hub, key, {**doc, "seen": "2020-01-01T00:00:00Z"})
    assert state.get(key) is None


def test_a_session_cookie_is_closed_to_scripts_and_foreign_forms_and_secure_over_https(
    console: Console, house: ProgramHarness
) -> None:
    for scheme, secure in (("https", True), ("http", False)):
        browser = Browser(house.hub, scheme=scheme)
        answer = browser.come_in(people.create_link(house.hub, "Ana", [Grant("*", "admin")]))
        cookie, _ = answer.cookies
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and ("Secure" in cookie) is secure


def test_only_hashes_of_links_and_sessions_are_kept(console: Console, house: ProgramHarness) -> None:
    link = people.create_link(house.hub, "Ana", [Grant("*", "admin")])
    browser = console.visitor()
    browser.come_in(link)
    kept = repr(list(people.session_store(house.hub).list("")))
    assert link.partition("token=")[2] not in kept
    assert browser.cookies[people.COOKIE] not in kept


def test_links_and_sessions_end(console: Console, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    link = people.create_link(house.hub, "Ana", [Grant("*", "admin")])
    browser = console.person()
    later = house.hub.real_now() + timedelta(hours=30)
    monkeypatch.setattr(type(house.hub), "real_now", lambda _: later)
    assert console.visitor().get(link).status == 403
    asked = browser.get(f"{console.base}/actions?state=pending")
    assert asked.status == 303
    assert asked.location.startswith("/console/sign-in?back=") and "state%3Dpending" in asked.location


def test_signing_out_ends_the_session_for_good(console: Console) -> None:
    browser = console.person()
    cookie = browser.cookies[people.COOKIE]
    browser.send(browser.get(f"{console.base}/today").form("/console/sign-out"))
    assert people.COOKIE not in browser.cookies
    browser.cookies[people.COOKIE] = cookie
    assert browser.get(f"{console.base}/today").status == 303


def test_a_form_of_another_session_does_nothing(
    console: Console, sold: Callable[..., None], house: ProgramHarness
) -> None:
    sold("A-1")
    ana, mallory = console.person(), console.person()
    form = mallory.get(f"{console.base}/action?id=A-1~sale&act=approve").form("/action/decide")
    assert ana.send(form).status == 403
    assert ana.send({**form, "csrf": ""}).status == 403
    assert house.payouts("A-1")["A-1~sale"][2] == "pending"


def test_what_was_typed_before_the_session_ended_is_kept_and_sent_only_when_looked_at_again(
    console: Console, sold: Callable[..., None], house: ProgramHarness
) -> None:
    sold("A-1")
    browser = console.person()
    forms = browser.get(f"{console.base}/action?id=A-1~sale&act=reverse").forms()
    form = next(form for form in forms if form.get("act") == "reverse")
    browser.cookies.clear()
    over = browser.send(form, reason="CANCELLED", note="lost parcel")
    assert over.status == 401 and 'value="lost parcel"' in over.text
    browser.cookies.update(console.person().cookies)
    browser.headers["sec-fetch-site"] = "same-origin"
    again = browser.send(over.form("/action/decide"))
    assert again.status == 403 and "lost parcel" in again.text
    assert house.payouts("A-1")["A-1~sale"][2] == "pending"
    assert browser.send(again.form("/action/decide")).status == 303
    assert house.payouts("A-1")["A-1~sale"][2] == "reversed"


def test_a_foreign_program_and_a_missing_one_look_the_same(console: Console) -> None:
    browser = console.person("manager", program="another-program")
    for page in PAGES:
        foreign = browser.get(f"{console.base}/{page}")
        missing = browser.get(f"/console/no-such-program/{page}")
        assert foreign.status == missing.status == 404, page
        assert same(foreign.text) == same(missing.text).replace("no-such-program", console.house.program), page


def same(text: str) -> str:
    return re.sub(r'(value|content)="[\w-]{16,}"', "", text)


@pytest.mark.parametrize(
    ("role", "closed"),
    [
        ("admin", set()),
        ("manager", {"setup/program", "setup/people"}),
        ("operator", {"setup/program", "setup/people"}),
        ("finance", {"send", "setup/program", "setup/people"}),
    ],
)
def test_each_role_opens_its_own_pages(console: Console, role: str, closed: set[str]) -> None:
    browser = console.person(role)
    for page in PAGES:
        status = browser.get(f"{console.base}/{page}").status
        assert status == (403 if page in closed else 404 if page.startswith("search") else 200), page


def test_a_partner_opens_nothing_but_the_portal(console: Console) -> None:
    browser = console.person("partner", "nordlicht")
    assert browser.get("/console").location == "/my/credit"
    for page in PAGES:
        assert browser.get(f"{console.base}/{page}").status == 404, page
    for page in ("credit", "changes", "calendar", "credit.csv"):
        assert browser.get(f"/my/{page}").status == 200, page


def test_a_role_that_may_only_look_cannot_act(
    console: Console, sold: Callable[..., None], house: ProgramHarness
) -> None:
    sold("A-1")
    manager, finance = console.person("manager"), console.person("finance")
    form = manager.get(f"{console.base}/action?id=A-1~sale&act=approve").form("/action/decide")
    own = finance.get(f"{console.base}/today").form("/console/sign-out")["csrf"]
    assert finance.send({**form, "csrf": own}).status == 403
    assert "act=approve" not in finance.get(f"{console.base}/action?id=A-1~sale").text
    assert house.payouts("A-1")["A-1~sale"][2] == "pending"


def test_every_answer_forbids_what_a_page_does_not_need(console: Console) -> None:
    browser = console.person()
    for address in ("/console/sign-in", f"{console.base}/today", "/nothing", "/my/credit"):
        headers = browser.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "no-store" in headers["cache-control"]
    page = browser.get(f"{console.base}/today").text
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page)
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_static_files_are_named_by_their_content_and_kept_for_ever(console: Console) -> None:
    browser = console.visitor()
    page = browser.get("/console/sign-in").text
    names = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(names) >= 4
    for name in names:
        answer = browser.get(name)
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"], name
    assert browser.get("/static/retour.css").status == 404
    assert browser.get("/static/../people.py").status == 404


def test_a_fault_of_ours_has_a_reference_that_finds_the_log_line(
    console: Console, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    browser = console.person()
    monkeypatch.setattr(type(console.house.hub), "deliveries", lambda *_: 1 / 0)
    answer = browser.get(f"{console.base}/deliveries")
    reference = re.search(r"<code>(\w{4}-\w{4})</code>", answer.text)
    assert answer.status == 500 and reference is not None
    assert reference[1] in caplog.text and "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in answer.text


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", ""])
def test_after_a_form_nobody_is_sent_elsewhere(console: Console, back: str) -> None:
    browser = console.person()
    form = browser.get(f"{console.base}/today").form("/console/preferences")
    answer = browser.send(form, back=back, language="de", theme="dark")
    assert answer.location == "/console"
    page = browser.get(f"{console.base}/today").text
    assert '<html lang="de" data-theme="dark">' in page
