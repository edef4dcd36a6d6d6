"""Read orders of shops with a restricted key: when a webhook hints at one, and in a nightly reconcile.

Each reading is ingested as a delivery, by the adapter of the shop's webhooks with the same subject and version. What
the ledger already knows makes no delivery.

A source's state:

`order#<number>`     BigCommerce: the digest and change time of the order as last ingested
`refunded#<number>`  WooCommerce: an order seen with refunds, since deleting one does not change its time
`watermark`          the newest change time seen per list of orders, and the last complete night
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from zoneinfo import ZoneInfo

from retour.channels.bigcommerce import READ_BACK, hinted_order
from retour.channels.woocommerce import TOPIC
from retour.domain.actions.modification import Modification
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, OrderNames
from retour.domain.times import format_instant, parse_instant
from retour.intake.batch import Batch
from retour.intake.ingest import ingest, rows_of
from retour.posting.restatements import has_news
from retour.posting.rows import read_rows
from retour.remote import RemoteError
from retour.remote.bigcommerce import BigCommerceClient
from retour.remote.woocommerce import WooCommerceClient
from retour.setup.clients import shop_client
from retour.setup.credentials import shop_secrets
from retour.sync import Reconciled

if TYPE_CHECKING:
    from retour.wiring import Hub

OVERLAP = timedelta(minutes=15)
"""Clocks of database and web servers differ, and changes are committed after their timestamp."""
FIRST_DAYS = 35
NIGHT = time(2)
REFUNDED = "refunded#"
KEPT = timedelta(days=60)
"""How long an order with refunds is checked for deleted ones."""


class Shop(Protocol):
    """A shop that lists orders by change time."""

    page: ClassVar[int]
    lists: ClassVar[tuple[str, ...]]

    def changed(self, _list: str, since: datetime, page: int, /) -> list[dict[str, Any]]: ...
    def modified(self, order: Mapping[str, Any], /) -> datetime: ...


def is_read(source: Source) -> bool:
    """Whether a source's shop can be read."""
    return source.enabled and bool(shop_secrets(source))


# When a webhook hints


def request_read_back(hub: "Hub", program: Program, source: Source, body: bytes) -> bool:
    """Queue the order named by a BigCommerce webhook for reading. False if it names none."""
    number = hinted_order(body) if source.kind == "bigcommerce" and is_read(source) else None
    if number is None:
        return False
    hub.send("writebacks", {"program": program.id, "source": source.name, "order": number})
    return True


def handle_message(hub: "Hub", message: Mapping[str, Any]) -> dict[str, Any]:
    """Handle a queued read-back of an order."""
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    if program is None or source is None or not is_read(source):
        return {"dropped": "the source is gone"}
    batch = read_back(hub, program, source, str(message["order"]))
    return {"changed": len(batch.results) if batch else 0}


def read_back(hub: "Hub", program: Program, source: Source, number: str) -> Batch | None:
    """Read a BigCommerce order and ingest it. None if it is missing or contains nothing new."""
    shop = shop_client(hub, program, source)
    found = shop.order(number) if isinstance(shop, BigCommerceClient) else None
    if found is None:
        return None
    digest, state = digest_of(found), hub.state(program.id, source.name)
    if (state.get(f"order#{number}") or {}).get("digest") == digest:
        return None
    body = json.dumps({READ_BACK: format_instant(hub.now()), **found}, ensure_ascii=False).encode()
    batch = ingest(hub, build_delivery(hub, program, source, f"{number}.{digest}", body), body)
    state.put(f"order#{number}", {"digest": digest, "modified": format_instant(shop.modified(found["order"]))})
    return batch


# By the clock


def is_due(hub: "Hub", program: Program, source: Source) -> bool:
    """Whether the nightly reconcile of a source is due."""
    mark = hub.state(program.id, source.name).get("watermark") or {}
    return bool(mark.get("night", "") < night(hub.now(), source))


def night(now: datetime, source: Source) -> str:
    """The local day of the source's latest night."""
    local = now.astimezone(ZoneInfo(source.time_zone))
    return str(local.date() - timedelta(days=local.time() < NIGHT))


def reconcile(hub: "Hub", program: Program, source: Source, time_left: Callable[[], bool]) -> Reconciled:
    """Ingest changes that no webhook announced, page by page. The watermark follows what is stored."""
    state, began = hub.state(program.id, source.name), hub.now()
    mark = state.get("watermark") or {}
    shop = shop_client(hub, program, source)
    seen = changed = 0
    try:
        for list_ in shop.lists:
            since = parse_instant(mark[list_]) - OVERLAP if list_ in mark else began - timedelta(days=FIRST_DAYS)
            for orders in pages(shop, list_, since):
                changed += sum(take_order(hub, program, source, shop, order) for order in orders)
                seen += len(orders)
                mark = {**mark, list_: format_instant(shop.modified(orders[-1]))}
                state.put("watermark", mark)
                if len(orders) == shop.page and not time_left():
                    return Reconciled(seen, changed, whole=False)
        if isinstance(shop, WooCommerceClient):
            changed += take_deleted_refunds(hub, program, source, shop)
    except RemoteError as error:
        if error.code != "SHOP_BUSY":
            raise
        return Reconciled(seen, changed, whole=False, spared=True)
    state.put("watermark", {**mark, "night": night(began, source)})
    return Reconciled(seen, changed, whole=True)


def pages(shop: Shop, list_: str, since: datetime) -> Iterator[list[dict[str, Any]]]:
    """Pages of changed orders, each starting at the last second of the one before.

    Orders changed meanwhile move to the end without shifting others. A second that fills a whole page is paged through.
    """
    page = 1
    while orders := shop.changed(list_, since, page):
        yield orders
        if len(orders) < shop.page:
            return
        last = shop.modified(orders[-1])
        since, page = (last, 1) if last > since else (since, page + 1)


def take_order(
    hub: "Hub", program: Program, source: Source, shop: BigCommerceClient | WooCommerceClient, order: Mapping[str, Any]
) -> int:
    """Ingest an order of a list if it contains anything new. Returns the number of records."""
    number, state = str(order["id"]), hub.state(program.id, source.name)
    if isinstance(shop, WooCommerceClient):
        note = f"{REFUNDED}{number}"
        if state.get(note):
            return 0  # looked at again in the end, as it is then
        if order.get("refunds"):
            state.put(note, {"since": format_instant(hub.now())})
        return take_news(hub, program, source, number, order)
    modified = format_instant(shop.modified(order))
    if (state.get(f"order#{number}") or {}).get("modified") == modified:
        return 0
    found = shop.order(number)
    taken = take_news(hub, program, source, number, found) if found else 0
    if found and taken:
        state.put(f"order#{number}", {"digest": digest_of(found), "modified": modified})
    return taken


def take_deleted_refunds(hub: "Hub", program: Program, source: Source, shop: WooCommerceClient) -> int:
    """Check orders that had refunds, since deleting a refund does not change the order's time."""
    state = hub.state(program.id, source.name)
    noted = list(state.list(REFUNDED))
    for key, doc in noted:
        if hub.now() - parse_instant(doc["since"]) > KEPT:
            state.delete(key)
    numbers = [key.removeprefix(REFUNDED) for key, _ in noted]
    changed = 0
    for start in range(0, len(numbers), shop.page):
        for order in shop.orders(numbers[start : start + shop.page]):
            changed += take_news(hub, program, source, str(order["id"]), order, again=True)
    return changed


def take_news(
    hub: "Hub", program: Program, source: Source, number: str, found: Mapping[str, Any], *, again: bool = False
) -> int:
    """Ingest a reading if it contains anything new. Returns the number of records.

    `again`: the order's time is known already, but refunds may have been deleted; it counts as of its reading.
    """
    marks = {READ_BACK: format_instant(hub.now())} if again or source.kind == "bigcommerce" else {}
    body = json.dumps({**marks, **found}, ensure_ascii=False).encode()
    delivery = build_delivery(hub, program, source, f"{number}.{digest_of(found)}", body)
    if not tells_news(hub, program, source, delivery, body, at_reading=again):
        return 0
    return len(ingest(hub, delivery, body).results)


def tells_news(
    hub: "Hub", program: Program, source: Source, delivery: Delivery, body: bytes, *, at_reading: bool
) -> bool:
    """Whether a reading contains anything no message did. An unreadable one is listed for a person."""
    told = rows_of(delivery, body, source)
    if not isinstance(told, Sequence):
        return not isinstance(told, Ignored | OrderNames)
    reads = [read for _, read in read_rows(program, delivery, told)]
    records = [read for read in reads if isinstance(read, Modification) and read.order_key is not None]
    ledger, homes = hub.ledger(program), {record.home for record in records}
    return len(records) < len(reads) or any(
        has_news(ledger.order(home), [record for record in records if record.home == home], at_reading=at_reading)
        for home in homes
    )


def digest_of(found: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


# In


def build_delivery(hub: "Hub", program: Program, source: Source, identity: str, body: bytes) -> Delivery:
    return Delivery.create(
        body,
        received_at=hub.now(),
        program=program.id,
        channel=Channel.API,
        source=source.name,
        kind=DeliveryKind.HOOK,
        identity=identity,
        sender=source.kind,
        facts={TOPIC: "order.updated"} if source.kind == "woocommerce" else {},
    )
