"""Servers that answer a byte at a time: each byte comes in time, and the visit ends all the same."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.remote.conftest import ACME, PollTestHub

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.polling import folder, server
from retour.polling.poll import poll_server
from retour.remote import ftp

PATIENCE = 0.6
DRIP = 0.15
"""Seconds a byte; the shortest reply of the server would take several times the patience."""
BODY = b"reference,order_id,change\r\n" + b"r,A-1,reverse\r\n" * 40


class Merchant:
    """As much of an FTP server as a visit asks for, on one connection; `drips` names what comes a byte at a time."""

    def __init__(self, drips: str, seconds: float = DRIP):
        self.drips, self.seconds, self.name, self.body, self.visits = drips, seconds, "may.csv", BODY, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.talk, args=(self.listener.accept()[0],), daemon=True).start()

    def say(self, to: socket.socket, what: str, body: bytes) -> None:
        for byte in body if what == self.drips else ():
            to.sendall(bytes((byte,)))
            if self.ended.wait(self.seconds):
                return
        if what != self.drips:
            to.sendall(body)

    def talk(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line, line.makefile("r") as asked:
            self.visits += 1
            self.say(line, "welcome", b"220 Welcome to our files\r\n")
            data = socket.create_server(("127.0.0.1", 0))
            for command in (one.strip() for one in asked):
                self.answer(line, data, command)

    def answer(self, line: socket.socket, data: socket.socket, command: str) -> None:
        verb, _, _ = command.partition(" ")
        port = data.getsockname()[1]
        replies = {
            "USER": "331 Password",
            "PWD": '257 "/" is here',
            "EPSV": f"229 Entering (|||{port}|)",
            "PASV": f"227 Entering (127,0,0,1,{port >> 8},{port & 255})",
            "SIZE": f"213 {len(self.body)}",
            "MDTM": "213 20260101120000",
            "MLSD": "150 Here it comes",
            "RETR": "150 Here it comes",
        }
        self.say(
            line, "reply" if verb == "TYPE" else "", f"{replies.get(verb, '200 Very well, as you wish')}\r\n".encode()
        )
        if verb in ("MLSD", "RETR"):
            with data.accept()[0] as to:
                listing = f"type=file;size={len(self.body)};modify=20260101120000; {self.name}\r\n".encode()
                self.say(to, "listing" if verb == "MLSD" else "file", listing if verb == "MLSD" else self.body)
            self.say(line, "", b"226 Done\r\n")


@pytest.fixture
def merchant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Merchant]]:
    monkeypatch.setattr(ftp, "LISTING_SECONDS", PATIENCE)
    monkeypatch.setattr(server, "TIMEOUT_SECONDS", PATIENCE)
    monkeypatch.setattr(folder, "DRIPS_SECONDS", PATIENCE)
    made: list[Merchant] = []

    def make(drips: str) -> Merchant:
        made.append(Merchant(drips))
        return made[-1]

    yield make
    for one in made:
        one.ended.set()
        one.listener.close()


def source(port: int) -> Source:
    options = {"protocol": "ftp", "allow_plain": True, "host": "127.0.0.1", "port": port, "user": "u"}
    return Source(name="warehouse", channel=Channel.PULL, options=options)


def told(port: int) -> list[dict[str, Any]]:
    house = PollTestHub()
    house.secrets = {"password": "p"}
    report = poll_server(house, house.announce, ACME, source(port))
    return report.errors or report.fetched


@pytest.mark.parametrize("drips", ["welcome", "reply", "listing", "file"])
def test_what_drips_is_given_up_and_told_in_time(merchant: Callable[[str], Merchant], drips: str) -> None:
    server = merchant(drips)
    began = time.monotonic()
    [error] = told(server.port)
    assert error["code"] == "TOO_SLOW", error
    assert time.monotonic() - began < 8 * PATIENCE + 3
