"""What a source and its sender share: made once, shown once, two of a kind live while one is changed for the next.

Parameter Store holds the secrets themselves. Beside the source stands who made, handed over or revoked which of them
and when, known by a digest of it; and, at most once an hour, when each was last used.
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
"""A library too heavy to bring along for one key: where it is not there, the key is made elsewhere and handed over."""
ROTATABLE = ("signing", "callback", "tokens")
LIVE_MAX = 2
TAIL_CHARS = 4
HIDDEN = "…"
LOG_KEY = "secrets"
LOG_MAX = 50
HOUR = timedelta(hours=1)


def shop_secrets(source: Source) -> tuple[str, ...]:
    """The secrets of a source by which its shop is read; none where it is not."""
    access = sender_of(source.kind).read_back
    return access.secrets if access and source.options.get(access.option) else ()


class TwoSecretsLiveError(Exception):
    """A third one would silently end the oldest, and whoever uses it."""


# Made


def generated_kinds(source: Source) -> tuple[str, ...]:
    """The secrets of a source that we choose; others are handed over by who made them."""
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
    """New secrets for what a source has none of yet; a list that was emptied stays so."""
    lacking = (what for what in generated_kinds(source) if what not in held)
    return {
        what: [generate_secret(source, what)] if what in ROTATABLE else generate_secret(source, what)
        for what in lacking
    }


def new_signing_secret() -> str:
    """As Standard Webhooks write one."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def new_rsa_key() -> str:
    """A private key as PEM: the only kind that Salesforce takes."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# Shown


def create_credentials(ports: CredentialPorts, program: Program, by: str) -> dict[str, dict[str, str]]:
    """Makes the secrets that sources lack; what it takes to use these sources, to be shown this once."""
    shown: dict[str, dict[str, str]] = {}
    for name, source in program.sources.items():
        held = ports.secrets.newest(program.id, name)
        if fresh := generate_missing(source, held):
            ports.secrets.put(program.id, name, {**held, **fresh})
            log_changes(ports, program, source, "made", by, flatten_secrets(fresh))
            shown[name] = access_info(ports, program, source) | secret_access_info(ports, program, source, fresh)
    return shown


def access_info(ports: CredentialPorts, program: Program, source: Source) -> dict[str, str]:
    """How a source is used, without what is secret: that part of an address is a …"""
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
    """What of new secrets their senders have to be given."""
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


# Kept


def flatten_secrets(secret: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value) of each single secret."""
    lists = ((what, value if isinstance(value, list) else [value]) for what, value in secret.items())
    return [(what, one) for what, values in lists for one in values]


def secret_id(what: str, value: str) -> str:
    """By which a secret is spoken of. Only of random ones a digest is told: a password could be guessed from it."""
    return hashlib.sha256(value.encode()).hexdigest()[:12] if what in ROTATABLE else what


def live_secrets(ports: CredentialPorts, program: Program, source: Source) -> list[dict[str, Any]]:
    """Every live secret of a source, the newest first: which it is, who made it and when, when it was last used."""
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
    """Who did what to a source's secrets, oldest first."""
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


# Changed


def store_secrets(
    ports: CredentialPorts, program: Program, source: Source, given: Mapping[str, Any], by: str
) -> list[str]:
    """Secrets that somebody else made take the place of the ones before; the names of all that is held now."""
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
    """A second secret, live beside the first until that is revoked; what its sender has to be given, shown once."""
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
    """Ends a secret for good; what was known of it, or None where none of this id is live."""
    found = next((one for one in live_secrets(ports, program, source) if (one["what"], one["id"]) == (what, id)), None)
    if found is None or what not in ROTATABLE:
        return None
    before = ports.secrets.newest(program.id, source.name)
    gone = [value for value in before[what] if secret_id(what, value) == id]
    ports.secrets.put(program.id, source.name, {**before, what: [one for one in before[what] if one not in gone]})
    log_changes(ports, program, source, "revoked", by, [(what, value) for value in gone])
    return found


# Used


def record_use(ports: CredentialPorts, program: str, source: str, what: str, value: str) -> None:
    """Somebody proved themselves by this secret. Written at most once an hour, by whichever process comes first."""
    key = f"used#{secret_id(what, value)}"
    if ports.throttle(f"{program}.{source}.{key}", HOUR):
        now = ports.now()
        ports.state(program, source).renew(key, {"at": format_instant(now)}, {"at": format_instant(now - HOUR)})
