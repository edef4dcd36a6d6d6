"""API keys and secrets: list, create (shown once), revoke. Nothing ever shows one again."""

import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from retour.api.authorization import find_source
from retour.api.calls import Call, ProblemError, not_found, read_secrets
from retour.domain.delivery import Channel
from retour.domain.program import Program
from retour.intake import encrypted_files
from retour.setup import credentials, logins
from retour.store.programs import ApiKey, Principal
from retour.views.documents import Document
from retour.wiring import Hub

NAME_MAX = 100
OPENPGP_KIND = "openpgp"
KEY_ROLES = ("merchant", "finance")
"""What a key of a program may be for: its systems, or a person of finance who approves payments."""

# API keys


def list_keys(hub: Hub, program: Program) -> Document:
    return {"items": [key_document(key) for key in hub.programs.keys(program.id)], "next": None}


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


def create_api_key(hub: Hub, program_id: str, name: str, by: str, role: str = "merchant") -> tuple[str, ApiKey]:
    """A key that opens one program, and what stays known of it. Only its hash is kept."""
    key = f"rk_{program_id}_{secrets.token_urlsafe(24)}"
    return key, hub.programs.grant(key, Principal(program_id, role, name), by, hub.now())


def create_key(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """A further key of a program, shown this once."""
    require_admin(principal)
    given = call.document("name", "role")
    name, role = given.get("name", "key"), given.get("role", KEY_ROLES[0])
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise ProblemError("NAME_UNUSABLE", most=str(NAME_MAX))
    if role not in KEY_ROLES:
        raise ProblemError("NAME_UNUSABLE", "role", known=", ".join(KEY_ROLES))
    key, kept = create_api_key(hub, program.id, name, principal.name, role)
    return {"key": key, **key_document(kept)}


def revoke_key(hub: Hub, principal: Principal, program: Program, id: str) -> Document:
    """Whoever uses it is not let in any more, and no call brings it back."""
    require_admin(principal)
    gone = hub.programs.revoke(program.id, id, principal.name, hub.now())
    if gone is None:
        raise not_found("key")
    return key_document(gone)


def require_admin(principal: Principal) -> None:
    if not principal.may_set_up:
        raise ProblemError("ADMIN_ONLY")


# The secrets of sources


def list_secrets(hub: Hub, program: Program, name: str) -> Document:
    """What is live at a source, and who did what to it; never the values."""
    found = find_source(program, name)
    live = credentials.live_secrets(hub, program, found)
    live += [openpgp_document(key) for key in encrypted_files.public_keys(hub, program.id, name)]
    live += [public_key_document(line) for line in found.options.get("public_keys", ())]
    return {"source": name, "items": live, "changes": list(reversed(credentials.secret_changes(hub, program, found)))}


def openpgp_document(key: Mapping[str, Any]) -> Document:
    tail = key["fingerprint"][-credentials.TAIL_CHARS :]
    return secret_document(OPENPGP_KIND, key["fingerprint"], tail) | {
        "made_at": key["made_at"],
        "made_by": key.get("made_by", ""),
    }


def public_key_document(line: str) -> Document:
    """Stands in the program itself; a new one is added there."""
    return secret_document("public_key", logins.fingerprint(line) or line[:30], logins.key_comment(line))


def secret_document(what: str, id: str, tail: str) -> Document:
    return {"what": what, "id": id, "tail": tail, "made_at": None, "made_by": "", "last_used_at": None}


def set_secret(hub: Hub, call: Call, principal: Principal, program: Program, name: str) -> Document:
    found = find_source(program, name)
    holds = credentials.store_secrets(hub, program, found, read_secrets(call, found), principal.name)
    return {"source": name, "holds": holds}


def rotate_secret(hub: Hub, principal: Principal, program: Program, name: str, what: str) -> Document:
    """A second one, live beside the first."""
    found = find_source(program, name)
    if what not in credentials.generated_kinds(found) or what not in credentials.ROTATABLE:
        known = ", ".join(one for one in credentials.generated_kinds(found) if one in credentials.ROTATABLE)
        raise ProblemError("SECRET_NOT_MADE_HERE", "" if known else "nothing", source=name, known=known)
    try:
        told = credentials.rotate_secret(hub, program, found, what, principal.name)
    except credentials.TwoSecretsLiveError:
        raise ProblemError("TWO_SECRETS_LIVE") from None
    return {"source": name, "what": what, **told}


def revoke_secret(hub: Hub, principal: Principal, program: Program, name: str, what: str, id: str) -> Document:
    """Known everywhere within a minute. Who still uses it is turned away from then on."""
    found = find_source(program, name)
    if what == OPENPGP_KIND:
        ended = encrypted_files.revoke_key(hub, program.id, name, id)
        gone = openpgp_document(ended) if ended else None
        if gone:
            credentials.log_change(hub, program, found, "revoked", principal.name, what, id)
    else:
        gone = credentials.revoke_secret(hub, program, found, what, id, principal.name)
    if gone is None:
        raise not_found("secret")
    return {"source": name, **gone, "revoked_by": principal.name}


def create_openpgp_key(hub: Hub, principal: Principal, program: Program, name: str) -> Document:
    """A further key pair that senders may encrypt for; its public half. The ones before stay live."""
    found = find_source(program, name)
    if found.channel is Channel.SALESFORCE:
        raise ProblemError("SECRET_NOT_NEEDED", "files")
    if find_spec("pysequoia") is None:
        raise ProblemError("PGP_NOT_OFFERED")
    made = encrypted_files.create_key(hub, program.id, name, principal.name)
    credentials.log_change(hub, program, found, "made", principal.name, OPENPGP_KIND, made["fingerprint"])
    return {"source": name, **openpgp_public_half(made)}


def openpgp_public_half(key: Mapping[str, Any]) -> Document:
    return {what: key[what] for what in ("fingerprint", "public_key", "made_at")}
