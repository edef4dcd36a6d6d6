"""A merchant's server tried, against the servers that merchants run: each step is told, and nothing is taken."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncssh
import pytest
from tests.remote.conftest import ACME, PollTestHub, resolve, source
from tests.servers.daemons import PASSWORD, Daemon, Identity
from tests.settings import change_settings

from retour.connection_test import pull
from retour.connection_test.steps import TEST_MAX, ConnectionTest, StepRecorder
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.remote import RemoteError, ftp, sftp

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def open_server(options: Any, secret: Any, allow_private: bool, watch: Any) -> Any:
    way = sftp if options["protocol"] == "sftp" else ftp
    return way.connect(options, secret, timeout=8, allow_private=allow_private, resolve=resolve, watch=watch)


def tried(house: PollTestHub, found: Source, secret: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The trial as a person reads it."""
    house.secrets = secret
    trial = ConnectionTest.start("t-1", found, "Ana", NOW)
    ways = {"resolve": resolve, "open_server": open_server, **more}
    try:
        pull.run_steps(house, ACME, found, StepRecorder(trial, house.state("", ""), lambda: NOW), **ways)  # type: ignore[arg-type]
    except RemoteError as error:
        trial.fail(error.code, NOW, error.details)
    return trial.document("en", NOW)


def states(document: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in document["steps"]}


def said(document: dict[str, Any], step: str) -> str:
    return next(str(one["explanation"]) for one in document["steps"] if one["step"] == step)


def test_every_server_of_merchants_passes_step_by_step_and_keeps_its_files(daemon: Daemon, house: PollTestHub) -> None:
    daemon.leave("may.csv", b"1", age=7200)
    daemon.leave("june.csv", b"2", age=60)
    daemon.leave("readme.txt", b"3", age=1)
    told = tried(house, source(daemon, pattern="*.csv"), daemon.secret)
    assert set(states(told).values()) == {"done"}, told
    assert "3 files found" in said(told, "folder")
    assert said(told, "newest") == "2 match *.csv, the newest is june.csv. Nothing was fetched."
    assert sorted(path.name for path in (daemon.root / "out").iterdir()) == ["june.csv", "may.csv", "readme.txt"]
    assert house.inbox.puts == [] and house.announced == []
    proof = said(told, "trust")
    match daemon.options["protocol"]:
        case "sftp":
            assert proof.startswith("The host key is the pinned one: SHA256:")
        case "ftps":
            assert "SHA256:" in proof and "valid until" in proof
        case _:
            assert "the server is not authenticated" in proof


@pytest.mark.parametrize("kind", ["openssh-sftp", "vsftpd-explicit"])
def test_a_wrong_login_fails_there_with_the_servers_own_words_and_no_password(
    kind: str, start: Callable[[str], Daemon], house: PollTestHub
) -> None:
    running = start(kind)
    wrong = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    secret = {"private_key": wrong} if "private_key" in running.secret else {"password": f"not-{PASSWORD}"}
    told = tried(house, source(running), secret)
    assert states(told) == {
        "secret": "done", "resolve": "done", "connect": "done", "trust": "done", "login": "failed", "folder": "open",
        "newest": "open",
    }  # fmt: skip
    assert told["state"] == "failed"
    step = next(one for one in told["steps"] if one["step"] == "login")
    assert step["code"] == "LOGIN_REFUSED" and step["said"] and "store the password or key again" in step["explanation"]
    assert PASSWORD not in str(told)


def test_an_unknown_host_key_is_shown_with_the_line_to_pin(start: Callable[[str], Daemon], house: PollTestHub) -> None:
    running = start("openssh-sftp")
    told = tried(house, source(running, host_keys=[]), running.secret)
    assert states(told)["trust"] == "failed" and states(told)["connect"] == "done"
    line = said(told, "trust").rsplit('"', 2)[1]
    told = tried(house, source(running, host_keys=[line]), running.secret)
    assert states(told)["login"] == "done"


def test_a_certificate_of_another_authority_fails_before_the_password_is_said(
    start: Callable[[str], Daemon], house: PollTestHub, keys: Identity
) -> None:
    running = start("vsftpd-explicit")
    told = tried(house, source(running, ca=keys.other_ca), running.secret)
    assert states(told)["trust"] == "failed" and states(told)["login"] == "open"


def test_a_folder_that_is_not_there_is_named(start: Callable[[str], Daemon], house: PollTestHub) -> None:
    running = start("vsftpd-plain")
    told = tried(house, source(running, folder="/abroad"), running.secret)
    assert states(told)["folder"] == "failed" and "/abroad" in said(told, "folder")


def test_an_empty_folder_is_a_warning_and_no_failure(start: Callable[[str], Daemon], house: PollTestHub) -> None:
    running = start("vsftpd-plain")
    told = tried(house, source(running, pattern="*.xml"), running.secret)
    assert told["state"] == "warned" and "No file matches *.xml" in said(told, "newest")


def test_nothing_is_tried_without_a_password_nor_in_our_own_network(house: PollTestHub) -> None:
    options = {"protocol": "ftps", "host": "ftp.test", "port": 2121, "user": "u"}
    found = Source(name="erp", channel=Channel.PULL, options=options)
    assert states(tried(house, found, {}))["secret"] == "failed"
    change_settings(house, allow_private_hosts=False)
    told = tried(house, found, {"password": "p"}, resolve=lambda _host, _port: ["10.0.0.1"])
    assert states(told)["resolve"] == "failed" and "10.0.0.1" in said(told, "resolve")


def test_a_trial_that_nobody_takes_up_is_told_as_such(house: PollTestHub) -> None:
    options = {"protocol": "ftps", "host": "ftp.test", "user": "u"}
    trial = ConnectionTest.start("t-1", Source(name="erp", channel=Channel.PULL, options=options), "Ana", NOW)
    assert (trial.state(NOW), trial.document("en", NOW)["steps"][0]["state"]) == ("running", "running")
    later = trial.document("de", NOW + TEST_MAX * 2)
    assert (later["state"], later["steps"][0]["code"]) == ("failed", "TRIAL_NOT_TAKEN_UP")
    assert "retour doctor" in later["steps"][0]["explanation"]
