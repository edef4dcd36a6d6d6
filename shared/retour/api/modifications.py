"""Modifications and files over HTTP: send, list, look up."""

from collections.abc import Iterator

from retour.api.calls import JSON_MAX, JSON_TYPES, Call, decode_segment, parse_size
from retour.commands import files, modifications
from retour.commands.files import FILE_MAX, choose_source, safe_file_name
from retour.context import Context
from retour.domain.actions.outcome import Outcome
from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant
from retour.errors import NotFoundError
from retour.intake.batch import ARRIVED
from retour.store.deliveries import DeliveryHeader
from retour.views import documents, paging
from retour.views.deliveries import find_header
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader, build_reader
from retour.views.paging import ListPosition
from retour.views.schemas import BatchAnswerDocument, ModificationDocument
from retour.views.time_range import parse_range, scan_bounds
from retour.wiring import Hub


def send_modifications(context: Context[Hub], call: Call) -> BatchAnswerDocument:
    body, source = call.read_body(JSON_MAX, JSON_TYPES), named_source(context, call)
    language = context.program.language
    if call.is_dry_run:
        return documents.dry_run_document(modifications.dry_run_modifications(context, source, body), language)
    batch = modifications.send_modifications(context, source, body, wait=not call.prefers_async)
    return documents.answer_document(batch, language)


def send_file(context: Context[Hub], call: Call) -> BatchAnswerDocument:
    name, body = safe_file_name(call.query.get("name", "")), call.read_body(FILE_MAX)
    source, language = named_source(context, call), context.program.language
    if not call.is_dry_run:
        return documents.answer_document(files.send_file(context, source, name, body), language)
    batch = files.dry_run_file(context, source, name, body)
    if batch.state == ARRIVED:
        return {**documents.answer_document(batch, language), "dry_run": True}
    return documents.dry_run_document(batch, language)


def prepare_upload(context: Context[Hub], call: Call) -> Document:
    name, source = safe_file_name(call.query.get("name", "")), named_source(context, call)
    made = files.prepare_upload(context, source, name, parse_size(call), is_dry_run=call.is_dry_run)
    return {
        "batch": made.delivery.id,
        "url": made.url,
        "method": "PUT",
        "expires_at": format_instant(made.expires_at),
    }


def named_source(context: Context[Hub], call: Call) -> Source:
    return choose_source(context.program, call.query.get("source"))


def list_modifications(hub: Hub, call: Call, program: Program) -> Document:
    """Modifications of an order, action or batch; otherwise all, newest first."""
    reader, query, limit = build_reader(hub, program), call.query, call.limit()
    call.one_of("outcome", tuple(Outcome))
    span = parse_range(call.query, program)

    def wanted(one: ModificationDocument | None) -> bool:
        return (
            one is not None
            and query.get("outcome") in (None, one["outcome"])
            and query.get("source") in (None, one["source"])
            and query.get("subject") in (None, one["subject"])
            and query.get("version") in (None, one["version"])
            and query.get("partner") in (None, partner_of(reader, one))
            and span.contains(parse_instant(one["received_at"]))
        )

    if "order_id" in query or "action_id" in query:
        of_order = reader.order_modifications(query.get("order_id"), query.get("action_id"))
        return {"items": [one for one in of_order if wanted(one)], "next": None}
    place, first = scan_bounds(hub, program, call.query.get("cursor"), span)
    if "batch" in query:
        place, first = bounds_of_batch(reader, query["batch"], place)

    def rows(header: DeliveryHeader, skip: int) -> Iterator[ModificationDocument | None]:
        of_source = query.get("source") in (None, header.delivery.source)
        if of_source and query.get("batch") in (None, header.delivery.id):
            yield from (one if wanted(one) else None for one in reader.modifications(header, skip))

    return paging.page_of_records(reader, place, first, limit, rows).document()


def partner_of(reader: LedgerReader, one: ModificationDocument) -> str | None:
    """The current partner of a modification's action; None while it waits."""
    found = reader.action(one["action_id"]) if one["action_id"] else None
    return found[2].standing.partner if found else None


def bounds_of_batch(reader: LedgerReader, batch: str, place: ListPosition) -> tuple[ListPosition, str]:
    """The range of a list from just before a batch (or from the cursor) to the end of its day."""
    own = find_header(reader, batch).delivery.id
    return (place if place.delivery else ListPosition(own[:8], f"{own}~")), own[:8]


def get_modification(hub: Hub, program: Program, segment: str) -> ModificationDocument:
    found = build_reader(hub, program).modification(decode_segment(segment))
    if found is None:
        raise NotFoundError("modification")
    return documents.modification_document(*found, program)
