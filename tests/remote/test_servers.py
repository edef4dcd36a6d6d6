"""Every operation against the servers that merchants run, as their packages ship them."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncssh
import pytest
from tests.remote.conftest import fetched, log_in
from tests.servers.daemons import HOST, KINDS, PASSWORD, Daemon, Identity, free_port, openssh

from retour.remote import FileClient, RemoteError

BODY = "reference;order_id;Betrag\r\n1;A-1;12,50 €\r\n".encode() + bytes(range(256)) * 4000
TLS = ("vsftpd-explicit", "vsftpd-implicit", "proftpd-explicit", "proftpd-implicit", "pureftpd-explicit")
SFTP = ("openssh-sftp", "proftpd-sftp")


def test_lists_and_fetches_whatever_the_name(daemon: Daemon, server: FileClient) -> None:
    names = ["returns.csv", "zwei  Leerzeichen.csv", "  vorn.csv", "Rückgaben – Mai.csv", "[a]*.csv"]
    for name in names:
        daemon.leave(name, BODY, age=7200)
    daemon.leave("leer.csv", b"")
    (daemon.root / "out" / "archive").mkdir()
    (daemon.root / "out" / "latest.csv").symlink_to("returns.csv")
    out = daemon.options["folder"]
    files = {file.name: file for file in server.files(out, lambda name: True)}
    assert set(files) == {*names, "leer.csv", "latest.csv"}
    for name in [*names, "latest.csv"]:
        changed = datetime.fromtimestamp(int(os.stat(daemon.root / "out" / name).st_mtime), UTC)
        assert (files[name].size, files[name].modified) == (len(BODY), changed)
        assert fetched(server, out, name) == BODY
        assert server.stat(out, name) == files[name]
    assert fetched(server, out, "leer.csv") == b""
    assert server.stat(out, "nowhere.csv") is None


def test_asks_only_about_wanted_files(daemon: Daemon, server: FileClient) -> None:
    daemon.leave("a.csv", b"a")
    daemon.leave("b.txt", b"b")
    files = server.files(daemon.options["folder"], lambda name: name.endswith(".csv"))
    assert sorted(file.name for file in files) == ["a.csv", "b.txt"]
    assert next(file for file in files if file.name == "a.csv").size == 1


def test_an_answer_is_there_whole_or_not_at_all_and_replaces_its_former_self(
    daemon: Daemon, server: FileClient
) -> None:
    there = daemon.root / "in"
    for body in (b"first", BODY):
        server.put(daemon.options["result_folder"], "result_Rückgaben Mai.csv.csv", body)
        assert [(path.name, path.read_bytes()) for path in there.iterdir()] == [("result_Rückgaben Mai.csv.csv", body)]


def test_a_broken_earlier_attempt_does_not_block_an_answer(daemon: Daemon, server: FileClient) -> None:
    left = daemon.root / "in" / "result_a.csv.part"
    left.write_bytes(b"half")
    os.chown(left, 1, 1)
    server.put(daemon.options["result_folder"], "result_a.csv", b"whole")
    assert [(path.name, path.read_bytes()) for path in (daemon.root / "in").iterdir()] == [("result_a.csv", b"whole")]


def test_deletes(daemon: Daemon, server: FileClient) -> None:
    for name in ("bleibt.csv", " geht ü.csv"):
        daemon.leave(name, b"1")
    server.delete(daemon.options["folder"], " geht ü.csv")
    assert [path.name for path in (daemon.root / "out").iterdir()] == ["bleibt.csv"]


def test_a_folder_that_is_not_there_is_named(daemon: Daemon, server: FileClient) -> None:
    with pytest.raises(RemoteError) as told:
        server.files("/abroad", lambda name: True)
    assert told.value.code == "FOLDER_NOT_FOUND" and "/abroad" in told.value.sentence


def test_a_file_that_may_not_be_read_is_a_refusal_of_that_file_only(daemon: Daemon, server: FileClient) -> None:
    path = daemon.leave("closed.csv", b"1")
    path.chmod(0)
    os.chown(path, 0, 0)
    daemon.leave("open.csv", b"2")
    out = daemon.options["folder"]
    with pytest.raises(RemoteError) as told:
        fetched(server, out, "closed.csv")
    assert told.value.code == "REFUSED" and "closed.csv" in told.value.sentence
    assert fetched(server, out, "open.csv") == b"2"


# Pure-FTPd takes five seconds to say no; once is enough.
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"pureftpd-plain"}))
def test_a_wrong_password_or_key_is_told_without_repeating_it(kind: str, start: Callable[[str], Daemon]) -> None:
    daemon = start(kind)
    wrong = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    secret = {"private_key": wrong} if "private_key" in daemon.secret else {"password": "not-" + PASSWORD}
    with pytest.raises(RemoteError) as told:
        log_in(daemon.options, secret)
    assert told.value.code == "LOGIN_REFUSED" and told.value.lasting
    assert daemon.options["user"] in told.value.sentence and PASSWORD not in told.value.sentence


def test_no_credentials_is_told_before_anything_is_sent(daemon: Daemon) -> None:
    with pytest.raises(RemoteError) as told:
        log_in(daemon.options | {"host": "unused.test", "port": 1}, {})
    assert told.value.code == "NO_CREDENTIALS"


@pytest.mark.parametrize("kind", TLS)
def test_a_certificate_is_believed_from_its_authority_for_its_name_only(
    kind: str, start: Callable[[str], Daemon], keys: Identity
) -> None:
    daemon = start(kind)
    for options in ({"ca": keys.other_ca}, {"ca": None}, {"host": "else.merchant.test"}):
        with pytest.raises(RemoteError) as told:
            log_in({**daemon.options, **options}, daemon.secret)
        assert told.value.code == "CERTIFICATE_NOT_TRUSTED"
        assert "options.ca" in told.value.sentence


@pytest.mark.parametrize("kind", TLS)
def test_an_old_server_is_spoken_to_in_tls_1_2(kind: str, start: Callable[[str], Daemon]) -> None:
    daemon = start(kind)
    daemon.leave("a.csv", BODY)
    with closing(log_in({**daemon.options, "max_tls": "1.2"}, daemon.secret)) as server:
        for _ in range(3):
            assert fetched(server, "/out", "a.csv") == BODY


@pytest.mark.parametrize("kind", ["vsftpd-plain", "proftpd-plain", "pureftpd-plain"])
def test_nothing_secret_is_said_to_a_server_without_tls(kind: str, start: Callable[[str], Daemon]) -> None:
    daemon = start(kind)
    with pytest.raises(RemoteError) as told:
        log_in({**daemon.options, "protocol": "ftps"}, daemon.secret)
    assert told.value.code == "TLS_NOT_OFFERED"
    with pytest.raises(RemoteError) as told:
        log_in({**daemon.options, "allow_plain": False}, daemon.secret)
    assert told.value.code == "PLAIN_FTP_NOT_ALLOWED"


@pytest.mark.parametrize("kind", SFTP)
def test_an_unknown_host_key_is_shown_for_approval_and_then_works(kind: str, start: Callable[[str], Daemon]) -> None:
    daemon = start(kind)
    with pytest.raises(RemoteError) as told:
        log_in({**daemon.options, "host_keys": []}, daemon.secret)
    assert told.value.code == "HOST_KEY_NOT_APPROVED" and "SHA256:" in told.value.sentence
    assert "No host key is approved" in told.value.sentence
    line = told.value.sentence.rsplit('"', 2)[1]
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    with pytest.raises(RemoteError) as told:
        log_in({**daemon.options, "host_keys": [other]}, daemon.secret)
    assert told.value.code == "HOST_KEY_CHANGED" and "another machine" in told.value.sentence
    log_in({**daemon.options, "host_keys": [other, line]}, daemon.secret).close()


@pytest.mark.parametrize(
    ("configured", "legacy"),
    [
        ("KexAlgorithms diffie-hellman-group14-sha1", "diffie-hellman-group14-sha1"),
        ("KexAlgorithms diffie-hellman-group1-sha1", "diffie-hellman-group1-sha1"),
        ("Ciphers aes128-cbc", "aes128-cbc"),
        ("MACs hmac-sha1\nCiphers aes128-ctr", "hmac-sha1"),
    ],
)
def test_outdated_algorithms_only_where_the_source_names_them(
    configured: str, legacy: str, workshop: Path, keys: Identity
) -> None:
    folder = workshop / f"old-{legacy}"
    with openssh(folder, keys, configured) as daemon:
        with pytest.raises(RemoteError) as told:
            log_in(daemon.options, daemon.secret)
        assert told.value.code == "NO_COMMON_ALGORITHM" and legacy in told.value.sentence
        log_in({**daemon.options, "legacy_algorithms": [legacy]}, daemon.secret).close()


@pytest.mark.parametrize("option", ["legacy_algorithms", "host_keys"])
def test_an_option_that_means_nothing_is_named(option: str) -> None:
    options = {"protocol": "sftp", "host": HOST, "user": "u", option: ["rot13 aaaa"]}
    with pytest.raises(RemoteError) as told:
        log_in(options, {"password": "p"})
    assert told.value.code == "BAD_OPTION" and option in told.value.sentence


@pytest.mark.parametrize("secret", [{"private_key": "-----BEGIN NONSENSE-----"}, {"private_key": "\x00"}])
def test_a_private_key_that_is_none_is_told(secret: dict[str, str]) -> None:
    with pytest.raises(RemoteError) as told:
        log_in({"protocol": "sftp", "host": HOST, "user": "u"}, secret)
    assert told.value.code == "BAD_PRIVATE_KEY"


PROTOCOLS = (
    {"protocol": "ftp", "allow_plain": True},
    {"protocol": "ftps"},
    {"protocol": "ftps", "implicit": True},
    {"protocol": "sftp"},
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_not_there(protocol: dict[str, object]) -> None:
    with pytest.raises(RemoteError) as told:
        log_in({**protocol, "host": HOST, "port": free_port(), "user": "u"}, {"password": "p"})
    assert told.value.code == "UNREACHABLE" and not told.value.lasting


@pytest.fixture
def babbler() -> Iterator[Callable[[bytes], int]]:
    """Listens, says something or nothing, and never anything else."""
    sockets: list[socket.socket] = []

    def listen(say: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            try:
                while True:
                    visitor, _ = listener.accept()
                    sockets.append(visitor)
                    visitor.sendall(say)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    yield listen
    for each in sockets:
        each.close()


@pytest.mark.parametrize("say", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"421 too many connections\r\n"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_machine_that_is_no_such_server_costs_little_time(
    protocol: dict[str, object], say: bytes, babbler: Callable[[bytes], int]
) -> None:
    options = {**protocol, "host": HOST, "port": babbler(say), "user": "u"}
    started = time.monotonic()
    with pytest.raises(RemoteError) as told:
        log_in(options, {"password": "p"}, timeout=0.3)
    assert told.value.code in ("NOT_STARTED", "TLS_FAILED")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_protocol_leads_into_our_own_network(protocol: dict[str, object], babbler: Callable[[bytes], int]) -> None:
    with pytest.raises(RemoteError) as told:
        log_in({**protocol, "host": HOST, "port": babbler(b""), "user": "u"}, {"password": "p"}, allow_private=False)
    assert told.value.code == "ADDRESS_NOT_ALLOWED"
