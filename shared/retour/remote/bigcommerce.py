"""An order of a BigCommerce store as it is now: its status, its products and its refunds, read with a restricted key.

The key is of an API account with the read-only scopes Orders and Order Transactions.
"""

import http.client
import json
from typing import TYPE_CHECKING, Any

from retour.remote import RemoteError
from retour.remote.https import ask

if TYPE_CHECKING:
    from retour.wiring import Hub

HOST = "api.bigcommerce.com"
BYTES_MAX = 2 * 1024 * 1024
PRODUCTS_MAX = 250
LATER = (http.client.TOO_MANY_REQUESTS, http.client.REQUEST_TIMEOUT)


def read_order(hub: "Hub", store: str, token: str, number: str) -> dict[str, Any] | None:
    """What its webhooks hint at, as one document; None where there is no such order any more."""
    order = _asked(hub, token, f"/stores/{store}/v2/orders/{number}")
    if order is None:
        return None
    products = _asked(hub, token, f"/stores/{store}/v2/orders/{number}/products?limit={PRODUCTS_MAX}")
    refunds = _asked(hub, token, f"/stores/{store}/v3/orders/{number}/payment_actions/refunds")
    told = refunds.get("data") if isinstance(refunds, dict) else refunds
    return {"order": order, "products": products or [], "refunds": told or []}


def _asked(hub: "Hub", token: str, path: str) -> Any:
    """The JSON at a path, numbers as they were sent; None where there is nothing. RemoteError for everything else."""
    headers = {"x-auth-token": token, "accept": "application/json"}
    url = f"https://{HOST}{path}"
    status, body = ask(url, headers, most=BYTES_MAX, via=hub.bigcommerce_connect, ca=hub.bigcommerce_ca)
    if status in (http.client.NOT_FOUND, http.client.NO_CONTENT):
        return None
    if status >= http.client.INTERNAL_SERVER_ERROR or status in LATER or len(body) > BYTES_MAX:
        raise RemoteError("UNREACHABLE", host=HOST, port=443, said=f"HTTP {status}")
    if status != http.client.OK:
        raise RemoteError("SHOP_REFUSED", lasting=True, host=HOST, status=str(status))
    try:
        return json.loads(body, parse_float=str)
    except ValueError as error:
        raise RemoteError("UNREACHABLE", host=HOST, port=443, said="no JSON") from error
