"""An order folded once more after its records were inserted, by whoever inserted them."""

from typing import TYPE_CHECKING

from retour.domain.actions.codes import Code
from retour.domain.actions.make_good import concerned
from retour.domain.actions.order import NO_ACTION, Order
from retour.posting import cascade
from retour.posting.fold import adopt, settle
from retour.posting.holding import list_differing, list_held
from retour.posting.names import adopt_named
from retour.posting.waiting import tell_settled

if TYPE_CHECKING:
    from retour.wiring import Hub


def fold_again(hub: "Hub", program_id: str, home: str) -> list[str]:
    """Fold what somebody inserted and did not fold, and answer what was waiting.

    Every record comes by here once it was inserted. The ids of those that were received in time and came when their
    action was final already, newly listed: that must not happen, and is never dropped.
    """
    program = hub.program(program_id)
    if program is None:
        raise LookupError(program_id)
    ledger = hub.ledger(program)
    order = ledger.order((ledger.order_key_of(home[1:]) if home.startswith("@") else None) or home)
    for action in order.actions:
        if action.named:
            order = adopt(ledger, action.id, order)
    if home.startswith("@") and order.key != home and adopt_named(ledger, home[1:], order.key, hub.now()):
        order = ledger.order(order.key)
    order = cascade.carry(ledger, settle(ledger, order.key, hub.now(), order), hub.now())
    order = cascade.carry_to(ledger, order, hub.now())
    cascade.list_children(hub.deliveries(program_id), ledger, order)
    tell_settled(hub, program, order)
    list_held(hub.deliveries(program_id), order)
    list_differing(hub.deliveries(program_id), order)
    return list_after_final(hub, program_id, order)


def list_after_final(hub: "Hub", program_id: str, order: Order) -> list[str]:
    deliveries, newly = hub.deliveries(program_id), []
    beside = order.heads.get(NO_ACTION)
    for entry in beside.log if beside else ():
        record = order.record(entry.id) if entry.code == Code.AFTER_FINAL else None
        if beside is None or record is None:
            continue
        if deliveries.reminded("alarm", record.received_at, record.public_id) is None:
            action = concerned(order, beside, record).action
            doc = {"code": entry.code, "action": action, "delivery": record.provenance.delivery}
            deliveries.remind("alarm", record.received_at, record.public_id, doc)
            newly.append(record.public_id)
    return newly
