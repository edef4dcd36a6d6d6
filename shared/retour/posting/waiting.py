"""Records waiting for their action: listed, answered once it is reported, refused after the waiting time."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain, groupby
from typing import Any, TypeVar

from retour.domain.actions.order import Order, is_waiting_for_total
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.ports import PostingPorts
from retour.posting.fold import adopt_waiting, expire_records
from retour.store.bulk import batched
from retour.store.ledger import Ledger

MESSAGE_RECORDS_MAX = 300
"""Record ids per message (SQS allows 256 KB)."""
RECORDS_AT_ONCE = 20_000
"""Reminders of one deadline held in memory."""
WORKERS = 16
"""Orders folded concurrently."""

log = logging.getLogger(__name__)


def remind_waiting(ports: PostingPorts, program: Program, delivery: Delivery, results: Sequence[Result]) -> None:
    """List waiting records, so that they expire in time and their sender gets a second answer."""
    deliveries = ports.deliveries(program.id)
    deadline = delivery.received_at + timedelta(days=program.waiting_days)
    for result in results:
        if result.outcome is Outcome.WAITING:
            home, _, subject = result.modification.rpartition("~")
            why = {} if result.code == "WAITING" else {"code": result.code}
            deliveries.remind("waiting", deadline, subject, {"delivery": delivery.id, "home": home, **why})


def answer_settled(ports: PostingPorts, program: Program, order: Order) -> None:
    """Request second answers for an order's settled records. Their reminders are removed afterwards."""
    deliveries = ports.deliveries(program.id)
    first = min((action.reported_at for action in order.actions), default=None)
    for record in order.records:
        could_wait = first is None or record.received_at <= first or is_waiting_for_total(record) or record.names
        if could_wait and order.booking_of(record.id):
            deadline = record.received_at + timedelta(days=program.waiting_days)
            reminder = deliveries.reminder("waiting", deadline, record.id)
            if reminder:
                request_second_answer(ports, program.id, reminder["delivery"], [record.public_id])
                deliveries.forget("waiting", deadline, record.id)


def request_second_answer(ports: PostingPorts, program_id: str, delivery_id: str, ids: Sequence[str]) -> None:
    """Queue the second answer of a delivery. A list too long for a message is stored in the inbox."""
    message = {"program": program_id, "delivery": delivery_id, "what": "settled", "modifications": list(ids)}
    if len(ids) > MESSAGE_RECORDS_MAX:
        key = f"results/{program_id}/{delivery_id}/settled_{ids[0].rpartition('~')[2]}.json"
        ports.inbox.put(key, json.dumps(list(ids)).encode())
        message |= {"modifications": list(ids[:1]), "listed": key}
    ports.send("answers", message)


def expire_waiting(ports: PostingPorts, program: Program, has_time: Callable[[], bool] = lambda: True) -> int:
    """Refuse records that have waited for their action too long. Returns how many.

    All records of a delivery expire together, so it gets one second answer. Orders are folded concurrently; one that
    fails does not block the others and is retried on the next run. Files still being processed are skipped, since their
    records may yet meet an action.
    """
    ledger, deliveries = ports.ledger(program), ports.deliveries(program.id)
    overdue = deliveries.due("waiting", ports.now())
    first = next(overdue, None)
    if first is None:
        return 0
    at_work = set(deliveries.open_ids())
    done = 0
    for together in reminders_by_delivery(chain([first], overdue)):
        delivery_id = together[0][1]["delivery"]
        if delivery_id in at_work:
            continue
        ended = expire_rows(ledger, together, ports.now())
        if ended:
            request_second_answer(ports, program.id, delivery_id, [public_id for public_id, _, _ in ended])
            run_each(lambda one: deliveries.forget("waiting", one[2], one[1]), ended)
        done += len(ended)
        if not has_time():
            break
    return done


PARALLEL_MIN = 8
"""Minimum number of calls made concurrently."""
T = TypeVar("T")
R = TypeVar("R")
Reminder = tuple[str, Mapping[str, Any]]


def reminders_by_delivery(reminders: Iterable[Reminder]) -> Iterator[list[Reminder]]:
    """Reminders of one deadline grouped by delivery, in chunks if a delivery has very many."""
    for _, of_deadline in groupby(reminders, key=lambda one: one[1]["deadline"]):
        for some in batched(of_deadline, RECORDS_AT_ONCE):
            for delivery in dict.fromkeys(doc["delivery"] for _, doc in some):
                yield [one for one in some if one[1]["delivery"] == delivery]


def expire_rows(ledger: Ledger, reminders: Iterable[Reminder], now: datetime) -> list[tuple[str, str, datetime]]:
    """Expire waiting records. Returns public id, subject and deadline of each."""
    homes: dict[str, list[Reminder]] = {}
    for subject, doc in reminders:
        homes.setdefault(doc["home"], []).append((subject, doc))

    def expired(home: str) -> list[tuple[str, str, datetime]]:
        try:
            rows = homes[home]
            keys = [refuse_if_waiting(ledger, home, subject, now) for subject, _ in rows]
        except Exception:
            log.exception("what waits there could not be given up", extra={"order": home})
            return []
        ended = zip(keys, rows, strict=True)
        return [(f"{key}~{subject}", subject, parse_instant(doc["deadline"])) for key, (subject, doc) in ended]

    return sorted(chain.from_iterable(run_each(expired, list(homes))))


def run_each(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Call a function for each item, concurrently if there are many."""
    if len(things) < PARALLEL_MIN:
        return [function(thing) for thing in things]
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(function, things))


def refuse_if_waiting(ledger: Ledger, home: str, subject: str, now: datetime) -> str:
    """Refuse a record if it still waits, here or in the order its action id is linked to by now. Returns its key."""
    if home.startswith("@"):
        order_key = ledger.order_key_of(home[1:])
        if order_key is None:
            expire_records(ledger, home, [subject], now)
            order_key = ledger.order_key_of(home[1:])
            if order_key is None or ledger.order(home).booking_of(subject) is not None:
                return home
        adopt_waiting(ledger, home[1:], ledger.order(order_key))
        home = order_key
    expire_records(ledger, home, [subject], now)
    return home
