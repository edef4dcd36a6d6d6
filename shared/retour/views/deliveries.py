"""A delivery with the outcomes of its records, and its body."""

from collections.abc import Iterable, Iterator
from itertools import islice

from retour.domain.actions.outcome import Result
from retour.domain.delivery import DeliveryKind
from retour.errors import NotFoundError
from retour.intake.batch import ROWS_LISTED_MAX
from retour.intake.repeated_file import earlier_identical_delivery
from retour.store.deliveries import DeliveryHeader
from retour.views import documents
from retour.views.ledger_reader import LedgerReader
from retour.views.paging import is_delivery_id
from retour.views.schemas import BatchDocument

STATES = ("arriving", "working", "held", "done", "refused", "ignored")


def batch_detail(reader: LedgerReader, header: DeliveryHeader) -> BatchDocument:
    opened = reader.program
    counts = header.report.get("counts")
    results = [*islice(reader.results(header), ROWS_LISTED_MAX if counts else None)]
    counts = counts or documents.count_outcomes(results)
    document = documents.batch_document(header, opened, counts)
    document["outcomes"] = [documents.result_document(result, opened.language) for result in results[:ROWS_LISTED_MAX]]
    add_repetition(document, reader, header, results)
    return document


def add_repetition(
    document: BatchDocument, reader: LedgerReader, header: DeliveryHeader, results: Iterable[Result]
) -> None:
    """Add to a repeated delivery the original and its outcomes. Calls are compared on request."""
    same_as = header.report.get("same_as", "")
    if header.delivery.kind in (DeliveryKind.MODIFICATIONS, DeliveryKind.ACTIONS):
        same_as = earlier_identical_delivery(reader.deliveries, header.delivery, document["counts"], results)
    before = reader.deliveries.get(same_as) if same_as else None
    if before is not None:
        documents.add_repetition(
            document,
            documents.repetition_of(same_as, document["counts"], reader.program.language, reader.program.time_zone),
        )
        document["first_counts"] = reader.counts(before)


def find_header(reader: LedgerReader, id_: str) -> DeliveryHeader:
    header = reader.deliveries.get(id_) if is_delivery_id(id_) else None
    if header is None:
        raise NotFoundError("batch")
    return header


def load_raw_body(reader: LedgerReader, header: DeliveryHeader) -> bytes | None:
    """The raw body; None if the announced file is missing or the body was deleted."""
    if header.is_gone:
        return None
    try:
        if header.inline is None:
            reader.deliveries.inbox.size(header.delivery.body_key)
        return reader.deliveries.body(header)
    except KeyError:
        return None


def deliveries_of(reader: LedgerReader, order_id: str) -> set[str]:
    """The ids of all deliveries with actions or records of an order."""
    order = reader.order_by_id(order_id)
    return {action.delivery for action in order.actions} | {one.provenance.delivery for one in order.records}


def partners_of(reader: LedgerReader, header: DeliveryHeader) -> Iterator[str]:
    """The partners whose actions a delivery's records are about."""
    for result in reader.results(header):
        found = reader.action(result.action) if result.action else None
        if found is not None:
            yield found[2].standing.partner
