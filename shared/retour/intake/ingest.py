"""Ingest a delivery: store it raw, insert its records, fold their orders, return one result per row.

All channels and replays use this path. It is idempotent: a delivery read again is the same delivery.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retour.channels import records
from retour.channels.webhook import source_adapter
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.intake import action_reports, order_names
from retour.intake.actions import ingest_actions
from retour.intake.batch import ARRIVED, DONE, IGNORED, REFUSED, Batch, report_of, row_index
from retour.intake.repeated_file import earlier_identical_delivery
from retour.intake.undeclared_statuses import list_undeclared, undeclared_statuses
from retour.normalise import Normaliser
from retour.ports import DeliveryPort
from retour.posting.held_records import list_held_results
from retour.posting.refold import cases_of
from retour.posting.rows import post_rows
from retour.posting.waiting import remind_waiting

if TYPE_CHECKING:
    from retour.wiring import Hub


def announce_file(ports: DeliveryPort, delivery: Delivery) -> None:
    """Write the open header of a file that is about to be stored at `body_key`."""
    ports.deliveries(delivery.program).put(delivery, None, ARRIVED, {})


def ingest(hub: "Hub", delivery: Delivery, body: bytes | None) -> Batch:
    """Store and process a delivery. Without `body`, its bytes are already at `body_key`.

    Idempotent: repeating it after a crash or a redelivered event gives the same result.
    """
    if delivery.kind is DeliveryKind.FILE:
        from retour.intake.file import ingest_file

        return ingest_file(hub, delivery, body)
    assert body is not None
    if delivery.kind is DeliveryKind.ACTIONS:
        hub.deliveries(delivery.program).put(delivery, body, DONE, {})
        return ingest_actions(hub, delivery, action_reports.from_json(body))
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    rows = rows_of(delivery, body, source)
    if isinstance(rows, OrderNames):
        return order_names.ingest_names(hub, program, source, delivery, rows)
    list_undeclared(hub, program.id, source, undeclared_statuses(delivery, body, source), delivery.received_at)
    if not isinstance(rows, Sequence):
        return store_unprocessed(hub, delivery, body, rows)
    reads = list(Normaliser(program, source, delivery).modifications(rows))
    stored = hub.deliveries(program.id).put(delivery, body, DONE, {"rows": row_index(reads)})
    results = post_rows(hub.ledger(program), program, reads, hub.now(), cases_of(hub, program))
    order_names.link_record_names(hub, program, stored, [read for _, read in reads])
    remind_waiting(hub, program, stored, results)
    list_held_results(hub.deliveries(program.id), stored, results)
    batch = Batch(delivery=stored, state=DONE, results=results)
    # Webhook senders retry by themselves and ignore the response; API callers need the result.
    if delivery.kind is DeliveryKind.MODIFICATIONS:
        batch = replace(
            batch, same_as=earlier_identical_delivery(hub.deliveries(program.id), stored, batch.counts, results)
        )
    return batch


def rows_of(
    delivery: Delivery, body: bytes, source: Source
) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
    """The rows of a delivery that is not a file, or the order names that are all it contains."""
    if delivery.facts.get(order_names.KEPT_FACT) == order_names.NAMES_ONLY:
        return order_names.parse_names(body)
    match delivery.kind:
        case DeliveryKind.HOOK:
            return source_adapter(source).rows(body, delivery.facts, source)
        case DeliveryKind.SALESFORCE:
            from retour.channels import salesforce as salesforce_records

            return salesforce_records.rows(body, delivery.facts, source)
    return records.rows(body)


def store_unprocessed(hub: "Hub", delivery: Delivery, body: bytes, found: Ignored | Refusal) -> Batch:
    """Store and list a delivery that needs no action or cannot be read."""
    if isinstance(found, Ignored):
        batch = Batch(delivery=delivery, state=IGNORED, details={"why": found.why})
    else:
        batch = Batch(delivery=delivery, state=REFUSED, code=found.code, details=found.details)
    deliveries = hub.deliveries(delivery.program)
    stored = deliveries.put(delivery, body, DONE, {})
    deliveries.close(stored, report_of(batch), batch.state)
    return replace(batch, delivery=stored)
