"""Other names of an order (spec 2): links to its key, records waiting under names, and totals known by name.

Actions are reported under the order key. The first link of a name wins, and keys are never renamed. A record that only
knows names waits under each of them and is moved once, by the worker that sees both record and link.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from retour.domain.actions.modification import Modification, Provenance, TakeBack, content_hash, digest, receipt_version
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.ports import PostingPorts
from retour.posting.fold import fold_and_save
from retour.store.ledger import Ledger

LINK_REMINDER = "name"
"""Kind of reminder to check whether a linked order has an action by then."""


@dataclass(frozen=True, slots=True)
class NameConflict:
    """A name that is already linked to another order. Nothing was moved."""

    name: str
    holder: str
    claimed: str


def order_key_by_names(order_key_of: Callable[[str], str | None], modification: Modification) -> str | None:
    """The order key of the first linked name of a record."""
    return next((key for name in modification.names if (key := order_key_of(name)) is not None), None)


def file_under_all_names(ledger: Ledger, record: Modification) -> str | None:
    """Store a waiting record under all its names. Returns the order key if one of them has been linked meanwhile."""
    for name in record.names[1:]:
        ledger.insert(replace(record, names=(name,)))
    return order_key_by_names(ledger.order_key_of, record)


def with_known_total(ledger: Ledger, record: Modification) -> Modification:
    """The record with the order total its amount is a part of, if that total is known by now."""
    change = record.change
    if not isinstance(change, TakeBack) or change.total_of is None or change.of_total is not None:
        return record
    total = ledger.name_facts(change.total_of).totals.get(record.currency or "")
    return record if total is None else replace(record, change=replace(change, of_total=total))


def missing_total_name(record: Modification) -> str | None:
    """The name whose total a record is waiting for, if any."""
    change = record.change
    return change.total_of if isinstance(change, TakeBack) and change.of_total is None else None


def adopt_named(ledger: Ledger, name: str, key: str, now: datetime) -> bool:
    """Move records waiting under a name to its order. Returns whether there were any."""
    order, beside = ledger.order(key), ledger.order(f"@{name}")
    known = {record.id for record in order.records}
    waiting = [record for record in beside.records if record.id not in known and beside.booking_of(record.id) is None]
    for record in waiting:
        moved = with_known_total(ledger, replace(record, order_key=key))
        ledger.insert(moved)
        request_total(ledger, moved, now)
    return bool(waiting)


def link_names(ledger: Ledger, key: str, names: Iterable[str], now: datetime) -> tuple[list[str], list[NameConflict]]:
    """Link names to an order. Returns the linked names and the conflicts."""
    own: list[str] = []
    conflicts: list[NameConflict] = []
    for name in names:
        holder = ledger.claim_name(name, key)
        if holder != key:
            conflicts.append(NameConflict(name, holder, key))
            continue
        own.append(name)
        if adopt_named(ledger, name, key, now):
            fold_and_save(ledger, key, now)
    return own, conflicts


def record_total(
    ledger: Ledger, delivery: Delivery, names: Sequence[str], total: Decimal, currency: str, now: datetime
) -> None:
    """Save a total under each name, and insert it into the orders waiting for it."""
    told_by = Provenance(delivery.id, delivery.name or delivery.kind, "1", delivery.sha256, delivery.sender)
    for name in names:
        ledger.save_total(name, total, currency)
        for key in ledger.name_facts(name).waiting:
            needing = next((record for record in ledger.order(key).records if missing_total_name(record) == name), None)
            if needing is not None:
                told = total_record(needing, name, total, currency)
                ledger.insert(replace(told, provenance=told_by, received_at=delivery.received_at))
                fold_and_save(ledger, key, now)


def request_total(ledger: Ledger, record: Modification, now: datetime) -> bool:
    """Note that a record needs a total. Returns whether it arrived meanwhile and was inserted into the order."""
    name = missing_total_name(record)
    if name is None or record.order_key is None:
        return False
    ledger.request_total(name, record.order_key)
    total = ledger.name_facts(name).totals.get(record.currency or "")
    if total is None:
        return False
    ledger.insert(total_record(record, name, total, record.currency or ""))
    fold_and_save(ledger, record.order_key, now)
    return True


def total_record(needing: Modification, name: str, total: Decimal, currency: str) -> Modification:
    """The record that tells an order the total of a name. It takes nothing back itself."""
    change = TakeBack(amount=Decimal(0), of_total=total, clamp=True, total_of=name)
    return replace(
        needing,
        identity=digest(needing.namespace, "total", name, needing.order_key or ""),
        content=content_hash(change, currency),
        reference=None,
        sku=None,
        line=None,
        change=change,
        currency=currency,
        reason=None,
        disposition=None,
        note=None,
        occurred_at=None,
        subject=f"total/{name}",
        version=receipt_version(needing.received_at, needing.provenance.delivery),
        prices=(),
        part_of=None,
        names=(),
    )


def schedule_name_check(
    ports: PostingPorts, program: Program, delivery: Delivery, key: str, names: Iterable[str]
) -> None:
    """Schedule a check of these links after the waiting time; one reminder for all links of a delivery."""
    deadline = delivery.received_at + timedelta(days=program.waiting_days)
    if together := list(names):
        ports.deliveries(program.id).remind(LINK_REMINDER, deadline, together[0], {"order": key, "names": together})


def expire_names(ports: PostingPorts, program: Program, has_time: Callable[[], bool] = lambda: True) -> int:
    """Remove links to orders that never had an action (no partner brought them). Returns how many."""
    ledger, deliveries = ports.ledger(program), ports.deliveries(program.id)
    gone = 0
    for subject, reminder in deliveries.due(LINK_REMINDER, ports.now()):
        if not ledger.order(reminder["order"]).actions:
            for name in reminder.get("names", [subject]):
                ledger.release_name(name)
                gone += 1
        deliveries.forget(LINK_REMINDER, parse_instant(reminder["deadline"]), subject)
        if not has_time():
            break
    return gone
