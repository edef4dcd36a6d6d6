"""A delivery and what became of it, as everything after the intake sees it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retour.domain.actions.outcome import Result
from retour.domain.delivery import Delivery
from retour.domain.row import Row, Unreadable
from retour.normalise import Read

LISTED = 100
ARRIVED, WORKING, DONE, HELD = "arriving", "working", "done", "held"
REFUSED, IGNORED = "refused", "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A delivery and what became of it. `code` says why a whole one was refused, held or ignored.

    `skipped` counts the lines of a file that are no rows, by what they are. A file too large to hold its results has
    their `totals` alone. `preview` is what a held one, or a dry run, would come to.
    """

    delivery: Delivery
    state: str
    code: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    results: Sequence[Result] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    preview: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.totals or Counter(result.outcome.value for result in self.results))


def report_of(batch: Batch) -> dict[str, Any]:
    return {
        "code": batch.code,
        "details": dict(batch.details),
        "counts": batch.counts,
        "total": sum(batch.counts.values()),
        **({"skipped": dict(batch.skipped)} if batch.skipped else {}),
        **({"preview": dict(batch.preview)} if batch.preview else {}),
    }


def index_of(reads: Sequence[tuple[Row | Unreadable, Read]]) -> list[Any]:
    """The rows of an inline delivery, as short as can be: place and record, or place and why it is unreadable."""
    return [
        [read.place, read.code, dict(read.details), read.column, read.order]
        if isinstance(read, Unreadable)
        else [row.place, read.public_id]
        for row, read in reads
    ]
