"""Fold an order again after records were inserted."""

import logging
from collections.abc import Callable

from retour.domain.actions.codes import Code
from retour.domain.actions.make_good import affected_head
from retour.domain.actions.order import NO_ACTION, Order
from retour.domain.program import Program
from retour.ports import PostingPorts
from retour.posting import cascade
from retour.posting.fold import adopt_waiting, fold_and_save
from retour.posting.held_records import list_disagreeing_sources, list_held
from retour.posting.order_names import adopt_named
from retour.posting.waiting import answer_settled
from retour.store.ledger import Ledger

log = logging.getLogger(__name__)


def refold_order(ports: PostingPorts, program_id: str, home: str) -> list[str]:
    """Fold an order after records were inserted, and request the second answers that are now due.

    Every inserted record passes here. Returns the ids of newly listed records that were received in time but inserted
    after their action was final: an alarm, never dropped.
    """
    program = ports.program(program_id)
    if program is None:
        raise LookupError(program_id)
    ledger = ports.ledger(program)
    order = ledger.order((ledger.order_key_of(home[1:]) if home.startswith("@") else None) or home)
    for action in order.actions:
        if action.has_own_id:
            order = adopt_waiting(ledger, action.id, order)
    if home.startswith("@") and order.key != home and adopt_named(ledger, home[1:], order.key, ports.now()):
        order = ledger.order(order.key)
    return settle_order(ports, program, ledger, fold_and_save(ledger, order.key, ports.now(), order))


def settle_order(ports: PostingPorts, program: Program, ledger: Ledger, order: Order) -> list[str]:
    """Do what a folded order owes others: its children, people, senders. Returns what `list_cases` does."""
    order = cascade.propagate_to_children(ledger, order, ports.now())
    order = cascade.propagate_from_parents(ledger, order, ports.now())
    return list_cases(ports, program, ledger, order)


def list_cases(ports: PostingPorts, program: Program, ledger: Ledger, order: Order) -> list[str]:
    """List an order's cases and request due second answers. Idempotent.

    Returns the ids of records received in time that came after their action was final, if not yet listed.
    """
    deliveries = ports.deliveries(program.id)
    cascade.list_children_to_review(deliveries, ledger, order)
    answer_settled(ports, program, order)
    list_held(deliveries, order)
    list_disagreeing_sources(deliveries, order)
    return list_after_final(ports, program.id, order)


def cases_of(ports: PostingPorts, program: Program) -> Callable[[Order], None]:
    """A callback that lists an order's cases after a bulk insert, which the stream may not report."""
    ledger = ports.ledger(program)

    def list_of(order: Order) -> None:
        for modification in list_cases(ports, program, ledger, order):
            log.error("received in time, came after final: %s", modification)

    return list_of


def list_after_final(ports: PostingPorts, program_id: str, order: Order) -> list[str]:
    deliveries, newly = ports.deliveries(program_id), []
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
