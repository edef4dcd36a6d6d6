"""What was counted of a program, as pages show it: each sum with the moment it is of. And a count now, if asked for."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.domain.times import instant, text
from retour.schedule.arrivals import count_arrivals
from retour.schedule.rollup import roll_up, rollups_of
from retour.schedule.tally import Tally
from retour.schedule.turns import share
from retour.store.rollups import RollUps

PAGES = ("today", "partners", "actions")
AGAIN_AFTER = timedelta(minutes=5)
SECONDS = 12.0
"""What a person waits for a count; the clock goes on with what is left."""


@dataclass(frozen=True)
class Counted:
    """The newest whole count of a program. `at` None: there is none yet; `begun`: a newer one is on its way."""

    at: datetime | None
    begun: datetime | None
    total: Tally
    partners: int
    pages: int
    largest: tuple[Mapping[str, Any], ...]

    def sums(self, state: str) -> list[tuple[str, int, int]]:
        """Currency, actions and payout of what is in a state."""
        return [
            (currency, actions, payout) for name, currency, actions, payout in self.total.by_state() if name == state
        ]


def store(visit: Visit) -> RollUps:
    return rollups_of(visit.hub, visit.program)


def counted(visit: Visit) -> Counted:
    rollups = store(visit)
    summary, at_work = rollups.summary(), rollups.at_work()
    at = summary["at"] if summary else ""
    begun = at_work["run"] if at_work and at_work["run"] > at else ""
    doc: Mapping[str, Any] = summary or {}
    return Counted(
        at=instant(at) if at else None,
        begun=instant(begun) if begun else None,
        total=Tally(doc.get("numbers", {})),
        partners=int(doc.get("partners", 0)),
        pages=int(doc.get("pages", 0)),
        largest=tuple(doc.get("largest", ())),
    )


def of_partner(visit: Visit, partner: str) -> tuple[datetime | None, Tally]:
    """What one partner's actions came to, and when that was; whom the newest count does not know has nothing."""
    rollups = store(visit)
    found, summary = rollups.partner(partner), rollups.summary()
    newest = max([doc["at"] for doc in (found, summary) if doc], default="")
    if not newest:
        return None, Tally()
    return instant(newest), Tally(found["numbers"]) if found and found["at"] == newest else Tally()


def refresh(visit: Visit) -> Response:
    """Count now, as far as a person waits for it; the clock goes on with the rest. Not more often than it is of use."""
    now = visit.hub.now()
    state = visit.hub.state(visit.program.id, "count")
    asked = state.get("asked")
    told = "lately"
    if asked is None or now - instant(asked["at"]) >= AGAIN_AFTER:
        state.put("asked", {"at": text(now)})
        has_time = share(time.monotonic() + SECONDS, 1)
        count_arrivals(visit.hub, visit.program, has_time)
        told = "whole" if roll_up(visit.hub, visit.program, has_time, now=True) else "begun"
    page = visit.request.form.get("page", "")
    return to(f"{visit.base}/{page if page in PAGES else PAGES[0]}?counted={told}")
