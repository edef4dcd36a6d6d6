"""Shops whose orders can be read with a restricted key: read back when a webhook hints at one, and every night.

What is read is taken in as a delivery of its own, by the adapter of the shop's webhooks: the same subject, the same
version. What the ledger knows already, by whatever message, is no delivery.

What a source keeps (its state):
`order#<number>`    BigCommerce: the digest of the order as it was taken in last, and its time of change
`refunded#<number>` WooCommerce: an order that was seen with refunds; that one is deleted changes no time of it
`watermark`         for each list of orders the newest time of change that was seen; and the last night that was whole
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
"""Clocks of shops' database and web servers differ, and changes are saved after the time they carry."""
FIRST_DAYS = 35
NIGHT = time(2)
REFUNDED = "refunded#"
KEPT = timedelta(days=60)
"""So long a refund may still be deleted without a word."""


class Shop(Protocol):
    """A shop that lists its orders by the time of their last change."""

    page: ClassVar[int]
    lists: ClassVar[tuple[str, ...]]

    def changed(self, _list: str, since: datetime, page: int, /) -> list[dict[str, Any]]: ...
    def modified(self, order: Mapping[str, Any], /) -> datetime: ...


def is_read(source: Source) -> bool:
    """Whether a source is of a shop that may be asked."""
    return source.enabled and bool(shop_secrets(source))


# When a webhook hints


def request_read_back(hub: "Hub", program: Program, source: Source, body: bytes) -> bool:
    """Have the order read that a webhook of BigCommerce speaks of; whether it speaks of one."""
    number = hinted_order(body) if source.kind == "bigcommerce" and is_read(source) else None
    if number is None:
        return False
    hub.send("writebacks", {"program": program.id, "source": source.name, "order": number})
    return True


def handle_message(hub: "Hub", message: Mapping[str, Any]) -> dict[str, Any]:
    """An order to read that a webhook hinted at."""
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    if program is None or source is None or not is_read(source):
        return {"dropped": "the source is gone"}
    batch = read_back(hub, program, source, str(message["order"]))
    return {"changed": len(batch.results) if batch else 0}


def read_back(hub: "Hub", program: Program, source: Source, number: str) -> Batch | None:
    """Read an order of BigCommerce as it is now and take it in; None where it says nothing new, or is not there."""
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
    """Whether the last night of a source is still to be looked through."""
    mark = hub.state(program.id, source.name).get("watermark") or {}
    return bool(mark.get("night", "") < night(hub.now(), source))


def night(now: datetime, source: Source) -> str:
    """The day whose night is the last that began, where the source is."""
    local = now.astimezone(ZoneInfo(source.time_zone))
    return str(local.date() - timedelta(days=local.time() < NIGHT))


def reconcile(hub: "Hub", program: Program, source: Source, time_left: Callable[[], bool]) -> Reconciled:
    """Take in what changed since the last time and nobody told, page by page; the watermark follows what is stored."""
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
    """Pages of changed orders. Each begins anew at the last second of the one before: what changes meanwhile moves to
    the end and pushes nothing over the edge of a page. Only where one second fills a page its next one is turned."""
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
    """Take in an order of a list, unless it says what is known; how many records that brought."""
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
    """Look again at the orders that had refunds: deleting one leaves the time of its order as it was."""
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
    """Take in a reading, unless it says what is known; how many records that brought.

    `again`: of an order whose own time was told before, with refunds that may be gone: it is as it is read now.
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
    """Whether a reading says what no message said. What cannot be read is for a person to see."""
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
