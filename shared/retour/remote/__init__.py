"""Clients of remote servers: merchants' FTP and SFTP servers, and what they have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from retour.sentences import sentence

MESSAGE_CHARS_MAX = 300
DETAIL_CHARS_MAX = 1000
"""Long enough for an SSH host key in one line."""

StepObserver = Callable[[str, dict[str, Any]], None]
"""Told of each step of getting in as it is done: its name, and what was seen."""


def ignore_step(_step: str, _seen: dict[str, Any]) -> None:
    """The default observer: ignores every step."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the other side lists it.

    `stamp` is its modification time as a text that changes whenever the server's own answer does; `modified` is the
    same as an instant, where the server says it unmistakably.
    """

    name: str
    size: int | None
    modified: datetime | None
    stamp: str = ""


class FileClient(Protocol):
    """A merchant's file server, logged in. FTP, FTPS and SFTP look alike from here."""

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[RemoteFile]:
        """Every file of the folder; size and time are asked for only where the name is wanted."""
        ...

    def stat(self, folder: str, name: str) -> RemoteFile | None:
        """The file as it is now; None when it is gone."""
        ...

    def fetch(self, folder: str, name: str, into: BinaryIO) -> int:
        """The whole file, resumed where a connection broke; returns its length."""
        ...

    def put(self, folder: str, name: str, body: bytes) -> None:
        """The whole file under its name: written under another name first, where the server lets us rename."""
        ...

    def move(self, folder: str, name: str, to: str) -> None:
        """The file into another folder, under its name."""
        ...

    def delete(self, folder: str, name: str) -> None: ...

    def close(self) -> None: ...


class RemoteError(Exception):
    """The other side, or what we know about it, does not let us work. Its sentences are for the admin of the source.

    `details` fill them in; `said` among them are the other side's own words. `lasting`: trying again changes nothing
    until a person does something.
    """

    def __init__(self, code: str, *, lasting: bool = False, **details: object) -> None:
        self.code = code
        self.details = {name: sanitise_message(value, most=DETAIL_CHARS_MAX) for name, value in details.items()}
        self.lasting = lasting
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """In English, for reports and logs."""
        return sentence(self.code, self.details)


def sanitise_message(said: object, *secrets: str, most: int = MESSAGE_CHARS_MAX) -> str:
    """What the other side said, fit for a report: one line, short, and without our own secrets if it echoes them."""
    text = str(said)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]


def decode_name(wire: str) -> str:
    """A file name as people write it. On the wire it is bytes (held as latin-1): UTF-8, else cp1252."""
    raw = wire.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def encode_name(name: str) -> str:
    return name.encode("utf-8").decode("latin-1")
