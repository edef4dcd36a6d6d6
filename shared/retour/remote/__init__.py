"""Clients of remote servers: merchants' FTP and SFTP servers, and what they have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from retour.sentences import sentence

MESSAGE_CHARS_MAX = 300
DETAIL_CHARS_MAX = 1000
"""Enough for an SSH host key on one line."""

StepObserver = Callable[[str, dict[str, Any]], None]
"""Called after each step of a login with its name and what was observed."""


def ignore_step(_step: str, _seen: dict[str, Any]) -> None:
    """The default observer: ignores every step."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a remote listing.

    `stamp` is its modification time as text, which changes whenever the server reports another one. `modified` is the
    same as an instant, if the server states it unambiguously.
    """

    name: str
    size: int | None
    modified: datetime | None
    stamp: str = ""


class FileClient(Protocol):
    """A logged-in session on a merchant's file server, by FTP, FTPS or SFTP."""

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[RemoteFile]:
        """All files of a folder. Size and time are requested only for wanted names."""
        ...

    def stat(self, folder: str, name: str) -> RemoteFile | None:
        """The file as it is now; None if it is gone."""
        ...

    def fetch(self, folder: str, name: str, into: BinaryIO) -> int:
        """Download a file and return its length. Resumes interrupted transfers."""
        ...

    def put(self, folder: str, name: str, body: bytes) -> None:
        """Upload a file under a temporary name and rename it, where the server allows that."""
        ...

    def move(self, folder: str, name: str, to: str) -> None:
        """Move a file to another folder, keeping its name."""
        ...

    def delete(self, folder: str, name: str) -> None: ...

    def close(self) -> None: ...


class RemoteError(Exception):
    """A remote server, or our configuration of it, prevents the work. Its sentences are for the source's admin.

    `details` are the sentence's values; `said` is the server's own message. `lasting`: a retry is pointless until a
    person has changed something.
    """

    def __init__(self, code: str, *, lasting: bool = False, **details: object) -> None:
        self.code = code
        self.details = {name: sanitise_message(value, most=DETAIL_CHARS_MAX) for name, value in details.items()}
        self.lasting = lasting
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The sentence in English, for reports and logs."""
        return sentence(self.code, self.details)


def sanitise_message(said: object, *secrets: str, most: int = MESSAGE_CHARS_MAX) -> str:
    """A server's message for a report: one line, shortened, with our own secrets removed."""
    text = str(said)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]


def decode_name(wire: str) -> str:
    """A readable file name from its bytes (as latin-1): UTF-8, else cp1252."""
    raw = wire.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def encode_name(name: str) -> str:
    return name.encode("utf-8").decode("latin-1")
