"""Actions reported and looked up."""

from collections.abc import Iterator
from dataclasses import replace

from retour.api import documents, paging
from retour.api.admission import delivery_of, reader_of
from retour.api.calls import ACTIONS, CSV_TYPES, JSON_MAX, JSON_TYPES, Call, Refused, named, not_found
from retour.api.documents import Document
from retour.api.modifications import later, readable
from retour.api.span import span_of, walk
from retour.api.statements import statement_of_action
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import as_of
from retour.domain.delivery import Delivery, Kind
from retour.domain.program import Program
from retour.domain.row import Refusal
from retour.domain.times import text
from retour.intake import report
from retour.intake.batch import DONE, REFUSED, Batch
from retour.intake.receive import receive
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.wiring import Hub

AT_ONCE = 100
"""Actions that are taken in while the caller waits."""


def take_actions(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """As JSON, or as CSV with one row a line. More than AT_ONCE of them are stored and read as a file is: each is a
    few requests to the store, one after the other, and the gateway does not wait for hundreds."""
    body = call.within(JSON_MAX, (*JSON_TYPES, *CSV_TYPES))
    delivery = delivery_of(call, hub, principal, opened.id, ACTIONS, Kind.ACTIONS)
    if call.media_type in CSV_TYPES:
        key = f"raw/{opened.id}/{delivery.id}"
        delivery = replace(delivery, kind=Kind.FILE, name="actions.csv", facts={"layout": "actions"}, body_key=key)
    if call.is_dry_run:
        return rehearsed(hub, opened, delivery, body)
    if call.prefers_later or actions_in(delivery, body) > AT_ONCE:
        filed = replace(delivery, facts={"layout": "actions"})
        return later(hub, opened, filed, delivery.name or "actions.json", body)
    if delivery.kind is Kind.FILE:
        hub.inbox.put(delivery.body_key, body)
    batch = receive(hub, delivery, None if delivery.kind is Kind.FILE else body)
    return documents.answer_document(readable(batch), opened.language)


def actions_in(delivery: Delivery, body: bytes) -> int:
    """About how many: of a CSV as many as it has lines. None where the body is refused as a whole."""
    if delivery.kind is Kind.FILE:
        return body.count(b"\n")
    read = report.from_json(body)
    return 0 if isinstance(read, Refusal) else len(read)


def rehearsed(hub: Hub, opened: Program, delivery: Delivery, body: bytes) -> Document:
    if delivery.kind is Kind.FILE:
        raise Refused("DRY_RUN_NOT_OFFERED", entry="DRY_RUN_OF_CSV")
    read = report.from_json(body)
    results = list(reader_of(hub, opened).reported(delivery, read))
    batch = Batch(delivery=delivery, state=DONE, results=results)
    if isinstance(read, Refusal):
        batch = replace(batch, state=REFUSED, code=read.code, details=read.details)
    return documents.rehearsal_document(readable(batch), opened.language)


def actions(hub: Hub, call: Call, opened: Program) -> Document:
    """By order, by partner or by lock; else all of them, by when they were reported, newest first."""
    from retour.api import listing
    from retour.api.listing import Chosen

    reader, limit = reader_of(hub, opened), call.limit()
    asked = {name: call.query[name] for name in listing.NAMES if name in call.query}
    filter_ = listing.filter_of(asked, opened, call.query.get("sort", "lock"))
    outcome, source, span = call.one_of("outcome", tuple(Outcome)), call.query.get("source"), span_of(call, opened)

    def also(chosen: Chosen) -> bool:
        """What no index knows of an action: when and by whom it was reported, and what its records came to."""
        _, action, head = chosen
        return (
            span.holds(action.reported_at)
            and (outcome is None or any(entry.outcome == outcome for entry in head.log))
            and (source is None or source == reader.source_of(action.delivery))
        )

    if filter_.order_id is not None:
        named_ = [one for one in listing.found(hub, reader, filter_) if also(one)]
        found = sorted(named_, key=lambda one: (one[1].reported_at, one[1].id))
        return {"items": [listing.line(reader, one) for one in reversed(found)], "next": None}
    if filter_.is_indexed or "sort" in call.query:
        return listing.page(hub, reader, call, filter_, also)
    place, first = walk(hub, opened, call, span)

    def wanted(one: Document | None) -> bool:
        chosen = reader.action(one["id"]) if one is not None and filter_.takes_line(one) else None
        return chosen is not None and also(chosen)

    def rows(header: Header, skip: int) -> Iterator[Document | None]:
        if source in (None, header.delivery.source):
            yield from (one if wanted(one) else None for one in reader.actions(header, skip))

    return paging.records(reader, place, first, limit, rows).document()


def action(hub: Hub, call: Call, opened: Program, segment: str) -> Document:
    """One action with its whole history; with `as_of`, as it stood at a past moment."""
    found = reader_of(hub, opened).action(named(segment))
    if found is None:
        raise not_found("action")
    moment = call.moment("as_of", hub.now())
    if moment is None:
        stated = statement_of_action(hub, opened, found[1], found[2])
        return {**documents.action_document(*found, opened, hub.now()), **({"statement": stated} if stated else {})}
    order = as_of(found[0], opened.contracts, moment)
    then, head = order.action(found[1].id), order.heads.get(found[1].id)
    if then is None or head is None:
        raise not_found("not_yet", moment=text(moment))
    return {**documents.action_document(order, then, head, opened, moment), "as_of": text(moment)}
