"""Report actions and look them up."""

from collections.abc import Iterator

from retour.api.calls import CSV_TYPES, JSON_MAX, JSON_TYPES, Call, decode_segment
from retour.commands import actions
from retour.context import Context
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import as_of
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.errors import NotFoundError
from retour.store.deliveries import DeliveryHeader
from retour.views import action_search, documents, paging
from retour.views.action_search import FoundAction
from retour.views.documents import Document
from retour.views.ledger_reader import build_reader
from retour.views.schemas import ActionDocument, ActionLineDocument, BatchAnswerDocument
from retour.views.statements import statement_of_action, with_statement
from retour.views.time_range import parse_range, scan_bounds
from retour.wiring import Hub


def report_actions(context: Context[Hub], call: Call) -> BatchAnswerDocument:
    body, language = call.read_body(JSON_MAX, (*JSON_TYPES, *CSV_TYPES)), context.program.language
    is_csv = call.media_type in CSV_TYPES
    if call.is_dry_run:
        return documents.dry_run_document(actions.dry_run_report(context, body, is_csv=is_csv), language)
    batch = actions.report_actions(context, body, is_csv=is_csv, wait=not call.prefers_async)
    return documents.answer_document(batch, language)


def list_actions(hub: Hub, call: Call, program: Program) -> Document:
    """Actions by order, partner or lock; otherwise all, latest report first."""
    reader, limit = build_reader(hub, program), call.limit()
    asked = {name: call.query[name] for name in action_search.FILTER_NAMES if name in call.query}
    filter_ = action_search.parse_filter(asked, program, call.query.get("sort", "lock"))
    outcome, source, span = (
        call.one_of("outcome", tuple(Outcome)),
        call.query.get("source"),
        parse_range(call.query, program),
    )

    def also(chosen: FoundAction) -> bool:
        """Whether an action matches the filters no index covers: report time and source, and record outcomes."""
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
        return action_search.page_of_actions(hub, reader, filter_, limit, call.query.get("cursor"), also)
    place, first = scan_bounds(hub, program, call.query.get("cursor"), span)

    def wanted(one: ActionLineDocument | None) -> bool:
        chosen = reader.action(one["id"]) if one is not None and filter_.matches_line(one) else None
        return chosen is not None and also(chosen)

    def rows(header: DeliveryHeader, skip: int) -> Iterator[ActionLineDocument | None]:
        if source in (None, header.delivery.source):
            yield from (one if wanted(one) else None for one in reader.actions(header, skip))

    return paging.page_of_records(reader, place, first, limit, rows).document()


def get_action(hub: Hub, call: Call, program: Program, segment: str) -> ActionDocument:
    """An action with its full history; with `as_of`, as it stood at that time."""
    found = build_reader(hub, program).action(decode_segment(segment))
    if found is None:
        raise NotFoundError("action")
    moment = call.moment("as_of", hub.now())
    if moment is None:
        stated = statement_of_action(hub, program, found[1], found[2])
        return with_statement(documents.action_document(*found, program, hub.now()), stated)
    order = as_of(found[0], program.contracts, moment)
    then, head = order.action(found[1].id), order.heads.get(found[1].id)
    if then is None or head is None:
        raise NotFoundError("not_yet", moment=format_instant(moment))
    document = documents.action_document(order, then, head, program, moment)
    document["as_of"] = format_instant(moment)
    return document
