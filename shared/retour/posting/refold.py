"""Fold an order again after records were inserted."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from retour.domain.actions.codes import Code
from retour.domain.actions.make_good import affected_head
from retour.domain.actions.order import NO_ACTION, Order
from retour.domain.program import Program
from retour.posting import cascade
from retour.posting.fold import adopt_waiting, fold_and_save
from retour.posting.held_records import list_disagreeing_sources, list_held
from retour.posting.order_names import adopt_named
from retour.posting.waiting import answer_settled
from retour.store.ledger import Ledger

if TYPE_CHECKING:
    from retour.wiring import Hub

log = logging.getLogger(__name__)


def refold_order(hub: "Hub", program_id: str, home: str) -> list[str]:
    """Fold an order after records were inserted, and request the second answers that are now due.

    Every inserted record passes here. Returns the ids of newly listed records that were received in time but inserted
    after their action was final: an alarm, never dropped.
    """
    program = hub.program(program_id)
    if program is None:
        raise LookupError(program_id)
    ledger = hub.ledger(program)
    order = ledger.order((ledger.order_key_of(home[1:]) if home.startswith("@") else None) or home)
    for action in order.actions:
        if action.has_own_id:
            order = adopt_waiting(ledger, action.id, order)
    if home.startswith("@") and order.key != home and adopt_named(ledger, home[1:], order.key, hub.now()):
        order = ledger.order(order.key)
    order = cascade.propagate_to_children(ledger, fold_and_save(ledger, order.key, hub.now(), order), hub.now())
    order = cascade.propagate_from_parents(ledger, order, hub.now())
    return list_cases(hub, program, ledger, order)


def list_cases(hub: "Hub", program: Program, ledger: Ledger, order: Order) -> list[str]:
    """List an order's cases and request due second answers. Idempotent.

    Returns the ids of records received in time that came after their action was final, if not yet listed.
    """
    deliveries = hub.deliveries(program.id)
    cascade.list_children_to_review(deliveries, ledger, order)
    answer_settled(hub, program, order)
    list_held(deliveries, order)
    list_disagreeing_sources(deliveries, order)
    return list_after_final(hub, program.id, order)


def cases_of(hub: "Hub", program: Program) -> Callable[[Order], None]:
    """A callback that lists an order's cases after a bulk insert, which the stream may not report."""
    ledger = hub.ledger(program)

    def list_of(order: Order) -> None:
        for modification in list_cases(hub, program, ledger, order):
            log.error("received in time, came after final: %s", modification)

    return list_of


def list_after_final(hub: "Hub", program_id: str, order: Order) -> list[str]:
    deliveries, newly = hub.deliveries(program_id), []
    beside = order.heads.get(NO_ACTION)
    for entry in beside.log if beside else ():
        record = order.record(entry.id) if entry.code == Code.AFTER_FINAL else None
        if beside is None or record is None:
            continue
        if deliveries.reminder("alarm", record.received_at, record.public_id) is None:
            action = affected_head(order, beside, record).action
            doc = {"code": entry.code, "action": action, "delivery": record.provenance.delivery}
            deliveries.remind("alarm", record.received_at, record.public_id, doc)
            newly.append(record.public_id)
    return newly
