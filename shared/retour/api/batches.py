"""Deliveries looked up, their bytes handed out, and decided upon."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from urllib.parse import quote

from retour.api import documents, paging
from retour.api.admission import delivery_of, reader_of
from retour.api.calls import ANSWER_MAX, CONSOLE, FILE_MAX, LINK_SECONDS, Call, Refused, batch_id, not_found
from retour.api.documents import Document
from retour.api.paging import Page
from retour.api.reading import Reader
from retour.api.span import span_of, walk
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import WITHOUT_RECORDS, Channel, Delivery, Kind
from retour.domain.program import Program
from retour.domain.row import Refusal
from retour.intake.batch import ARRIVED, HELD, LISTED, REFUSED, WORKING, Batch
from retour.intake.decision import decide
from retour.intake.file import take_file
from retour.intake.receive import receive
from retour.intake.rehearse import rehearse
from retour.intake.repeat import same_delivery
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.wiring import Hub

STATES = ("arriving", "working", "held", "done", "refused", "ignored")


def batches(hub: Hub, call: Call, opened: Program) -> Document:
    query, reader, span = call.query, reader_of(hub, opened), span_of(call, opened)
    channel, state = call.one_of("channel", tuple(Channel)), call.one_of("state", STATES)
    outcome = call.one_of("outcome", tuple(Outcome))
    of_order = deliveries_of(reader, query["order_id"]) if "order_id" in query else None

    def wanted(header: Header) -> bool:
        delivery = header.delivery
        return (
            query.get("source") in (None, delivery.source)
            and channel in (None, delivery.channel)
            and state in (None, header.state)
            and span.holds(delivery.received_at)
            and (of_order is None or delivery.id in of_order)
            and (outcome is None or reader.counts(header).get(outcome, 0) > 0)
            and ("partner" not in query or query["partner"] in partners_of(reader, header))
        )

    place, first = walk(hub, opened, call, span)
    page: Page = paging.batches(reader, place, first, call.limit(), wanted)
    return page.document()


def deliveries_of(reader: Reader, order_id: str) -> set[str]:
    """The batches that brought what is known of an order: its actions, and all records whatever they came to."""
    order = reader.order_named(order_id)
    return {action.delivery for action in order.actions} | {one.provenance.delivery for one in order.records}


def partners_of(reader: Reader, header: Header) -> Iterator[str]:
    """Whose actions the records of a batch concern."""
    for result in reader.results(header):
        found = reader.action(result.action) if result.action else None
        if found is not None:
            yield found[2].standing.partner


def batch(hub: Hub, opened: Program, segment: str) -> Document:
    """One delivery with the outcomes of its first records."""
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    document = batch_shown(reader, header)
    if header.state == WORKING:
        from retour.intake.large import Progress

        document["progress"] = Progress.of(hub.work(opened.id, header.delivery.id)).document(hub.now())
    return document


def batch_shown(reader: Reader, header: Header) -> Document:
    opened = reader.program
    counts = header.report.get("counts")
    results = [*islice(reader.results(header), LISTED if counts else None)]
    counts = counts or documents.count(results)
    document = documents.batch_document(header, opened, counts)
    document["outcomes"] = [documents.result_document(result, opened.language) for result in results[:LISTED]]
    return document | told_before(reader, header, counts, results)


def told_before(reader: Reader, header: Header, counts: Mapping[str, int], results: Iterable[Result]) -> Document:
    """Of a delivery that was sent before: which one, and what became of it then. Calls are compared when asked for."""
    same_as = header.report.get("same_as", "")
    if header.delivery.kind in (Kind.MODIFICATIONS, Kind.ACTIONS):
        same_as = same_delivery(reader.deliveries, header.delivery, counts, results)
    before = reader.deliveries.get(same_as) if same_as else None
    if before is None:
        return {}
    return documents.sent_before(same_as, reader.program.language) | {"first_counts": reader.counts(before)}


def header_of(reader: Reader, segment: str) -> Header:
    header = reader.deliveries.get(batch_id(segment))
    if header is None:
        raise not_found("batch")
    return header


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """What is handed out as a file; `url` instead where it is too large for an answer."""

    name: str
    media_type: str = "application/octet-stream"
    body: bytes = b""
    url: str = ""

    @property
    def quoted_name(self) -> str:
        return quote(self.name, safe="")


def raw(hub: Hub, opened: Program, segment: str) -> Bytes:
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    delivery = header.delivery
    name = delivery.name or f"{delivery.id}.json"
    if header.is_gone:
        raise not_found("ended")
    if header.inline is None and delivery.size > ANSWER_MAX:
        return Bytes(name=name, url=hub.inbox.presign_get(delivery.body_key, LINK_SECONDS))
    body = arrived(reader, header)
    if body is None:
        raise not_found("not_arrived")
    return Bytes(name=name, body=body)


def arrived(reader: Reader, header: Header) -> bytes | None:
    """The raw bytes; None while the file that was announced is not there, and once they have ended."""
    if header.is_gone:
        return None
    try:
        if header.inline is None:
            reader.deliveries.inbox.size(header.delivery.body_key)
        return reader.deliveries.body(header)
    except KeyError:
        return None


def result(hub: Hub, opened: Program, segment: str) -> Bytes:
    """Every record with its outcome, as CSV."""
    from retour.files import names
    from retour.files.answers import result_csv

    reader = reader_of(hub, opened)
    header = answered(reader, segment)
    name = names.result(header.delivery.name or header.delivery.id)
    if kept := kept_answer(hub, header, "result.csv", name):
        return kept
    say = partial(sentence, language=opened.language)
    return Bytes(name=name, media_type="text/csv", body=b"".join(result_csv(told(reader, header), say)))


def told(reader: Reader, header: Header) -> Iterable[Result]:
    """Every record's result; of a delivery that could not be read one line that says so."""
    results = [*reader.results(header)]
    report_ = header.report
    whole = Result(place="", outcome=Outcome.REFUSED, code=report_.get("code", ""), details=report_.get("details", {}))
    return results or ([whole] if report_.get("code") else [])


def rejected(hub: Hub, opened: Program, segment: str) -> Bytes:
    """Only the refused records, as they came."""
    from retour.files import names
    from retour.replies.tell import refused_rows, rejected_name

    reader = reader_of(hub, opened)
    header = answered(reader, segment)
    delivery = header.delivery
    name = rejected_name(hub, delivery) if delivery.kind is Kind.FILE else names.rejected(f"{delivery.id}.json")
    if kept := kept_answer(hub, header, "rejected", name):
        return kept
    results = [*reader.results(header)]
    if delivery.kind is Kind.FILE:
        source = opened.source(delivery.source, delivery.channel)
        return Bytes(name=name, body=b"".join(refused_rows(hub, source, delivery, results)))
    places = {one.place for one in results if one.outcome is Outcome.REFUSED}
    return Bytes(name=name, media_type="application/json", body=refused_records(reader, header, places))


def refused_records(reader: Reader, header: Header, places: set[str]) -> bytes:
    """The refused records of a JSON body as a list, each exactly as it stood there."""
    from retour.channels import records

    if header.delivery.kind is not Kind.MODIFICATIONS:
        raise not_found("no_rejected")
    rows = records.rows(reader.deliveries.body(header))
    raws = [row.raw for row in rows if row.place in places] if not isinstance(rows, Refusal) else []
    return ("[" + ",\n".join(raws) + "]\n").encode("utf-8", "surrogatepass")


def answered(reader: Reader, segment: str) -> Header:
    header = header_of(reader, segment)
    if header.delivery.kind in WITHOUT_RECORDS or header.state in (ARRIVED, HELD):
        raise not_found("no_result")
    return header


def kept_answer(hub: Hub, header: Header, what: str, name: str) -> Bytes | None:
    """What the answer of a file left in the inbox."""
    if header.delivery.kind is not Kind.FILE:
        return None
    key = outcomes.folder(header.delivery) + what
    try:
        if hub.inbox.size(key) > ANSWER_MAX:
            return Bytes(name=name, url=hub.inbox.presign_get(key, LINK_SECONDS))
        return Bytes(name=name, body=hub.inbox.read(key))
    except KeyError:
        return None


def settle(hub: Hub, call: Call, principal: Principal, opened: Program, segment: str, what: str) -> Document:
    """A person's decision on a held delivery, itself a delivery."""
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    if header.state != HELD:
        raise Refused("NOT_HELD", "batch", state=header.state)
    if call.is_dry_run:
        return settled_dry(hub, opened, header.delivery, what)
    note = call.document("note").get("note", "")
    asked = {"delivery": header.delivery.id, "decision": what, "note": str(note)[:500]}
    form = replace(call, body=json.dumps(asked).encode())
    delivery = delivery_of(form, hub, principal, opened.id, CONSOLE, Kind.DECISION, f"{what}#{header.delivery.id}")
    decide(hub, delivery, form.body)
    hub.send("answers", {"program": opened.id, "delivery": header.delivery.id, "what": "batch"})
    return batch_shown(reader, header_of(reader, segment))


def settled_dry(hub: Hub, opened: Program, delivery: Delivery, what: str) -> Document:
    """What a decision on a held delivery would come to now; it stays held."""
    if what == "discard":
        return documents.rehearsal_document(Batch(delivery=delivery, state=REFUSED, code="DISCARDED"), opened.language)
    if delivery.size > FILE_MAX:
        raise Refused("BODY_TOO_LARGE", "rehearsed", size=str(delivery.size), most=str(FILE_MAX))
    batch = rehearse(hub, delivery, hub.inbox.read(delivery.body_key), hub.now())
    # What would hold it when it comes does not hold its release.
    shown = replace(batch, preview={**batch.preview, "warnings": []}) if batch.preview else batch
    return documents.rehearsal_document(shown, opened.language)


def replay(hub: Hub, opened: Program, segment: str) -> Document:
    """The raw bytes read again; what is recorded stays, what was lost on the way is done now."""
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    if header.delivery.kind in WITHOUT_RECORDS or header.state == HELD:
        raise Refused("NOT_REPLAYABLE", "kind")
    if header.delivery.is_dry_run:
        raise Refused("NOT_REPLAYABLE", "dry_run")
    body = arrived(reader, header)
    if body is None:
        raise Refused("NOT_ARRIVED")
    if header.delivery.kind is Kind.FILE:
        take_file(hub, header.delivery, body)
        hub.send("answers", {"program": opened.id, "delivery": header.delivery.id, "what": "batch"})
    else:
        receive(hub, header.delivery, body)
    fresh = reader_of(hub, opened)
    return batch_shown(fresh, header_of(fresh, segment))
