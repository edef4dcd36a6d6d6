"""Keys and secrets: which there are, new ones shown this once, old ones ended for good. Nothing shows one again."""

import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from retour.api.admission import source_of
from retour.api.calls import Call, Refused, handed_over, not_found
from retour.api.documents import Document
from retour.domain.delivery import Channel
from retour.domain.program import Program
from retour.intake import opening
from retour.setup import credentials, logins
from retour.store.programs import ApiKey, Principal
from retour.wiring import Hub

NAME_MAX = 100
OPENPGP = "openpgp"

# API keys


def listed(hub: Hub, opened: Program) -> Document:
    return {"items": [shown(key) for key in hub.programs.keys(opened.id)], "next": None}


def shown(key: ApiKey) -> Document:
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


def new_key(hub: Hub, program_id: str, name: str, by: str) -> tuple[str, ApiKey]:
    """A key that opens one program, and what stays known of it. Only its hash is kept."""
    key = f"rk_{program_id}_{secrets.token_urlsafe(24)}"
    return key, hub.programs.grant(key, Principal(program_id, "merchant", name), by, hub.now())


def create(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """A further key of a program, shown this once."""
    only_admins(principal)
    name = call.document("name").get("name", "key")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise Refused("NAME_UNUSABLE", most=str(NAME_MAX))
    key, kept = new_key(hub, opened.id, name, principal.name)
    return {"key": key, **shown(kept)}


def revoke(hub: Hub, principal: Principal, opened: Program, id: str) -> Document:
    """Whoever uses it is not let in any more, and no call brings it back."""
    only_admins(principal)
    gone = hub.programs.revoke(opened.id, id, principal.name, hub.now())
    if gone is None:
        raise not_found("key")
    return shown(gone)


def only_admins(principal: Principal) -> None:
    if not principal.may_set_up:
        raise Refused("ADMIN_ONLY")


# The secrets of sources


def secrets_of(hub: Hub, opened: Program, name: str) -> Document:
    """What is live at a source, and who did what to it; never the values."""
    found = source_of(opened, name)
    live = credentials.held(hub, opened, found)
    live += [openpgp_line(key) for key in opening.public_keys(hub, opened.id, name)]
    live += [public_key_line(line) for line in found.options.get("public_keys", ())]
    return {"source": name, "items": live, "changes": list(reversed(credentials.log(hub, opened, found)))}


def openpgp_line(key: Mapping[str, Any]) -> Document:
    tail = key["fingerprint"][-credentials.TAIL :]
    return secret_line(OPENPGP, key["fingerprint"], tail) | {
        "made_at": key["made_at"],
        "made_by": key.get("made_by", ""),
    }


def public_key_line(line: str) -> Document:
    """Stands in the program itself; a new one is added there."""
    return secret_line("public_key", logins.fingerprint(line) or line[:30], logins.comment(line))


def secret_line(what: str, id: str, tail: str) -> Document:
    return {"what": what, "id": id, "tail": tail, "made_at": None, "made_by": "", "last_used_at": None}


def set_secret(hub: Hub, call: Call, principal: Principal, opened: Program, name: str) -> Document:
    found = source_of(opened, name)
    holds = credentials.hand_over(hub, opened, found, handed_over(call, found), principal.name)
    return {"source": name, "holds": holds}


def rotate_secret(hub: Hub, principal: Principal, opened: Program, name: str, what: str) -> Document:
    """A second one, live beside the first."""
    found = source_of(opened, name)
    if what not in credentials.wanted(found) or what not in credentials.SEVERAL:
        known = ", ".join(one for one in credentials.wanted(found) if one in credentials.SEVERAL)
        raise Refused("SECRET_NOT_MADE_HERE", "" if known else "nothing", source=name, known=known)
    try:
        told = credentials.rotate(hub, opened, found, what, principal.name)
    except credentials.TwoLive:
        raise Refused("TWO_SECRETS_LIVE") from None
    return {"source": name, "what": what, **told}


def revoke_secret(hub: Hub, principal: Principal, opened: Program, name: str, what: str, id: str) -> Document:
    """Known everywhere within a minute. Who still uses it is turned away from then on."""
    found = source_of(opened, name)
    if what == OPENPGP:
        ended = opening.end_key(hub, opened.id, name, id)
        gone = openpgp_line(ended) if ended else None
        if gone:
            credentials.noted(hub, opened, found, "revoked", principal.name, what, id)
    else:
        gone = credentials.revoke(hub, opened, found, what, id, principal.name)
    if gone is None:
        raise not_found("secret")
    return {"source": name, **gone, "revoked_by": principal.name}


def new_openpgp_key(hub: Hub, principal: Principal, opened: Program, name: str) -> Document:
    """A further key pair that senders may encrypt for; its public half. The ones before stay live."""
    found = source_of(opened, name)
    if found.channel is Channel.SALESFORCE:
        raise Refused("SECRET_NOT_NEEDED", "files")
    if find_spec("pysequoia") is None:
        raise Refused("PGP_NOT_OFFERED")
    made = opening.new_key(hub, opened.id, name, principal.name)
    credentials.noted(hub, opened, found, "made", principal.name, OPENPGP, made["fingerprint"])
    return {"source": name, **told_key(made)}


def told_key(key: Mapping[str, Any]) -> Document:
    return {what: key[what] for what in ("fingerprint", "public_key", "made_at")}
