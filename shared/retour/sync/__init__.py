"""Two-way sync: read records back when a sender announces a change, and reconcile what was missed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of a reconcile. `whole`: everything up to now was read; otherwise the next run continues.

    `spared`: the sender asked us to slow down.
    """

    records: int
    changed: int
    whole: bool
    spared: bool = False
