"""Process stored deliveries with retries, so that each reaches a final state (spec 5.4, 10).

Transient errors are raised, and the delivery stays open for a later attempt. Any other error would recur, so after some
retries the delivery is refused with a reference to the log line; its body stays stored and can be replayed after the
fix. A crashed worker cannot report anything: whoever resumes an open delivery counts the attempt first, and a delivery
that keeps crashing workers is refused likewise.
"""

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery, DeliveryKind
from retour.intake.batch import ARRIVED, DONE, REFUSED, WORKING, Batch
from retour.intake.decision import carry_out_decision
from retour.intake.ingest import ingest
from retour.intake.uploads import complete_if_arrived, refuse_delivery
from retour.posting.fold import ContentionError
from retour.store.deliveries import STUCK, DeliveryHeader
from retour.store.errors import is_transient
from retour.store.source_state import SourceState

if TYPE_CHECKING:
    from retour.wiring import Hub

TRIES_MAX = 3
WORKER_DEATHS_MAX = 3
"""Worker crashes after which a delivery is refused."""
CLEAR_TRIES = 3
RUNNING, FAILED_RUNS = "RUNNING", ("FAILED", "TIMED_OUT")
"""States of an execution of the state machine. One stopped on purpose (ABORTED) is not a failure."""

logger = logging.getLogger(__name__)


def process_delivery(hub: "Hub", delivery: Delivery) -> Batch:
    """Process an open file, or refuse it after repeated internal errors. Finally queues its reply.

    Raises transient errors. The delivery then stays open, but delays fences only as long as a held one.
    """
    try:
        batch = with_retries(hub, delivery, lambda: process_once(hub, delivery))
    except Exception:
        with suppress(Exception):
            hub.deliveries(delivery.program).list_open(delivery, STUCK)
        raise
    if batch.state not in (ARRIVED, WORKING):
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    return batch


def resume_delivery(hub: "Hub", header: DeliveryHeader) -> Batch | None:
    """Resume an open delivery. None if there is nothing to do yet.

    That is the case if its body has not arrived, it is held, or the state machine is processing it.
    """
    delivery = header.delivery
    if (
        header.state not in (ARRIVED, WORKING)
        or delivery.kind is not DeliveryKind.FILE
        or not has_arrived(hub, delivery)
    ):
        return None
    lost = 0
    if header.state == WORKING:
        ways = hub.execution_statuses(delivery)
        if RUNNING in ways:
            return None
        lost = sum(way in FAILED_RUNS for way in ways)
    return attempt(hub, delivery, lambda: process_delivery(hub, delivery), lost)


def resume_call(hub: "Hub", header: DeliveryHeader) -> Batch:
    """Carry out a stored call or decision again, which some worker did not end; refused where none can."""
    delivery, deliveries = header.delivery, hub.deliveries(header.delivery.program)
    carry_out = carry_out_decision if delivery.kind is DeliveryKind.DECISION else ingest

    def once() -> Batch:
        return carry_out(hub, delivery, deliveries.body(header)) or Batch(delivery=delivery, state=DONE)

    return attempt(hub, delivery, lambda: with_retries(hub, delivery, once))


def attempt(hub: "Hub", delivery: Delivery, handle: Callable[[], Batch], lost: int = 0) -> Batch:
    """Handle a delivery that some worker left, unless it ended too many of them; `lost`: those that nobody noted."""
    notes, mark = hub.state(delivery.program, delivery.source), f"begun#{delivery.id}"
    noted = attempts_begun(notes, delivery)
    if noted + lost >= WORKER_DEATHS_MAX:
        reference = secrets.token_hex(5)
        about = {"delivery": delivery.id, "program": delivery.program, "reference": reference, "workers": noted + lost}
        logger.error("every worker that took the delivery up ended without a word", extra=about)
        batch = refuse_as_unprocessable(hub, delivery, reference)
        notes.delete(mark)
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
        return batch
    notes.put(mark, {"times": noted + 1})
    if noted and delivery.kind is DeliveryKind.FILE:
        hub.deliveries(delivery.program).list_open(delivery, STUCK)
    try:
        return handle()
    finally:
        clear_attempt(notes, mark)


def attempts_begun(notes: SourceState, delivery: Delivery) -> int:
    """How many workers started this delivery and never returned."""
    return int((notes.get(f"begun#{delivery.id}") or {}).get("times", 0))


def clear_attempt(notes: SourceState, mark: str) -> None:
    """Record that the worker returned, even without success, so that a store failure does not count as a crash."""
    for _ in range(CLEAR_TRIES):
        try:
            notes.delete(mark)
        except Exception:
            logger.exception("the note of a worker stays")
        else:
            return


def has_arrived(hub: "Hub", delivery: Delivery) -> bool:
    try:
        hub.inbox.size(delivery.body_key)
    except KeyError:
        return False
    return True


def with_retries(hub: "Hub", delivery: Delivery, once: Callable[[], Batch]) -> Batch:
    for last in (False,) * (TRIES_MAX - 1) + (True,):
        try:
            return once()
        except ContentionError:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            reference = secrets.token_hex(5)
            about = {"delivery": delivery.id, "program": delivery.program, "reference": reference}
            logger.exception("delivery could not be handled", extra=about)
            if last:
                return refuse_as_unprocessable(hub, delivery, reference)
    raise AssertionError("the last try returns or raises")


def process_once(hub: "Hub", delivery: Delivery) -> Batch:
    from retour.intake.large import resume

    header = hub.deliveries(delivery.program).get(delivery.id)
    if header is None or header.state not in (ARRIVED, WORKING):
        return ingest(hub, delivery, None)
    if header.state == WORKING:
        return resume(hub, header.delivery)
    return ingest(hub, complete_if_arrived(hub, header.delivery), None)


def refuse_as_unprocessable(hub: "Hub", delivery: Delivery, reference: str) -> Batch:
    """Refuse a delivery because of an internal error. Its recorded rows stay, and a replay does the rest."""
    details = {"name": delivery.name or delivery.id, "reference": reference}
    refuse_delivery(hub, delivery, "NOT_HANDLED", details)
    return Batch(delivery=delivery, state=REFUSED, code="NOT_HANDLED", details=details)
