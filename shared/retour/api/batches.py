"""Batches over HTTP: list, look up, decide, replay."""

from retour.api.calls import Call
from retour.commands import batches
from retour.commands.batches import Decision
from retour.context import Context
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import Channel
from retour.domain.program import Program
from retour.intake.batch import WORKING
from retour.store.deliveries import DeliveryHeader
from retour.views import documents, paging
from retour.views.deliveries import STATES, batch_detail, deliveries_of, find_header, partners_of
from retour.views.documents import Document
from retour.views.ledger_reader import build_reader
from retour.views.schemas import BatchAnswerDocument, BatchDocument
from retour.views.time_range import parse_range, scan_bounds
from retour.wiring import Hub


def list_batches(hub: Hub, call: Call, program: Program) -> Document:
    query, reader, span = call.query, build_reader(hub, program), parse_range(call.query, program)
    channel, state = call.one_of("channel", tuple(Channel)), call.one_of("state", STATES)
    outcome = call.one_of("outcome", tuple(Outcome))
    of_order = deliveries_of(reader, query["order_id"]) if "order_id" in query else None

    def wanted(header: DeliveryHeader) -> bool:
        delivery = header.delivery
        return (
            query.get("source") in (None, delivery.source)
            and channel in (None, delivery.channel)
            and state in (None, header.state)
            and span.contains(delivery.received_at)
            and (of_order is None or delivery.id in of_order)
            and (outcome is None or reader.counts(header).get(outcome, 0) > 0)
            and ("partner" not in query or query["partner"] in partners_of(reader, header))
        )

    place, first = scan_bounds(hub, program, call.query.get("cursor"), span)
    page = paging.page_of_batches(reader, place, first, call.limit(), wanted)
    return page.document()


def get_batch(hub: Hub, program: Program, delivery_id: str) -> BatchDocument:
    """A batch with the outcomes of its first records."""
    reader = build_reader(hub, program)
    header = find_header(reader, delivery_id)
    document = batch_detail(reader, header)
    if header.state == WORKING:
        from retour.intake.large import Progress

        document["progress"] = Progress.of(hub.work(program.id, header.delivery.id)).document(hub.now())
    return document


def resolve_held_batch(
    context: Context[Hub], call: Call, delivery_id: str, decision: Decision
) -> BatchAnswerDocument | BatchDocument:
    note = str(call.document("note").get("note", ""))
    if call.is_dry_run:
        preview = batches.preview_decision(context, delivery_id, decision)
        return documents.dry_run_document(preview, context.program.language)
    return detail(context, batches.resolve_held_batch(context, delivery_id, decision, note))


def replay_batch(context: Context[Hub], delivery_id: str) -> BatchDocument:
    return detail(context, batches.replay_batch(context, delivery_id))


def detail(context: Context[Hub], header: DeliveryHeader) -> BatchDocument:
    return batch_detail(build_reader(context.ports, context.program), header)
