"""The credentials of sources: made once, shown once, and what a sender needs beside them."""

import base64
import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.wiring import Hub

CRYPTOGRAPHY = find_spec("cryptography") is not None
"""A library too heavy to bring along for one key: where it is not there, the key is made elsewhere and handed over."""


def made(source: Source) -> dict[str, Any]:
    """New secrets for a source whose channel has some that we choose; others are handed over by who made them."""
    match source.channel:
        case Channel.API if source.kind in ("", "standard"):
            return {"signing": [signing_secret()]}
        case Channel.API:
            return {"signing": [secrets.token_hex(32)]}
        case Channel.EMAIL:
            return {"tokens": [base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()]}
        case Channel.SALESFORCE:
            return {"tokens": [secrets.token_urlsafe(32)], **({"private_key": rsa_key()} if CRYPTOGRAPHY else {})}
    return {}


def signing_secret() -> str:
    """As Standard Webhooks write one."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def rsa_key() -> str:
    """A private key as PEM: the only kind that Salesforce takes."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def credentials(hub: Hub, program: Program) -> dict[str, dict[str, str]]:
    """Makes the secrets that sources lack; what it takes to use these sources, to be shown this once."""
    shown: dict[str, dict[str, str]] = {}
    for name, source in program.sources.items():
        held = hub.secrets.get(program.id, name)
        fresh = made(source) if not held else {}
        if source.options.get("callback") and "callback" not in held:
            fresh["callback"] = [signing_secret()]
        if fresh:
            hub.secrets.put(program.id, name, {**held, **fresh})
            shown[name] = access(hub, program, source) | secret_access(hub, program, source, fresh)
    return shown


def access(hub: Hub, program: Program, source: Source) -> dict[str, str]:
    """How a source is used, without what is secret."""
    match source.channel:
        case Channel.API:
            return {"url": f"{hub.api_url}/v1/programs/{program.id}/hooks/{source.name}"}
        case Channel.SFTP:
            return {"user": f"{program.id}.{source.name}"}
        case Channel.PULL:
            options = source.options
            return {"server": f"{options['protocol']}://{options['host']}", "user": options["user"]}
    return {}


def secret_access(hub: Hub, program: Program, source: Source, secret: Mapping[str, Any]) -> dict[str, str]:
    match source.channel:
        case Channel.API:
            told = {"secret": secret.get("signing"), "callback_secret": secret.get("callback")}
            return {what: live[0] for what, live in told.items() if live}
        case Channel.EMAIL:
            return {"address": f"{program.id}.{source.name}.{secret['tokens'][0]}@{hub.mail_domain}"}
        case Channel.SALESFORCE:
            return {"url": f"{hub.api_url}/v1/programs/{program.id}/salesforce/{source.name}/{secret['tokens'][0]}"}
    return {}
