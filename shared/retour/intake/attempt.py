"""A stored delivery handled by a worker: whatever it does to the worker, it comes to an end (spec 5.4, 10).

A failure of the store says nothing of the delivery: it is raised, and the delivery stays open for a later attempt. Any
other failure comes again each time, so after its tries the delivery is refused with a reference that finds the line in
the log; its bytes stay stored, and it is read again once the fault is mended. A worker that dies cannot say so: whoever
takes up a delivery that was left open notes it first, and what keeps killing workers is refused in the same way.
"""

import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery, Kind
from retour.intake.arrival import lying_there, refuse
from retour.intake.batch import ARRIVED, REFUSED, WORKING, Batch
from retour.intake.receive import receive
from retour.posting.fold import Contended
from retour.store.deliveries import STUCK, Header
from retour.store.faults import is_passing
from retour.store.state import SourceState

if TYPE_CHECKING:
    from retour.wiring import Hub

TRIES = 3
DEATHS = 3
"""So many workers may end over a delivery without a word."""
GIVE_BACK = 3
RUNNING, LOST_WAYS = "RUNNING", ("FAILED", "TIMED_OUT")
"""How a way through the state machine stands; one that was stopped on purpose is no failure of its file."""

logger = logging.getLogger(__name__)


def handle(hub: "Hub", delivery: Delivery) -> Batch:
    """Take in a stored file that is open, or give it up for a fault of ours; its answer is asked for at its end.

    Raises what the store or the network raised: then the delivery is as open as before, and the fence waits for it no
    longer than for a held one.
    """
    try:
        batch = tried(hub, delivery)
    except Exception:
        with suppress(Exception):
            hub.deliveries(delivery.program).list_open(delivery, STUCK)
        raise
    if batch.state not in (ARRIVED, WORKING):
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    return batch


def handle_left_open(hub: "Hub", header: Header) -> Batch | None:
    """The same of one that some worker left open; None where there is nothing to do yet.

    Its bytes have not come, it waits for a person, or the state machine is at work on it.
    """
    delivery = header.delivery
    if header.state not in (ARRIVED, WORKING) or delivery.kind is not Kind.FILE or not has_come(hub, delivery):
        return None
    notes, mark = hub.state(delivery.program, delivery.source), f"begun#{delivery.id}"
    begun = noted = times_begun(notes, delivery)
    if header.state == WORKING:
        ways = hub.ways_of(delivery)
        if RUNNING in ways:
            return None
        begun += sum(way in LOST_WAYS for way in ways)
    if begun >= DEATHS:
        reference = secrets.token_hex(5)
        about = {"delivery": delivery.id, "program": delivery.program, "reference": reference, "workers": begun}
        logger.error("every worker that took the delivery up ended without a word", extra=about)
        batch = given_up(hub, delivery, reference)
        notes.delete(mark)
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
        return batch
    notes.put(mark, {"times": noted + 1})
    if noted:
        hub.deliveries(delivery.program).list_open(delivery, STUCK)
    try:
        return handle(hub, delivery)
    finally:
        give_back(notes, mark)


def times_begun(notes: SourceState, delivery: Delivery) -> int:
    """How many workers took a delivery up and never came back."""
    return int((notes.get(f"begun#{delivery.id}") or {}).get("times", 0))


def give_back(notes: SourceState, mark: str) -> None:
    """The worker came back, with or without success: a store that fails must not look like a death."""
    for _ in range(GIVE_BACK):
        try:
            notes.delete(mark)
        except Exception:
            logger.exception("the note of a worker stays")
        else:
            return


def has_come(hub: "Hub", delivery: Delivery) -> bool:
    try:
        hub.inbox.size(delivery.body_key)
    except KeyError:
        return False
    return True


def tried(hub: "Hub", delivery: Delivery) -> Batch:
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return taken_in(hub, delivery)
        except Contended:
            raise
        except Exception as error:
            if is_passing(error):
                raise
            reference = secrets.token_hex(5)
            about = {"delivery": delivery.id, "program": delivery.program, "reference": reference}
            logger.exception("delivery could not be handled", extra=about)
            if last:
                return given_up(hub, delivery, reference)
    raise AssertionError("the last try returns or raises")


def taken_in(hub: "Hub", delivery: Delivery) -> Batch:
    from retour.intake.large import go_on

    header = hub.deliveries(delivery.program).get(delivery.id)
    if header is None or header.state not in (ARRIVED, WORKING):
        return receive(hub, delivery, None)
    if header.state == WORKING:
        return go_on(hub, header.delivery)
    return receive(hub, lying_there(hub, header.delivery), None)


def given_up(hub: "Hub", delivery: Delivery, reference: str) -> Batch:
    """Refused for a fault of ours. What was recorded of it stays, and reading it again does the rest."""
    details = {"name": delivery.name or delivery.id, "reference": reference}
    refuse(hub, delivery, "NOT_HANDLED", details)
    return Batch(delivery=delivery, state=REFUSED, code="NOT_HANDLED", details=details)
