"""Fold again the open actions that older rules booked differently: preview first, then a delivery of its own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retour.commands.acts import SYNC_RECORDS_MAX, Plan, action_keys, perform_plan, preview_plan
from retour.context import Context
from retour.intake.batch import Batch
from retour.operations.refold import RefoldScan, find_differences
from retour.previews.act import ActPreview
from retour.wiring import Hub

SCAN_SECONDS = 15.0
"""Of the thirty that a call has."""


@dataclass(frozen=True, slots=True)
class RefoldPlan:
    """The actions that today's rules would leave otherwise; `next` of the scan where there was no time for all."""

    scan: RefoldScan
    plan: Plan


def plan_refold(context: Context[Hub], about: Mapping[str, Any], cursor: str = "") -> RefoldPlan:
    """`about`: a note and a reason, for each of the records."""
    end = time.monotonic() + SCAN_SECONDS
    scan = find_differences(context.ports, context.program, lambda: time.monotonic() < end, cursor, SYNC_RECORDS_MAX)
    made = [{**action_keys(one.action), **about, "change": "refold"} for one in scan.differences]
    return RefoldPlan(scan, Plan(made, "refold.csv"))


def refold(context: Context[Hub], planned: RefoldPlan) -> Batch | None:
    """None where nothing differs."""
    return perform_plan(context, planned.plan) if planned.plan.records else None


def preview_refold(context: Context[Hub], planned: RefoldPlan) -> ActPreview | None:
    """None where nothing differs."""
    return preview_plan(context, planned.plan) if planned.plan.records else None
