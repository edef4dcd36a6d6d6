"""Large files: rows split by order into buckets, a worker per bucket, outcomes merged.

All rows of an order are in the same bucket: one read, one fold, one write. Every step is idempotent: it writes the same
keys with the same content, and the ledger ignores records it already has.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.row import ActionReport, InputRecord, Refusal, Row
from retour.domain.times import format_instant, parse_instant
from retour.intake import action_reports, thresholds
from retour.intake.absent import note_export, with_absent
from retour.intake.actions import ingest_actions
from retour.intake.batch import ARRIVED, DONE, WORKING, Batch, payouts_moved, report_of
from retour.intake.file import ACTIONS_LAYOUT
from retour.intake.repeated_file import earlier_identical_delivery
from retour.intake.threshold_gate import apply_thresholds, finish_dry_run, is_cleared
from retour.intake.thresholds import FileImpact, ReadRows
from retour.normalise import Normaliser
from retour.posting.held_records import list_held_results
from retour.posting.refold import cases_of
from retour.posting.rows import BULK_MIN, order_key_of_action, post_rows, read_rows
from retour.posting.waiting import remind_waiting
from retour.store import outcomes
from retour.store.bucket_work import NumberedRecord, Work, row_text
from retour.store.bulk import batched, order_keys
from retour.store.inbox import PieceStream
from retour.store.ledger import TableLedger

if TYPE_CHECKING:
    from retour.wiring import Hub

BUCKET_BYTES = 512 * 1024
"""File size per bucket, about six thousand rows."""
BUCKET_COUNT_RANGE = (2, 512)
ARCHIVE_RATIO = 8
"""Assumed compression ratio of archives."""
BUFFERED_CHARS_MAX = 8 << 20
"""Characters of rows buffered before they are written to the buckets."""
ROWS_AT_ONCE = 2_000
WRITERS = 8
READ_SUMMARY = "read"
SIMULATED_SUMMARY = "rehearsed"
RELEASED_AT = "released_at"


class RowCountMismatchError(Exception):
    """The numbers of rows read and of outcomes differ. The ledger is correct, but the result file would not be."""


def start(
    hub: "Hub", delivery: Delivery, body: bytes | None, released_at: datetime | None = None, to_weigh: bool = False
) -> Batch:
    """Start processing a large file. Without a state machine, all steps run directly.

    `to_weigh`: simulate the whole file before anything is recorded.
    """
    if not delivery.body_key:
        assert body is not None
        delivery = replace(delivery, body_key=f"raw/{delivery.program}/{delivery.id}")
        hub.inbox.put(delivery.body_key, body)
        hub.deliveries(delivery.program).put(delivery, None, ARRIVED, {})
    if released_at:
        delivery = replace(delivery, facts={**delivery.facts, RELEASED_AT: format_instant(released_at)})
    hub.deliveries(delivery.program).put(delivery, None, WORKING, {})
    if hub.start_execution(delivery, {"rehearse": to_weigh}) or (
        hub.defers_large_files and not outcomes.is_answered(hub.inbox, delivery)
    ):
        return Batch(delivery=delivery, state=WORKING)
    items = split_into_buckets(hub, delivery).items()
    if to_weigh:
        for item in items:
            simulate_bucket(hub, delivery, item)
        delivery, ended = conclude_simulation(hub, delivery)
        if ended is not None:
            return ended
    for item in items:
        ingest_bucket(hub, delivery, item)
    return finish(hub, delivery)


def resume(hub: "Hub", delivery: Delivery) -> Batch:
    """Restart a large file whose processing was interrupted."""
    source = hub.program_of(delivery).source(delivery.source, delivery.channel)
    released_at = delivery.facts.get(RELEASED_AT)
    to_weigh = not released_at and not is_cleared(delivery, source) and not is_of_actions(delivery)
    return start(hub, delivery, None, parse_instant(released_at) if released_at else None, to_weigh)


def load_delivery(hub: "Hub", item: Mapping[str, Any]) -> Delivery:
    """Load the delivery of a state machine's step."""
    header = hub.deliveries(item["program"]).get(item["delivery"])
    if header is None:
        raise LookupError(item["delivery"])
    return header.delivery


def is_of_actions(delivery: Delivery) -> bool:
    return delivery.facts.get("layout") == ACTIONS_LAYOUT


# Reading


def split_into_buckets(hub: "Hub", delivery: Delivery) -> Work:
    """Read the file once and write each row with its number to the bucket of its order."""
    from retour.intake.encrypted_files import open_delivery

    program = hub.program_of(delivery)
    work = hub.work(program.id, delivery.id)
    work.forget()
    source = program.source(delivery.source, delivery.channel)
    stream = PieceStream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        raise RuntimeError(f"{delivery.id} was read before and now is refused: {opened.code}")
    reading = Normaliser(program, source, delivery)
    progress = {"started_at": format_instant(hub.now()), "size": delivery.size}
    rows = 0
    with ThreadPoolExecutor(WRITERS) as pool:
        buckets = Buckets(work, bucket_count(delivery), pool)
        listed = with_absent(hub, program, source, delivery, opened.rows)
        records = action_reports.from_rows(opened.rows) if is_of_actions(delivery) else listed
        for some in batched(enumerate(records, 1), ROWS_AT_ONCE):
            for numbered, home in zip(some, home_keys(hub.ledger(program), reading, some), strict=True):
                buckets.add(home, *numbered)
            rows = some[-1][0]
            if buckets.signs > BUFFERED_CHARS_MAX:
                buckets.write()
                work.put_summary(READ_SUMMARY, {**progress, "rows": rows, "bytes": stream.taken})
        buckets.write()
    work.put_manifest(buckets.written)
    work.put_summary(READ_SUMMARY, {**progress, "rows": rows, "total": rows, "skipped": dict(opened.skipped)})
    return work


def bucket_count(delivery: Delivery) -> int:
    """The number of buckets, estimated from the file size."""
    packed = delivery.name.lower().endswith((".zip", ".gz", ".xlsx", ".pgp", ".gpg"))
    least, most = BUCKET_COUNT_RANGE
    return min(most, max(least, delivery.size * (ARCHIVE_RATIO if packed else 1) // BUCKET_BYTES))


def home_keys(ledger: TableLedger, reader: Normaliser, some: Sequence[NumberedRecord]) -> Iterator[str]:
    """The key each row's record will have, with action ids resolved to orders so that all rows of an order meet."""
    told = [home_key(reader, row) for _, row in some]
    ids = {home[1:] for home in told if home.startswith("@")}
    known = order_keys(ledger, ids) if len(ids) >= BULK_MIN else {}
    key_of = known.get if len(ids) >= BULK_MIN else ledger.order_key_of
    named = {action_id: order_key_of_action(key_of, reader.program, action_id) for action_id in ids}
    return ((named[home[1:]] or home) if home.startswith("@") else home for home in told)


def home_key(reader: Normaliser, row: InputRecord) -> str:
    match row:
        case Row():
            return reader.home(row)
        case ActionReport():
            return action_reports.report_home_key(row, reader.program)
    return ""


@dataclass
class Buckets:
    """Buffers rows of all buckets and writes them together."""

    work: Work
    count: int
    pool: ThreadPoolExecutor
    held: dict[int, list[str]] = field(default_factory=dict)
    signs: int = 0
    segment: int = 0
    written: dict[int, list[int]] = field(default_factory=dict)

    def add(self, home: str, number: int, row: Any) -> None:
        line = row_text(number, row)
        bucket = zlib.crc32((home or str(number)).encode("utf-8", "surrogatepass")) % self.count
        self.held.setdefault(bucket, []).append(line)
        self.signs += len(line)

    def write(self) -> None:
        list(self.pool.map(lambda one: self.work.put_rows(one[0], self.segment, one[1]), self.held.items()))
        for bucket in self.held:
            self.written.setdefault(bucket, []).append(self.segment)
        self.held, self.signs, self.segment = {}, 0, self.segment + 1


# Workers


def ingest_bucket(hub: "Hub", delivery: Delivery, item: Mapping[str, Any]) -> Mapping[str, int]:
    """Process the rows of a bucket, store their outcomes and return the count of each outcome."""
    program = hub.program_of(delivery)
    work = hub.work(program.id, delivery.id)
    numbers, records = records_of(work, item)
    if is_of_actions(delivery):
        results = ingest_actions(hub, delivery, (one for one in records if not isinstance(one, Row))).results
    else:
        reads = read_bucket(program, delivery, records)
        results = post_rows(hub.ledger(program), program, reads, hub.now(), cases_of(hub, program))
        remind_waiting(hub, program, delivery, results)
        list_held_results(hub.deliveries(program.id), delivery, results)
    save_bucket_outcomes(work, item, numbers, results)
    counts = Counter(result.outcome.value for result in results)
    work.put_summary(f"{item['bucket']:05d}", {"counts": counts, "moved": payouts_moved(results)})
    return counts


def simulate_bucket(hub: "Hub", delivery: Delivery, item: Mapping[str, Any]) -> Mapping[str, int]:
    """Simulate the rows of a bucket. The result is exact, since all rows of an order are in it."""
    program = hub.program_of(delivery)
    work = hub.work(program.id, delivery.id)
    numbers, records = records_of(work, item)
    weight, results = thresholds.simulate(hub, program, read_bucket(program, delivery, records))
    save_bucket_outcomes(work, item, numbers, results)
    work.put_impact(item["bucket"], weight.document())
    work.put_summary(f"{SIMULATED_SUMMARY}{item['bucket']:05d}", {"rows": weight.rows})
    return weight.counts


def records_of(work: Work, item: Mapping[str, Any]) -> tuple[Sequence[int], Sequence[InputRecord]]:
    """The row numbers and the records of a bucket."""
    numbered = list(work.rows(item["bucket"], item["segments"]))
    return [number for number, _ in numbered], [record for _, record in numbered]


def read_bucket(program: Program, delivery: Delivery, records: Sequence[InputRecord]) -> ReadRows:
    released_at = delivery.facts.get(RELEASED_AT)
    rows = (one for one in records if not isinstance(one, ActionReport))
    return read_rows(program, delivery, rows, parse_instant(released_at) if released_at else None)


def save_bucket_outcomes(
    work: Work, item: Mapping[str, Any], numbers: Sequence[int], results: Sequence[Result]
) -> None:
    told = ((number, outcomes.result_document(result)) for number, result in zip(numbers, results, strict=True))
    work.put_outcomes(item["bucket"], told)


# Thresholds


def conclude_simulation(hub: "Hub", delivery: Delivery) -> tuple[Delivery, Batch | None]:
    """Combine the buckets' simulations: report a dry run, hold the file, or return None to continue."""
    work = hub.work(delivery.program, delivery.id)
    done = Progress.of(work)
    weight = FileImpact()
    for one in work.impacts():
        weight.merge_document(one)
    if weight.rows != done.total:
        raise RowCountMismatchError(f"{delivery.id}: {done.total} rows in, {weight.rows} rehearsed")
    if delivery.is_dry_run:
        merge_outcomes(hub, delivery, work, done)
        return delivery, finish_dry_run(hub, delivery, weight, done.skipped)
    first = islice(map(outcomes.result_from, map(json.loads, work.outcomes())), thresholds.PREVIEW_ROWS_MAX)
    return apply_thresholds(hub, delivery, weight, list(first), WORKING)


# Completion


def finish(hub: "Hub", delivery: Delivery) -> Batch:
    """Merge the outcomes in row order and close the delivery. Raises RowCountMismatchError."""
    work = hub.work(delivery.program, delivery.id)
    done = Progress.of(work)
    if sum(done.counts.values()) != done.total:
        raise RowCountMismatchError(f"{delivery.id}: {done.total} rows in, {sum(done.counts.values())} taken in")
    merge_outcomes(hub, delivery, work, done)
    same_as = earlier_identical_delivery(
        hub.deliveries(delivery.program), delivery, done.counts, outcomes.load_outcomes(hub.inbox, delivery)
    )
    source = hub.program_of(delivery).source(delivery.source, delivery.channel)
    note_export(hub, source, delivery, done.counts)
    batch = Batch(
        delivery=delivery, state=DONE, totals=done.counts, skipped=done.skipped, moved=done.moved, same_as=same_as
    )
    closing = report_of(batch) | thresholds.preview_differences(
        hub, delivery, outcomes.load_outcomes(hub.inbox, delivery)
    )
    hub.deliveries(delivery.program).close(delivery, closing, DONE)
    return batch


def merge_outcomes(hub: "Hub", delivery: Delivery, work: Work, done: "Progress") -> None:
    """Write the outcomes of all buckets in row order, and check that there is one per row."""
    merged = CountedLines(work.outcomes())
    hub.inbox.put_pieces(outcomes.outcomes_key(delivery), merged)
    if merged.lines != done.total:
        raise RowCountMismatchError(f"{delivery.id}: {done.total} rows in, {merged.lines} outcomes")


@dataclass
class CountedLines:
    """Lines with endings, counted while they are read."""

    source: Iterable[bytes]
    lines: int = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self.source:
            self.lines += 1
            yield line + b"\n"


# Progress


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a large file: rows read, the total once known, and the outcomes so far.

    `share` is the part of the file that was read, `rehearsed` the number of rows simulated.
    """

    read: int
    total: int | None
    counts: Mapping[str, int]
    skipped: Mapping[str, int]
    started_at: datetime | None
    moved: Mapping[str, int] = field(default_factory=dict)
    share: float = 0.0
    rehearsed: int = 0

    @classmethod
    def of(cls, work: Work) -> "Progress":
        summaries = work.summaries()
        read = summaries.pop(READ_SUMMARY, {})
        counts: Counter[str] = Counter()
        moved: Counter[str] = Counter()
        rehearsed = [summary for name, summary in summaries.items() if name.startswith(SIMULATED_SUMMARY)]
        for name, summary in summaries.items():
            if name.startswith(SIMULATED_SUMMARY):
                continue
            counts.update(summary["counts"])
            moved.update(summary.get("moved", {}))
        return cls(
            read.get("rows", 0),
            read.get("total"),
            dict(counts),
            read.get("skipped", {}),
            parse_instant(read["started_at"]) if read else None,
            dict(moved),
            min(1.0, read.get("bytes", 0) / read["size"]) if read.get("size") else 0.0,
            sum(summary["rows"] for summary in rehearsed),
        )

    @property
    def percent(self) -> int:
        """Percentage done. Reading counts as the first tenth, processing as the rest."""
        if not self.total:
            return int(10 * self.share)
        ways = 2 if self.rehearsed else 1
        return 10 + 90 * (sum(self.counts.values()) + self.rehearsed) // (ways * self.total)

    def document(self, now: datetime) -> dict[str, Any]:
        """The progress as shown in the API and the console. Unknown values are left out."""
        done = sum(self.counts.values())
        refused, repeated = (self.counts.get(outcome, 0) for outcome in (Outcome.REFUSED, Outcome.DUPLICATE))
        found: dict[str, Any] = {
            "percent": self.percent,
            "read": self.read,
            "recorded": done - refused - repeated,
            "applied": self.counts.get(Outcome.APPLIED, 0),
            "refused": refused,
            "duplicate": repeated,
        }
        if self.total is not None:
            found["total"] = self.total
        if self.rehearsed:
            found["rehearsed"] = self.rehearsed
        if self.started_at and done and (passed := (now - self.started_at) / timedelta(seconds=1)) > 0:
            rate = done / passed
            found["per_second"] = round(rate, 1)
            if self.total is not None:
                found["seconds_left"] = round((self.total - done) / rate)
        return found
