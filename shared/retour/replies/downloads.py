"""What a delivery can be downloaded as: its raw bytes, its result, and what was rejected of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, DeliveryKind
from retour.domain.program import Program
from retour.domain.row import Refusal
from retour.errors import NotFoundError
from retour.intake.batch import ARRIVED, HELD
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.deliveries import DeliveryHeader
from retour.views.deliveries import find_header, load_raw_body
from retour.views.ledger_reader import LedgerReader, build_reader
from retour.wiring import Hub

ANSWER_MAX = 4 * 1024 * 1024
"""Bytes that an answer holds; more lie at an address for a while."""
LINK_SECONDS = 300


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


def download_raw(hub: Hub, program: Program, delivery_id: str) -> Download:
    reader = build_reader(hub, program)
    header = find_header(reader, delivery_id)
    delivery = header.delivery
    name = delivery.name or f"{delivery.id}.json"
    if header.is_gone:
        raise NotFoundError("ended")
    if header.inline is None and delivery.size > ANSWER_MAX:
        return Download(name=name, url=hub.inbox.presign_get(delivery.body_key, LINK_SECONDS))
    body = load_raw_body(reader, header)
    if body is None:
        raise NotFoundError("not_arrived")
    return Download(name=name, body=body)


def download_result(hub: Hub, program: Program, delivery_id: str) -> Download:
    """Every record with its outcome, as CSV."""
    from retour.files import names
    from retour.files.result_files import result_csv

    reader = build_reader(hub, program)
    header = require_results(reader, delivery_id)
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


def download_rejected(hub: Hub, program: Program, delivery_id: str) -> Download:
    """Only the refused records, as they came."""
    from retour.files import names
    from retour.replies.send import refused_rows, rejected_file_name

    reader = build_reader(hub, program)
    header = require_results(reader, delivery_id)
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
        raise NotFoundError("no_rejected")
    rows = records.rows(reader.deliveries.body(header))
    raws = [row.raw for row in rows if row.place in places] if not isinstance(rows, Refusal) else []
    return ("[" + ",\n".join(raws) + "]\n").encode("utf-8", "surrogatepass")


def require_results(reader: LedgerReader, delivery_id: str) -> DeliveryHeader:
    header = find_header(reader, delivery_id)
    if header.delivery.kind in KINDS_WITHOUT_RECORDS or header.state in (ARRIVED, HELD):
        raise NotFoundError("no_result")
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
