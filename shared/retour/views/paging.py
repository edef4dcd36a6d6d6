"""Pages of deliveries and records by cursor."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from retour.domain.program import Program
from retour.ports import ReadPorts
from retour.store.deliveries import Deliveries, DeliveryHeader
from retour.views.documents import Document, batch_document
from retour.views.ledger_reader import ORDERS_MAX, LedgerReader
from retour.views.schemas import BatchDocument

Item = TypeVar("Item")
HEADERS_AT_ONCE = 50
HEADERS_MAX = 300
"""Maximum deliveries read per page."""
DAYS_MAX = 60
"""Maximum days without deliveries skipped per page."""


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A position in a list: a day, a delivery, a number of its records. Without delivery, the whole day is next."""

    day: str
    delivery: str = ""
    record: int = 0

    def cursor(self) -> str:
        return f"{self.day}.{self.delivery}.{self.record}"


def parse_cursor(cursor: str) -> ListPosition | None:
    """Parse a cursor. None if it is invalid."""
    found = CURSOR.fullmatch(cursor)
    if found is None or not is_day(found["day"]):
        return None
    return ListPosition(found["day"], found["delivery"] or "", int(found["record"]))


DELIVERY_ID = r"\d{8}T\d{9}Z-[0-9a-f]{10}"
CURSOR = re.compile(rf"(?P<day>\d{{8}})\.(?P<delivery>{DELIVERY_ID})?\.(?P<record>\d{{1,7}})", re.ASCII)


def is_delivery_id(text: str) -> bool:
    return re.fullmatch(DELIVERY_ID, text, re.ASCII) is not None


def is_day(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y%m%d").year > 1970
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    items: list[Item]
    next: ListPosition | None

    def document(self) -> Document:
        return {"items": self.items, "next": self.next.cursor() if self.next else None}


def scan_headers(deliveries: Deliveries, start: ListPosition, last_day: str) -> Iterator[DeliveryHeader | ListPosition]:
    """Headers from a position on, newest first, back to the program's first day.

    A ListPosition instead of a header ends the page, after too many days or headers.
    """
    if start.delivery and start.record:
        begun = deliveries.get(start.delivery)
        if begun is not None:
            yield begun
    day, before, looked = start.day, start.delivery or None, 0
    for _ in range(DAYS_MAX):
        if day < last_day:
            return
        while found := deliveries.newest(day, before, HEADERS_AT_ONCE):
            yield from found
            before, looked = found[-1].delivery.id, looked + len(found)
            if looked >= HEADERS_MAX:
                yield ListPosition(day, before)
                return
            if len(found) < HEADERS_AT_ONCE:
                break
        day, before = day_before(day), None
    if day >= last_day:
        yield ListPosition(day)


def day_bounds(ports: ReadPorts, program: Program) -> tuple[str, str]:
    """Today, and the day of the program's first version, before which there are no deliveries."""
    first = f"{ports.programs.first_recorded_at(program.id):%Y%m%d}"
    today = f"{ports.now():%Y%m%d}"
    return max(today, first), first


def day_before(day: str) -> str:
    return f"{datetime.strptime(day, '%Y%m%d') - timedelta(days=1):%Y%m%d}"


def page_of_batches(
    reader: LedgerReader, start: ListPosition, last_day: str, limit: int, wanted: Callable[[DeliveryHeader], bool]
) -> Page[BatchDocument]:
    items: list[BatchDocument] = []
    for seen in scan_headers(reader.deliveries, start, last_day):
        if isinstance(seen, ListPosition):
            return Page(items, seen)
        if wanted(seen):
            items.append(batch_document(seen, reader.program, reader.counts(seen)))
        if len(items) == limit or len(reader.orders) >= ORDERS_MAX:
            return Page(items, ListPosition(seen.delivery.id[:8], seen.delivery.id))
    return Page(items, None)


def page_of_records(
    reader: LedgerReader,
    start: ListPosition,
    last_day: str,
    limit: int,
    rows: Callable[[DeliveryHeader, int], Iterator[Item | None]],
) -> Page[Item]:
    """A page of records. `rows` yields the documents of a delivery from a number on, None for unwanted ones."""
    items: list[Item] = []
    for seen in scan_headers(reader.deliveries, start, last_day):
        if isinstance(seen, ListPosition):
            return Page(items, seen)
        skip = start.record if seen.delivery.id == start.delivery else 0
        for number, document in enumerate(rows(seen, skip), skip + 1):
            if document is not None:
                items.append(document)
            if len(items) == limit or len(reader.orders) >= ORDERS_MAX:
                return Page(items, ListPosition(seen.delivery.id[:8], seen.delivery.id, number))
    return Page(items, None)
