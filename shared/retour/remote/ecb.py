"""The euro foreign exchange reference rates published by the European Central Bank."""

from typing import TYPE_CHECKING

from retour.remote.https import get

if TYPE_CHECKING:
    from retour.wiring import Hub

DAILY = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"
LAST_90_DAYS = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist-90d.xml"
BYTES_MAX = 2 * 1024 * 1024


def fetch(hub: "Hub", url: str) -> bytes:
    """The document at an address of the bank; RemoteError where there is none."""
    return get(url, most=BYTES_MAX, via=hub.settings.ecb.connect, ca=hub.settings.ecb.ca)
