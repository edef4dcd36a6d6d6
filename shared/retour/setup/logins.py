"""Logins of our SFTP server: user `<program>.<source>`, with the keys declared in the program."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.ports import ProgramPort


@dataclass(frozen=True, slots=True)
class SftpLogin:
    """A user's source and folder."""

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
    """The login for a user name; None for unknown sources and those without keys."""
    program_id, _, source_name = name.partition(".")
    program = ports.program(program_id) if source_name else None
    source = program.sources.get(source_name) if program else None
    if program is None or source is None or source.channel is not Channel.SFTP:
        return None
    found = SftpLogin(program, source)
    return found if found.keys else None


def fingerprint(line: str) -> str | None:
    """The `SHA256:…` fingerprint of an authorized_keys line; None if it is not a valid key."""
    kind, _, rest = line.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        return None
    if blob[4 : 4 + int.from_bytes(blob[:4])] != kind.encode():
        return None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def key_comment(line: str) -> str:
    """The comment of a key."""
    return line.split(" ", 2)[2].strip() if line.count(" ") > 1 else ""
