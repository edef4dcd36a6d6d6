"""Once a night: what is still to be paid, by lock day and state. What a file would take back is a share of it.

The newest whole one counts, whatever happened since, so that two files of one day are judged alike.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retour.domain.program import Program
from retour.domain.times import text
from retour.store.items import NEVER
from retour.store.rollups import TOTAL, RollUps

if TYPE_CHECKING:
    from retour.wiring import Hub

HEADS_AT_ONCE = 50_000
"""Actions read in one run; what is left, the next one reads."""
DAYS_BACK = 7
NAMES = {"P": "pending", "A": "approved", "R": "reversed"}
OPEN = ("pending", "approved")


def roll_up(hub: "Hub", program: Program) -> bool:
    """Write tonight's roll-up, or go on with it; whether it is whole now."""
    day = today(hub, program)
    ledger, rollups = hub.ledger(program), rollups_of(hub, program)
    if rollups.total(day):
        return True
    done = rollups.parts(day)
    left = HEADS_AT_ONCE
    for partition in list(ledger.lock_partitions(NEVER)):
        name = f"{partition.lock_day}#{partition.event_day}"
        if name in done:
            continue
        if left <= 0:
            return False
        states: dict[str, dict[str, int]] = {}
        named = ((order, action) for order, action, _ in ledger.heads_by_lock(partition.lock_day, partition.event_day))
        for state, payout in rollups.heads(named):
            of_state = states.setdefault(NAMES[state], {"actions": 0, "payout": 0})
            of_state["actions"] += 1
            of_state["payout"] += payout
            left -= 1
        done[name] = {"currency": program.currency, "states": states}
        rollups.put(day, name, done[name])
    rollups.put(day, TOTAL, {"currency": program.currency, "at": text(hub.now()), "states": summed(done)})
    return True


def summed(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
    states: dict[str, dict[str, int]] = {}
    for part in parts.values():
        for state, counted in part.get("states", {}).items():
            of_state = states.setdefault(state, {"actions": 0, "payout": 0})
            for what, number in counted.items():
                of_state[what] += number
    return states


def pending_payout(hub: "Hub", program: Program) -> int | None:
    """What was still to be paid in the newest whole roll-up; None while there is none."""
    rollups = rollups_of(hub, program)
    day = hub.now().astimezone(ZoneInfo(program.time_zone)).date()
    for back in range(DAYS_BACK):
        if total := rollups.total((day - timedelta(days=back)).isoformat()):
            return sum(int(total.get("states", {}).get(state, {}).get("payout", 0)) for state in OPEN)
    return None


def today(hub: "Hub", program: Program) -> str:
    return hub.now().astimezone(ZoneInfo(program.time_zone)).date().isoformat()


def rollups_of(hub: "Hub", program: Program) -> RollUps:
    ledger = hub.ledger(program)
    return RollUps(ledger.client, ledger.table, program.id)
