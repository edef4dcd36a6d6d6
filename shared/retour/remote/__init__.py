"""Other people's machines: merchants' FTP and SFTP servers, and what speaking to them has in common."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Remote:
    """A file as the other side lists it.

    `stamp` is its modification time as a text that changes whenever the server's own answer does; `modified` is the
    same as an instant, where the server says it unmistakably.
    """

    name: str
    size: int | None
    modified: datetime | None
    stamp: str = ""


class Server(Protocol):
    """A merchant's file server, logged in. FTP, FTPS and SFTP look alike from here."""

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[Remote]:
        """Every file of the folder; size and time are asked for only where the name is wanted."""
        ...

    def look(self, folder: str, name: str) -> Remote | None:
        """The file as it is now; None when it is gone."""
        ...

    def fetch(self, folder: str, name: str, into: BinaryIO) -> int:
        """The whole file, resumed where a connection broke; returns its length."""
        ...

    def put(self, folder: str, name: str, body: bytes) -> None:
        """The whole file under its name, or nothing: it is written under another name first."""
        ...

    def delete(self, folder: str, name: str) -> None: ...

    def close(self) -> None: ...


class RemoteError(Exception):
    """The other side, or what we know about it, does not let us work. The sentence is for the admin of the source."""

    def __init__(self, code: str, sentence: str, *, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.lasting = lasting
        """True when trying again changes nothing until a person does something."""


def words(said: object, *secrets: str) -> str:
    """What the other side said, fit for a report: one line, short, and without our own secrets if it echoes them."""
    text = str(said)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def readable(wire: str) -> str:
    """A file name as people write it. On the wire it is bytes (held as latin-1): UTF-8, else cp1252."""
    raw = wire.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def on_the_wire(name: str) -> str:
    return name.encode("utf-8").decode("latin-1")
