"""What an act would come to: its records' outcomes, how the first actions would stand, what follows for others."""

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
"""Actions whose standing a preview shows beside the outcomes of its records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActPreview:
    """`rehearsal` holds the orders as they are and as they would be. `records` is how many the act makes, `looked` at
    how many of them was looked; `chosen` are the actions that a filter found."""

    batch: Batch
    rehearsal: DryRunLedger
    records: int
    looked: int
    chosen: Sequence[str] = ()


def act_preview_document(preview: ActPreview, program: Program) -> BatchAnswerDocument:
    """Each record's outcome and effect, how the first actions would stand, what the cascade would do to others, and
    what every partner would gain or lose."""
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
    """How the first of the actions would stand: who would be paid what, by which terms, and by those of the order."""
    rehearsal, results = preview.rehearsal, preview.batch.results
    found: list[Document] = []
    for action_id in list(dict.fromkeys(result.action for result in results if result.action))[:PREVIEWED_ACTIONS_MAX]:
        for key, before in rehearsal.found.items():
            action, after = before.action(action_id), rehearsal.orders[key]
            if action is not None and action_id in before.heads and action_id in after.heads:
                found.append(documents.action_state_document(after, action, before.heads[action_id], program))
    return found


def cascaded_changes(preview: ActPreview, program: Program) -> list[ModificationDocument]:
    """Changes to child actions that the cascade would make."""
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
