"""API keys and secrets of sources in lists, never their values."""

from collections.abc import Mapping
from typing import Any

from retour.domain.program import Program, Source
from retour.intake import encrypted_files
from retour.ports import KeyPorts
from retour.setup import credentials, logins
from retour.store.programs import ApiKey
from retour.views.documents import Document

OPENPGP_KIND = "openpgp"


def list_keys(ports: KeyPorts, program: Program) -> Document:
    return {"items": [key_document(key) for key in ports.programs.keys(program.id)], "next": None}


def key_document(key: ApiKey) -> Document:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "tail": key.tail,
        "made_at": key.made_at or None,
        "made_by": key.made_by,
        "last_used_at": key.last_used_at or None,
        "revoked_at": key.revoked_at or None,
        "revoked_by": key.revoked_by,
    }


def list_secrets(ports: KeyPorts, program: Program, found: Source) -> Document:
    """The active secrets of a source and their changes."""
    name = found.name
    live = credentials.live_secrets(ports, program, found)
    live += [openpgp_document(key) for key in encrypted_files.public_keys(ports, program.id, name)]
    live += [public_key_document(line) for line in found.options.get("public_keys", ())]
    return {"source": name, "items": live, "changes": list(reversed(credentials.secret_changes(ports, program, found)))}


def openpgp_document(key: Mapping[str, Any]) -> Document:
    tail = key["fingerprint"][-credentials.TAIL_CHARS :]
    return secret_document(OPENPGP_KIND, key["fingerprint"], tail) | {
        "made_at": key["made_at"],
        "made_by": key.get("made_by", ""),
    }


def public_key_document(line: str) -> Document:
    """A public key from the program document, where new ones are added too."""
    return secret_document("public_key", logins.fingerprint(line) or line[:30], logins.key_comment(line))


def secret_document(what: str, id: str, tail: str) -> Document:
    return {"what": what, "id": id, "tail": tail, "made_at": None, "made_by": "", "last_used_at": None}


def openpgp_public_half(key: Mapping[str, Any]) -> Document:
    return {what: key[what] for what in ("fingerprint", "public_key", "made_at")}
