"""Receive modifications and files, and look up records."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

from retour.api.authorization import api_source, build_delivery, build_reader
from retour.api.batches import find_header
from retour.api.calls import (
    FILE_MAX,
    JSON_MAX,
    JSON_TYPES,
    UPLOAD_SECONDS,
    Call,
    ProblemError,
    decode_segment,
    file_name,
    not_found,
    upload_expires_at,
    upload_size,
)
from retour.api.problem import load_problems
from retour.api.time_range import parse_range, scan_bounds
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import DRY_RUN, Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.intake import uploads
from retour.intake.batch import ARRIVED, REFUSED, Batch
from retour.intake.dry_run import dry_run_delivery
from retour.intake.file import is_large
from retour.intake.ingest import announce_file, ingest
from retour.store.deliveries import DeliveryHeader
from retour.store.programs import Principal
from retour.views import documents, paging
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader
from retour.views.paging import ListPosition
from retour.wiring import Hub


def ingest_modifications(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    body = call.read_body(JSON_MAX, JSON_TYPES)
    source = api_source(call, program)
    delivery = build_delivery(call, hub, principal, program.id, source.name, DeliveryKind.MODIFICATIONS)
    if call.is_dry_run:
        return documents.dry_run_document(require_readable(dry_run_delivery(hub, delivery, body)), program.language)
    if call.prefers_async:
        return queue_as_file(hub, program, delivery, "modifications.json", body)
    return documents.answer_document(require_readable(ingest(hub, delivery, body)), program.language)


def require_readable(batch: Batch) -> Batch:
    """A batch whose body could be read. One that could not is stored all the same."""
    if batch.state != REFUSED:
        return batch
    entry = batch.code if batch.code in load_problems() else "UNREADABLE"
    raise ProblemError(batch.code, "record", batch.details, entry=entry)


def ingest_file(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """Stored under its name in the inbox, where it is read like every other file."""
    name, body = file_name(call), call.read_body(FILE_MAX)
    source = api_source(call, program)
    identity = dry_run_identity() if call.is_dry_run else ""
    delivery = as_file(build_delivery(call, hub, principal, program.id, source.name, DeliveryKind.FILE, identity), name)
    if call.is_dry_run:
        if not is_large(hub, delivery, body):
            return documents.dry_run_document(dry_run_delivery(hub, delivery, body), program.language)
        delivery = as_dry_run(delivery)
    announce_file(hub, delivery)
    hub.inbox.put(delivery.body_key, body)
    answer = documents.answer_document(Batch(delivery=delivery, state=ARRIVED), program.language)
    return answer | ({"dry_run": True} if delivery.is_dry_run else {})


def queue_as_file(hub: Hub, program: Program, delivery: Delivery, name: str, body: bytes) -> Document:
    """A body that nobody waits for: stored in the inbox under a name, where it is read like every other file."""
    filed = as_file(replace(delivery, kind=DeliveryKind.FILE), name)
    announce_file(hub, filed)
    hub.inbox.put(filed.body_key, body)
    return documents.answer_document(Batch(delivery=filed, state=ARRIVED), program.language)


def as_file(delivery: Delivery, name: str) -> Delivery:
    key = f"api/{delivery.program}/{delivery.source}/{delivery.id}/{name}"
    return replace(delivery, name=name, body_key=key)


def as_dry_run(delivery: Delivery) -> Delivery:
    """The same file, of which somebody only asks what would become of it."""
    return replace(delivery, facts={**delivery.facts, DRY_RUN: "true"})


def dry_run_identity() -> str:
    """What a dry run is known by: neither what it says nor the key of what is sent in earnest later."""
    return f"{DRY_RUN}#{secrets.token_hex(16)}"


def ingest_stored_file(hub: Hub, call: Call, principal: Principal, program: Program, key: str, size: int) -> Document:
    """A larger file that lies in the inbox already, taken in as if it had just been put there."""
    delivery = build_upload(hub, call, principal, program, size)
    announce_file(hub, delivery)
    hub.inbox.duplicate(key, delivery.body_key)
    return documents.answer_document(Batch(delivery=delivery, state=ARRIVED), program.language)


def build_upload(hub: Hub, call: Call, principal: Principal, program: Program, size: int) -> Delivery:
    """A file whose bytes come later, and by another way than this call."""
    name, source = file_name(call), api_source(call, program)
    identity = dry_run_identity() if call.is_dry_run else f"upload#{call.key or secrets.token_hex(16)}"
    empty = build_delivery(call, hub, principal, program.id, source.name, DeliveryKind.FILE, identity)
    delivery = as_file(replace(empty, sha256=uploads.NO_HASH, size=size), name)
    return as_dry_run(delivery) if call.is_dry_run else delivery


def create_upload(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """An address for one larger file; what is put there is read like every other file."""
    delivery = build_upload(hub, call, principal, program, upload_size(call))
    announce_file(hub, delivery)
    url = hub.inbox.presign_put(delivery.body_key, UPLOAD_SECONDS)
    return {"batch": delivery.id, "url": url, "method": "PUT", "expires_at": upload_expires_at(hub.now())}


def list_modifications(hub: Hub, call: Call, program: Program) -> Document:
    """By order, action or batch; else all of them, newest first."""
    reader, query, limit = build_reader(hub, program), call.query, call.limit()
    call.one_of("outcome", tuple(Outcome))
    span = parse_range(call, program)

    def wanted(one: Document | None) -> bool:
        return (
            one is not None
            and all(query.get(name) in (None, one[name]) for name in ("outcome", "source", "subject", "version"))
            and query.get("partner") in (None, partner_of(reader, one))
            and span.contains(parse_instant(one["received_at"]))
        )

    if "order_id" in query or "action_id" in query:
        of_order = reader.order_modifications(query.get("order_id"), query.get("action_id"))
        return {"items": [one for one in of_order if wanted(one)], "next": None}
    place, first = scan_bounds(hub, program, call, span)
    if "batch" in query:
        place, first = bounds_of_batch(reader, query["batch"], place)

    def rows(header: DeliveryHeader, skip: int) -> Iterator[Document | None]:
        of_source = query.get("source") in (None, header.delivery.source)
        if of_source and query.get("batch") in (None, header.delivery.id):
            yield from (one if wanted(one) else None for one in reader.modifications(header, skip))

    return paging.page_of_records(reader, place, first, limit, rows).document()


def partner_of(reader: LedgerReader, one: Document) -> str | None:
    """Whose action a modification corrects, as that stands now; None while it waits for one."""
    found = reader.action(one["action_id"]) if one["action_id"] else None
    return found[2].standing.partner if found else None


def bounds_of_batch(reader: LedgerReader, batch: str, place: ListPosition) -> tuple[ListPosition, str]:
    """From just before a batch (or from where the list was) to the end of its day."""
    own = find_header(reader, batch).delivery.id
    return (place if place.delivery else ListPosition(own[:8], f"{own}~")), own[:8]


def get_modification(hub: Hub, program: Program, segment: str) -> Document:
    found = build_reader(hub, program).modification(decode_segment(segment))
    if found is None:
        raise not_found("modification")
    return documents.modification_document(*found, program)
