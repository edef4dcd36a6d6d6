"""Calls to the API of a shop, and which of its responses are usable."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from retour.remote import RemoteError
from retour.remote.https import get_with_status
from retour.settings import Service

BYTES_MAX = 16 * 1024 * 1024
"""Maximum size of a response: 100 orders, with all the data plug-ins add."""
EMPTY_STATUSES = (http.client.NOT_FOUND, http.client.NO_CONTENT)


def get_json(url: str, headers: dict[str, str], *, service: Service, refusal: str) -> Any:
    """Get JSON, with numbers as written; None if nothing is found.

    Otherwise raises RemoteError: `SHOP_BUSY` if a retry may work, or a lasting one with the code `refusal` if access is
    denied.
    """
    host = urlsplit(url).hostname or ""
    headers = {"accept": "application/json", **headers}
    status, body = get_with_status(url, headers, most=BYTES_MAX, via=service.connect, ca=service.ca)
    if status in EMPTY_STATUSES:
        return None
    if status == http.client.TOO_MANY_REQUESTS:
        raise RemoteError("SHOP_BUSY", host=host)
    is_later = status >= http.client.INTERNAL_SERVER_ERROR or status == http.client.REQUEST_TIMEOUT
    if is_later or len(body) > BYTES_MAX:
        said = f"HTTP {status}" if is_later else f"more than {BYTES_MAX} bytes"
        raise RemoteError("UNREACHABLE", host=host, port=443, said=said)
    if status != http.client.OK:
        raise RemoteError(refusal, lasting=True, host=host, status=str(status))
    try:
        return json.loads(body, parse_float=str)
    except ValueError as error:
        raise RemoteError("UNREACHABLE", host=host, port=443, said="no JSON") from error
