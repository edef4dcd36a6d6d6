"""A call to somebody else's machine: at public addresses only, by TLS, in bounded time, never redirected."""

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from retour.remote import RemoteError, words
from retour.remote.address import connect

SECONDS = 10
"""For the whole call: ten of them fit into the time of the function that answers."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, seconds: float = SECONDS) -> int:
    """Post a body; the status of the answer. RemoteError where there is none within the time."""
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
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RemoteError("UNREACHABLE", host=host, port=port, said=words(error)) from error
    finally:
        alarm.cancel()
        sock.close()


def encrypted(sock: socket.socket, host: str) -> ssl.SSLSocket:
    """The same connection as TLS, before a word was said."""
    context = ssl.create_default_context()
    return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
