"""Create (shown once), store and revoke API keys and secrets of sources."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from retour.context import Context
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError
from retour.intake import encrypted_files
from retour.ports import KeyPorts
from retour.setup import credentials
from retour.setup.credentials import ROTATABLE, shop_secrets
from retour.store.programs import ApiKey, Principal
from retour.views.documents import Document
from retour.views.keys import OPENPGP_KIND, openpgp_document

NAME_MAX = 100
KEY_ROLES = ("merchant", "finance")
"""Roles of a program's keys: the merchant's systems, or finance, which approves payments."""
SECRET_MAX = 16 * 1024
SECRETS = {
    Channel.API: ("signing", "callback"),
    Channel.PULL: ("password", "private_key"),
    Channel.EMAIL: ("tokens",),
    Channel.SALESFORCE: ("tokens", "private_key"),
}
LENGTH_MIN = {"password": 1, "tokens": 22}
SECRET_MIN = 8


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new API key, which is shown only once, with its stored record."""

    key: str
    kept: ApiKey


def require_admin(caller: Principal) -> None:
    if not caller.may_set_up:
        raise NotAllowedError("ADMIN_ONLY")


# API keys


def create_api_key(ports: KeyPorts, program_id: str, name: str, by: str, role: str = "merchant") -> NewKey:
    """Create an API key. Only its hash is stored."""
    key = f"rk_{program_id}_{secrets.token_urlsafe(24)}"
    return NewKey(key, ports.programs.grant(key, Principal(program_id, role, name), by, ports.now()))


def create_key(context: Context[KeyPorts], name: Any, role: Any = KEY_ROLES[0]) -> NewKey:
    """Create a key of a program."""
    require_admin(context.caller)
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise InvalidRequestError("NAME_UNUSABLE", most=str(NAME_MAX))
    if role not in KEY_ROLES:
        raise InvalidRequestError("NAME_UNUSABLE", "role", known=", ".join(KEY_ROLES))
    return create_api_key(context.ports, context.program.id, name, context.caller.name, role)


def revoke_key(context: Context[KeyPorts], id_: str) -> ApiKey:
    """Revoke an API key permanently."""
    require_admin(context.caller)
    revoked = context.ports.programs.revoke(context.program.id, id_, context.caller.name, context.now())
    if revoked is None:
        raise NotFoundError("key")
    return revoked


# Secrets of sources


def secret_names(source: Source) -> tuple[str, ...]:
    """The secrets of a source that may come from elsewhere."""
    known = (*SECRETS.get(source.channel, ()), *shop_secrets(source))
    if not known:
        raise InvalidRequestError("SECRET_NOT_NEEDED", channel=source.channel)
    return known


def set_secret(context: Context[KeyPorts], source: Source, given: Mapping[str, Any]) -> list[str]:
    """Store secrets from elsewhere. Returns the names of all secrets of the source."""
    known = secret_names(source)
    for name, value in given.items():
        texts = value if name in ROTATABLE else [value]
        if (
            not isinstance(texts, list)
            or not 1 <= len(texts) <= 2
            or not all(is_usable_secret(one, name) for one in texts)
        ):
            raise InvalidRequestError("SECRET_UNUSABLE", "several" if name in ROTATABLE else "", name=name)
    if not given:
        raise InvalidRequestError("SECRET_UNUSABLE", "nothing", known=", ".join(known))
    return credentials.store_secrets(context.ports, context.program, source, dict(given), context.caller.name)


def is_usable_secret(value: Any, name: str) -> bool:
    if not isinstance(value, str) or not LENGTH_MIN.get(name, SECRET_MIN) <= len(value) <= SECRET_MAX:
        return False
    return value.startswith("-----BEGIN ") and value.isascii() if name == "private_key" else value.isprintable()


def rotate_secret(context: Context[KeyPorts], source: Source, what: str) -> Document:
    """Add a second secret beside the first."""
    if what not in credentials.generated_kinds(source) or what not in ROTATABLE:
        known = ", ".join(one for one in credentials.generated_kinds(source) if one in ROTATABLE)
        raise InvalidRequestError("SECRET_NOT_MADE_HERE", "" if known else "nothing", source=source.name, known=known)
    try:
        return dict(credentials.rotate_secret(context.ports, context.program, source, what, context.caller.name))
    except credentials.TwoSecretsLiveError:
        raise ConflictError("TWO_SECRETS_LIVE") from None


def revoke_secret(context: Context[KeyPorts], source: Source, what: str, id_: str) -> Document:
    """Revoke a secret, effective everywhere within a minute."""
    ports, program, by = context.ports, context.program, context.caller.name
    revoked: Document | None
    if what == OPENPGP_KIND:
        ended = encrypted_files.revoke_key(ports, program.id, source.name, id_)
        revoked = openpgp_document(ended) if ended else None
        if revoked:
            credentials.log_change(ports, program, source, "revoked", by, what, id_)
    else:
        revoked = credentials.revoke_secret(ports, program, source, what, id_, by)
    if revoked is None:
        raise NotFoundError("secret")
    return revoked


def create_openpgp_key(context: Context[KeyPorts], source: Source) -> Mapping[str, Any]:
    """Add an OpenPGP key pair. Earlier ones stay active."""
    ports, program, by = context.ports, context.program, context.caller.name
    if source.channel is Channel.SALESFORCE:
        raise InvalidRequestError("SECRET_NOT_NEEDED", "files")
    if find_spec("pysequoia") is None:
        raise InvalidRequestError("PGP_NOT_OFFERED")
    made = encrypted_files.create_key(ports, program.id, source.name, by)
    credentials.log_change(ports, program, source, "made", by, OPENPGP_KIND, made["fingerprint"])
    return made
