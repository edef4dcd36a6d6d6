"""Keys and secrets through the API's front door: shown once, known by their last use, ended for good."""

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from functions.webhook import app as webhook
from tests.conftest import ProgramHarness
from tests.functions.test_api import Caller, admin, call, text_of
from tests.gateway import hook

from retour.channels.standard import sign_headers
from retour.store.programs import Principal

__all__ = ["admin", "call"]
CONTEXT = SimpleNamespace(function_name="f", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="1")
KEYS = "/v1/programs/{p}/keys"
SECRETS = "/v1/programs/{p}/sources/erp/secrets"
TWICE = "/v1/programs/{p}/batches"


def test_a_key_is_shown_once_listed_without_itself_and_revoked_for_good(admin: Caller, house: ProgramHarness) -> None:
    made = admin("POST", KEYS, {"name": "till 5"})
    key = made.json["key"]
    assert made.status == 201 and made.json["tail"] == key[-4:] and made.json["made_by"] == "operator"
    till = Caller(key, house.program)
    assert till("GET", TWICE).status == 200
    [mine, first] = admin("GET", KEYS).json["items"]
    assert (mine["name"], first["name"]) == ("till 5", "first key") and first["last_used_at"] is None
    assert mine["last_used_at"] and key not in json.dumps(admin("GET", KEYS).json)
    gone = admin("POST", f"{KEYS}/{mine['id']}/revoke")
    assert gone.status == 200 and gone.json["last_used_at"] == mine["last_used_at"]
    assert (gone.json["revoked_by"], bool(gone.json["revoked_at"])) == ("operator", True)
    assert till("GET", TWICE).status == 401
    assert admin("POST", f"{KEYS}/{mine['id']}/revoke").status == 404
    assert [one["revoked_by"] for one in admin("GET", KEYS).json["items"]] == ["operator", ""]


def test_every_key_is_listed_and_the_oldest_of_many_can_be_revoked(admin: Caller, house: ProgramHarness) -> None:
    for n in range(230):
        house.hub.programs.grant(f"rk_many_{house.program}_{n}", Principal(house.program, "merchant", f"till {n}"))
    listed = admin("GET", KEYS).json["items"]
    names = {one["name"] for one in listed}
    assert len(listed) == len(names) == 231 and names >= {f"till {n}" for n in range(230)}
    assert admin("POST", f"{KEYS}/{listed[-1]['id']}/revoke").status == 200
    assert admin("GET", KEYS).json["items"][-1]["revoked_by"] == "operator"


def test_that_a_key_was_used_is_written_once_an_hour(
    admin: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = Caller(admin("POST", KEYS, {"name": "till 5"}).json["key"], house.program)
    written: list[Any] = []
    update = house.hub._dynamodb.update_item
    monkeypatch.setattr(house.hub._dynamodb, "update_item", lambda **asked: written.append(asked) or update(**asked))
    for _ in range(5):
        till("GET", TWICE)
    assert len(written) == 1
    house.clock.moment += timedelta(minutes=59)
    till("GET", TWICE)
    assert len(written) == 1
    house.clock.moment += timedelta(minutes=2)
    till("GET", TWICE)
    assert len([one for one in written if one["Key"] == written[0]["Key"]]) == 2


def test_only_an_administrator_makes_and_revokes_and_only_own_keys_are_seen(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    [first] = [key for key in admin("GET", KEYS).json["items"] if key["name"] == "first key"]
    assert call("POST", KEYS, {"name": "x"}).status == 403
    assert call("POST", f"{KEYS}/{first['id']}/revoke").status == 403
    assert {key["name"] for key in call("GET", KEYS).json["items"]} == {"first key", "till 4"}
    assert call("GET", "/v1/programs/somebody-elses/keys").status == 404
    other = f"{house.program}-b"
    assert admin("PUT", f"/v1/programs/{other}", text_of(other)).status == 201
    assert admin("POST", f"/v1/programs/{other}/keys/{first['id']}/revoke").status == 404


def hooked(house: ProgramHarness, secret: str, number: int) -> int:
    record = {"order_id": "A-1", "change": "reverse", "reason": "CANCELLED", "reference": f"R-{number}"}
    body = json.dumps(record).encode()
    headers = sign_headers(body, [secret], house.hub.real_now())
    found = webhook.handler(hook(house.program, "erp", body, headers), CONTEXT)
    return int(found["statusCode"])


def test_a_secret_is_rotated_without_a_gap_and_the_old_one_revoked_by_its_last_use(
    admin: Caller, call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "hub", lambda: house.hub)
    [old] = house.hub.secret(house.program, "erp")["signing"]
    made = call("POST", f"{SECRETS}/signing/rotate")
    assert made.status == 201 and made.json["secret"].startswith("whsec_") and made.json["secret"] != old
    assert [hooked(house, secret, n) for n, secret in enumerate((old, made.json["secret"]))] == [200, 200]
    assert call("POST", f"{SECRETS}/signing/rotate").json["code"] == "TWO_SECRETS_LIVE"
    answer = call("GET", SECRETS)
    newest, oldest = answer.json["items"]
    assert (newest["made_by"], oldest["made_by"]) == ("till 4", "operator")
    assert newest["last_used_at"] and oldest["last_used_at"] and old not in answer.body.decode()
    gone = call("POST", f"{SECRETS}/signing/{oldest['id']}/revoke")
    assert gone.status == 200 and gone.json["last_used_at"] == oldest["last_used_at"]
    assert [hooked(house, secret, 9) for secret in (old, made.json["secret"])] == [401, 200]
    changes = call("GET", SECRETS).json["changes"]
    assert [(one["act"], one["by"]) for one in changes] == [
        ("revoked", "till 4"), ("made", "till 4"), ("made", "operator"),
    ]  # fmt: skip
    assert call("POST", f"{SECRETS}/signing/{oldest['id']}/revoke").status == 404


def test_an_answer_with_a_secret_is_not_given_twice(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    for caller, path in ((call, f"{SECRETS}/signing/rotate"), (admin, KEYS)):
        assert caller("POST", path, {}, idempotency_key="k-1").status == 201
        again = caller("POST", path, {}, idempotency_key="k-1")
        assert (again.status, again.json["code"]) == (409, "ANSWER_SHOWN_ONCE")
    assert len(call("GET", SECRETS).json["items"]) == 2 and len(admin("GET", KEYS).json["items"]) == 3


def test_what_others_make_is_handed_over_and_never_told(call: Caller, admin: Caller, house: ProgramHarness) -> None:
    options = {"protocol": "sftp", "host": "ftp.merchant.example", "user": "retour"}
    sources = {"depot": {"channel": "pull", "options": options}, "crm": {"channel": "api"}}
    assert admin("PUT", "/v1/programs/{p}", text_of(house.program, sources=sources)).status == 200
    depot = "/v1/programs/{p}/sources/depot"
    assert call("POST", f"{depot}/secrets/signing/rotate").json["code"] == "SECRET_NOT_MADE_HERE"
    assert call("PUT", f"{depot}/secret", {"password": "s3cret"}).status == 200
    [told] = call("GET", f"{depot}/secrets").json["items"]
    assert (told["what"], told["id"], told["tail"], told["made_by"]) == ("password", "password", "", "till 4")
    assert "s3cret" not in json.dumps(call("GET", f"{depot}/secrets").json)


def test_an_openpgp_key_is_ended_with_its_secret_half(call: Caller, house: ProgramHarness) -> None:
    pytest.importorskip("pysequoia")
    made = call("POST", "/v1/programs/{p}/sources/erp/openpgp").json
    [line] = [one for one in call("GET", SECRETS).json["items"] if one["what"] == "openpgp"]
    assert (line["id"], line["made_by"]) == (made["fingerprint"], "till 4")
    assert call("POST", f"{SECRETS}/openpgp/{line['id']}/revoke").status == 200
    assert not [one for one in call("GET", SECRETS).json["items"] if one["what"] == "openpgp"]
    assert house.hub.secrets.newest(house.program, "erp.openpgp.0") == {}
