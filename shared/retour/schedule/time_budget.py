"""Time budgets: programs share a run's time fairly, and the next run starts with the first that had no turn."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retour.wiring import Hub

NEXT_NOTE = "next"
"""Key of the note of where the last run stopped."""


def programs_in_turn(hub: "Hub", clock: str, end: float) -> Iterator[tuple[str, "TimeBudget"]]:
    """Each program with its share of the time.

    Starts with the program that had no turn when the last run of this `clock` ended. Ends when the time is over.
    """
    programs, note = hub.programs.ids(), hub.state("", clock)
    kept = note.get(NEXT_NOTE)
    first = kept["program"] if kept else ""
    queue = sorted(programs, key=lambda program: (program < first, program))
    for n, program in enumerate(queue):
        if n and time.monotonic() >= end:
            note.put(NEXT_NOTE, {"program": program})
            return
        yield program, fair_share(end, len(queue) - n)
    if kept:
        note.delete(NEXT_NOTE)


class TimeBudget:
    """Whether time is left until a point of the monotonic clock."""

    def __init__(self, until: float):
        self.until = until

    def __call__(self) -> bool:
        return time.monotonic() < self.until

    def part(self, fraction: float) -> "TimeBudget":
        """A budget of a fraction of the remaining time."""
        now = time.monotonic()
        return TimeBudget(now + (self.until - now) * fraction)


def fair_share(end: float, programs_left: int) -> TimeBudget:
    """An equal share of the remaining time. What a program does not use is left to the next ones."""
    return TimeBudget(end).part(1 / programs_left)
