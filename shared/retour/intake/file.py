"""Ingest a file: check it against thresholds, then process it in one piece or as a large file."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery
from retour.domain.row import Refusal, Row, Unreadable
from retour.intake import action_reports, thresholds
from retour.intake.absent import note_export, with_absent
from retour.intake.actions import ingest_actions
from retour.intake.batch import ARRIVED, DONE, REFUSED, Batch, report_of
from retour.intake.hold import hold_delivery
from retour.intake.repeated_file import earlier_identical_delivery
from retour.intake.threshold_gate import apply_thresholds, finish_inline_dry_run, is_cleared
from retour.posting.held_records import list_held_results
from retour.posting.refold import cases_of
from retour.posting.rows import post_rows, read_rows
from retour.posting.waiting import remind_waiting
from retour.store import outcomes
from retour.store.inbox import PieceStream

if TYPE_CHECKING:
    from retour.wiring import Hub

INLINE_ROWS_MAX = 2_000
INLINE_CHARS_MAX = 1_000_000
ACTIONS_LAYOUT = "actions"


def ingest_file(hub: "Hub", delivery: Delivery, body: bytes | None) -> Batch:
    """Ingest a file. Its header stays open until all rows are processed and their outcomes are stored for the reply."""
    deliveries = hub.deliveries(delivery.program)
    header = deliveries.get(delivery.id)
    if header is not None and header.state != ARRIVED:
        return Batch(delivery=header.delivery, state=header.state, code=header.report.get("code", ""))
    stored = header.delivery if header else deliveries.put(delivery, body, ARRIVED, {})
    if stored.held:
        return hold_delivery(hub, stored)
    return process_file(hub, stored, body)


def process_file(
    hub: "Hub", delivery: Delivery, body: bytes | None = None, released_at: datetime | None = None
) -> Batch:
    """Process all rows of a file, directly or as a large file. A dry run simulates the same steps.

    `released_at` is when a person released it, if it was held.
    """
    from retour.intake.encrypted_files import open_delivery

    program = hub.program_of(delivery)
    if action_reports.is_json(delivery):
        read = action_reports.from_json(hub.inbox.read(delivery.body_key) if body is None else body)
        return close_batch(hub, ingest_actions(hub, delivery, read))
    source = program.source(delivery.source, delivery.channel)
    stream = BytesIO(body) if body is not None else PieceStream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        return close_batch(hub, Batch(delivery=delivery, state=REFUSED, code=opened.code, details=opened.details))
    to_weigh = delivery.is_dry_run or (released_at is None and not is_cleared(delivery, source))
    of_actions = delivery.facts.get("layout") == ACTIONS_LAYOUT
    rows = load_if_small(with_absent(hub, program, source, delivery, opened.rows))
    if rows is None:
        from retour.intake import large

        return large.start(hub, delivery, body, released_at, to_weigh and not of_actions)
    if of_actions:
        batch = ingest_actions(hub, delivery, action_reports.from_rows(iter(rows)))
        return close_batch(hub, replace(batch, skipped=dict(opened.skipped)))
    reads = read_rows(program, delivery, rows, released_at)
    if to_weigh:
        weight, results = thresholds.simulate(hub, program, reads)
        if delivery.is_dry_run:
            return finish_inline_dry_run(hub, delivery, weight, results, opened.skipped)
        delivery, held = apply_thresholds(hub, delivery, weight, results, ARRIVED)
        if held is not None:
            return held
    results = post_rows(hub.ledger(program), program, reads, hub.now(), cases_of(hub, program))
    remind_waiting(hub, program, delivery, results)
    list_held_results(hub.deliveries(program.id), delivery, results)
    batch = Batch(delivery=delivery, state=DONE, results=results, skipped=dict(opened.skipped))
    same_as = earlier_identical_delivery(hub.deliveries(delivery.program), delivery, batch.counts, results)
    note_export(hub, source, delivery, batch.counts)
    return close_batch(hub, replace(batch, same_as=same_as))


def close_batch(hub: "Hub", batch: Batch) -> Batch:
    """Close a file: store its outcomes for the reply and its report in the header."""
    delivery = batch.delivery
    outcomes.save_outcomes(hub.inbox, delivery, batch.results)
    report_ = report_of(batch) | thresholds.preview_differences(hub, delivery, batch.results)
    hub.deliveries(delivery.program).close(delivery, report_, batch.state)
    return batch


def is_large(hub: "Hub", delivery: Delivery, body: bytes) -> bool:
    """Whether a file has too many rows to be processed directly."""
    from retour.intake.encrypted_files import open_delivery

    source = hub.program_of(delivery).source(delivery.source, delivery.channel)
    opened = open_delivery(hub, delivery, source, BytesIO(body))
    return not isinstance(opened, Refusal) and load_if_small(opened.rows) is None


def load_if_small(rows: Iterable[Row | Unreadable]) -> list[Row | Unreadable] | None:
    """All rows, or None if there are too many to be processed directly."""
    taken: list[Row | Unreadable] = []
    signs = 0
    for row in rows:
        taken.append(row)
        signs += len(row.raw)
        if len(taken) > INLINE_ROWS_MAX or signs > INLINE_CHARS_MAX:
            return None
    return taken
