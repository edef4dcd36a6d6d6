"""Delete senders' bodies: after the program's `raw_days`, or when a person asks to forget (spec 10.6).

What was read from a body stays: records, actions, outcomes. On a local hub, whose ledger is rebuilt from objects alone,
that is first stored under `readings/`, and a rebuild reads it instead of the body.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from retour.domain.actions.action import Action
from retour.domain.actions.modification import Modification
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, Channel, Delivery, DeliveryKind
from retour.domain.program import Program
from retour.intake.batch import DONE, IGNORED, REFUSED
from retour.store import outcomes
from retour.store.deliveries import DeliveryHeader
from retour.store.items import action_from, action_item, modification_from, modification_item
from retour.views.ledger_reader import REPORTED_KEY, LedgerReader

if TYPE_CHECKING:
    from retour.wiring import Hub

READINGS = "readings/"
UNTIL_NOTE, OPEN_NOTE = "raw-until", "raw-open"
"""State keys of a program: the day up to which bodies were deleted, and open deliveries of those days."""
OPEN_NOTED_MAX = 1_000
RESULTS_AT_ONCE = 1_000
"""Results read with a shared cache of orders."""
DAY = timedelta(days=1)
FINISHED = (DONE, REFUSED, IGNORED, "undone")
READING_FORMAT = 1
"""Format of a stored reading."""

log = logging.getLogger(__name__)


def delete_expired_bodies(hub: "Hub", program: Program, has_time: Callable[[], bool] = lambda: True) -> int:
    """Delete bodies received more than `raw_days` ago, day by day. Returns how many.

    Open deliveries keep theirs until they are finished, and are checked again each day.
    """
    note = hub.state(program.id, "")
    last = (hub.now() - timedelta(days=program.raw_days) - DAY).date()
    kept = note.get(UNTIL_NOTE)
    done = date.fromisoformat(kept["day"]) if kept else hub.programs.first_recorded_at(program.id).date() - DAY
    if done >= last:
        return 0
    delete_leftovers(hub, program)
    deliveries, ended = hub.deliveries(program.id), 0
    still_open = []
    for delivery_id in (note.get(OPEN_NOTE) or {}).get("ids", ()):
        header = deliveries.get(delivery_id)
        if header is not None and header.state not in FINISHED:
            still_open.append(delivery_id)
        elif header is not None:
            ended += delete_body(hub, program, header)
    while done < last:
        done += DAY
        for header in deliveries.between(f"{done:%Y%m%d}T", f"{done:%Y%m%d}U"):
            if header.state in FINISHED:
                ended += delete_body(hub, program, header)
            elif header.delivery.kind not in KINDS_WITHOUT_RECORDS and len(still_open) < OPEN_NOTED_MAX:
                still_open.append(header.delivery.id)
        note.put(OPEN_NOTE, {"ids": still_open})
        note.put(UNTIL_NOTE, {"day": done.isoformat()})
        if not has_time():
            break
    return ended


def delete_body(hub: "Hub", program: Program, header: DeliveryHeader) -> bool:
    """Delete all versions of a body and of the rejected file. Returns whether there was a body."""
    delivery = header.delivery
    if delivery.kind in KINDS_WITHOUT_RECORDS or delivery.facts.get("kept") == "names" or header.is_gone:
        return False
    if delivery.kind is DeliveryKind.ACTIONS:
        # Only the report says which actions a call brought.
        reader = LedgerReader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())
        reported = [[one.place, one.outcome, one.code, one.order, one.action] for one in reader.results(header)]
        header = replace(header, report={**header.report, REPORTED_KEY: reported})
    if hub.settings.is_local:
        save_reading(hub, program, header)
    places = [delivery.body_key, f"{outcomes.results_folder(delivery)}rejected"]
    for key in filter(None, places):
        for version in list(hub.inbox.versions(key)):
            if version.key == key:
                hub.inbox.remove(key, version.id)
    key, at, uploaded = delivery.identity.rpartition("@")
    if delivery.channel is Channel.SFTP and at and key.startswith(f"sftp/{program.id}/"):
        hub.inbox.remove(key, uploaded)  # As uploaded; the source may keep it there.
    hub.deliveries(program.id).mark_body_deleted(delivery, header.report)
    return True


def delete_leftovers(hub: "Hub", program: Program) -> None:
    """Delete objects in places of arrival that are older than any body may be, unless they are still to be read."""
    needed = {one.body_key for one in hub.deliveries(program.id).open()}
    longest = timedelta(days=program.raw_days) + DAY
    for place in ("sftp", "pull", "email", "api"):
        for version in list(hub.inbox.versions(f"{place}/{program.id}/")):
            if hub.real_now() - version.at > longest and version.key not in needed:
                hub.inbox.remove(version.key, version.id)


# Readings


def reading_key(delivery: Delivery) -> str:
    return f"{READINGS}{delivery.program}/{delivery.id}.jsonl"


def save_reading(hub: "Hub", program: Program, header: DeliveryHeader) -> None:
    """Store what a delivery added to the ledger, as JSON lines; the first is its outcome."""
    first = {"format": READING_FORMAT, "state": header.state, "report": dict(header.report)}
    lines = (json.dumps(one, ensure_ascii=False) for one in reading_items(hub, program, header))

    def pieces() -> Iterator[bytes]:
        yield json.dumps(first, ensure_ascii=False).encode("utf-8", "surrogatepass")
        for line in lines:
            yield b"\n" + line.encode("utf-8", "surrogatepass")

    key = reading_key(header.delivery)
    older = [version.id for version in hub.inbox.versions(key)]
    hub.inbox.put_pieces(key, pieces())
    for version in older:
        hub.inbox.remove(key, version)


def reading_items(hub: "Hub", program: Program, header: DeliveryHeader) -> Iterator[Mapping[str, Any]]:
    """The actions and records a delivery was the first to add, as stored in the table."""
    ledger, deliveries, skip = hub.ledger(program), hub.deliveries(program.id), 0
    while True:
        reader = LedgerReader(program, ledger, deliveries, hub.now())
        results = list(islice(reader.results(header, skip), RESULTS_AT_ONCE))
        for result in results:
            acted = reader.action(result.action) if result.action and not result.modification else None
            if acted is not None and acted[1].delivery == header.delivery.id:
                yield {"action": action_item(acted[1])}
            found = reader.modification(result.modification) if result.modification else None
            if found is not None and found[1].provenance.delivery == header.delivery.id:
                yield {"record": modification_item(found[1])}
        if len(results) < RESULTS_AT_ONCE:
            return
        skip += len(results)


def restore_reading(hub: "Hub", delivery: Delivery) -> bool:
    """Ingest again what was read from a deleted body. False if no reading was stored."""
    from retour.intake import order_names
    from retour.intake.actions import report_action
    from retour.posting.rows import post_orders
    from retour.posting.waiting import remind_waiting

    try:
        lines = hub.inbox.read(reading_key(delivery)).decode("utf-8", "surrogatepass").split("\n")
    except KeyError:
        return False
    first, *items = map(json.loads, lines)
    program = hub.program_of(delivery)
    ledger = hub.ledger(program)
    deliveries = hub.deliveries(program.id)
    deliveries.put(delivery, None, DONE, first["report"])
    deliveries.mark_body_deleted(delivery, first["report"])
    if first["state"] != DONE:
        deliveries.close(delivery, first["report"], first["state"])
    actions: list[Action] = [action_from(one["action"]) for one in items if "action" in one]
    records: list[Modification] = [modification_from(one["record"]) for one in items if "record" in one]
    for action in actions:
        report_action(ledger, action, hub.now())
    orders: dict[str, list[Modification]] = {}
    for record in records:
        # Repeat the new attempt if the first one was refused again.
        orders.setdefault(record.home, []).append(replace(record, attempt=""))
    for key, asked in orders.items():
        [results] = post_orders(ledger, program, {key: asked}, hub.now())
        remind_waiting(hub, program, delivery, results)
    order_names.link_record_names(hub, program, delivery, records)
    return True


# Forgetting on request


def forget_order(hub: "Hub", program: Program, order_key: str) -> int:
    """Delete all bodies about an order and redact the notes of its records. Returns the number of bodies."""
    order = hub.ledger(program).order(order_key)
    brought = {record.provenance.delivery for record in order.records} | {one.delivery for one in order.actions}
    deliveries, ended = hub.deliveries(program.id), 0
    hub.ledger(program).redact_notes(order)
    for delivery_id in sorted(brought):
        header = deliveries.get(delivery_id)
        if header is not None and header.is_gone and hub.settings.is_local:
            save_reading(hub, program, header)
        elif header is not None and header.state in FINISHED:
            ended += delete_body(hub, program, header)
    return ended


def forget_customer(hub: "Hub", program: Program, customer: str, day: str) -> tuple[int, str | None]:
    """Delete the bodies of a day (YYYYMMDD) that name a customer.

    Returns how many, and the preceding day to continue with (None at the end).
    """
    deliveries, ended = hub.deliveries(program.id), 0
    written = {one for name in (customer, customer.lower(), customer.upper()) for one in (name, json.dumps(name)[1:-1])}
    needles = {one.encode(code, "backslashreplace") for one in written for code in ("utf-8", "cp1252", "utf-16-le")}
    first = hub.programs.first_recorded_at(program.id).date()
    at = datetime.strptime(day, "%Y%m%d").date()
    for header in deliveries.between(f"{at:%Y%m%d}T", f"{at:%Y%m%d}U"):
        if header.delivery.kind in KINDS_WITHOUT_RECORDS or header.is_gone or header.state not in FINISHED:
            continue
        try:
            names_it = has_any(body_pieces(hub, header), needles)
        except KeyError:
            continue
        ended += names_it and delete_body(hub, program, header)
    at -= DAY
    return ended, f"{at:%Y%m%d}" if at >= first else None


def body_pieces(hub: "Hub", header: DeliveryHeader) -> Iterator[bytes]:
    if header.inline is not None:
        yield hub.deliveries(header.delivery.program).body(header)
    else:
        yield from hub.inbox.pieces(header.delivery.body_key)


def has_any(pieces: Iterator[bytes], needles: set[bytes]) -> bool:
    """Whether a chunked text contains any of the needles, ignoring case."""
    small = {needle.lower() for needle in needles}
    longest, tail = max(map(len, small)), b""
    for piece in pieces:
        text = (tail + piece).lower()
        if any(needle in text for needle in small):
            return True
        tail = text[-longest:]
    return False
