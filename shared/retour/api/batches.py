"""Look up deliveries, download their bytes, and decide on held ones."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from urllib.parse import quote

from retour.api.authorization import build_delivery, build_reader
from retour.api.calls import (
    ANSWER_MAX,
    CONSOLE_SOURCE,
    FILE_MAX,
    LINK_SECONDS,
    Call,
    ProblemError,
    not_found,
    parse_batch_id,
)
from retour.api.time_range import parse_range, scan_bounds
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, Channel, Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.row import Refusal
from retour.intake.batch import ARRIVED, HELD, REFUSED, ROWS_LISTED_MAX, WORKING, Batch
from retour.intake.decision import carry_out_decision
from retour.intake.dry_run import dry_run_delivery
from retour.intake.file import process_file
from retour.intake.ingest import ingest
from retour.intake.repeated_file import earlier_identical_delivery
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.deliveries import DeliveryHeader
from retour.store.programs import Principal
from retour.views import documents, paging
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader
from retour.views.paging import Page
from retour.wiring import Hub

STATES = ("arriving", "working", "held", "done", "refused", "ignored")


def list_batches(hub: Hub, call: Call, program: Program) -> Document:
    query, reader, span = call.query, build_reader(hub, program), parse_range(call, program)
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

    place, first = scan_bounds(hub, program, call, span)
    page: Page = paging.page_of_batches(reader, place, first, call.limit(), wanted)
    return page.document()


def deliveries_of(reader: LedgerReader, order_id: str) -> set[str]:
    """The batches that brought what is known of an order: its actions, and all records whatever they came to."""
    order = reader.order_by_id(order_id)
    return {action.delivery for action in order.actions} | {one.provenance.delivery for one in order.records}


def partners_of(reader: LedgerReader, header: DeliveryHeader) -> Iterator[str]:
    """Whose actions the records of a batch concern."""
    for result in reader.results(header):
        found = reader.action(result.action) if result.action else None
        if found is not None:
            yield found[2].standing.partner


def get_batch(hub: Hub, program: Program, segment: str) -> Document:
    """One delivery with the outcomes of its first records."""
    reader = build_reader(hub, program)
    header = find_header(reader, segment)
    document = batch_detail(reader, header)
    if header.state == WORKING:
        from retour.intake.large import Progress

        document["progress"] = Progress.of(hub.work(program.id, header.delivery.id)).document(hub.now())
    return document


def batch_detail(reader: LedgerReader, header: DeliveryHeader) -> Document:
    opened = reader.program
    counts = header.report.get("counts")
    results = [*islice(reader.results(header), ROWS_LISTED_MAX if counts else None)]
    counts = counts or documents.count_outcomes(results)
    document = documents.batch_document(header, opened, counts)
    document["outcomes"] = [documents.result_document(result, opened.language) for result in results[:ROWS_LISTED_MAX]]
    return document | repetition_document(reader, header, counts, results)


def repetition_document(
    reader: LedgerReader, header: DeliveryHeader, counts: Mapping[str, int], results: Iterable[Result]
) -> Document:
    """Of a delivery that was sent before: which one, and what became of it then. Calls are compared when asked for."""
    same_as = header.report.get("same_as", "")
    if header.delivery.kind in (DeliveryKind.MODIFICATIONS, DeliveryKind.ACTIONS):
        same_as = earlier_identical_delivery(reader.deliveries, header.delivery, counts, results)
    before = reader.deliveries.get(same_as) if same_as else None
    if before is None:
        return {}
    return documents.repetition_of(same_as, reader.program.language, reader.program.time_zone) | {
        "first_counts": reader.counts(before)
    }


def find_header(reader: LedgerReader, segment: str) -> DeliveryHeader:
    header = reader.deliveries.get(parse_batch_id(segment))
    if header is None:
        raise not_found("batch")
    return header


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What is handed out as a file; `url` instead where it is too large for an answer."""

    name: str
    media_type: str = "application/octet-stream"
    body: bytes = b""
    url: str = ""

    @property
    def quoted_name(self) -> str:
        return quote(self.name, safe="")


def download_raw(hub: Hub, program: Program, segment: str) -> Download:
    reader = build_reader(hub, program)
    header = find_header(reader, segment)
    delivery = header.delivery
    name = delivery.name or f"{delivery.id}.json"
    if header.is_gone:
        raise not_found("ended")
    if header.inline is None and delivery.size > ANSWER_MAX:
        return Download(name=name, url=hub.inbox.presign_get(delivery.body_key, LINK_SECONDS))
    body = load_raw_body(reader, header)
    if body is None:
        raise not_found("not_arrived")
    return Download(name=name, body=body)


def load_raw_body(reader: LedgerReader, header: DeliveryHeader) -> bytes | None:
    """The raw bytes; None while the file that was announced is not there, and once they have ended."""
    if header.is_gone:
        return None
    try:
        if header.inline is None:
            reader.deliveries.inbox.size(header.delivery.body_key)
        return reader.deliveries.body(header)
    except KeyError:
        return None


def download_result(hub: Hub, program: Program, segment: str) -> Download:
    """Every record with its outcome, as CSV."""
    from retour.files import names
    from retour.files.result_files import result_csv

    reader = build_reader(hub, program)
    header = require_results(reader, segment)
    name = names.result_name(header.delivery.name or header.delivery.id)
    if kept := stored_download(hub, header, "result.csv", name):
        return kept
    say = partial(sentence, language=program.language)
    return Download(name=name, media_type="text/csv", body=b"".join(result_csv(load_results(reader, header), say)))


def load_results(reader: LedgerReader, header: DeliveryHeader) -> Iterable[Result]:
    """Every record's result; of a delivery that could not be read one line that says so."""
    results = [*reader.results(header)]
    report_ = header.report
    whole = Result(place="", outcome=Outcome.REFUSED, code=report_.get("code", ""), details=report_.get("details", {}))
    return results or ([whole] if report_.get("code") else [])


def download_rejected(hub: Hub, program: Program, segment: str) -> Download:
    """Only the refused records, as they came."""
    from retour.files import names
    from retour.replies.send import refused_rows, rejected_file_name

    reader = build_reader(hub, program)
    header = require_results(reader, segment)
    delivery = header.delivery
    name = (
        rejected_file_name(hub, delivery)
        if delivery.kind is DeliveryKind.FILE
        else names.rejected_name(f"{delivery.id}.json")
    )
    if kept := stored_download(hub, header, "rejected", name):
        return kept
    results = [*reader.results(header)]
    if delivery.kind is DeliveryKind.FILE:
        source = program.source(delivery.source, delivery.channel)
        return Download(name=name, body=b"".join(refused_rows(hub, source, delivery, results)))
    places = {one.place for one in results if one.outcome is Outcome.REFUSED}
    return Download(name=name, media_type="application/json", body=refused_records(reader, header, places))


def refused_records(reader: LedgerReader, header: DeliveryHeader, places: set[str]) -> bytes:
    """The refused records of a JSON body as a list, each exactly as it stood there."""
    from retour.channels import records

    if header.delivery.kind is not DeliveryKind.MODIFICATIONS:
        raise not_found("no_rejected")
    rows = records.rows(reader.deliveries.body(header))
    raws = [row.raw for row in rows if row.place in places] if not isinstance(rows, Refusal) else []
    return ("[" + ",\n".join(raws) + "]\n").encode("utf-8", "surrogatepass")


def require_results(reader: LedgerReader, segment: str) -> DeliveryHeader:
    header = find_header(reader, segment)
    if header.delivery.kind in KINDS_WITHOUT_RECORDS or header.state in (ARRIVED, HELD):
        raise not_found("no_result")
    return header


def stored_download(hub: Hub, header: DeliveryHeader, what: str, name: str) -> Download | None:
    """What the answer of a file left in the inbox."""
    if header.delivery.kind is not DeliveryKind.FILE:
        return None
    key = outcomes.results_folder(header.delivery) + what
    try:
        if hub.inbox.size(key) > ANSWER_MAX:
            return Download(name=name, url=hub.inbox.presign_get(key, LINK_SECONDS))
        return Download(name=name, body=hub.inbox.read(key))
    except KeyError:
        return None


def resolve_held_batch(
    hub: Hub, call: Call, principal: Principal, program: Program, segment: str, what: str
) -> Document:
    """A person's decision on a held delivery, itself a delivery."""
    reader = build_reader(hub, program)
    header = find_header(reader, segment)
    if header.state != HELD:
        raise ProblemError("NOT_HELD", "batch", state=header.state)
    if call.is_dry_run:
        return preview_resolution(hub, program, header.delivery, what)
    note = call.document("note").get("note", "")
    asked = {"delivery": header.delivery.id, "decision": what, "note": str(note)[:500]}
    form = replace(call, body=json.dumps(asked).encode())
    delivery = build_delivery(
        form, hub, principal, program.id, CONSOLE_SOURCE, DeliveryKind.DECISION, f"{what}#{header.delivery.id}"
    )
    carry_out_decision(hub, delivery, form.body)
    hub.send("answers", {"program": program.id, "delivery": header.delivery.id, "what": "batch"})
    return batch_detail(reader, find_header(reader, segment))


def preview_resolution(hub: Hub, program: Program, delivery: Delivery, what: str) -> Document:
    """What a decision on a held delivery would come to now; it stays held."""
    if what == "discard":
        return documents.dry_run_document(Batch(delivery=delivery, state=REFUSED, code="DISCARDED"), program.language)
    if delivery.size > FILE_MAX:
        raise ProblemError("BODY_TOO_LARGE", "rehearsed", size=str(delivery.size), most=str(FILE_MAX))
    batch = dry_run_delivery(hub, delivery, hub.inbox.read(delivery.body_key), hub.now())
    # What would hold it when it comes does not hold its release.
    shown = replace(batch, preview={**batch.preview, "warnings": []}) if batch.preview else batch
    return documents.dry_run_document(shown, program.language)


def replay_batch(hub: Hub, program: Program, segment: str) -> Document:
    """The raw bytes read again; what is recorded stays, what was lost on the way is done now."""
    reader = build_reader(hub, program)
    header = find_header(reader, segment)
    if header.delivery.kind in KINDS_WITHOUT_RECORDS or header.state == HELD:
        raise ProblemError("NOT_REPLAYABLE", "kind")
    if header.delivery.is_dry_run:
        raise ProblemError("NOT_REPLAYABLE", "dry_run")
    body = load_raw_body(reader, header)
    if body is None:
        raise ProblemError("NOT_ARRIVED")
    if header.delivery.kind is DeliveryKind.FILE:
        process_file(hub, header.delivery, body)
        hub.send("answers", {"program": program.id, "delivery": header.delivery.id, "what": "batch"})
    else:
        ingest(hub, header.delivery, body)
    fresh = build_reader(hub, program)
    return batch_detail(fresh, find_header(fresh, segment))
