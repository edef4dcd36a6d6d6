"""Servers that break off, list strangely or know little: what is left of a transfer is whole or nothing."""

import contextlib
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
from tests.remote.conftest import ACME, PollTestHub, fetched, log_in
from tests.servers.daemons import HOST, Daemon

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.polling.poll import poll_server
from retour.remote import RemoteError

BODY = bytes(range(256)) * 4096


class Whimsical(FTPHandler):  # type: ignore[misc]
    """An FTP server with a list of misfortunes, one for each download: `abort` or `short` after 100,000 bytes."""

    misfortunes: list[str]
    meanwhile: Callable[[], None]
    lines: list[str] | None
    deaf: tuple[str, ...]
    refuses: dict[str, str]

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        if cmd in self.deaf:
            self.respond("500 What?")
        elif cmd in self.refuses:
            self.respond(self.refuses[cmd])
            if self.refuses[cmd].startswith("421"):
                self.close_when_done()
        else:
            super().pre_process_command(line, cmd, arg)

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: Any = None) -> None:
        if cmd == "RETR" and self.misfortunes:
            misfortune, more, sent = self.misfortunes.pop(0), data.more, [0]

            def breaking() -> bytes:
                if sent[0] >= 100_000:
                    type(self).meanwhile()
                    if misfortune == "abort":
                        raise OSError("the disk is gone")
                    return b""
                block: bytes = more()
                sent[0] += len(block)
                return block

            data.more = breaking
        if cmd == "LIST" and self.lines is not None:
            data, isproducer = "".join(line + "\r\n" for line in self.lines).encode(), False
        super().push_dtp_data(data, isproducer, file, cmd)


@pytest.fixture
def whimsical(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Starts the server on `tmp_path`; gives the options to reach it."""
    with contextlib.ExitStack() as stack:

        def start(
            *misfortunes: str,
            meanwhile: Callable[[], None] = lambda: None,
            lines: list[str] | None = None,
            deaf: tuple[str, ...] = (),
            refuses: dict[str, str] | None = None,
        ) -> dict[str, Any]:
            allowed = DummyAuthorizer()
            allowed.add_user("u", "p", str(tmp_path), perm="elradfmw")
            handler = type(
                "Handler",
                (Whimsical,),
                {
                    "authorizer": allowed, "abstracted_fs": AbstractedFS, "misfortunes": list(misfortunes),
                    "meanwhile": staticmethod(meanwhile), "lines": lines, "deaf": deaf, "use_sendfile": False,
                    "refuses": refuses or {},
                },
            )  # fmt: skip
            server = FTPServer(("127.0.0.1", 0), handler)
            ended = threading.Event()

            def serve() -> None:
                while not ended.is_set():
                    server.serve_forever(timeout=0.02, blocking=False)
                server.close_all()

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join)
            stack.callback(ended.set)
            return {"protocol": "ftp", "allow_plain": True, "host": HOST, "port": server.address[1], "user": "u"}

        yield start


@pytest.mark.parametrize("misfortunes", [["abort"], ["short"], ["abort", "short"]])
def test_a_broken_transfer_is_resumed(
    misfortunes: list[str], whimsical: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(BODY)
    with closing(log_in(whimsical(*misfortunes), {"password": "p"})) as server:
        assert fetched(server, "", "a.csv") == BODY


@pytest.mark.parametrize("misfortune", ["abort", "short"])
def test_a_transfer_that_keeps_breaking_is_no_file(
    misfortune: str, whimsical: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(BODY)
    with (
        closing(log_in(whimsical(*[misfortune] * 9), {"password": "p"})) as server,
        pytest.raises(RemoteError) as told,
    ):
        server.fetch("", "a.csv", io.BytesIO())
    assert told.value.code == "INCOMPLETE" and "a.csv" in told.value.sentence


def test_halves_of_two_files_are_never_joined(whimsical: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(BODY)
    options = whimsical("abort", meanwhile=lambda: (tmp_path / "a.csv").write_bytes(b"new" * 100_000) and None)
    with closing(log_in(options, {"password": "p"})) as server, pytest.raises(RemoteError) as told:
        server.fetch("", "a.csv", io.BytesIO())
    assert told.value.code == "CHANGED"


UNIX = [
    "total 3",
    "drwxr-xr-x    2 0        0            4096 Nov 21 12:00 archive",
    "-rw-r--r--    1 0        0               3 Nov 21 12:00 a.csv",
    "-rw-r--r--    1 ftp      group           3 Nov 21  2025  b c.csv",
    "lrwxrwxrwx    1 0        0               5 Nov 21 12:00 l.csv -> a.csv",
]
DOS = [
    "11-21-26  12:00PM       <DIR>          archive",
    "11-21-26  12:00PM                    3 a.csv",
    "11-21-2026  03:04AM                  3  b c.csv",
    "11-21-26  12:00PM                    3 l.csv",
]
STRANGE = ["a.csv  R--  3 bytes, yesterday"]


@pytest.mark.parametrize("lines", [UNIX, DOS, STRANGE])
def test_listings_of_servers_without_mlsd(
    lines: list[str], whimsical: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    for name in ("a.csv", " b c.csv", "l.csv"):
        (tmp_path / name).write_bytes(b"abc")
    changed = datetime.fromtimestamp(int((tmp_path / "a.csv").stat().st_mtime), UTC)
    with closing(log_in(whimsical(lines=lines, deaf=("MLSD",)), {"password": "p"})) as server:
        files = {file.name: file for file in server.files("", lambda name: True)}
    assert set(files) == {"a.csv", " b c.csv", "l.csv"}
    assert all(file.size == 3 for file in files.values())
    assert files["a.csv"].modified == changed


def test_a_server_that_knows_neither_time_nor_size_by_command(
    whimsical: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    for name in ("a.csv", " b c.csv", "l.csv"):
        (tmp_path / name).write_bytes(b"abc")
    options = whimsical(lines=UNIX, deaf=("MLSD", "MDTM", "SIZE"))
    with closing(log_in(options, {"password": "p"})) as server:
        files = {file.name: file for file in server.files("", lambda name: True)}
        assert fetched(server, "", "a.csv") == b"abc"
    assert files[" b c.csv"].modified is None and files[" b c.csv"].stamp == "Nov 21  2025"
    assert files[" b c.csv"].size == 3


def test_a_folder_without_end_is_told(
    whimsical: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retour.remote.ftp.LISTING_LINES_MAX", 3)
    with closing(log_in(whimsical(lines=UNIX, deaf=("MLSD",)), {"password": "p"})) as server:
        with pytest.raises(RemoteError) as told:
            server.files("", lambda name: True)
        assert told.value.code == "FOLDER_TOO_FULL"


class Wire:
    """Between us and a server: cuts the first connections after so many bytes."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.to, self.cuts = port, cuts
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
                limit = self.cuts.pop(0) if self.cuts else 1 << 40
                threading.Thread(target=self.pump, args=(near, far, 1 << 40), daemon=True).start()
                threading.Thread(target=self.pump, args=(far, near, limit), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, limit: int) -> None:
        with contextlib.suppress(OSError):
            while limit > 0 and (block := source.recv(min(65536, limit))):
                sink.sendall(block)
                limit -= len(block)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.parametrize("cuts", [[5_000_000], [5_000_000, 3_000_000]])
def test_sftp_resumes_on_a_new_connection(cuts: list[int], start: Callable[[str], Daemon]) -> None:
    daemon, body = start("openssh-sftp"), BODY * 7
    daemon.leave("large.csv", body)
    wire = Wire(daemon.port, list(cuts))
    with closing(wire.listener), closing(log_in({**daemon.options, "port": wire.port}, daemon.secret)) as server:
        assert fetched(server, "out", "large.csv") == body


def test_sftp_that_keeps_breaking_is_no_file(start: Callable[[str], Daemon]) -> None:
    daemon = start("openssh-sftp")
    daemon.leave("large.csv", BODY * 7)
    wire = Wire(daemon.port, [3_000_000] * 9)
    with closing(wire.listener), closing(log_in({**daemon.options, "port": wire.port}, daemon.secret)) as server:
        with pytest.raises(RemoteError) as told:
            server.fetch("out", "large.csv", io.BytesIO())
        assert told.value.code in ("INCOMPLETE", "UNREACHABLE", "NOT_STARTED", "CONNECTION_BROKEN")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("PWD", "421 Too many users, try later"),
        ("PWD", "550 Permission denied"),
        ("TYPE", "504 No such type"),
        ("TYPE", "421 Closing"),
        ("PASS", "421 Too many connections from your address"),
        ("PASV", "425 No ports left"),
        ("QUIT", "421 Bye"),
    ],
)
def test_d6_any_refusal_from_hello_to_bye_is_reported_with_the_servers_words(
    command: str, said: str, whimsical: Callable[..., dict[str, Any]], house: PollTestHub, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    os.utime(tmp_path / "a.csv", (0, 0))
    house.secrets = {"password": "p"}
    source = Source(name="erp", channel=Channel.PULL, options=whimsical(refuses={command: said, "EPSV": said}))
    report = poll_server(house, house.announce, ACME, source, open_server=log_in)
    if command == "QUIT":
        assert [one["name"] for one in report.fetched] == ["a.csv"] and not report.errors
    else:
        [error] = report.errors
        assert said[4:].replace("p", "***") in error["words"] and "Traceback" not in error["words"]
        assert house.docs["last-visit"]["state"] == "failed"


def test_names_alone_where_lists_are_refused(whimsical: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    options = whimsical(deaf=("MLSD",), refuses={"LIST": "550 Not allowed here"})
    with closing(log_in(options, {"password": "p"})) as server:
        [file] = server.files("", lambda _: True)
        assert (file.name, file.size) == ("a.csv", 3)


def test_a_server_that_refuses_mlsd_for_whatever_reason_is_asked_for_a_list(
    whimsical: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    with closing(log_in(whimsical(refuses={"MLSD": "550 Not for you"}), {"password": "p"})) as server:
        [file] = server.files("", lambda _: True)
        assert (file.name, file.size) == ("a.csv", 3)


@pytest.mark.parametrize("deaf", [(), ("MLSD",)])
@pytest.mark.parametrize("said", ["550 Permission denied", "550 No files found"])
def test_a_folder_that_may_not_be_listed_is_no_empty_one(
    whimsical: Callable[..., dict[str, Any]], deaf: tuple[str, ...], said: str
) -> None:
    options = whimsical(deaf=deaf, refuses={name: said for name in ("MLSD", "LIST", "NLST") if name not in deaf})
    with closing(log_in(options, {"password": "p"})) as server:
        if said == "550 No files found":
            assert server.files("", lambda _: True) == []
        else:
            with pytest.raises(RemoteError, match="550 Permission denied"):
                server.files("", lambda _: True)


def test_the_first_refusal_is_told_where_not_even_names_are_listed(whimsical: Callable[..., dict[str, Any]]) -> None:
    options = whimsical(deaf=("MLSD",), refuses={"LIST": "550 Not allowed here", "NLST": "502 What?"})
    with closing(log_in(options, {"password": "p"})) as server, pytest.raises(RemoteError, match="550 Not allowed"):
        server.files("", lambda _: True)


def test_d7_answers_are_written_directly_where_nothing_may_be_renamed(
    whimsical: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    no_renames = {"RNFR": "550 No renaming here", "DELE": "550 No deleting either"}
    with closing(log_in(whimsical(refuses=no_renames), {"password": "p"})) as server:
        for body in (b"first", b"second"):
            server.put("", "result_a.csv", body)
            assert (tmp_path / "result_a.csv").read_bytes() == body


def test_d7_the_servers_first_refusal_is_told(whimsical: Callable[..., dict[str, Any]]) -> None:
    with (
        closing(log_in(whimsical(refuses={"STOR": "553 Read-only, says the admin"}), {"password": "p"})) as server,
        pytest.raises(RemoteError, match="553 Read-only"),
    ):
        server.put("", "result_b.csv", b"x")
