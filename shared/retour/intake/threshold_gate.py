"""The result of a simulated file: report a dry run, hold the file, or let it continue."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retour.domain.actions.outcome import Result
from retour.domain.delivery import Delivery
from retour.domain.program import Source
from retour.intake import thresholds
from retour.intake.batch import DRY_RUN, HELD, Batch, report_of
from retour.intake.hold import hold_delivery
from retour.intake.thresholds import FileImpact
from retour.store import outcomes

if TYPE_CHECKING:
    from retour.wiring import Hub

NOTHING_TAKEN = "nothing_taken"
"""What a source says of what its files list no more: that nothing is taken back because of it."""
WITHIN_THRESHOLDS = "within"
"""The fact of a file that was weighed and found in order: read again, it is not weighed again."""


def is_cleared(delivery: Delivery, source: Source) -> bool:
    """Whether a file has nothing to be weighed by, or was weighed before and found in order."""
    has_nothing = not source.thresholds and source.absent != NOTHING_TAKEN
    return has_nothing or delivery.facts.get("thresholds") == WITHIN_THRESHOLDS


def apply_thresholds(
    hub: "Hub", delivery: Delivery, impact: FileImpact, first: Sequence[Result], state: str
) -> tuple[Delivery, Batch | None]:
    """Check the simulated file against its thresholds; hold it when one is exceeded, else mark it as checked.

    `first` are as many of its results as a preview shows, `state` is the one it stays in if it goes on.
    """
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    excess = thresholds.check_thresholds(hub, program, source, impact)
    if excess is None:
        delivery = replace(delivery, facts={**delivery.facts, "thresholds": WITHIN_THRESHOLDS})
        hub.deliveries(program.id).put(delivery, None, state, {})
        return delivery, None
    thresholds.save_preview(hub, delivery, impact, first)
    facts = {**delivery.facts, **{f"{HELD}_{name}": value for name, value in excess.details.items()}}
    delivery = replace(delivery, held=excess.code, facts=facts)
    return delivery, hold_delivery(hub, delivery, thresholds.held_preview(impact, program))


def finish_dry_run(hub: "Hub", delivery: Delivery, impact: FileImpact, skipped: Mapping[str, int]) -> Batch:
    """The end of a dry run whose outcomes lie there already: what it came to is its report."""
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    preview = thresholds.dry_run_report(impact, program, thresholds.threshold_breach(hub, program, source, impact))
    batch = Batch(delivery=delivery, state=DRY_RUN, totals=dict(impact.counts), skipped=dict(skipped), preview=preview)
    hub.deliveries(program.id).close(delivery, report_of(batch), DRY_RUN)
    return batch


def finish_inline_dry_run(
    hub: "Hub", delivery: Delivery, impact: FileImpact, results: Sequence[Result], skipped: Mapping[str, int]
) -> Batch:
    """The same of a file in one piece."""
    outcomes.save_outcomes(hub.inbox, delivery, results)
    return replace(finish_dry_run(hub, delivery, impact, skipped), results=results)
