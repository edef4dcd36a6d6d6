"""Dry runs: the effect of a delivery, row by row and partner by partner, without writing to the ledger."""

from collections.abc import Iterable
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.intake import thresholds
from retour.intake.absent import with_absent
from retour.intake.batch import DRY_RUN, IGNORED, REFUSED, Batch
from retour.intake.ingest import rows_of
from retour.posting.rows import read_rows

if TYPE_CHECKING:
    from retour.wiring import Hub


def dry_run_delivery(hub: "Hub", delivery: Delivery, body: bytes, released_at: datetime | None = None) -> Batch:
    """Simulate a delivery, or with `released_at` its release, without writing to the ledger."""
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    rows: Iterable[Row | Unreadable] | OrderNames | Ignored | Refusal
    if delivery.kind is DeliveryKind.FILE:
        from retour.intake.encrypted_files import open_delivery

        opened = open_delivery(hub, delivery, source, BytesIO(body))
        rows = opened if isinstance(opened, Refusal) else with_absent(hub, program, source, delivery, opened.rows)
    else:
        rows = rows_of(delivery, body, source)
    if isinstance(rows, Refusal):
        return Batch(delivery=delivery, state=REFUSED, code=rows.code, details=rows.details)
    if isinstance(rows, Ignored | OrderNames):
        why = rows.why if isinstance(rows, Ignored) else "It tells the names of an order and nothing of its money."
        return Batch(delivery=delivery, state=IGNORED, details={"why": why})
    reads = list(read_rows(program, delivery, rows, released_at))
    weight, results = thresholds.simulate(hub, program, reads)
    excess = thresholds.threshold_breach(hub, program, source, weight)
    preview = thresholds.dry_run_report(weight, program, excess)
    return Batch(delivery=delivery, state=DRY_RUN, results=results, preview=preview)
