"""A file taken in: weighed where its source has thresholds, then in one piece or by the way of large files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.intake import report
from retour.intake.actions import take_actions
from retour.intake.batch import ARRIVED, DONE, HELD, REFUSED, Batch, report_of
from retour.intake.holding import hold
from retour.intake.repeat import same_file
from retour.intake.rows import ORDERS_AT_ONCE, read_rows, take_rows
from retour.intake.waiting import remind_waiting
from retour.store import outcomes
from retour.store.bulk import batched
from retour.store.inbox import Stream

if TYPE_CHECKING:
    from retour.wiring import Hub

ROWS_IN_ONE_PIECE = 2_000
SIGNS_IN_ONE_PIECE = 1_000_000
WITHIN = "within"
"""The fact of a file that was weighed and found in order: read again, it is not weighed again."""


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

    `released_at`: when a person let it go on, if it was held.
    """
    from retour.intake.opening import open_delivery

    program = hub.program_of(delivery)
    layout = delivery.facts.get("layout", "modifications")
    source = program.source(delivery.source, delivery.channel)
    stream = BytesIO(body) if body is not None else Stream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        batch = Batch(delivery=delivery, state=REFUSED, code=opened.code, details=opened.details)
    elif layout == "actions":
        batch = take_actions(hub, delivery, report.from_rows(opened.rows))
    else:
        rows = in_one_piece(opened.rows)
        if released_at is None and not is_weighed(delivery, source):
            pieces = [rows] if rows is not None else again_in_pieces(hub, program, delivery, body)
            delivery, held = weighed(hub, program, source, delivery, pieces)
            if held is not None:
                return held
        if rows is None:
            from retour.intake import large

            return large.begin(hub, delivery, body, released_at)
        results = take_rows(hub.ledger(program), program, read_rows(program, delivery, rows, released_at), hub.now())
        remind_waiting(hub, program, delivery, results)
        batch = Batch(delivery=delivery, state=DONE, results=results)
        first = next(iter(results), None)
        batch = replace(batch, same_as=same_file(hub, program, delivery, batch.counts, first))
    if not isinstance(opened, Refusal):
        batch = replace(batch, skipped=dict(opened.skipped))
    outcomes.keep(hub.inbox, delivery, batch.results)
    hub.deliveries(program.id).close(delivery, report_of(batch), batch.state)
    return batch


def is_weighed(delivery: Delivery, source: Source) -> bool:
    """Whether a file has nothing to be weighed by, or was weighed before and found in order."""
    return not source.thresholds or delivery.facts.get("thresholds") == WITHIN


def weighed(
    hub: "Hub", program: Program, source: Source, delivery: Delivery, pieces: Iterable[Sequence[Row | Unreadable]]
) -> tuple[Delivery, Batch | None]:
    """The file with the verdict on it written down, and held where it is above a threshold of its source."""
    from retour.intake import thresholds

    excess, weight = thresholds.examine(hub, program, source, (read_rows(program, delivery, piece) for piece in pieces))
    if excess is None:
        delivery = replace(delivery, facts={**delivery.facts, "thresholds": WITHIN})
        hub.deliveries(program.id).put(delivery, None, ARRIVED, {})
        return delivery, None
    thresholds.keep(hub, delivery, weight)
    facts = {**delivery.facts, **{f"{HELD}_{name}": value for name, value in excess.details.items()}}
    delivery = replace(delivery, held=excess.code, facts=facts)
    return delivery, hold(hub, delivery, thresholds.preview_of(weight, program))


def again_in_pieces(
    hub: "Hub", program: Program, delivery: Delivery, body: bytes | None
) -> Iterator[Sequence[Row | Unreadable]]:
    """The rows of a large file, read from the beginning."""
    from retour.intake.opening import open_delivery

    source = program.source(delivery.source, delivery.channel)
    stream = BytesIO(body) if body is not None else Stream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if not isinstance(opened, Refusal):
        yield from batched(opened.rows, ORDERS_AT_ONCE)


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
