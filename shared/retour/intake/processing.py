"""Process a stored delivery with retries, so that it always reaches a final state (spec 5.4, 10).

A failure of the store says nothing of the delivery: it is raised, and the delivery stays open for a later attempt. Any
other failure comes again each time, so after its tries the delivery is refused with a reference that finds the line in
the log; its bytes stay stored, and it is read again once the fault is mended. A worker that dies cannot say so: whoever
takes up a delivery that was left open notes it first, and what keeps killing workers is refused in the same way.
"""

import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery, DeliveryKind
from retour.intake.batch import ARRIVED, REFUSED, WORKING, Batch
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
"""So many workers may end over a delivery without a word."""
CLEAR_TRIES = 3
RUNNING, FAILED_RUNS = "RUNNING", ("FAILED", "TIMED_OUT")
"""How a way through the state machine stands; one that was stopped on purpose is no failure of its file."""

logger = logging.getLogger(__name__)


def process_delivery(hub: "Hub", delivery: Delivery) -> Batch:
    """Process an open file, or refuse it after repeated internal errors; queues its reply at the end.

    Raises what the store or the network raised: then the delivery is as open as before, and the fence waits for it no
    longer than for a held one.
    """
    try:
        batch = process_with_retries(hub, delivery)
    except Exception:
        with suppress(Exception):
            hub.deliveries(delivery.program).list_open(delivery, STUCK)
        raise
    if batch.state not in (ARRIVED, WORKING):
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    return batch


def resume_delivery(hub: "Hub", header: DeliveryHeader) -> Batch | None:
    """The same of one that some worker left open; None where there is nothing to do yet.

    Its bytes have not come, it waits for a person, or the state machine is at work on it.
    """
    delivery = header.delivery
    if (
        header.state not in (ARRIVED, WORKING)
        or delivery.kind is not DeliveryKind.FILE
        or not has_arrived(hub, delivery)
    ):
        return None
    notes, mark = hub.state(delivery.program, delivery.source), f"begun#{delivery.id}"
    begun = noted = attempts_begun(notes, delivery)
    if header.state == WORKING:
        ways = hub.execution_statuses(delivery)
        if RUNNING in ways:
            return None
        begun += sum(way in FAILED_RUNS for way in ways)
    if begun >= WORKER_DEATHS_MAX:
        reference = secrets.token_hex(5)
        about = {"delivery": delivery.id, "program": delivery.program, "reference": reference, "workers": begun}
        logger.error("every worker that took the delivery up ended without a word", extra=about)
        batch = refuse_as_unprocessable(hub, delivery, reference)
        notes.delete(mark)
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
        return batch
    notes.put(mark, {"times": noted + 1})
    if noted:
        hub.deliveries(delivery.program).list_open(delivery, STUCK)
    try:
        return process_delivery(hub, delivery)
    finally:
        clear_attempt(notes, mark)


def attempts_begun(notes: SourceState, delivery: Delivery) -> int:
    """How many workers took a delivery up and never came back."""
    return int((notes.get(f"begun#{delivery.id}") or {}).get("times", 0))


def clear_attempt(notes: SourceState, mark: str) -> None:
    """The worker came back, with or without success: a store that fails must not look like a death."""
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


def process_with_retries(hub: "Hub", delivery: Delivery) -> Batch:
    for last in (False,) * (TRIES_MAX - 1) + (True,):
        try:
            return process_once(hub, delivery)
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
    """Refused for a fault of ours. What was recorded of it stays, and reading it again does the rest."""
    details = {"name": delivery.name or delivery.id, "reference": reference}
    refuse_delivery(hub, delivery, "NOT_HANDLED", details)
    return Batch(delivery=delivery, state=REFUSED, code="NOT_HANDLED", details=details)
