"""Ingest reported actions: conditional insert, then fold the orders with records that waited for them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from retour.domain.actions.action import Action
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.row import ActionReport, Refusal, Unreadable
from retour.intake import action_reports
from retour.intake.batch import DONE, REFUSED, Batch
from retour.intake.repeated_file import earlier_identical_delivery
from retour.posting import cascade
from retour.posting.fold import adopt_waiting, fold_and_save
from retour.posting.held_records import list_held
from retour.posting.rows import as_duplicate, unreadable_result
from retour.posting.waiting import answer_settled
from retour.store.ledger import Ledger

if TYPE_CHECKING:
    from retour.wiring import Hub

ACTIONS_PER_TYPE_MAX = 50
ACTIONS_PER_ORDER_MAX = 90
"""Maximum actions per order of all event types: their heads must fit into one transaction of 100 items."""


def ingest_actions(hub: "Hub", delivery: Delivery, reports: Iterable[ActionReport | Unreadable] | Refusal) -> Batch:
    """Insert reported actions and fold their orders. Returns the batch with a result per report."""
    if isinstance(reports, Refusal):
        return Batch(delivery=delivery, state=REFUSED, code=reports.code, details=reports.details)
    program = hub.program_of(delivery)
    ledger, delivered = hub.ledger(program), hub.rates(program.id).on
    results = []
    for reported in reports:
        read = (
            reported
            if isinstance(reported, Unreadable)
            else action_reports.action_from_report(reported, program, delivery, delivered)
        )
        if isinstance(read, Unreadable):
            results.append(unreadable_result(read))
            continue
        result, order = report_action(ledger, read, hub.now())
        results.append(replace(result, place=reported.place, raw=reported.raw))
        if order is not None:
            answer_settled(hub, program, order)
            list_held(hub.deliveries(program.id), order)
    batch = Batch(delivery=delivery, state=DONE, results=results)
    return replace(
        batch, same_as=earlier_identical_delivery(hub.deliveries(program.id), delivery, batch.counts, results)
    )


def report_action(ledger: Ledger, action: Action, now: datetime) -> tuple[Result, Order | None]:
    """Insert a reported action and fold its order with the records that waited for it."""
    refused = Result(
        place="", outcome=Outcome.REFUSED, order=action.order_id, action=action.id, details={"action": action.id}
    )
    if action.has_own_id and ledger.claim_name(action.id, action.order_key) != action.order_key:
        return replace(refused, code="ACTION_EXISTS"), None
    if action.parent:
        ledger.link_child(action.parent, action)
    order = ledger.order(action.order_key)
    standing = order.action(action.id)
    if standing is None:
        alike = sum(a.event_type == action.event_type for a in order.actions)
        if alike >= ACTIONS_PER_TYPE_MAX or len(order.actions) >= ACTIONS_PER_ORDER_MAX:
            details = {"order": action.order_id, "most": str(min(ACTIONS_PER_TYPE_MAX, ACTIONS_PER_ORDER_MAX))}
            return replace(refused, code="TOO_MANY_ACTIONS", details=details), None
        standing = ledger.report(action)
        order = replace(order, actions=[*order.actions, standing or action])
    if action.has_own_id:
        order = adopt_waiting(ledger, action.id, order)
    order = cascade.propagate_to_children(ledger, fold_and_save(ledger, order.key, now, order), now)
    if action.parent:
        order = cascade.propagate_from_parents(ledger, order, now)
    if standing is None or (standing.delivery == action.delivery and action_reports.is_same_report(standing, action)):
        return replace(refused, outcome=Outcome.APPLIED, details={}), order
    if action_reports.is_same_report(standing, action):
        return as_duplicate(replace(refused, outcome=Outcome.APPLIED, details={}), standing.delivery), order
    return replace(refused, code="ACTION_EXISTS"), order
