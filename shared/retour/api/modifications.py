"""Modifications and files handed in, and records looked up."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

from retour.api import documents, paging
from retour.api.admission import delivery_of, reader_of, source_for_api
from retour.api.batches import header_of
from retour.api.calls import (
    FILE_MAX,
    JSON_MAX,
    JSON_TYPES,
    UPLOAD_SECONDS,
    Call,
    Refused,
    expires,
    file_name,
    named,
    not_found,
    upload_size,
)
from retour.api.documents import Document
from retour.api.paging import Place
from retour.api.problem import problems
from retour.api.reading import Reader
from retour.api.span import span_of, walk
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import DRY_RUN, Delivery, Kind
from retour.domain.program import Program
from retour.domain.times import instant
from retour.intake import arrival
from retour.intake.batch import ARRIVED, REFUSED, Batch
from retour.intake.file import is_large
from retour.intake.receive import announce, receive
from retour.intake.rehearse import rehearse
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.wiring import Hub


def take_modifications(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    body = call.within(JSON_MAX, JSON_TYPES)
    source = source_for_api(call, opened)
    delivery = delivery_of(call, hub, principal, opened.id, source.name, Kind.MODIFICATIONS)
    if call.is_dry_run:
        return documents.rehearsal_document(readable(rehearse(hub, delivery, body)), opened.language)
    if call.prefers_later:
        return later(hub, opened, delivery, "modifications.json", body)
    return documents.answer_document(readable(receive(hub, delivery, body)), opened.language)


def readable(batch: Batch) -> Batch:
    """A batch whose body could be read. One that could not is stored all the same."""
    if batch.state != REFUSED:
        return batch
    entry = batch.code if batch.code in problems() else "UNREADABLE"
    raise Refused(batch.code, "record", batch.details, entry=entry)


def take_file(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """Stored under its name in the inbox, where it is read like every other file."""
    name, body = file_name(call), call.within(FILE_MAX)
    source = source_for_api(call, opened)
    identity = never_again() if call.is_dry_run else ""
    delivery = as_file(delivery_of(call, hub, principal, opened.id, source.name, Kind.FILE, identity), name)
    if call.is_dry_run:
        if not is_large(hub, delivery, body):
            return documents.rehearsal_document(rehearse(hub, delivery, body), opened.language)
        delivery = as_dry_run(delivery)
    announce(hub, delivery)
    hub.inbox.put(delivery.body_key, body)
    answer = documents.answer_document(Batch(delivery=delivery, state=ARRIVED), opened.language)
    return answer | ({"dry_run": True} if delivery.is_dry_run else {})


def later(hub: Hub, opened: Program, delivery: Delivery, name: str, body: bytes) -> Document:
    """A body that nobody waits for: stored in the inbox under a name, where it is read like every other file."""
    filed = as_file(replace(delivery, kind=Kind.FILE), name)
    announce(hub, filed)
    hub.inbox.put(filed.body_key, body)
    return documents.answer_document(Batch(delivery=filed, state=ARRIVED), opened.language)


def as_file(delivery: Delivery, name: str) -> Delivery:
    key = f"api/{delivery.program}/{delivery.source}/{delivery.id}/{name}"
    return replace(delivery, name=name, body_key=key)


def as_dry_run(delivery: Delivery) -> Delivery:
    """The same file, of which somebody only asks what would become of it."""
    return replace(delivery, facts={**delivery.facts, DRY_RUN: "true"})


def never_again() -> str:
    """What a dry run is known by: neither what it says nor the key of what is sent in earnest later."""
    return f"{DRY_RUN}#{secrets.token_hex(16)}"


def take_over(hub: Hub, call: Call, principal: Principal, opened: Program, key: str, size: int) -> Document:
    """A larger file that lies in the inbox already, taken in as if it had just been put there."""
    delivery = uploaded(hub, call, principal, opened, size)
    announce(hub, delivery)
    hub.inbox.duplicate(key, delivery.body_key)
    return documents.answer_document(Batch(delivery=delivery, state=ARRIVED), opened.language)


def uploaded(hub: Hub, call: Call, principal: Principal, opened: Program, size: int) -> Delivery:
    """A file whose bytes come later, and by another way than this call."""
    name, source = file_name(call), source_for_api(call, opened)
    identity = never_again() if call.is_dry_run else f"upload#{call.key or secrets.token_hex(16)}"
    empty = delivery_of(call, hub, principal, opened.id, source.name, Kind.FILE, identity)
    delivery = as_file(replace(empty, sha256=arrival.NO_HASH, size=size), name)
    return as_dry_run(delivery) if call.is_dry_run else delivery


def upload(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """An address for one larger file; what is put there is read like every other file."""
    delivery = uploaded(hub, call, principal, opened, upload_size(call))
    announce(hub, delivery)
    url = hub.inbox.presign_put(delivery.body_key, UPLOAD_SECONDS)
    return {"batch": delivery.id, "url": url, "method": "PUT", "expires_at": expires(hub.now())}


def modifications(hub: Hub, call: Call, opened: Program) -> Document:
    """By order, action or batch; else all of them, newest first."""
    reader, query, limit = reader_of(hub, opened), call.query, call.limit()
    call.one_of("outcome", tuple(Outcome))
    span = span_of(call, opened)

    def wanted(one: Document | None) -> bool:
        return (
            one is not None
            and all(query.get(name) in (None, one[name]) for name in ("outcome", "source", "subject", "version"))
            and query.get("partner") in (None, partner_of(reader, one))
            and span.holds(instant(one["received_at"]))
        )

    if "order_id" in query or "action_id" in query:
        of_order = reader.of_order(query.get("order_id"), query.get("action_id"))
        return {"items": [one for one in of_order if wanted(one)], "next": None}
    place, first = walk(hub, opened, call, span)
    if "batch" in query:
        place, first = within_batch(reader, query["batch"], place)

    def rows(header: Header, skip: int) -> Iterator[Document | None]:
        of_source = query.get("source") in (None, header.delivery.source)
        if of_source and query.get("batch") in (None, header.delivery.id):
            yield from (one if wanted(one) else None for one in reader.modifications(header, skip))

    return paging.records(reader, place, first, limit, rows).document()


def partner_of(reader: Reader, one: Document) -> str | None:
    """Whose action a modification corrects, as that stands now; None while it waits for one."""
    found = reader.action(one["action_id"]) if one["action_id"] else None
    return found[2].standing.partner if found else None


def within_batch(reader: Reader, batch: str, place: Place) -> tuple[Place, str]:
    """From just before a batch (or from where the list was) to the end of its day."""
    own = header_of(reader, batch).delivery.id
    return (place if place.delivery else Place(own[:8], f"{own}~")), own[:8]


def modification(hub: Hub, opened: Program, segment: str) -> Document:
    found = reader_of(hub, opened).modification(named(segment))
    if found is None:
        raise not_found("modification")
    return documents.modification_document(*found, opened)
