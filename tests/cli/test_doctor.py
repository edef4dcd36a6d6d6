"""retour doctor: what is well, what is not, and what to do about it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.fake_hub import FakeHub

from retour.cli import main

WELL: dict[str, Any] = {
    "now": "2026-11-21T12:00:00.000Z",
    "checks": [
        {"name": "queue answers", "state": "ok", "detail": "1 waiting", "fix": ""},
        {"name": "acme: source orders", "state": "ok", "detail": "last delivery 2026-11-21T11:59:00.000Z", "fix": ""},
    ],
}


def ready(folder: Path, hub: FakeHub, **more: Any) -> None:
    (folder / ".retour").mkdir()
    document = {"api": hub.url, "admin_key": "rk_admin_x", "programs": {}, **more}
    (folder / ".retour/ready.json").write_text(json.dumps(document))


@pytest.fixture
def silent() -> Iterator[dict[str, Any]]:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = {"host": "127.0.0.1", "port": taken.getsockname()[1]}
    yield where


def states(text: str) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(text)["checks"]}


def test_all_is_well(tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    ready(tmp_path, hub)
    hub.says("GET /healthz", {"status": "ok"})
    hub.says("GET /v1/doctor", WELL)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Everything in reach is well." in out
    assert "last delivery 2026-11-21T11:59:00.000Z" in out


def test_what_needs_a_person_is_named_with_what_to_do(
    tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    erp = {
        "name": "acme: source erp",
        "state": "failed",
        "detail": "The password is wrong.",
        "fix": "Hand over another.",
    }
    dead = {"name": "queue parked", "state": "warning", "detail": "3 set aside", "fix": "retour redrive"}
    ready(tmp_path, hub)
    hub.says("GET /healthz", {"status": "ok"})
    hub.says("GET /v1/doctor", {**WELL, "checks": [erp, dead]})
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "acme: source erp: The password is wrong.\n   → Hand over another." in out
    assert "queue parked: 3 set aside\n   → retour redrive" in out
    assert "1 failed, 1 to look at." in out


def test_a_server_that_does_not_answer_fails(
    tmp_path: Path, hub: FakeHub, silent: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    source = {"channel": "sftp", "user": "acme.warehouse", "private_key_file": str(tmp_path / "none")}
    programs = {"acme": {"api_key": "k", "sources": {"warehouse": source}}}
    ready(tmp_path, hub, sftp=silent, smtp=silent, programs=programs)
    hub.says("GET /healthz", {"status": "ok"})
    hub.says("GET /v1/doctor", WELL)
    assert main(["doctor", "--json"]) == 1
    found = states(capsys.readouterr().out)
    assert found["API"] == "ok"
    assert found["SMTP"] == "failed"
    assert found["SFTP login of acme/warehouse"] == "failed"


def test_a_wrong_key_is_named(tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    ready(tmp_path, hub)
    hub.says("GET /healthz", {"status": "ok"})
    hub.refuses("GET /v1/doctor", 401, "UNAUTHORIZED", "This key opens nothing here.")
    assert main(["doctor", "--json"]) == 1
    assert states(capsys.readouterr().out)["key"] == "failed"


def test_mails_that_were_sent_are_shown(tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    mail = {
        "at": "2026-11-21T12:00:00+00:00", "to": ["a@shop.example"], "subject": "Re: returns",
        "text": "2 rows: 1 applied, 1 refused.", "attachments": ["rejected_returns.csv"],
    }  # fmt: skip
    ready(tmp_path, hub)
    hub.says("GET /v1/mails", {"items": [mail], "next": None})
    assert main(["doctor", "--mail"]) == 0
    out = capsys.readouterr().out
    assert "2 rows: 1 applied, 1 refused." in out
    assert "rejected_returns.csv" in out
    assert main(["doctor", "--mail", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == [mail]
