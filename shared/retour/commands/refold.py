"""Refold open actions that older rules booked differently: a preview, then a delivery."""

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
"""Of the 30 seconds a call may take."""


@dataclass(frozen=True, slots=True)
class RefoldPlan:
    """The actions whose result differs by today's rules. `next` of the scan is set if the time ran out."""

    scan: RefoldScan
    plan: Plan


def plan_refold(context: Context[Hub], about: Mapping[str, Any], cursor: str = "") -> RefoldPlan:
    """Scan for differences. `about` has the note and reason for all records."""
    end = time.monotonic() + SCAN_SECONDS
    scan = find_differences(context.ports, context.program, lambda: time.monotonic() < end, cursor, SYNC_RECORDS_MAX)
    made = [{**action_keys(one.action), **about, "change": "refold"} for one in scan.differences]
    return RefoldPlan(scan, Plan(made, "refold.csv"))


def refold(context: Context[Hub], planned: RefoldPlan) -> Batch | None:
    """Carry out a plan. None if nothing differs."""
    return perform_plan(context, planned.plan) if planned.plan.records else None


def preview_refold(context: Context[Hub], planned: RefoldPlan) -> ActPreview | None:
    """Preview a plan. None if nothing differs."""
    return preview_plan(context, planned.plan) if planned.plan.records else None
