"""Reprocess actions that older rules booked differently: preview first, then a delivery of its own."""

import time
from typing import Any

from retour.api import acts
from retour.api.calls import Call
from retour.domain.actions.order import ActionHead
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.intake.batch import DONE
from retour.operations.refold import Difference, find_differences
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub

SCAN_SECONDS = 15.0
"""Of the thirty that a call has."""


def refold_program(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """The open actions that older rules left otherwise, folded by today's; `next` where there was no time for all."""
    said = call.document("note", "reason")
    end = time.monotonic() + SCAN_SECONDS
    looked = find_differences(
        hub, program, lambda: time.monotonic() < end, call.query.get("cursor", ""), acts.SYNC_RECORDS_MAX
    )
    made = [{**acts.action_keys(one.action), **said, "change": "refold"} for one in looked.differences]
    answer: Document = {"batch": None, "state": DONE, "counts": {}, "outcomes": []}
    if made:
        answer = acts.perform_on_many(hub, call, principal, program, made, "refold.csv")
    elif call.is_dry_run:
        answer |= {"dry_run": True}
    shown = [difference_document(one, program) for one in looked.differences]
    return answer | {"looked": looked.actions, "differences": shown, "next": looked.next}


def difference_document(found: Difference, program: Program) -> Document:
    def money(name: str, currency: str, before: int, after: int) -> dict[str, Any]:
        return {name: {"before": to_text(before, currency), "after": to_text(after, currency)}}

    def state(head: ActionHead) -> str:
        standing = head.standing
        return "reversed" if standing.is_reversed else "approved" if standing.approved else "pending"

    currency, before, after = found.action.currency, found.booked, found.anew
    return {
        "id": found.action.id,
        "order_id": found.action.order_id,
        "partner": before.standing.partner,
        "currency": currency,
        **money("amount", currency, before.standing.amount, after.standing.amount),
        "payout_currency": program.currency,
        **money("payout", program.currency, before.payout, after.payout),
        "state": {"before": state(before), "after": state(after)},
        "locks_at": {
            "before": format_instant(before.locks_at) if before.locks_at else None,
            "after": format_instant(after.locks_at) if after.locks_at else None,
        },
    }
