"""Credentials of sources: generated once, shown once, two active at a time during a rotation.

The secrets are in Parameter Store. The source's state records who created or revoked which of them and when, by hash,
and when each was last used, at most hourly.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.domain.senders import NO_SECRET, sender_of
from retour.domain.times import format_instant
from retour.ports import CredentialPorts
from retour.setup.logins import sftp_user

HAS_CRYPTOGRAPHY = find_spec("cryptography") is not None
"""A library too large for a single key. Functions without it cannot generate RSA keys."""
ROTATABLE = ("signing", "callback", "tokens")
LIVE_MAX = 2
TAIL_CHARS = 4
HIDDEN = "…"
LOG_KEY = "secrets"
LOG_MAX = 50
HOUR = timedelta(hours=1)


def shop_secrets(source: Source) -> tuple[str, ...]:
    """The secrets needed to read a source's shop; none if it is not read."""
    access = sender_of(source.kind).read_back
    return access.secrets if access and source.options.get(access.option) else ()


class TwoSecretsLiveError(Exception):
    """A third active secret would invalidate the oldest one."""


# Generate


def generated_kinds(source: Source) -> tuple[str, ...]:
    """The secrets we generate for a source. Others are provided by their issuer."""
    match source.channel:
        case Channel.API:
            signing = ("signing",) if signs_with_secret(source) else ()
            return (*signing, "callback") if source.options.get("callback") else signing
        case Channel.EMAIL:
            return ("tokens",)
        case Channel.SALESFORCE:
            return ("tokens", "private_key") if HAS_CRYPTOGRAPHY else ("tokens",)
    return ()


def signs_with_secret(source: Source) -> bool:
    """Whether what a source is sent is signed with a secret that both sides hold, not by a key of the sender's own."""
    return sender_of(source.kind).secret != NO_SECRET and not source.options.get("signature", {}).get("public_keys")


def generate_secret(source: Source, what: str) -> str:
    match what:
        case "signing" if sender_of(source.kind).secret == "text":
            return secrets.token_hex(32)
        case "signing" | "callback":
            return new_signing_secret()
        case "tokens" if source.channel is Channel.EMAIL:
            return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
        case "tokens":
            return secrets.token_urlsafe(32)
    return new_rsa_key()


def generate_missing(source: Source, held: Mapping[str, Any]) -> dict[str, Any]:
    """New secrets for those a source lacks. A list that was emptied stays empty."""
    lacking = (what for what in generated_kinds(source) if what not in held)
    return {
        what: [generate_secret(source, what)] if what in ROTATABLE else generate_secret(source, what)
        for what in lacking
    }


def new_signing_secret() -> str:
    """A secret in the format of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def new_rsa_key() -> str:
    """An RSA private key as PEM, the only type Salesforce accepts."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# Show


def create_credentials(ports: CredentialPorts, program: Program, by: str) -> dict[str, dict[str, str]]:
    """Generate missing secrets. Returns the access data of these sources, to be shown once."""
    shown: dict[str, dict[str, str]] = {}
    for name, source in program.sources.items():
        held = ports.secrets.newest(program.id, name)
        if fresh := generate_missing(source, held):
            ports.secrets.put(program.id, name, {**held, **fresh})
            log_changes(ports, program, source, "made", by, flatten_secrets(fresh))
            shown[name] = access_info(ports, program, source) | secret_access_info(ports, program, source, fresh)
    return shown


def access_info(ports: CredentialPorts, program: Program, source: Source) -> dict[str, str]:
    """How to use a source, with the secret parts of addresses replaced by …"""
    match source.channel:
        case Channel.API:
            return {"url": hook_url(ports, program, source)}
        case Channel.SFTP:
            server = {"server": f"sftp://{ports.settings.sftp_address}"} if ports.settings.sftp_address else {}
            return {**server, "user": sftp_user(program, source)}
        case Channel.PULL:
            options = source.options
            return {"server": f"{options['protocol']}://{options['host']}", "user": options["user"]}
    return secret_access_info(ports, program, source, {"tokens": [HIDDEN]})


def hook_url(ports: CredentialPorts, program: Program, source: Source) -> str:
    """The address of a source's webhooks."""
    return f"{ports.settings.api_url}/v1/programs/{program.id}/hooks/{source.name}"


def secret_access_info(
    ports: CredentialPorts, program: Program, source: Source, secret: Mapping[str, Any]
) -> dict[str, str]:
    """The access data of new secrets for their senders."""
    told = {what: secret[what][0] for what in ROTATABLE if secret.get(what)}
    match source.channel:
        case Channel.API:
            names = {"signing": "secret", "callback": "callback_secret"}
            return {names[what]: value for what, value in told.items()}
        case Channel.EMAIL if told:
            return {"address": f"{program.id}.{source.name}.{told['tokens']}@{ports.settings.mail_domain}"}
        case Channel.SALESFORCE if told:
            return {
                "url": f"{ports.settings.api_url}/v1/programs/{program.id}/salesforce/{source.name}/{told['tokens']}"
            }
    return {}


# Store


def flatten_secrets(secret: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of each single secret."""
    lists = ((what, value if isinstance(value, list) else [value]) for what, value in secret.items())
    return [(what, one) for what, values in lists for one in values]


def secret_id(what: str, value: str) -> str:
    """The public id of a secret: a hash only for random ones, since a password could be guessed from its hash."""
    return hashlib.sha256(value.encode()).hexdigest()[:12] if what in ROTATABLE else what


def live_secrets(ports: CredentialPorts, program: Program, source: Source) -> list[dict[str, Any]]:
    """The active secrets of a source, newest first: id, who created it and when, last use."""
    state = ports.state(program.id, source.name)
    changes = secret_changes(ports, program, source)
    found = []
    for what, value in flatten_secrets(ports.secret(program.id, source.name)):
        id = secret_id(what, value)
        made: dict[str, Any] = next((one for one in reversed(changes) if one["id"] == id), {})
        used = state.get(f"used#{id}") or {}
        found.append(
            {
                "what": what,
                "id": id,
                "tail": value[-TAIL_CHARS:] if what in ROTATABLE else "",
                "made_at": made.get("at"),
                "made_by": made.get("by", ""),
                "last_used_at": used.get("at"),
            }
        )
    return found


def secret_changes(ports: CredentialPorts, program: Program, source: Source) -> Sequence[dict[str, Any]]:
    """The changes of a source's secrets, oldest first."""
    changes: Sequence[dict[str, Any]] = (ports.state(program.id, source.name).get(LOG_KEY) or {}).get("changes", ())
    return changes


def log_changes(
    ports: CredentialPorts, program: Program, source: Source, act: str, by: str, which: Iterable[tuple[str, str]]
) -> None:
    for what, value in which:
        log_change(ports, program, source, act, by, what, secret_id(what, value))


def log_change(ports: CredentialPorts, program: Program, source: Source, act: str, by: str, what: str, id: str) -> None:
    change = {"act": act, "what": what, "id": id, "at": format_instant(ports.now()), "by": by}
    changes = [*secret_changes(ports, program, source), change][-LOG_MAX:]
    ports.state(program.id, source.name).put(LOG_KEY, {"changes": changes})


# Change


def store_secrets(
    ports: CredentialPorts, program: Program, source: Source, given: Mapping[str, Any], by: str
) -> list[str]:
    """Replace secrets by provided ones. Returns the names of all secrets now stored."""
    before = ports.secrets.newest(program.id, source.name)
    ports.secrets.put(program.id, source.name, {**before, **given})
    log_changes(
        ports,
        program,
        source,
        "handed over",
        by,
        (one for one in flatten_secrets(given) if one not in flatten_secrets(before)),
    )
    return sorted({**before, **given})


def rotate_secret(ports: CredentialPorts, program: Program, source: Source, what: str, by: str) -> dict[str, str]:
    """Add a second active secret. Returns its access data, to be shown once."""
    before = ports.secrets.newest(program.id, source.name)
    live = before.get(what, [])
    if len(live) >= LIVE_MAX:
        raise TwoSecretsLiveError
    fresh = generate_secret(source, what)
    ports.secrets.put(program.id, source.name, {**before, what: [fresh, *live]})
    log_changes(ports, program, source, "made", by, [(what, fresh)])
    return secret_access_info(ports, program, source, {what: [fresh]})


def revoke_secret(
    ports: CredentialPorts, program: Program, source: Source, what: str, id: str, by: str
) -> dict[str, Any] | None:
    """Revoke a secret permanently. Returns its record, or None if it is not active."""
    found = next((one for one in live_secrets(ports, program, source) if (one["what"], one["id"]) == (what, id)), None)
    if found is None or what not in ROTATABLE:
        return None
    before = ports.secrets.newest(program.id, source.name)
    gone = [value for value in before[what] if secret_id(what, value) == id]
    ports.secrets.put(program.id, source.name, {**before, what: [one for one in before[what] if one not in gone]})
    log_changes(ports, program, source, "revoked", by, [(what, value) for value in gone])
    return found


# Use


def record_use(ports: CredentialPorts, program: str, source: str, what: str, value: str) -> None:
    """Record the use of a secret, at most hourly."""
    key = f"used#{secret_id(what, value)}"
    if ports.throttle(f"{program}.{source}.{key}", HOUR):
        now = ports.now()
        ports.state(program, source).renew(key, {"at": format_instant(now)}, {"at": format_instant(now - HOUR)})
