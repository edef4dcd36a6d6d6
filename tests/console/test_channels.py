"""Setting up what news comes in by: five cards, a source from a small form, its test, its keys and secrets."""

import re
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import ProgramHarness
from tests.console.conftest import Console

from retour.connection_test.steps import ConnectionTest, StepRecorder
from retour.domain.program import Program
from retour.store.programs import Principal

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ8mYv1nMfhk4rH2mS0mAnnUC1kOKcEoFLaTf1yF8oK warehouse"
PULL = {"options.protocol": "sftp", "options.host": "ftp.merchant.example", "options.user": "retour"}


@pytest.fixture(autouse=True)
def secrets(house: ProgramHarness) -> None:
    """What applying the program over the API would have made and shown."""
    for name in ("erp", "till", "shop"):
        house.hub.secrets.put(house.program, name, {"signing": ["whsec_b2xkb2xkb2xk"]})


def program(house: ProgramHarness) -> Program:
    found = house.hub.program(house.program)
    assert found is not None
    return found


def channels(console: Console, event_type: str = "sale") -> str:
    return f"{console.base}/setup/event-types/{event_type}/channels"


# Returns processing


def test_five_cards_say_what_is_on_and_how_each_is_reached(console: Console, house: ProgramHarness) -> None:
    page = console.person("manager").get(channels(console))
    cards = re.findall(r'<section class="card".*?</section>', page.body.decode(), re.DOTALL)
    assert [("On" in card, "Off" in card) for card in cards] == [(True, False), (True, False)] + [(False, True)] * 3
    assert f"/v1/programs/{house.program}/hooks/erp" in cards[0] and f"{house.program}.warehouse" in cards[1]
    assert "none in 60 days" in cards[1] and "never tested" in cards[1] and "<button>Test" not in cards[1]
    house.file(b"reference,order_id,change\nR-1,A-1,reverse\n")
    assert "just now" in console.person("manager").get(channels(console)).text
    assert console.person().get(channels(console, "nothing")).status == 404


def test_a_source_of_one_event_type_stands_there_alone(console: Console, house: ProgramHarness) -> None:
    browser = console.person()
    form = browser.get(f"{console.base}/setup/new-source?channel=sftp&event_type=lead").form("/new-source")
    shown = browser.send(form, name="leads", event_type="lead", **{"options.public_keys": SSH_KEY})
    assert shown.status == 200 and "+  leads:" in shown.text.replace("+    leads:", "+  leads:")
    done = browser.send(shown.form("/new-source"), name="leads", event_type="lead", step="save",
                        **{"options.public_keys": SSH_KEY})  # fmt: skip
    assert done.status == 303 and done.location == f"{console.base}/setup/sources/leads"
    found = program(house).sources["leads"]
    assert (found.channel, found.event_type, found.options["public_keys"]) == ("sftp", "lead", [SSH_KEY])
    assert "leads" in browser.get(channels(console, "lead")).text
    assert ">leads<" not in browser.get(channels(console)).body.decode()


def test_a_source_is_switched_off_and_on_as_versions_of_the_program(console: Console, house: ProgramHarness) -> None:
    browser, before = console.person(name="Ana"), program(house).version
    form = browser.get(channels(console)).form("/sources/warehouse/switch")
    assert browser.send(form).location == channels(console)
    assert not program(house).sources["warehouse"].enabled and program(house).version == before + 1
    assert "Switch on" in browser.get(channels(console)).text
    assert "enabled: false" in browser.get(f"{console.base}/setup/versions/{before + 1}").text
    assert "Ana" in browser.get(f"{console.base}/setup/versions/{before + 1}").text
    browser.send(browser.get(f"{console.base}/setup/sources/warehouse").form("/switch"))
    assert program(house).sources["warehouse"].enabled


def test_a_form_sends_nobody_elsewhere(console: Console) -> None:
    browser = console.person()
    form = browser.get(channels(console)).form("/sources/warehouse/switch")
    for back in ("https://evil.example", "//evil.example", f"{console.base}/../..", ""):
        assert browser.send(form, back=back).location.startswith(f"{console.base}/setup/")
        form = browser.get(channels(console)).form("/sources/warehouse/switch")


# The form


def new_pull(console: Console, browser: Any, **typed: str) -> Any:
    form = browser.get(f"{console.base}/setup/new-source?channel=pull").form("/new-source")
    return browser.send(form, name="depot", **{**PULL, **typed})


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    console: Console, house: ProgramHarness
) -> None:
    browser, before = console.person(), program(house).version
    wrong = new_pull(
        console, browser, **{"options.host": "not a host!", "options.port": "many", "options.folder": "/out"}
    )
    assert wrong.status == 422 and 'role="alert"' in wrong.text
    for name in ("options.host", "options.port"):
        assert f'aria-describedby="w-{name}"' in wrong.text and f'href="#f-{name}"' in wrong.text
    assert 'value="not a host!"' in wrong.text and 'value="/out"' in wrong.text
    missing = new_pull(console, browser, **{"options.user": ""})
    assert missing.status == 422 and 'aria-describedby="w-options.user"' in missing.text
    for name in ("", "erp", "Not A Name"):
        form = browser.get(f"{console.base}/setup/new-source?channel=sftp").form("/new-source")
        assert 'aria-describedby="w-name"' in browser.send(form, name=name).text, name
    assert program(house).version == before
    assert browser.get(f"{console.base}/setup/new-source?channel=pigeon").status == 404


def test_a_pulled_source_is_written_then_its_password_is_handed_over_and_never_shown(
    console: Console, house: ProgramHarness
) -> None:
    browser = console.person(name="Ana")
    shown = new_pull(console, browser, **{"options.at": "05:30"})
    done = browser.send(shown.form("/new-source"), name="depot", step="save", **PULL, **{"options.at": "05:30"})
    assert done.status == 303, done.text
    page = browser.get(done.location)
    assert "password or key is missing" in page.text
    browser.send(page.form("/depot/secret"), what="password", value="s3cret")
    page = browser.get(done.location)
    assert "password or key is missing" not in page.text and "s3cret" not in page.text
    keys = browser.get(f"{console.base}/setup/keys").text
    assert "s3cret" not in keys and "handed over" in keys and "Ana" in keys
    assert house.hub.secrets.newest(house.program, "depot") == {"password": "s3cret"}


def test_a_changed_source_keeps_what_the_form_does_not_ask_for(console: Console, house: ProgramHarness) -> None:
    browser = console.person()
    document = house.hub.programs.versions(house.program)[0].document
    mapping = {"columns": {"order_id": "Bestellnummer"}}
    sources = {**document["sources"], "warehouse": {"channel": "sftp", "mapping": mapping, "time_zone": "Europe/Paris"}}
    house.apply({**document, "sources": sources})
    form = browser.get(f"{console.base}/setup/sources/warehouse/edit").form("/edit")
    typed = {"amount_means": "take_back", "options.public_keys": SSH_KEY}
    shown = browser.send(form, **typed)
    assert browser.send(shown.form("/edit"), step="save", **typed).status == 303
    body = house.hub.programs.versions(house.program)[0].document["sources"]["warehouse"]
    assert body == {
        "channel": "sftp", "mapping": mapping, "time_zone": "Europe/Paris", "amount_means": "take_back",
        "options": {"public_keys": [SSH_KEY]},
    }  # fmt: skip


def test_a_lost_race_says_who_was_faster_and_keeps_what_was_typed(console: Console, house: ProgramHarness) -> None:
    ana, ben = console.person(name="Ana"), console.person(name="Ben")
    shown = new_pull(console, ben)
    ana.send(ana.get(channels(console)).form("/sources/warehouse/switch"))
    late = ben.send(shown.form("/new-source"), name="depot", step="save", **PULL)
    assert late.status == 409 and "Ana" in late.text and 'value="ftp.merchant.example"' in late.text
    assert "depot" not in program(house).sources


# Tests


def test_the_steps_of_a_test_are_shown_with_what_to_do_in_the_readers_language(
    console: Console, house: ProgramHarness
) -> None:
    browser = console.person(name="Ana")
    done = browser.send(browser.get(f"{console.base}/setup/sources/warehouse").form("/test"))
    assert done.status == 303 and done.location.endswith("/setup/sources/warehouse#test")
    page = browser.get(done.location.partition("#")[0])
    assert "0 of 4 steps work" in page.said and "Failed here" in page.said and "options.public_keys" in page.said
    assert "every" not in re.findall(r'<div class="trial"[^>]*>', page.body.decode())[0]
    german = console.person()
    german.headers["accept-language"] = "de"
    assert "Öffentliche Schlüssel lesen" in german.get(f"{console.base}/setup/sources/warehouse").text
    assert console.person("manager").post(f"{console.base}/setup/sources/warehouse/test").status == 403


def test_a_running_test_asks_for_itself_and_its_end_does_not(console: Console, house: ProgramHarness) -> None:
    document = house.hub.programs.versions(house.program)[0].document
    options = {"protocol": "sftp", "host": "ftp.merchant.example", "user": "u"}
    house.apply({**document, "sources": {**document["sources"], "depot": {"channel": "pull", "options": options}}})
    browser = console.person()
    form = browser.get(f"{console.base}/setup/sources/depot").form("/test")
    browser.headers["hx-request"] = "true"
    begun = browser.send(form)
    assert begun.status == 200 and 'hx-trigger="every 2s"' in begun.text and "<html" not in begun.text
    queue, message = house.sent[-1]
    assert queue == "pulls" and message["trial"]
    state = house.hub.state(house.program, "depot")
    trial = ConnectionTest.load(state)
    assert trial is not None
    course = StepRecorder(trial, state, house.hub.now)
    course.record_done("secret", "TRIED_PULL_SECRET_PASSWORD")
    moved = browser.get(f"{console.base}/setup/sources/depot/trial")
    assert "1 of 7 steps" in moved.said and "A password is stored." in moved.said
    trial.fail("LOGIN_REFUSED", house.hub.now(), {"host": "h", "user": "u", "said": "530 No."})
    trial.save(state)
    ended = browser.get(f"{console.base}/setup/sources/depot/trial")
    assert "hx-trigger" not in ended.text and "530 No." in ended.text
    del browser.headers["hx-request"]
    assert browser.get(f"{console.base}/setup/sources/depot/trial").status == 303


def test_a_host_key_that_the_test_showed_is_pinned_by_a_click(console: Console, house: ProgramHarness) -> None:
    document = house.hub.programs.versions(house.program)[0].document
    options = {"protocol": "sftp", "host": "ftp.merchant.example", "user": "u"}
    house.apply({**document, "sources": {**document["sources"], "depot": {"channel": "pull", "options": options}}})
    browser = console.person()
    browser.send(browser.get(f"{console.base}/setup/sources/depot").form("/test"))
    state = house.hub.state(house.program, "depot")
    trial = ConnectionTest.load(state)
    assert trial is not None
    line = SSH_KEY.rsplit(" ", 1)[0]
    trial.fail("HOST_KEY_NOT_APPROVED", house.hub.now(), {"host": "h", "line": line, "fingerprint": "SHA256:x"})
    trial.save(state)
    link = re.search(r'href="([^"]*edit\?pin=[^"]*)"', browser.get(f"{console.base}/setup/sources/depot").body.decode())
    assert link is not None
    assert line in browser.get(link[1]).text
    page = browser.get(f"{console.base}/setup/sources/depot/edit?pin=ssh-ed25519%20nonsense").body.decode()
    assert re.findall(r'<textarea id="f-options.host_keys"[^>]*>([^<]*)<', page) == [""]


# Keys and secrets


def test_a_key_is_made_shown_once_and_revoked_after_its_last_use_was_told(
    console: Console, house: ProgramHarness
) -> None:
    browser = console.person(name="Ana")
    form = browser.get(f"{console.base}/setup/keys").form("/setup/keys")
    assert browser.send(form, name=" ").status == 422
    shown = browser.send(form, name="till 5")
    key = re.search(r"rk_[\w-]+", shown.text)
    assert shown.status == 200 and key is not None and "I have stored them" in shown.text
    page = browser.get(f"{console.base}/setup/keys")
    assert key[0] not in page.text and f"…{key[0][-4:]}" in page.text and "never" in page.said and "Ana" in page.said
    found = house.hub.principal(key[0])
    assert found == Principal(house.program, "merchant", "till 5")
    house.clock.moment += timedelta(minutes=3)
    (mine,) = house.hub.programs.keys(house.program)
    asked = browser.get(f"{console.base}/setup/keys?id={mine.id}")
    assert "Last used 3 minutes ago" in asked.said and "cannot be taken back" in asked.said
    assert house.hub.principal(key[0]) is not None, "looking changes nothing"
    assert browser.send(asked.form("/keys/revoke")).status == 303
    assert house.hub.principal(key[0]) is None
    assert "Revoked" in browser.get(f"{console.base}/setup/keys").said


def test_a_secret_is_rotated_and_the_old_one_revoked(console: Console, house: ProgramHarness) -> None:
    browser = console.person(name="Ana")
    page = browser.get(f"{console.base}/setup/keys")
    rotate = next(form for form in page.forms() if form.get("source") == "erp")
    shown = browser.send(rotate, what="signing")
    fresh = re.search(r"whsec_[\w+/=]+", shown.text)
    assert fresh is not None and house.hub.secrets.newest(house.program, "erp")["signing"][0] == fresh[0]
    assert browser.send(rotate, what="signing").status == 409
    page = browser.get(f"{console.base}/setup/keys")
    assert fresh[0] not in page.text and "Ana" in page.said
    link = re.findall(r'href="([^"]*\?source=erp[^"]*)"', page.body.decode())[-1].replace("&amp;", "&")
    assert browser.send(browser.get(link).form("/keys/revoke")).status == 303
    assert house.hub.secrets.newest(house.program, "erp")["signing"] == [fresh[0]]


def test_nobody_but_an_administrator_sees_keys_or_changes_channels(console: Console, house: ProgramHarness) -> None:
    browser = console.person("manager")
    for path in ("setup/keys", "setup/new-source?channel=sftp", "setup/sources/erp/edit"):
        assert browser.get(f"{console.base}/{path}").status == 403, path
    page = browser.get(channels(console)).text
    assert "Switch off" not in page and "Add a source" not in page


@pytest.mark.parametrize("language", ["de", "fr"])
def test_the_pages_speak_the_readers_language(console: Console, language: str) -> None:
    browser = console.person()
    browser.headers["accept-language"] = language
    for path in (channels(console), f"{console.base}/setup/keys", f"{console.base}/setup/new-source?channel=pull"):
        text = browser.get(path).said
        assert "Add a source" not in text and "Last delivery" not in text and "Show what it changes" not in text, path
