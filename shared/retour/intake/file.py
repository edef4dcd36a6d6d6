"""A file taken in: weighed where its source has thresholds, then in one piece or by the way of large files."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery
from retour.domain.row import Refusal, Row, Unreadable
from retour.intake import report, thresholds
from retour.intake.absent import note_export, with_absent
from retour.intake.actions import take_actions
from retour.intake.batch import ARRIVED, DONE, REFUSED, Batch, report_of
from retour.intake.repeat import same_delivery
from retour.intake.verdict import is_weighed, rehearsed, weighed
from retour.posting.holding import hold, list_held_results
from retour.posting.refold import cases_of
from retour.posting.rows import read_rows, take_rows
from retour.posting.waiting import remind_waiting
from retour.store import outcomes
from retour.store.inbox import Stream

if TYPE_CHECKING:
    from retour.wiring import Hub

ROWS_IN_ONE_PIECE = 2_000
SIGNS_IN_ONE_PIECE = 1_000_000
ACTIONS = "actions"


def receive_file(hub: "Hub", delivery: Delivery, body: bytes | None) -> Batch:
    """A file: its header stays open until every row is done and its outcomes lie beside it for the answer."""
    deliveries = hub.deliveries(delivery.program)
    header = deliveries.get(delivery.id)
    if header is not None and header.state != ARRIVED:
        return Batch(delivery=header.delivery, state=header.state, code=header.report.get("code", ""))
    stored = header.delivery if header else deliveries.put(delivery, body, ARRIVED, {})
    if stored.held:
        return hold(hub, stored)
    return take_file(hub, stored, body)


def take_file(hub: "Hub", delivery: Delivery, body: bytes | None = None, released_at: datetime | None = None) -> Batch:
    """Take every row of a file in: in one piece, or, when they are too many for that, by the way of large files.

    `released_at`: when a person let it go on, if it was held. Of a dry run all this is rehearsed.
    """
    from retour.intake.opening import open_delivery

    program = hub.program_of(delivery)
    if report.is_json(delivery):
        read = report.from_json(hub.inbox.read(delivery.body_key) if body is None else body)
        return closed(hub, take_actions(hub, delivery, read))
    source = program.source(delivery.source, delivery.channel)
    stream = BytesIO(body) if body is not None else Stream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        return closed(hub, Batch(delivery=delivery, state=REFUSED, code=opened.code, details=opened.details))
    to_weigh = delivery.is_dry_run or (released_at is None and not is_weighed(delivery, source))
    of_actions = delivery.facts.get("layout") == ACTIONS
    rows = in_one_piece(with_absent(hub, program, source, delivery, opened.rows))
    if rows is None:
        from retour.intake import large

        return large.begin(hub, delivery, body, released_at, to_weigh and not of_actions)
    if of_actions:
        batch = take_actions(hub, delivery, report.from_rows(iter(rows)))
        return closed(hub, replace(batch, skipped=dict(opened.skipped)))
    reads = read_rows(program, delivery, rows, released_at)
    if to_weigh:
        weight, results = thresholds.weigh(hub, program, reads)
        if delivery.is_dry_run:
            return rehearsed(hub, delivery, weight, results, opened.skipped)
        delivery, held = weighed(hub, delivery, weight, results, ARRIVED)
        if held is not None:
            return held
    results = take_rows(hub.ledger(program), program, reads, hub.now(), cases_of(hub, program))
    remind_waiting(hub, program, delivery, results)
    list_held_results(hub.deliveries(program.id), delivery, results)
    batch = Batch(delivery=delivery, state=DONE, results=results, skipped=dict(opened.skipped))
    same_as = same_delivery(hub.deliveries(delivery.program), delivery, batch.counts, results)
    note_export(hub, source, delivery, batch.counts)
    return closed(hub, replace(batch, same_as=same_as))


def closed(hub: "Hub", batch: Batch) -> Batch:
    """A file at its end: its outcomes lie beside it for the answer, its report in its header."""
    delivery = batch.delivery
    outcomes.keep(hub.inbox, delivery, batch.results)
    report_ = report_of(batch) | thresholds.compared(hub, delivery, batch.results)
    hub.deliveries(delivery.program).close(delivery, report_, batch.state)
    return batch


def is_large(hub: "Hub", delivery: Delivery, body: bytes) -> bool:
    """Whether a file has more rows than are taken in at once."""
    from retour.intake.opening import open_delivery

    source = hub.program_of(delivery).source(delivery.source, delivery.channel)
    opened = open_delivery(hub, delivery, source, BytesIO(body))
    return not isinstance(opened, Refusal) and in_one_piece(opened.rows) is None


def in_one_piece(rows: Iterable[Row | Unreadable]) -> list[Row | Unreadable] | None:
    """All the rows, or None as soon as they are too many to be taken in at once."""
    taken: list[Row | Unreadable] = []
    signs = 0
    for row in rows:
        taken.append(row)
        signs += len(row.raw)
        if len(taken) > ROWS_IN_ONE_PIECE or signs > SIGNS_IN_ONE_PIECE:
            return None
    return taken
