"""Histories by their seeds, until the first that breaks a promise."""

import gc
from collections.abc import Iterable
from dataclasses import dataclass

from retour.store.ledger import TableLedger
from tests.soak.judge import check_invariants
from tests.soak.weave import Scheduler
from tests.soak.world import play, quick

COLLECT = 500
"""Histories between two looks for garbage: a look at every few hundred objects would double the time."""


@dataclass(frozen=True)
class FailedHistory:
    seed: int
    error: Exception

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.error or type(self.error)}\nagain: python -m tests.soak --seed {self.seed} -v"

    def __reduce__(self) -> tuple[type["FailedHistory"], tuple[int, Exception]]:
        return FailedHistory, (self.seed, AssertionError(f"{type(self.error).__name__}: {self.error}"))


def first_failure(
    seeds: Iterable[int], weaver: Scheduler | None = None, ledger_type: type[TableLedger] = TableLedger
) -> FailedHistory | None:
    """The first of these histories that went wrong; None: every promise was kept."""
    weaver = weaver or Scheduler()
    gc.disable()
    try:
        for number, seed in enumerate(seeds, 1):
            try:
                with quick():
                    check_invariants(play(seed, weaver, ledger_type))
            except Exception as error:
                return FailedHistory(seed, error)
            if number % COLLECT == 0:
                gc.collect()
    finally:
        gc.enable()
    return None
