"""Refold over HTTP: the differences, and what became of them."""

from typing import Any

from retour.api.calls import Call
from retour.commands.refold import RefoldPlan, plan_refold, preview_refold, refold
from retour.context import Context
from retour.domain.actions.order import ActionHead
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.intake.batch import DONE
from retour.operations.refold import Difference
from retour.previews.act import act_preview_document
from retour.views import documents
from retour.views.documents import Document
from retour.views.schemas import BatchAnswerDocument
from retour.wiring import Hub


def refold_program(context: Context[Hub], call: Call) -> Document:
    """Refold open actions that older rules booked differently. `next` continues if the time ran out."""
    planned = plan_refold(context, call.document("note", "reason"), call.query.get("cursor", ""))
    outcome = preview_document(context, planned) if call.is_dry_run else batch_document(context, planned)
    scan = planned.scan
    differences = [difference_document(one, context.program) for one in scan.differences]
    return {**outcome, "looked": scan.actions, "differences": differences, "next": scan.next}


def preview_document(context: Context[Hub], planned: RefoldPlan) -> BatchAnswerDocument:
    preview = preview_refold(context, planned)
    return act_preview_document(preview, context.program) if preview else {**nothing_done(), "dry_run": True}


def batch_document(context: Context[Hub], planned: RefoldPlan) -> BatchAnswerDocument:
    batch = refold(context, planned)
    return documents.answer_document(batch, context.program.language) if batch else nothing_done()


def nothing_done() -> BatchAnswerDocument:
    return {"batch": None, "state": DONE, "counts": {}, "outcomes": []}


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
