"""retour program test and retour keys: steps as they are done, keys with their last use, secrets shown once."""

import json
from typing import Any

import pytest
from tests.cli.fake_hub import CannedResponse, FakeHub

from retour.cli import main

P = "/v1/programs/acme"
KEY = {
    "id": "0a1b2c3d4e5f", "name": "till 5", "role": "merchant", "tail": "x9Yz", "made_at": "2026-11-21T12:00:00.000Z",
    "made_by": "Ana", "last_used_at": "2026-11-22T02:00:00.000Z", "revoked_at": None, "revoked_by": "",
}  # fmt: skip
SECRET = {"what": "signing", "id": "ffeeddccbbaa", "tail": "QQ==", "last_used_at": None}


def step(name: str, state: str, explanation: str = "") -> dict[str, Any]:
    return {"step": name, "what": name.upper(), "state": state, "explanation": explanation}


def trial(state: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"test": {"state": state, "steps": list(steps)}}


@pytest.fixture
def retour(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.setenv("RETOUR_URL", hub.url)
    monkeypatch.setenv("RETOUR_KEY", "rk_acme_x")
    monkeypatch.setenv("RETOUR_PROGRAM", "acme")
    hub.says(f"GET {P}", {"document": {"sources": {"erp": {"channel": "pull"}, "mail": {"channel": "email"}}}})
    return hub


def test_each_step_is_shown_once_as_it_is_done_and_a_failure_is_1(
    retour: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, login = (
        step("secret", "done", "A password is stored."),
        step("login", "failed", "530 No. Compare the user."),
    )
    retour.says(f"POST {P}/sources/erp/test", trial("running", step("secret", "running"), step("login", "open")))
    retour.answers[f"GET {P}/sources/erp"] = [
        CannedResponse(200, trial("running", secret, step("login", "running"))),
        CannedResponse(200, trial("failed", secret, login)),
    ]
    assert main(["program", "test", "erp"]) == 1
    out = capsys.readouterr().out
    assert out.count("A password is stored.") == 1 and "530 No. Compare the user." in out


def test_a_source_that_waits_for_a_mail_is_left_when_nobody_wants_to_wait(
    retour: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    retour.says(f"POST {P}/sources/mail/test", trial("waiting", step("mail", "waiting", "Now send a mail")))
    assert main(["program", "test", "mail", "--no-wait"]) == 0
    assert "Now send a mail" in capsys.readouterr().out


def test_every_source_is_tested_where_none_is_named(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("erp", "mail"):
        retour.says(f"POST {P}/sources/{name}/test", trial("passed", step("secret", "done", "ok")))
    assert main(["program", "test", "--json"]) == 0
    assert {name: told["state"] for name, told in json.loads(capsys.readouterr().out).items()} == {
        "erp": "passed", "mail": "passed",
    }  # fmt: skip


def test_keys_are_listed_with_their_last_use_and_revoked(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    retour.says(f"GET {P}/keys", {"items": [KEY], "next": None})
    assert main(["keys", "--list"]) == 0
    assert "till 5" in capsys.readouterr().out
    retour.says(f"POST {P}/keys/{KEY['id']}/revoke", {**KEY, "revoked_at": "2026-11-22T03:00:00.000Z"})
    assert main(["keys", "--revoke", str(KEY["id"])]) == 0
    assert "till 5 0a1b2c3d4e5f is revoked (last used 2026-11-22T02:00:00.000Z)." in capsys.readouterr().out


def test_a_secret_is_rotated_and_the_old_one_revoked_by_its_id(
    retour: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{P}/sources/erp/secrets"
    retour.says(f"POST {path}/signing/rotate", {"source": "erp", "what": "signing", "secret": "whsec_new"}, 201)
    assert main(["keys", "--source", "erp", "--rotate", "signing"]) == 0
    assert "secret: whsec_new" in capsys.readouterr().out
    retour.says(f"GET {path}", {"source": "erp", "items": [SECRET], "changes": []})
    retour.says(f"POST {path}/signing/{SECRET['id']}/revoke", {**SECRET, "source": "erp"})
    assert main(["keys", "--source", "erp", "--revoke", str(SECRET["id"])]) == 0
    assert "signing ffeeddccbbaa is revoked (never used)." in capsys.readouterr().out
    assert main(["keys", "--source", "erp", "--revoke", "nothing"]) == 2
    assert main(["keys", "--rotate", "signing"]) == 2
