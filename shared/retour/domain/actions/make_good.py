"""What a change would have moved that came too late: the make-good that settles it (spec 5.5)."""

from collections.abc import Sequence
from dataclasses import replace

from retour.domain.actions.codes import Code
from retour.domain.actions.decide import terms_for
from retour.domain.actions.fold import target_actions
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, Order, payout_of
from retour.domain.actions.outcome import MakeGood
from retour.domain.actions.replay import accepted_records, apply_record
from retour.domain.contracts.contract import Contract

LATE_CODES = (Code.ACTION_LOCKED, Code.AFTER_FINAL, Code.NOT_RELEASED_IN_TIME)


def affected_head(order: Order, head: ActionHead, record: Modification) -> ActionHead:
    """The head of the action a booked record speaks of, also where it was booked beside it since that is final."""
    if order.action(head.action) is not None:
        return head
    meant = target_actions(order, record)
    heads = (
        [order.heads[action.id] for action in meant if action.id in order.heads] if not isinstance(meant, Code) else []
    )
    return next((one for one in heads if one.final is not None), head)


def make_good(
    order: Order, head: ActionHead, record: Modification, code: str, contracts: Sequence[Contract]
) -> MakeGood | None:
    """What it takes to settle a record that was refused for coming too late; None where nothing would have moved."""
    head = affected_head(order, head, record)
    action = order.action(head.action)
    if code not in LATE_CODES or action is None or record.currency not in (None, action.currency):
        return None
    terms = terms_for(action, head.standing, record, contracts)
    if terms is None:
        return None
    others = [one for one in accepted_records(order, head) if one[0].id != record.id]
    after = apply_record(action, head.standing, others, record, terms, contracts)
    if isinstance(after, Code):
        return None
    moved = MakeGood(
        partner=head.standing.partner,
        currency=action.currency,
        payout_currency=terms.currency,
        amount=after.amount - head.standing.amount,
        payout=payout_of(action, after, contracts) - head.payout,
    )
    if after.partner == head.standing.partner:
        return moved if moved.amount or moved.payout else None
    # Out of one partner and into another: what the one gives back, and beside it what the other gets.
    to_other = replace(moved, partner=after.partner, amount=after.amount, payout=head.payout + moved.payout)
    return replace(moved, amount=-head.standing.amount, payout=-head.payout, also=to_other)
