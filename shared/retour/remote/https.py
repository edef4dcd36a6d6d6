"""HTTPS requests to other servers: public addresses only, TLS, total timeout, no redirects."""

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from retour.remote import RemoteError, sanitise_message
from retour.remote.address import connect

TIMEOUT_SECONDS = 10
"""Total timeout. Ten requests fit into the reply function's time."""


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, seconds: float = TIMEOUT_SECONDS
) -> int:
    """Post a body and return the status. Raises RemoteError without a response in time."""
    sent = {"content-type": "application/json", **headers}
    status, _ = _call("POST", url, body, sent, allow_private=allow_private, seconds=seconds)
    return status


def get(
    url: str, *, most: int, via: str | None = None, ca: str | None = None, seconds: float = TIMEOUT_SECONDS
) -> bytes:
    """Download at most `most` bytes. Raises RemoteError on failure, timeout or a longer response.

    A local hub redirects the request to `via` (host:port), whose certificate is verified with the CA file `ca`.
    """
    status, body = _call("GET", url, None, {}, allow_private=False, seconds=seconds, most=most, via=via, ca=ca)
    if status != http.client.OK or len(body) > most:
        said = f"HTTP {status}" if status != http.client.OK else f"more than {most} bytes"
        raise RemoteError("UNREACHABLE", host=urlsplit(url).hostname, port=443, said=said)
    return body


def get_with_status(
    url: str, headers: Mapping[str, str], *, most: int, via: str | None = None, ca: str | None = None
) -> tuple[int, bytes]:
    """Status and body of a response, with one byte more than `most` if it is longer. Otherwise as `get`."""
    return _call("GET", url, None, headers, allow_private=False, seconds=TIMEOUT_SECONDS, most=most, via=via, ca=ca)


def _call(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    seconds: float,
    most: int = 0,
    via: str | None = None,
    ca: str | None = None,
) -> tuple[int, bytes]:
    """Status and body of a response, the body only up to `most` bytes plus one."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    if not secure and not allow_private:
        raise RemoteError("TLS_NEEDED", lasting=True, host=host)
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError as error:
        raise RemoteError("PORT_UNUSABLE", lasting=True, url=url) from error
    there, _, gate = (via or f"{host}:{port}").rpartition(":")
    sock = connect(there, int(gate), seconds / 2, allow_private=allow_private or via is not None)

    def stop() -> None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    # Also stops a response that arrives byte by byte, each of which would restart a socket timeout.
    alarm = Timer(seconds, stop)
    alarm.daemon = True
    alarm.start()
    try:
        if secure:
            sock = tls = wrap_tls(sock, host, ca)
            tls.do_handshake()
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent: dict[str, Any] = {"host": parts.netloc, "user-agent": "Retour", **headers}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.read(most + 1) if most else b""
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RemoteError("UNREACHABLE", host=host, port=port, said=sanitise_message(error)) from error
    finally:
        alarm.cancel()
        sock.close()


def wrap_tls(sock: socket.socket, host: str, ca: str | None = None) -> ssl.SSLSocket:
    """Start TLS on a connection."""
    context = ssl.create_default_context(cafile=ca)
    return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
