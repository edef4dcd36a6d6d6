"""What a delivery would come to, row by row and partner by partner, with nothing written."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from retour.domain.actions.outcome import Result
from retour.domain.delivery import Delivery, Kind
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable
from retour.intake.batch import IGNORED, REFUSED, Batch
from retour.intake.receive import rows_of
from retour.intake.rows import read_rows, take_rows
from retour.normalise import Read
from retour.store.rehearsal import Rehearsal

if TYPE_CHECKING:
    from retour.wiring import Hub


def rehearse(hub: "Hub", delivery: Delivery, body: bytes, released_at: datetime | None = None) -> Batch:
    """What `receive` would come to, row by row, with nothing written; or the release of what was held."""
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    rows: Iterable[Row | Unreadable] | Ignored | Refusal
    if delivery.kind is Kind.FILE:
        from retour.intake.opening import open_delivery

        opened = open_delivery(hub, delivery, source, BytesIO(body))
        rows = opened if isinstance(opened, Refusal) else opened.rows
    else:
        rows = rows_of(delivery, body, source)
    if isinstance(rows, Refusal):
        return Batch(delivery=delivery, state=REFUSED, code=rows.code, details=rows.details)
    if isinstance(rows, Ignored):
        return Batch(delivery=delivery, state=IGNORED, details={"why": rows.why})
    reads = list(read_rows(program, delivery, rows, released_at))
    rehearsal = Rehearsal(program.contracts, hub.ledger(program))
    results = take_rows(rehearsal, program, reads, hub.now())
    return Batch(
        delivery=delivery,
        state="dry run",
        results=results,
        preview=warned(hub, program, source, reads, results, rehearsal),
    )


def warned(
    hub: "Hub",
    program: Program,
    source: Source,
    reads: Sequence[tuple[Row | Unreadable, Read]],
    results: Sequence[Result],
    rehearsal: Rehearsal,
) -> dict[str, Any]:
    """What a rehearsal comes to for every partner, and what would hold it if it were sent."""
    from retour.intake import thresholds
    from retour.intake.preview import partner_documents, total_document

    weight = thresholds.Weight()
    weight.add(reads, results, rehearsal)
    excess = thresholds.judged(hub, program, source, weight)
    return {
        "partners": partner_documents(weight.moved, program),
        "total": total_document(weight.moved, program),
        "warnings": [{"code": one.code, "details": dict(one.details)} for one in (excess,) if one is not None],
    }
