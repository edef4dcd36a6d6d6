"""Act on a simulated file: report a dry run, hold the file, or let it continue."""

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
"""Value of a source's `absent`: rows missing from a file take nothing."""
WITHIN_THRESHOLDS = "within"
"""Fact of a file that passed its thresholds. A replay does not check them again."""


def is_cleared(delivery: Delivery, source: Source) -> bool:
    """Whether a file has no thresholds to check, or has passed them before."""
    has_nothing = not source.thresholds and source.absent != NOTHING_TAKEN
    return has_nothing or delivery.facts.get("thresholds") == WITHIN_THRESHOLDS


def apply_thresholds(
    hub: "Hub", delivery: Delivery, impact: FileImpact, first: Sequence[Result], state: str
) -> tuple[Delivery, Batch | None]:
    """Check a simulated file against its thresholds. Hold it if one is exceeded, else mark it as checked.

    `first` holds the results to show in a preview, `state` the delivery's state if it continues.
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
    """Close a dry run whose outcomes are already stored."""
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    preview = thresholds.dry_run_report(impact, program, thresholds.threshold_breach(hub, program, source, impact))
    batch = Batch(delivery=delivery, state=DRY_RUN, totals=dict(impact.counts), skipped=dict(skipped), preview=preview)
    hub.deliveries(program.id).close(delivery, report_of(batch), DRY_RUN)
    return batch


def finish_inline_dry_run(
    hub: "Hub", delivery: Delivery, impact: FileImpact, results: Sequence[Result], skipped: Mapping[str, int]
) -> Batch:
    """Close a dry run of a small file."""
    outcomes.save_outcomes(hub.inbox, delivery, results)
    return replace(finish_dry_run(hub, delivery, impact, skipped), results=results)
