"""Orders of a WooCommerce shop in the format of its webhooks, read with a read-only key.

The key is created in the shop under WooCommerce, Settings, Advanced, REST API, with the permission Read.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from retour.domain.times import parse_instant
from retour.remote import RemoteError
from retour.remote.shop import get_json
from retour.settings import Service

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class WooCommerceClient:
    """A client for one shop. Its list of `any` orders excludes those in the trash."""

    service: Service
    address: str
    key: str
    secret: str
    page: ClassVar[int] = 100
    lists: ClassVar[tuple[str, ...]] = ("any", "trash")

    @classmethod
    def of(cls, service: Service, options: Mapping[str, Any], secret: Mapping[str, str]) -> "WooCommerceClient":
        return cls(service, options["store_url"].rstrip("/"), secret["consumer_key"], secret["consumer_secret"])

    def changed(self, status: str, since: datetime, page: int) -> list[dict[str, Any]]:
        """A page of orders changed at that second or later, oldest change first."""
        # `modified_after` excludes its own second; a time with an offset would be moved into the site's zone before it
        # is compared with times in UTC.
        after = f"{(since - SECOND).astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
        return self._orders(status=status, modified_after=after, orderby="modified", order="asc", page=page)

    def orders(self, numbers: Sequence[str]) -> list[dict[str, Any]]:
        """Up to a page of orders by number. Missing ones are left out."""
        return self._orders(status="any", include=",".join(numbers), page=1)

    @staticmethod
    def modified(order: Mapping[str, Any]) -> datetime:
        return parse_instant(f"{order['date_modified_gmt']}Z")

    def _orders(self, **asked: Any) -> list[dict[str, Any]]:
        query = urlencode({**asked, "dates_are_gmt": "true", "per_page": self.page})
        url = f"{self.address}/wp-json/wc/v3/orders?{query}"
        signed = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
        found = get_json(
            url,
            {"authorization": f"Basic {signed}"},
            service=self.service,
            refusal="WOOCOMMERCE_REFUSED",
        )
        if not isinstance(found, list):
            raise RemoteError("WOOCOMMERCE_REFUSED", lasting=True, host=urlsplit(url).hostname, status="404")
        return found
