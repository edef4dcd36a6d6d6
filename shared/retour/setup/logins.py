"""Who may log in on our SFTP server: the user `<program>.<source>`, by the keys that the program declares."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.ports import ProgramPort


@dataclass(frozen=True, slots=True)
class SftpLogin:
    """Who a user name stands for, and where theirs is."""

    program: Program
    source: Source

    @property
    def keys(self) -> list[str]:
        return list(self.source.options.get("public_keys", ()))

    @property
    def folder(self) -> str:
        return f"sftp/{self.program.id}/{self.source.name}"


def sftp_user(program: Program, source: Source) -> str:
    return f"{program.id}.{source.name}"


def find_login(ports: ProgramPort, name: str) -> SftpLogin | None:
    """Whoever knocks by this name; None for a name that is no source's, and for one that has no key."""
    program_id, _, source_name = name.partition(".")
    program = ports.program(program_id) if source_name else None
    source = program.sources.get(source_name) if program else None
    if program is None or source is None or source.channel is not Channel.SFTP:
        return None
    found = SftpLogin(program, source)
    return found if found.keys else None


def fingerprint(line: str) -> str | None:
    """`SHA256:…` of a key as it stands in an authorized_keys file; None for what is no key of the kind it says."""
    kind, _, rest = line.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        return None
    if blob[4 : 4 + int.from_bytes(blob[:4])] != kind.encode():
        return None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def key_comment(line: str) -> str:
    """What its owner wrote behind a key."""
    return line.split(" ", 2)[2].strip() if line.count(" ") > 1 else ""
