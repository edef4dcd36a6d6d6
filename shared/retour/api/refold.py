"""What older rules booked otherwise, folded anew on purpose: previewed, then a delivery of its own."""

import time
from typing import Any

from retour.api import acts
from retour.api.calls import Call
from retour.api.documents import Document
from retour.domain.actions.order import Head
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import text
from retour.intake.batch import DONE
from retour.operations.refold import Difference, differences
from retour.store.programs import Principal
from retour.wiring import Hub

SECONDS = 15.0
"""Of the thirty that a call has."""


def refold(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """The open actions that older rules left otherwise, folded by today's; `next` where there was no time for all."""
    said = call.document("note", "reason")
    end = time.monotonic() + SECONDS
    looked = differences(hub, opened, lambda: time.monotonic() < end, call.query.get("cursor", ""), acts.AT_ONCE)
    made = [{**acts.whose(one.action), **said, "change": "refold"} for one in looked.differences]
    answer: Document = {"batch": None, "state": DONE, "counts": {}, "outcomes": []}
    if made:
        answer = acts.carried_out_on_many(hub, call, principal, opened, made, "refold.csv")
    elif call.is_dry_run:
        answer |= {"dry_run": True}
    shown = [difference_document(one, opened) for one in looked.differences]
    return answer | {"looked": looked.actions, "differences": shown, "next": looked.next}


def difference_document(found: Difference, opened: Program) -> Document:
    def money(name: str, currency: str, before: int, after: int) -> dict[str, Any]:
        return {name: {"before": to_text(before, currency), "after": to_text(after, currency)}}

    def state(head: Head) -> str:
        standing = head.standing
        return "reversed" if standing.is_reversed else "approved" if standing.approved else "pending"

    currency, before, after = found.action.currency, found.booked, found.anew
    return {
        "id": found.action.id,
        "order_id": found.action.order_id,
        "partner": before.standing.partner,
        "currency": currency,
        **money("amount", currency, before.standing.amount, after.standing.amount),
        "payout_currency": opened.currency,
        **money("payout", opened.currency, before.payout, after.payout),
        "state": {"before": state(before), "after": state(after)},
        "locks_at": {
            "before": text(before.locks_at) if before.locks_at else None,
            "after": text(after.locks_at) if after.locks_at else None,
        },
    }
