"""Orders of a BigCommerce store with status, products and refunds, read with a restricted key.

The API account needs the read-only scopes Orders and Order Transactions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from retour.domain.times import format_instant
from retour.remote.shop import get_json
from retour.settings import Service

HOST = "api.bigcommerce.com"
PRODUCTS_MAX = 250


@dataclass(frozen=True)
class BigCommerceClient:
    """A client for one store. Order lists do not include refunds, so each order is read on its own."""

    service: Service
    store: str
    token: str
    page: ClassVar[int] = 250
    lists: ClassVar[tuple[str, ...]] = ("",)

    @classmethod
    def of(cls, service: Service, options: Mapping[str, Any], secret: Mapping[str, str]) -> "BigCommerceClient":
        return cls(service, options["store_hash"], secret["access_token"])

    def order(self, number: str) -> dict[str, Any] | None:
        """An order with everything needed as one document; None if it does not exist any more."""
        order = self._ask(f"v2/orders/{number}")
        if order is None:
            return None
        products = self._ask(f"v2/orders/{number}/products?limit={PRODUCTS_MAX}")
        refunds = self._ask(f"v3/orders/{number}/payment_actions/refunds")
        told = refunds.get("data") if isinstance(refunds, dict) else refunds
        return {"order": order, "products": products or [], "refunds": told or []}

    def changed(self, _list: str, since: datetime, page: int) -> list[dict[str, Any]]:
        """A page of orders changed at `since` or later, oldest change first."""
        asked = {
            "min_date_modified": format_instant(since),
            "sort": "date_modified:asc",
            "limit": self.page,
            "page": page,
        }
        return self._ask(f"v2/orders?{urlencode(asked)}") or []

    @staticmethod
    def modified(order: Mapping[str, Any]) -> datetime:
        return parsedate_to_datetime(str(order["date_modified"]))

    def _ask(self, path: str) -> Any:
        url = f"https://{HOST}/stores/{self.store}/{path}"
        return get_json(url, {"x-auth-token": self.token}, service=self.service, refusal="SHOP_REFUSED")
