"""Certificates by which senders sign, fetched from addresses of their own; which those are is for their adapters."""

from functools import lru_cache

from retour.remote import RemoteError
from retour.remote.https import get
from retour.settings import Service

BYTES_MAX = 64 * 1024
SECONDS = 4
KEPT_MAX = 16


@lru_cache(KEPT_MAX)
def fetch_certificate(service: Service, url: str) -> str:
    """The PEM that lies at an address; a certificate has an address of its own, so it is fetched once. RemoteError."""
    try:
        return get(url, most=BYTES_MAX, via=service.connect, ca=service.ca, seconds=SECONDS).decode("ascii")
    except UnicodeDecodeError as error:
        raise RemoteError("UNREACHABLE", host=url, port=443, said="no PEM") from error
