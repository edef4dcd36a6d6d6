"""Two-way sync: read records back when the sender announces a change, and poll for what it missed."""

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
