"""The counted sums of a program as pages show them, each with its time; and counting on request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.counting.rollup import roll_up, rollups_of
from retour.counting.tally import Tally
from retour.domain.times import format_instant, parse_instant
from retour.schedule.hourly_counts import count_arrivals
from retour.schedule.time_budget import fair_share
from retour.store.rollups import RollUps

PAGES = ("today", "partners", "actions")
RECOUNT_AFTER = timedelta(minutes=5)
SECONDS = 12.0
"""How long a person waits for a count. The scheduler continues it."""


@dataclass(frozen=True)
class ProgramCounts:
    """The newest complete count. `at` None: there is none; `begun`: a newer one is in progress."""

    at: datetime | None
    begun: datetime | None
    total: Tally
    partners: int
    pages: int
    largest: tuple[Mapping[str, Any], ...]

    def sums(self, state: str) -> list[tuple[str, int, int]]:
        """Currency, actions and payout in a state."""
        return [
            (currency, actions, payout) for name, currency, actions, payout in self.total.by_state() if name == state
        ]


def rollup_store(context: PageContext) -> RollUps:
    return rollups_of(context.hub, context.program)


def load_counts(context: PageContext) -> ProgramCounts:
    rollups = rollup_store(context)
    summary, at_work = rollups.summary(), rollups.current_run()
    at = summary["at"] if summary else ""
    begun = at_work["run"] if at_work and at_work["run"] > at else ""
    doc: Mapping[str, Any] = summary or {}
    return ProgramCounts(
        at=parse_instant(at) if at else None,
        begun=parse_instant(begun) if begun else None,
        total=Tally(doc.get("numbers", {})),
        partners=int(doc.get("partners", 0)),
        pages=int(doc.get("pages", 0)),
        largest=tuple(doc.get("largest", ())),
    )


def partner_tally(context: PageContext, partner: str) -> tuple[datetime | None, Tally]:
    """A partner's totals and their time; empty for partners not in the newest count."""
    rollups = rollup_store(context)
    found, summary = rollups.partner(partner), rollups.summary()
    newest = max([doc["at"] for doc in (found, summary) if doc], default="")
    if not newest:
        return None, Tally()
    return parse_instant(newest), Tally(found["numbers"]) if found and found["at"] == newest else Tally()


def recount(context: PageContext) -> Response:
    """Start a count now, limited in frequency. The scheduler continues it if it takes too long."""
    now = context.hub.now()
    state = context.hub.state(context.program.id, "count")
    asked = state.get("asked")
    told = "lately"
    if asked is None or now - parse_instant(asked["at"]) >= RECOUNT_AFTER:
        state.put("asked", {"at": format_instant(now)})
        has_time = fair_share(time.monotonic() + SECONDS, 1)
        count_arrivals(context.hub, context.program, has_time)
        told = "whole" if roll_up(context.hub, context.program, has_time, now=True) else "begun"
    page = context.request.form.get("page", "")
    return redirect(f"{context.base}/{page if page in PAGES else PAGES[0]}?counted={told}")
