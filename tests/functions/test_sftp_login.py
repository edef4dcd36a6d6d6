"""Who may log in on the SFTP server in the cloud, and to which folder."""

import importlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness

from retour.settings import read_settings
from retour.wiring import Hub

KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ8mYv1nMfhk4rH2mS0mAnnUC1kOKcEoFLaTf1yF8oK warehouse"]
CONTEXT = SimpleNamespace(
    function_name="sftp_login", memory_limit_in_mb=512, invoked_function_arn="arn:aws:lambda:::", aws_request_id="1"
)


@pytest.fixture
def login(house: ProgramHarness, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks as Transfer does: a user name in, what the user may do out."""
    sources = {**PROGRAM["sources"], "depot": {"channel": "sftp", "options": {"public_keys": KEYS}}}
    house.apply({**PROGRAM, "sources": sources})
    app = importlib.import_module("functions.sftp_login.app")
    hub = Hub(read_settings({**environment, "SFTP_ROLE": "arn:aws:iam::000000000000:role/sftp"}))
    monkeypatch.setattr(app, "hub", lambda: hub)
    return lambda user: app.handler({"username": user, "protocol": "SFTP", "serverId": "s-1"}, CONTEXT)


def test_the_user_of_a_source_gets_its_keys_and_its_folder_alone(login: Any, house: ProgramHarness) -> None:
    answer, bucket = login(f"{house.program}.depot"), house.hub.settings.inbox_bucket
    assert answer["PublicKeys"] == KEYS
    assert answer["Role"] == "arn:aws:iam::000000000000:role/sftp"
    folder = f"sftp/{house.program}/depot"
    assert json.loads(answer["HomeDirectoryDetails"]) == [{"Entry": "/", "Target": f"/{bucket}/{folder}"}]
    objects, listing = json.loads(answer["Policy"])["Statement"]
    assert objects["Resource"] == f"arn:aws:s3:::{bucket}/{folder}/*"
    assert listing["Condition"]["StringLike"]["s3:prefix"] == [folder, f"{folder}/*"]
    assert len(answer["Policy"]) < 2048, "Transfer takes no longer policy"


@pytest.mark.parametrize(
    "user", ["", ".", "nobody", "nobody.depot", "{}", "{}.", "{}.erp", "{}.warehouse", "{}.depot.x"]
)
def test_nobody_else_gets_in(login: Any, house: ProgramHarness, user: str) -> None:
    """Unknown programs and sources, sources of other channels, and an sftp source that has no key yet."""
    assert login(user.format(house.program)) == {}
