"""Report actions and look them up."""

from collections.abc import Iterator
from dataclasses import replace

from retour.api.authorization import build_delivery, build_reader
from retour.api.calls import (
    ACTIONS_SOURCE,
    CSV_TYPES,
    JSON_MAX,
    JSON_TYPES,
    Call,
    ProblemError,
    decode_segment,
    not_found,
)
from retour.api.modifications import queue_as_file, require_readable
from retour.api.statements import statement_of_action, with_statement
from retour.api.time_range import parse_range, scan_bounds
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import as_of
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.row import Refusal
from retour.domain.times import format_instant
from retour.intake import action_reports
from retour.intake.batch import DONE, REFUSED, Batch
from retour.intake.ingest import ingest
from retour.store.deliveries import DeliveryHeader
from retour.store.programs import Principal
from retour.views import documents, paging
from retour.views.documents import Document
from retour.wiring import Hub

SYNC_ACTIONS_MAX = 100
"""Actions that are taken in while the caller waits."""


def ingest_actions(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """As JSON, or as CSV with one row a line. More than AT_ONCE of them are stored and read as a file is: each is a
    few requests to the store, one after the other, and the gateway does not wait for hundreds."""
    body = call.read_body(JSON_MAX, (*JSON_TYPES, *CSV_TYPES))
    delivery = build_delivery(call, hub, principal, program.id, ACTIONS_SOURCE, DeliveryKind.ACTIONS)
    if call.media_type in CSV_TYPES:
        key = f"raw/{program.id}/{delivery.id}"
        delivery = replace(
            delivery, kind=DeliveryKind.FILE, name="actions.csv", facts={"layout": "actions"}, body_key=key
        )
    if call.is_dry_run:
        return dry_run_actions(hub, program, delivery, body)
    if call.prefers_async or count_actions(delivery, body) > SYNC_ACTIONS_MAX:
        filed = replace(delivery, facts={"layout": "actions"})
        return queue_as_file(hub, program, filed, delivery.name or "actions.json", body)
    if delivery.kind is DeliveryKind.FILE:
        hub.inbox.put(delivery.body_key, body)
    batch = ingest(hub, delivery, None if delivery.kind is DeliveryKind.FILE else body)
    return documents.answer_document(require_readable(batch), program.language)


def count_actions(delivery: Delivery, body: bytes) -> int:
    """About how many: of a CSV as many as it has lines. None where the body is refused as a whole."""
    if delivery.kind is DeliveryKind.FILE:
        return body.count(b"\n")
    read = action_reports.from_json(body)
    return 0 if isinstance(read, Refusal) else len(read)


def dry_run_actions(hub: Hub, program: Program, delivery: Delivery, body: bytes) -> Document:
    if delivery.kind is DeliveryKind.FILE:
        raise ProblemError("DRY_RUN_NOT_OFFERED", entry="DRY_RUN_OF_CSV")
    read = action_reports.from_json(body)
    results = list(build_reader(hub, program).report_results(delivery, read))
    batch = Batch(delivery=delivery, state=DONE, results=results)
    if isinstance(read, Refusal):
        batch = replace(batch, state=REFUSED, code=read.code, details=read.details)
    return documents.dry_run_document(require_readable(batch), program.language)


def list_actions(hub: Hub, call: Call, program: Program) -> Document:
    """By order, by partner or by lock; else all of them, by when they were reported, newest first."""
    from retour.api import action_search
    from retour.api.action_search import FoundAction

    reader, limit = build_reader(hub, program), call.limit()
    asked = {name: call.query[name] for name in action_search.FILTER_NAMES if name in call.query}
    filter_ = action_search.parse_filter(asked, program, call.query.get("sort", "lock"))
    outcome, source, span = call.one_of("outcome", tuple(Outcome)), call.query.get("source"), parse_range(call, program)

    def also(chosen: FoundAction) -> bool:
        """What no index knows of an action: when and by whom it was reported, and what its records came to."""
        _, action, head = chosen
        return (
            span.contains(action.reported_at)
            and (outcome is None or any(entry.outcome == outcome for entry in head.log))
            and (source is None or source == reader.source_of(action.delivery))
        )

    if filter_.order_id is not None:
        named_ = [one for one in action_search.find_actions(hub, reader, filter_) if also(one)]
        found = sorted(named_, key=lambda one: (one[1].reported_at, one[1].id))
        return {"items": [action_search.line_with_last_change(reader, one) for one in reversed(found)], "next": None}
    if filter_.is_indexed or "sort" in call.query:
        return action_search.page_of_actions(hub, reader, call, filter_, also)
    place, first = scan_bounds(hub, program, call, span)

    def wanted(one: Document | None) -> bool:
        chosen = reader.action(one["id"]) if one is not None and filter_.matches_line(one) else None
        return chosen is not None and also(chosen)

    def rows(header: DeliveryHeader, skip: int) -> Iterator[Document | None]:
        if source in (None, header.delivery.source):
            yield from (one if wanted(one) else None for one in reader.actions(header, skip))

    return paging.page_of_records(reader, place, first, limit, rows).document()


def get_action(hub: Hub, call: Call, program: Program, segment: str) -> Document:
    """One action with its whole history; with `as_of`, as it stood at a past moment."""
    found = build_reader(hub, program).action(decode_segment(segment))
    if found is None:
        raise not_found("action")
    moment = call.moment("as_of", hub.now())
    if moment is None:
        stated = statement_of_action(hub, program, found[1], found[2])
        return with_statement(documents.action_document(*found, program, hub.now()), stated)
    order = as_of(found[0], program.contracts, moment)
    then, head = order.action(found[1].id), order.heads.get(found[1].id)
    if then is None or head is None:
        raise not_found("not_yet", moment=format_instant(moment))
    return {**documents.action_document(order, then, head, program, moment), "as_of": format_instant(moment)}
