"""Previews: a delivery's effect by partner, from a simulation without writes."""

from collections.abc import Iterator
from typing import Any

from retour.domain.actions.order import ActionHead
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.store.dry_run_ledger import DryRunLedger

Document = dict[str, Any]
PayoutChanges = dict[str, list[int]]
"""By partner: payout before, payout after, number of changed actions."""


def partner_changes(rehearsal: DryRunLedger, program: Program) -> list[Document]:
    """Each partner's payout before and after, over the actions changed in a simulation."""
    return partner_documents(payout_changes(rehearsal), program)


def payout_changes(rehearsal: DryRunLedger) -> PayoutChanges:
    moved: PayoutChanges = {}
    for old, new in changed_heads(rehearsal):
        moved.setdefault(old.standing.partner, [0, 0, 0])[0] += old.payout
        moved.setdefault(new.standing.partner, [0, 0, 0])[1] += new.payout
        for partner in {old.standing.partner, new.standing.partner}:
            moved[partner][2] += 1
    return moved


def partner_documents(moved: PayoutChanges, program: Program) -> list[Document]:
    return [
        {
            "partner": partner,
            "actions": actions,
            "currency": program.currency,
            "payout": payout_document(before, after, program.currency),
        }
        for partner, (before, after, actions) in sorted(moved.items())
    ]


def total_document(moved: PayoutChanges, program: Program) -> Document:
    """The sum over all partners."""
    before, after = (sum(one[at] for one in moved.values()) for at in (0, 1))
    return {"currency": program.currency, "payout": payout_document(before, after, program.currency)}


def payout_document(before: int, after: int, currency: str) -> dict[str, str]:
    return {
        "before": to_text(before, currency),
        "after": to_text(after, currency),
        "difference": to_text(after - before, currency),
    }


def changed_heads(rehearsal: DryRunLedger) -> Iterator[tuple[ActionHead, ActionHead]]:
    for key, order in rehearsal.orders.items():
        seen = rehearsal.found.get(key)
        for name, head in order.heads.items():
            old = seen.heads.get(name) if seen else None
            if name and old is not None and (old.payout, old.standing) != (head.payout, head.standing):
                yield old, head
