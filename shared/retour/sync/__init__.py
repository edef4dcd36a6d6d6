"""Senders whose records we read ourselves: read back when they hint at one, and by the clock for what nobody told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How a reconcile ended. `whole`: everything up to now was seen; else the next run goes on.

    `spared`: the other side asked us to slow down.
    """

    records: int
    changed: int
    whole: bool
    spared: bool = False
