"""The preview of an act: outcomes of its records, resulting states, and effects on others."""

from collections.abc import Sequence
from dataclasses import dataclass

from retour.domain.program import Program
from retour.intake.batch import Batch
from retour.intake.preview import partner_changes
from retour.store.dry_run_ledger import DryRunLedger
from retour.views import documents
from retour.views.documents import Document
from retour.views.schemas import BatchAnswerDocument, ModificationDocument

PREVIEWED_ACTIONS_MAX = 20
"""Actions whose resulting state is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActPreview:
    """A simulated act.

    `rehearsal` holds the orders before and after. `records` is the number the act makes, `looked` how many were
    simulated; `chosen` are the actions found by a filter.
    """

    batch: Batch
    rehearsal: DryRunLedger
    records: int
    looked: int
    chosen: Sequence[str] = ()


def act_preview_document(preview: ActPreview, program: Program) -> BatchAnswerDocument:
    """The document: outcomes and effects, states of the first actions, cascaded changes, and the effect by partner."""
    document = documents.dry_run_document(preview.batch, program.language)
    document["partners"] = partner_changes(preview.rehearsal, program)
    document["children"] = cascaded_changes(preview, program)
    document["standings"] = action_states(preview, program)
    if preview.looked < preview.records:
        document["looked"] = {"records": preview.looked, "of": preview.records}
    if preview.chosen:
        document["chosen"] = [*preview.chosen]
    return document


def action_states(preview: ActPreview, program: Program) -> list[Document]:
    """The states of the first actions: partner, payout, terms, and the payout by the order's own terms."""
    rehearsal, results = preview.rehearsal, preview.batch.results
    found: list[Document] = []
    for action_id in list(dict.fromkeys(result.action for result in results if result.action))[:PREVIEWED_ACTIONS_MAX]:
        for key, before in rehearsal.found.items():
            action, after = before.action(action_id), rehearsal.orders[key]
            if action is not None and action_id in before.heads and action_id in after.heads:
                found.append(documents.action_state_document(after, action, before.heads[action_id], program))
    return found


def cascaded_changes(preview: ActPreview, program: Program) -> list[ModificationDocument]:
    """Changes to child actions by the cascade."""
    rehearsal = preview.rehearsal
    named_ids = {result.modification for result in preview.batch.results}
    return [
        documents.modification_document(order, record, program)
        for key, order in rehearsal.orders.items()
        for record in order.records
        if record.channel == "cascade"
        and record.public_id not in named_ids
        and (key not in rehearsal.found or rehearsal.found[key].record(record.id) is None)
    ]
