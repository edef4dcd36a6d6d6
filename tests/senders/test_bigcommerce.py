"""BigCommerce with a restricted key: its webhooks are hints, and the order as it is read back counts."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from retour.bigcommerce_sync import errand
from retour.remote import RemoteError
from tests.senders.hall import SECRET, Hall
from tests.senders.messages import bigcommerce_status

TOKEN = "restricted-read-only-token"
REFUND = {
    "items": [
        {"item_type": "PRODUCT", "item_id": 7, "quantity": 1, "requested_amount": "40.00"},
        {"item_type": "SHIPPING", "item_id": 1, "quantity": 1, "requested_amount": "5.00"},
    ],
    "payments": [{"is_declined": False}],
}


class Store:
    """The API of a store, on this machine and behind a certificate for its name."""

    def __init__(self, folder: Path) -> None:
        self.orders: dict[str, tuple[dict[str, Any], list[Any]]] = {}
        self.status = 0
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = store.answer(self.path.partition("?")[0])
                genuine = self.headers["Host"] == "api.bigcommerce.com" and self.headers["X-Auth-Token"] == TOKEN
                self.send_response(store.status or (401 if not genuine else 200 if body is not None else 404))
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_said: object) -> None:
                pass

        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("api.bigcommerce.com").configure_cert(context)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.ca = folder / "store.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> Any:
        _, _, store, version, _, number, *rest = path.split("/")
        found = self.orders.get(number)
        if store != "a1b2c3" or found is None:
            return None
        order, refunds = found
        match version, rest:
            case "v2", []:
                return order
            case "v2", ["products"]:
                return [{"id": 7, "sku": "X", "quantity": 2}]
            case "v3", ["payment_actions", "refunds"]:
                return {"data": refunds, "meta": {}}
        return None

    def put(self, status: int, *refunds: Any, minute: int = 0) -> None:
        self.orders["1057"] = (
            {
                "id": 1057,
                "status_id": status,
                "currency_code": "EUR",
                "total_inc_tax": "110.0000",
                "date_modified": f"Tue, 10 Nov 2026 10:{minute:02}:00 +0000",
            },
            list(refunds),
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.server.shutdown()
    store.server.server_close()


@pytest.fixture
def hall(store: Store, monkeypatch: pytest.MonkeyPatch) -> Hall:
    hall = Hall("bigcommerce", {"options": {"store_hash": "a1b2c3"}})
    monkeypatch.setattr(hall, "secret", lambda *_: {"signing": [SECRET], "access_token": TOKEN})
    monkeypatch.setattr(hall, "bigcommerce_connect", f"127.0.0.1:{store.server.server_address[1]}", raising=False)
    monkeypatch.setattr(hall, "bigcommerce_ca", str(store.ca), raising=False)
    hall.sell("1057")
    return hall


def hinted(hall: Hall, status: int = 14) -> dict[str, Any]:
    """A webhook, and what the queue has done for it."""
    answer = hall.post(bigcommerce_status(status)[0])
    queue, message = hall.sent.pop()
    assert queue == "writebacks"
    errand(hall, message)  # type: ignore[arg-type]
    return answer


def test_a_partial_refund_is_read_back_for_its_goods(store: Store, hall: Hall) -> None:
    store.put(14, REFUND)
    assert hinted(hall)["state"] == "ignored"
    assert hall.left("1057") == "60.00"


def test_an_order_that_is_cancelled_and_paid_after_all(store: Store, hall: Hall) -> None:
    """A9, and what the webhook says does not count where the order says otherwise."""
    left = []
    for minute, status in enumerate((5, 11, 5, 11)):
        store.put(status, minute=minute)
        hinted(hall, 5)
        left.append(hall.left("1057"))
    assert left == ["0.00", "100.00", "0.00", "100.00"]


def test_a_refund_of_which_the_payment_was_declined_gives_back_what_it_took(store: Store, hall: Hall) -> None:
    store.put(14, REFUND)
    hinted(hall)
    store.put(14, {**REFUND, "payments": [{"is_declined": True}]}, minute=1)
    hinted(hall)
    assert hall.left("1057") == "100.00"


def test_a_hint_about_an_order_that_says_nothing_new_writes_nothing(store: Store, hall: Hall) -> None:
    store.put(14, REFUND)
    hinted(hall)
    records = len(hall.order("1057").records)
    hinted(hall)
    assert len(hall.order("1057").records) == records


def test_an_order_that_is_gone_says_nothing(store: Store, hall: Hall) -> None:
    hinted(hall)
    assert hall.left("1057") == "100.00"


@pytest.mark.parametrize(("status", "lasting"), [(503, False), (429, False), (403, True)])
def test_a_store_that_does_not_answer_is_asked_again_unless_it_refuses(
    store: Store, hall: Hall, status: int, lasting: bool
) -> None:
    store.put(14, REFUND)
    store.status = status
    hall.post(bigcommerce_status(14)[0])
    _, message = hall.sent.pop()
    with pytest.raises(RemoteError) as refused:
        errand(hall, message)  # type: ignore[arg-type]
    assert refused.value.lasting is lasting
    store.status = 0
    errand(hall, message)  # type: ignore[arg-type]
    assert hall.left("1057") == "60.00"
