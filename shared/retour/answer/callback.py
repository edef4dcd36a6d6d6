"""The answer of a source of channel api, posted to where its program says, signed as Standard Webhooks say.

A receiver is somebody else's machine: reached at public addresses only, by TLS, in bounded time, never redirected.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from threading import Timer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from retour.api import views
from retour.domain.actions.outcome import Result
from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.domain.times import text
from retour.intake.batch import LISTED
from retour.remote import RemoteError, words
from retour.remote.address import connect
from retour.store.deliveries import Header

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

SECONDS = 10
"""For the whole call: ten of them fit into the time of the function that answers."""
SETTLED = "batch.settled"


def tell(
    hub: "Hub", program: Program, source: Source, header: Header, results: Sequence[Result], again: str = ""
) -> None:
    """Post what became of a delivery, if its source asks for that. Told again after a crash, it is posted once.

    RemoteError when the receiver did not take it and may take it later. `again` names the records of a second answer,
    which is another; so is that of a file which was held and then let go on.
    """
    delivery = header.delivery
    url = source.options.get("callback")
    if delivery.channel is not Channel.API or not url or not hub.outward:
        return
    seen = hub.state(program.id, source.name)
    what = again or header.state
    mark = f"called#{delivery.id}#{what}"
    if seen.get(mark) is not None:
        return
    counts = header.report.get("counts") or views.count(results)
    batch = views.batch_document(header, program, counts)
    batch["outcomes"] = [views.result_document(result, program.language) for result in results[:LISTED]]
    at = hub.now()
    body = json.dumps(
        {"type": SETTLED if again else f"batch.{header.state}", "timestamp": text(at), "data": batch},
        ensure_ascii=False,
    ).encode()
    identity = f"{delivery.id}.{what}"
    try:
        secrets = hub.secret(program.id, source.name).get("callback", ())
        post(
            url,
            body,
            signed(body, identity, hub.real_now(), secrets),
            allow_private=hub.allow_private_hosts,
        )
    except RemoteError as error:
        if not error.lasting:
            raise
        logger.warning("callback given up: %s", error.code, extra={"delivery": delivery.id, "program": program.id})
        seen.put(mark, {"at": text(at), "failed": error.sentence})
        return
    seen.put(mark, {"at": text(at)})


def signed(body: bytes, identity: str, at: datetime, secrets: Sequence[str]) -> dict[str, str]:
    """The headers that prove a body: one signature for each live secret."""
    moment = str(int(at.timestamp()))
    content = b".".join((identity.encode(), moment.encode(), body))
    signatures = [
        base64.b64encode(hmac.new(key_of(secret), content, hashlib.sha256).digest()).decode() for secret in secrets
    ]
    if not signatures:
        raise RemoteError("NO_SECRET")
    return {
        "webhook-id": identity,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def key_of(secret: str) -> bytes:
    """The key in `whsec_<base64>`; any other text is the key itself."""
    encoded = secret.removeprefix("whsec_")
    with suppress(binascii.Error, ValueError):
        if encoded != secret:
            return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    return secret.encode()


def encrypted(sock: socket.socket, host: str) -> ssl.SSLSocket:
    """The same connection as TLS, before a word was said."""
    context = ssl.create_default_context()
    return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, seconds: float = SECONDS) -> None:
    """Post a body; RemoteError unless the receiver says 2xx within the time."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    if not secure and not allow_private:
        raise RemoteError("TLS_NEEDED", lasting=True, host=host)
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError as error:
        raise RemoteError("PORT_UNUSABLE", lasting=True, url=url) from error
    sock = connect(host, port, seconds / 2, allow_private=allow_private)

    def stop() -> None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    # A receiver that gives its answer byte by byte is stopped as well: each of them would begin a timeout anew.
    alarm = Timer(seconds, stop)
    alarm.daemon = True
    alarm.start()
    try:
        if secure:
            sock = tls = encrypted(sock, host)
            tls.do_handshake()
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent: dict[str, Any] = {"content-type": "application/json", "user-agent": "Retour", **headers}
        connection.request("POST", path, body, sent)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RemoteError("UNREACHABLE", host=host, port=port, said=words(error)) from error
    finally:
        alarm.cancel()
        sock.close()
    if not 200 <= status < 300:
        raise RemoteError("CALLBACK_REFUSED", host=host, status=status)
