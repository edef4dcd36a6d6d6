"""Programs take turns within the time of one run, and whoever had none in this run has the first in the next."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retour.wiring import Hub

NEXT = "next"
"""The note of whose turn it was when the time was over."""


def turns(hub: "Hub", clock: str, end: float) -> Iterator[tuple[str, "Share"]]:
    """Each program with its share of the time.

    Begins with the program that had no turn when the last run of this `clock` ended, and ends when the time is over.
    """
    programs, note = hub.programs.ids(), hub.state("", clock)
    kept = note.get(NEXT)
    first = kept["program"] if kept else ""
    queue = sorted(programs, key=lambda program: (program < first, program))
    for n, program in enumerate(queue):
        if n and time.monotonic() >= end:
            note.put(NEXT, {"program": program})
            return
        yield program, share(end, len(queue) - n)
    if kept:
        note.delete(NEXT)


class Share:
    """Whether time is left, until a moment of the monotonic clock."""

    def __init__(self, until: float):
        self.until = until

    def __call__(self) -> bool:
        return time.monotonic() < self.until

    def part(self, of_it: float) -> "Share":
        """A part of what is left of it."""
        now = time.monotonic()
        return Share(now + (self.until - now) * of_it)


def share(end: float, programs_left: int) -> Share:
    """Each program has its share of the time; what one does not need, the next ones have."""
    return Share(end).part(1 / programs_left)
