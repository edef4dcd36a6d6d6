"""A delivery with its outcome, as passed on after intake."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.row import Row, Unreadable
from retour.files import names
from retour.normalise import Normalised

ROWS_LISTED_MAX = 100
ARRIVED, WORKING, DONE, HELD = "arriving", "working", "done", "held"
REFUSED, IGNORED, DRY_RUN = "refused", "ignored", "dry run"
ANSWER_KEY = "answer"
"""Where the answer of a delivery was left, in its report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A delivery and its outcome. `code` says why it was refused, held or ignored as a whole.

    `skipped` counts lines of a file that are not rows, by kind. A file too large to keep its results in memory has only
    their `totals` and what they `moved`. `preview` is the simulated result of a held delivery or a dry run. `same_as`
    is an earlier delivery of the identical file, if this one changed nothing.
    """

    delivery: Delivery
    state: str
    code: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    results: Sequence[Result] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)
    preview: Mapping[str, Any] = field(default_factory=dict)
    same_as: str = ""

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.totals or Counter(result.outcome.value for result in self.results))

    @property
    def effect(self) -> dict[str, int]:
        return dict(self.moved or payouts_moved(self.results))


def payouts_moved(results: Iterable[Result]) -> dict[str, int]:
    """The change in payouts by applied rows, in minor units per currency."""
    moved: Counter[str] = Counter()
    for one in results:
        if one.effect is not None and one.outcome is Outcome.APPLIED:
            moved[one.effect.payout_currency] += one.effect.payout_after - one.effect.payout_before
    return dict(moved)


def report_of(batch: Batch) -> dict[str, Any]:
    return {
        "code": batch.code,
        "details": dict(batch.details),
        "counts": batch.counts,
        "total": sum(batch.counts.values()),
        **({"effect": batch.effect} if batch.effect else {}),
        **({"same_as": batch.same_as} if batch.same_as else {}),
        **({"skipped": skipped} if (skipped := {**ignored_attachments(batch.delivery), **batch.skipped}) else {}),
        **({"preview": dict(batch.preview)} if batch.preview else {}),
    }


def ignored_attachments(delivery: Delivery) -> dict[str, int]:
    """The unread attachments of a file's mail, in the form of skipped lines."""
    left = [name for name in delivery.facts.get("ignored", "").split("\n") if name]
    return {f"{names.skip_label(name)} {name}": 1 for name in left}


def row_index(reads: Sequence[tuple[Row | Unreadable, Normalised]]) -> list[Any]:
    """The rows of an inline delivery in short form: place and record id, or place and code."""
    return [
        [read.place, read.code, dict(read.details), read.column, read.order]
        if isinstance(read, Unreadable)
        else [row.place, read.public_id]
        for row, read in reads
    ]
