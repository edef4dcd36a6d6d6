"""The APIs of a BigCommerce store and of a WooCommerce shop on this machine, as strict as the real ones.

Both behind a certificate for their name: a wrong key, an unknown query word, a page too large, a date they could not
read, and too many calls are answered as they answer them.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme

TOKEN = "restricted-read-only-token"
KEY, SECRET_KEY = "ck_0123456789abcdef", "cs_0123456789abcdef"
SHOP = "shop.merchant.example"
SITE_ZONE = timezone(timedelta(hours=2))
"""Where a shop's site is: dates that do not say they are UTC are its own."""
STATUSES = ("pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed", "checkout-draft")
WORDS = {
    "context", "page", "per_page", "search", "after", "before", "modified_after", "modified_before", "dates_are_gmt",
    "exclude", "include", "offset", "order", "orderby", "parent", "parent_exclude", "status", "customer", "product",
    "dp",
}  # fmt: skip
FILTERS = {
    "min_id", "max_id", "min_total", "max_total", "customer_id", "email", "status_id", "cart_id", "payment_method",
    "min_date_created", "max_date_created", "min_date_modified", "max_date_modified", "page", "limit", "sort",
    "is_deleted", "channel_id",
}  # fmt: skip

Answer = tuple[int, Any]


@dataclass
class Api:
    """A server for one name. `fails_with`: how it answers whatever is asked; `calls_left`: so many, then it is busy."""

    folder: Path
    host: str
    fails_with: int = 0
    calls_left: int = 10_000
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = api.answered(self.path, {name.lower(): value for name, value in self.headers.items()})
                body = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "30")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_said: object) -> None:
                pass

        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(self.host).configure_cert(context)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.ca = self.folder / f"{self.host}.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def connect(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answered(self, path: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append(path)
        if self.fails_with:
            return self.fails_with, {"message": "no"}
        if self.calls_left <= 0:
            return 429, {"message": "slow down"}
        self.calls_left -= 1
        if headers.get("host") != self.host:
            return 404, None
        url = urlsplit(path)
        return self.get(url.path, dict(parse_qsl(url.query, keep_blank_values=True)), headers)

    def get(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        raise NotImplementedError


@dataclass
class BigCommerceStore(Api):
    """A store with its orders: each with the refunds that belong to it."""

    host: str = "api.bigcommerce.com"
    orders: dict[str, tuple[dict[str, Any], list[Any]]] = field(default_factory=dict)

    def put(self, status: int, *refunds: Any, minute: float = 0, number: int = 1057) -> None:
        changed = datetime(2026, 11, 10, 10, tzinfo=UTC) + timedelta(minutes=minute)
        self.orders[str(number)] = (
            {
                "id": number,
                "status_id": status,
                "currency_code": "EUR",
                "total_inc_tax": "110.0000",
                "date_modified": format_datetime(changed),
            },
            list(refunds),
        )

    def get(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        if headers.get("x-auth-token") != TOKEN:
            return 401, {"status": 401}
        _, _, store, version, *rest = path.split("/")
        if store != "a1b2c3":
            return 404, None
        match version, rest:
            case "v2", ["orders"]:
                return self.listed(query)
            case "v2", ["orders", number] if number in self.orders:
                return 200, self.orders[number][0]
            case "v2", ["orders", number, "products"] if number in self.orders:
                return 200, [{"id": 7, "sku": "X", "quantity": 2}]
            case "v3", ["orders", number, "payment_actions", "refunds"] if number in self.orders:
                return 200, {"data": self.orders[number][1], "meta": {}}
        return 404, [{"status": 404, "message": "The requested resource was not found."}]

    def listed(self, query: Mapping[str, str]) -> Answer:
        limit, page = int(query.get("limit", 50)), int(query.get("page", 1))
        field_, _, way = query.get("sort", "id:asc").partition(":")
        if query.keys() - FILTERS or limit > 250 or page < 1 or way not in ("asc", "desc"):
            return 400, [{"status": 400, "message": "The field is not supported by this resource."}]
        since = datetime.fromisoformat(query.get("min_date_modified", "1970-01-01T00:00:00+00:00"))
        if since.tzinfo is None:
            return 400, [{"status": 400, "message": "date without an offset"}]
        found = [order for order, _ in self.orders.values() if modified(order) >= since]
        key: Callable[[Any], Any] = modified if field_ == "date_modified" else lambda order: order[field_]
        found = sorted(found, key=key, reverse=way == "desc")[(page - 1) * limit : page * limit]
        return (200, found) if found else (204, None)


def modified(order: Mapping[str, Any]) -> datetime:
    return parsedate_to_datetime(order["date_modified"])


@dataclass
class WooCommerceShop(Api):
    """A shop with its orders, by number."""

    host: str = SHOP
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)

    def put(self, order: Mapping[str, Any]) -> None:
        """An order as its webhooks tell it."""
        self.orders[order["id"]] = dict(order)

    def get(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        if path != "/wp-json/wc/v3/orders":
            return 404, {"code": "rest_no_route", "message": "No route was found", "data": {"status": 404}}
        right = base64.b64encode(f"{KEY}:{SECRET_KEY}".encode()).decode()
        if headers.get("authorization") != f"Basic {right}":
            return 401, wrong("woocommerce_rest_cannot_view", 401)
        per_page, page = int(query.get("per_page", 10)), int(query.get("page", 1))
        by, way = query.get("orderby", "date"), query.get("order", "desc")
        status = query.get("status", "any").split(",")
        if (
            query.keys() - WORDS
            or not 1 <= per_page <= 100
            or page < 1
            or by not in ("date", "id", "include", "title", "slug", "modified")
            or way not in ("asc", "desc")
            or set(status) - {"any", "trash", *STATUSES}
        ):
            return 400, wrong("rest_invalid_param", 400)
        found = [order for order in self.orders.values() if is_of(order, status)]
        if "include" in query:
            asked = [int(number) for number in query["include"].split(",")]
            found = [order for order in found if order["id"] in asked]
        if "modified_after" in query:
            # As WordPress does it: what has an offset is moved into the site's zone, and its digits are compared then.
            told = datetime.fromisoformat(query["modified_after"])
            digits = told.astimezone(SITE_ZONE) if told.tzinfo else told
            after = digits.replace(tzinfo=UTC if query.get("dates_are_gmt") == "true" else SITE_ZONE)
            found = [order for order in found if changed(order) > after]
        key: Callable[[Any], Any] = changed if by == "modified" else lambda order: order["id"]
        return 200, sorted(found, key=key, reverse=way == "desc")[(page - 1) * per_page : page * per_page]


def is_of(order: Mapping[str, Any], status: list[str]) -> bool:
    return order["status"] in status or ("any" in status and order["status"] != "trash")


def changed(order: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(order["date_modified_gmt"]).replace(tzinfo=UTC)


def wrong(code: str, status: int) -> dict[str, Any]:
    return {"code": code, "message": "Sorry, you cannot list resources.", "data": {"status": status}}
