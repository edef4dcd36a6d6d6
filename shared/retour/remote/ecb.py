"""The euro foreign exchange reference rates published by the European Central Bank."""

from retour.remote.https import get
from retour.settings import Service

DAILY = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"
LAST_90_DAYS = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist-90d.xml"
BYTES_MAX = 2 * 1024 * 1024


def fetch(service: Service, url: str) -> bytes:
    """Download a document from the ECB. Raises RemoteError if it is missing."""
    return get(url, most=BYTES_MAX, via=service.connect, ca=service.ca)
