"""Whether a webhook is its sender's: by a secret, a pinned key, or a certificate of the sender's own."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from retour.channels.webhook import CertifiedSender, WebhookAdapter, source_adapter
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.remote.certificates import fetch_certificate
from retour.setup.credentials import hook_url

if TYPE_CHECKING:
    from retour.wiring import Hub

FETCH_EVERY = timedelta(seconds=10)
"""Nobody makes us ask a sender's server for certificates more often than this by writing new addresses into calls."""

logger = logging.getLogger(__name__)


def find_proof(hub: "Hub", program: Program, source: Source, body: bytes, headers: Mapping[str, str]) -> str | None:
    """The live secret that signed these bytes; empty where a key of the sender's own did; None where nothing did.

    A secret that was made a moment ago is looked for once more.
    """
    sender = source_adapter(source, hook_url(hub, program, source))
    if isinstance(sender, CertifiedSender):
        believed = any(
            sender.verify(body, headers, [certificate], hub.real_now())
            for certificate in certificates(hub, program, source, sender, headers)
        )
        return "" if believed and is_first_body(hub, program, source, sender.single_use(headers), body) else None
    if sender.verify(body, headers, [], hub.real_now()):
        return ""
    return next(
        (secret for secret in live_secrets(hub, program, source) if is_signed_by(hub, sender, body, headers, secret)),
        None,
    )


def is_signed_by(hub: "Hub", sender: WebhookAdapter, body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    return sender.verify(body, headers, [secret], hub.real_now())


def live_secrets(hub: "Hub", program: Program, source: Source) -> Iterator[str]:
    for read in (hub.secret, hub.reload_secret):
        yield from read(program.id, source.name).get("signing", ())


def certificates(
    hub: "Hub", program: Program, source: Source, sender: CertifiedSender, headers: Mapping[str, str]
) -> Iterator[str]:
    """The certificate that a call names, if it lies where its sender keeps them and can be had now."""
    url = sender.certificate_url(headers)
    if url is None:
        return
    state = hub.state(program.id, source.name)
    kept = state.get(f"certificate#{url}")
    if kept is not None:
        yield kept["pem"]
        return
    if not hub.throttle(f"{program.id}.{source.name}.certificates", FETCH_EVERY):
        return
    try:
        pem = fetch_certificate(hub.settings.paypal, url)
    except RemoteError as error:
        logger.warning("no certificate: %s", error.code, extra={"program": program.id, "source": source.name})
        return
    state.put(f"certificate#{url}", {"pem": pem})
    yield pem


def is_first_body(hub: "Hub", program: Program, source: Source, id: str, body: bytes) -> bool:
    """Whether an id of a delivery came with these bytes before, or never: with others it is somebody else's."""
    state, told = hub.state(program.id, source.name), {"sha256": hashlib.sha256(body).hexdigest()}
    key = f"transmission#{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
    return state.claim(key, told) or state.get(key) == told
