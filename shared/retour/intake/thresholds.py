"""Thresholds: simulate a file before anything is recorded, and hold it if it exceeds a limit (spec 7).

The preview of a held file is kept, so that its release can report what changed since.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from retour.counting.rollup import pending_payout, roll_up
from retour.domain.actions.codes import Code
from retour.domain.actions.modification import Modification, SetTotal, TakeBack
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.money import to_text
from retour.domain.program import Program, Source
from retour.domain.row import ABSENT, Row, Unreadable
from retour.intake.preview import (
    PayoutChanges,
    changed_heads,
    partner_documents,
    payout_changes,
    payout_document,
    total_document,
)
from retour.normalise import Normalised
from retour.posting.rows import post_rows
from retour.store import outcomes
from retour.store.dry_run_ledger import DryRunLedger

if TYPE_CHECKING:
    from retour.wiring import Hub

ROWS_TO_JUDGE_MIN = 20
"""Minimum rows for a judgement on the meaning of amounts."""
UNCHANGED_SHARE = Decimal("0.5")
EXCEEDING_SHARE = Decimal("0.2")
WORST_MAX = 5
PARTNERS_REPORTED_MAX = 500
"""Partners in a dry run's report, most affected first."""
PREVIEW_ROWS_MAX = 2_000
"""Rows kept in a preview. Small files have no more."""
DIFFERENCES_REPORTED_MAX = 100
THRESHOLD_CODES = ("THRESHOLD_EXCEEDED", "TOTALS_DOUBTFUL", "RETURNS_DOUBTFUL", "ROWS_ABSENT")
EXCEEDS_SALE_CODES = {Code.AMOUNT_EXCEEDS_SALE, Code.QUANTITY_EXCEEDS_SOLD, Code.CLAMPED_TO_SALE, Code.ACTION_REVERSED}

ReadRows = Sequence[tuple[Row | Unreadable, Normalised]]


@dataclass(frozen=True, slots=True)
class ThresholdBreach:
    """An exceeded limit, with the values for its message."""

    code: str
    details: Mapping[str, str]


@dataclass
class FileImpact:
    """The simulated impact of a file, accumulated over its rows.

    `worst` are the actions with the largest losses: id, partner, payout before and after.
    """

    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    unchanged_totals: int = 0
    exceeding: int = 0
    taken_back: int = 0
    absent: int = 0
    moved: PayoutChanges = field(default_factory=dict)
    worst: Sequence[Sequence[Any]] = ()

    @property
    def rows(self) -> int:
        return self.counts.total()

    def add(self, reads: ReadRows, results: Sequence[Result], rehearsal: DryRunLedger) -> None:
        for (row, read), result in zip(reads, results, strict=True):
            self.absent += isinstance(row, Row) and row.layout == ABSENT
            self.counts[result.outcome.value] += 1
            if result.code:
                self.codes[result.code] += 1
            if isinstance(read, Modification):
                self.count_suspicious(read, result)
        lost = []
        for old, new in changed_heads(rehearsal):
            self.taken_back += max(0, old.payout - new.payout)
            if old.payout > new.payout:
                lost.append((old.action, old.standing.partner, old.payout, new.payout))
        self.keep_worst(lost)
        self.add_payout_changes(payout_changes(rehearsal))

    def merge_document(self, other: Mapping[str, Any]) -> None:
        """Add another worker's impact."""
        self.counts.update(other["counts"])
        self.codes.update(other["codes"])
        self.verbs.update(other["verbs"])
        self.unchanged_totals += other["unchanged_totals"]
        self.exceeding += other["exceeding"]
        self.taken_back += other["taken_back"]
        self.absent += other.get("absent", 0)
        self.keep_worst(other["worst"])
        self.add_payout_changes(other["moved"])

    def document(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def keep_worst(self, lost: Iterable[Sequence[Any]]) -> None:
        self.worst = heapq.nlargest(WORST_MAX, [*self.worst, *lost], key=lambda one: (one[2] - one[3], one[0]))

    def add_payout_changes(self, moved: Mapping[str, Sequence[int]]) -> None:
        for partner, numbers in moved.items():
            before = self.moved.setdefault(partner, [0, 0, 0])
            self.moved[partner] = [a + b for a, b in zip(before, numbers, strict=True)]

    def count_suspicious(self, read: Modification, result: Result) -> None:
        match read.change:
            case SetTotal() if read.subject is not None:
                return  # Repetitions change nothing, so they say nothing about the meaning of amounts.
            case SetTotal():
                self.verbs["set_total"] += 1
                self.unchanged_totals += result.outcome is Outcome.UNCHANGED
            case TakeBack():
                self.verbs["take_back"] += 1
                self.exceeding += result.code in EXCEEDS_SALE_CODES


def simulate(hub: "Hub", program: Program, reads: ReadRows) -> tuple[FileImpact, Sequence[Result]]:
    """Simulate rows, which must include all rows of each order concerned."""
    keys = {read.order_key for _, read in reads if isinstance(read, Modification) and read.order_key}
    rehearsal = DryRunLedger.prefetched(hub.ledger(program), keys)
    results = post_rows(rehearsal, program, reads, hub.now())
    weight = FileImpact()
    weight.add(reads, results, rehearsal)
    return weight, results


def first_breach(impact: FileImpact, source: Source, pending: int | None) -> ThresholdBreach | None:
    """The first exceeded threshold of a source, or None.

    Without a previous count of pending payouts there is no share to compute.
    """
    limits = source.thresholds
    bad = impact.counts[Outcome.REFUSED.value]
    if "bad_rows" in limits and impact.rows and is_above(bad, impact.rows, limits["bad_rows"]):
        return limit_breach("bad_rows", bad, impact.rows, limits["bad_rows"])
    limit = limits.get("pending_taken_back")
    if limit and pending and is_above(impact.taken_back, pending, limit):
        return limit_breach("pending_taken_back", impact.taken_back, pending, limit)
    doubt = suspicious_amounts(impact) if limits.get("doubtful_meaning", True) else None
    return doubt or (ThresholdBreach("ROWS_ABSENT", {"count": str(impact.absent)}) if impact.absent else None)


def suspicious_amounts(impact: FileImpact) -> ThresholdBreach | None:
    """A breach if the amounts seem to mean something other than declared."""
    totals, returns = impact.verbs["set_total"], impact.verbs["take_back"]
    if totals >= ROWS_TO_JUDGE_MIN and impact.unchanged_totals > UNCHANGED_SHARE * totals:
        details = {"share": percent(impact.unchanged_totals, totals), "limit": percent_text(UNCHANGED_SHARE)}
        return ThresholdBreach("TOTALS_DOUBTFUL", details)
    if returns >= ROWS_TO_JUDGE_MIN and impact.exceeding > EXCEEDING_SHARE * returns:
        details = {"share": percent(impact.exceeding, returns), "limit": percent_text(EXCEEDING_SHARE)}
        return ThresholdBreach("RETURNS_DOUBTFUL", details)
    return None


def is_above(part: int, whole: int, limit: str) -> bool:
    return part * 100 > Decimal(limit.removesuffix("%")) * whole


def limit_breach(what: str, part: int, whole: int, limit: str) -> ThresholdBreach:
    return ThresholdBreach("THRESHOLD_EXCEEDED", {"threshold": what, "value": percent(part, whole), "limit": limit})


def percent(part: int, whole: int) -> str:
    return percent_text(Decimal(part) / whole)


def percent_text(share: Decimal) -> str:
    return f"{share * 100:.1f}".removesuffix(".0") + "%"


def held_preview(impact: FileImpact, program: Program) -> dict[str, Any]:
    """The preview of a held file, short enough for its header: the most affected partners."""
    hit = sorted(impact.moved.items(), key=lambda one: (one[1][1] - one[1][0], one[0]))[:WORST_MAX]
    return {
        "counts": dict(impact.counts),
        "codes": dict(impact.codes.most_common(20)),
        "total": total_document(impact.moved, program),
        "partners": partner_documents(dict(hit), program),
        "worst": worst_action_documents(impact, program),
    }


def dry_run_report(impact: FileImpact, program: Program, breach: ThresholdBreach | None) -> dict[str, Any]:
    """The report of a dry run by partner, and which threshold would hold the file."""
    hit = sorted(impact.moved.items(), key=lambda one: (one[1][1] - one[1][0], one[0]))[:PARTNERS_REPORTED_MAX]
    return {
        "partners": partner_documents(dict(hit), program),
        "total": total_document(impact.moved, program),
        "worst": worst_action_documents(impact, program),
        "warnings": [{"code": one.code, "details": dict(one.details)} for one in (breach,) if one is not None],
    }


def worst_action_documents(impact: FileImpact, program: Program) -> list[dict[str, Any]]:
    return [
        {
            "action_id": action,
            "partner": partner,
            "currency": program.currency,
            "payout": payout_document(before, after, program.currency),
        }
        for action, partner, before, after in impact.worst
    ]


def worst_partners_text(impact: FileImpact, program: Program) -> str:
    """Text such as `nordlicht -12.00 EUR`, for messages."""
    unit = program.currency
    hit = sorted((after - before, partner) for partner, (before, after, _) in impact.moved.items())[:WORST_MAX]
    return ", ".join(f"{partner} {to_text(moved, unit)} {unit}" for moved, partner in hit) or "–"


def check_thresholds(hub: "Hub", program: Program, source: Source, impact: FileImpact) -> ThresholdBreach | None:
    """The threshold a file exceeds, if any. Counts pending payouts now if they never were."""
    if "pending_taken_back" in source.thresholds and pending_of(hub, program) is None:
        roll_up(hub, program)
    return threshold_breach(hub, program, source, impact)


def pending_of(hub: "Hub", program: Program) -> int | None:
    """Pending payouts at the last count; None before the first one."""
    return pending_payout(hub, program)


def threshold_breach(hub: "Hub", program: Program, source: Source, impact: FileImpact) -> ThresholdBreach | None:
    """The breach to show to a person: of the source's thresholds, or of the check of amounts if it has none."""
    pending = None
    if "pending_taken_back" in source.thresholds:
        pending = pending_of(hub, program)
    excess = first_breach(impact, source, pending)
    if excess is not None:
        excess = ThresholdBreach(excess.code, {**excess.details, "partners": worst_partners_text(impact, program)})
    return excess


# Differences between preview and release


def save_preview(hub: "Hub", delivery: Delivery, impact: FileImpact, first: Iterable[Result]) -> None:
    lines = [
        json.dumps(outcomes.result_document(result), ensure_ascii=False) for result in islice(first, PREVIEW_ROWS_MAX)
    ]
    counts = json.dumps(dict(impact.counts))
    hub.inbox.put(preview_key(delivery), "\n".join([counts, *lines]).encode("utf-8", "surrogatepass"))


def preview_differences(hub: "Hub", delivery: Delivery, results: Iterable[Result]) -> dict[str, Any]:
    """The rows of a released file whose results differ from its preview; empty without one.

    For a large file only the first rows are compared.
    """
    if delivery.held not in THRESHOLD_CODES:
        return {}
    try:
        kept = hub.inbox.read(preview_key(delivery)).decode("utf-8", "surrogatepass").split("\n")
    except KeyError:
        return {}
    shown = {result.place: result for result in map(outcomes.result_from, map(json.loads, kept[1:]))}
    found = []
    for now in islice(results, len(shown)):
        then = shown.get(now.place)
        if then is not None and comparable_outcome(then) != comparable_outcome(now):
            found.append({"record": now.place, "shown": comparable_outcome(then), "now": comparable_outcome(now)})
    return {"differs": found[:DIFFERENCES_REPORTED_MAX], "differing": len(found)}


def comparable_outcome(result: Result) -> dict[str, str]:
    effect = result.effect
    return {
        "outcome": result.outcome.value,
        "code": result.code,
        "payout": to_text(effect.payout_after, effect.payout_currency) if effect else "",
    }


def preview_key(delivery: Delivery) -> str:
    return f"{outcomes.results_folder(delivery)}preview.jsonl"
