"""Actions reported: first write wins, and what waited for them is folded in the same breath."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from retour.domain.actions.action import Action
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.row import Refusal, Report, Unreadable
from retour.intake import report
from retour.intake.batch import DONE, REFUSED, Batch
from retour.intake.repeat import same_delivery
from retour.posting import cascade
from retour.posting.fold import adopt, settle
from retour.posting.holding import list_held
from retour.posting.rows import as_duplicate, unreadable
from retour.posting.waiting import tell_settled
from retour.store.ledger import Ledger

if TYPE_CHECKING:
    from retour.wiring import Hub

ACTIONS_MAX = 50
HEADS_MAX = 90
"""Of an order, of whatever types: all its heads are written in one transaction, which has room for a hundred."""


def take_actions(hub: "Hub", delivery: Delivery, reports: Iterable[Report | Unreadable] | Refusal) -> Batch:
    """Report actions, first write wins; what waited for them is folded in the same breath."""
    if isinstance(reports, Refusal):
        return Batch(delivery=delivery, state=REFUSED, code=reports.code, details=reports.details)
    program = hub.program_of(delivery)
    ledger, delivered = hub.ledger(program), hub.rates(program.id).on
    results = []
    for reported in reports:
        read = reported if isinstance(reported, Unreadable) else report.action(reported, program, delivery, delivered)
        if isinstance(read, Unreadable):
            results.append(unreadable(read))
            continue
        result, order = report_action(ledger, read, hub.now())
        results.append(replace(result, place=reported.place, raw=reported.raw))
        if order is not None:
            tell_settled(hub, program, order)
            list_held(hub.deliveries(program.id), order)
    batch = Batch(delivery=delivery, state=DONE, results=results)
    return replace(batch, same_as=same_delivery(hub.deliveries(program.id), delivery, batch.counts, results))


def report_action(ledger: Ledger, action: Action, now: datetime) -> tuple[Result, Order | None]:
    """One action reported, and its order folded with whatever waited for it."""
    refused = Result(
        place="", outcome=Outcome.REFUSED, order=action.order_id, action=action.id, details={"action": action.id}
    )
    if action.named and ledger.name(action.id, action.order_key) != action.order_key:
        return replace(refused, code="ACTION_EXISTS"), None
    if action.parent:
        ledger.bind(action.parent, action)
    order = ledger.order(action.order_key)
    standing = order.action(action.id)
    if standing is None:
        alike = sum(a.event_type == action.event_type for a in order.actions)
        if alike >= ACTIONS_MAX or len(order.actions) >= HEADS_MAX:
            details = {"order": action.order_id, "most": str(min(ACTIONS_MAX, HEADS_MAX))}
            return replace(refused, code="TOO_MANY_ACTIONS", details=details), None
        standing = ledger.report(action)
        order = replace(order, actions=[*order.actions, standing or action])
    if action.named:
        order = adopt(ledger, action.id, order)
    order = cascade.carry(ledger, settle(ledger, order.key, now, order), now)
    if action.parent:
        order = cascade.carry_to(ledger, order, now)
    if standing is None or (standing.delivery == action.delivery and report.says_the_same(standing, action)):
        return replace(refused, outcome=Outcome.APPLIED, details={}), order
    if report.says_the_same(standing, action):
        return as_duplicate(replace(refused, outcome=Outcome.APPLIED, details={}), standing.delivery), order
    return replace(refused, code="ACTION_EXISTS"), order
