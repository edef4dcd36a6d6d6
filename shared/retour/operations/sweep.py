"""The sweep: find and ingest what arrived without an event, and move away what is stored elsewhere.

A place of arrival holds only what was not ingested, and what came within the last hour, since clients list, rename or
delete what they have just uploaded. The cost of a sweep therefore does not grow with past deliveries.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby
from typing import TYPE_CHECKING

from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.times import format_compact, format_instant, parse_instant
from retour.files import names
from retour.intake.batch import ANSWER_KEY, ARRIVED, DONE, HELD, IGNORED, REFUSED
from retour.intake.processing import process_delivery, resume_call
from retour.intake.sftp_uploads import SFTP_PREFIX, claim_key, store_uploads
from retour.intake.uploads import NEVER_ARRIVED
from retour.operations.redrive import resume_open_files
from retour.posting.held_records import list_held
from retour.posting.refold import settle_order
from retour.store.deliveries import DeliveryHeader
from retour.store.inbox import ObjectVersion
from retour.store.outcomes import is_answered
from retour.views.ledger_reader import REPORT_BYTES, LedgerReader

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

MOVED_AFTER = timedelta(hours=1)
SET_ASIDE_FOR = timedelta(days=1)
SETTLED_NOTE = "settled"
"""State key of a source that keeps uploads in place: the time up to which all of them were ingested."""
RECHECK_NOTE = "looked-at-deliveries"
RECHECK_LOOKBACK, RECHECK_LOOKBACK_MAX = timedelta(hours=2), timedelta(days=3)
"""How far back deliveries are checked the first time, and after a long pause."""
ROWS_MAX = 20_000
FAILED_NOTED_MAX = 200

UPLOADS, MOVED, TIDIED = "uploads", "moved", "tidied"


def sweep(
    hub: "Hub",
    program: Program,
    older_than: timedelta,
    has_time: Callable[[], bool] = lambda: True,
    *,
    thoroughly: bool = True,
) -> Counter[str]:
    """Take up what was left of a program, as far as the time allows. `thoroughly`: calls are looked at, too.

    Counts: `files` that were open with no worker, `uploads` that no event told of, calls that were `redone`, `held`
    records that nobody had listed, `answers` that nobody had asked for, `moved` and `tidied` objects, and `failed` that
    stay for the next sweep.
    """
    taken_up = set[str]()
    counts = resume_open_files(hub, program.id, has_time, hub.now() - older_than, taken_up)
    for source in program.sources.values():
        if source.channel is Channel.SFTP and has_time():
            counts += sweep_uploads(hub, program, source, older_than, taken_up)
    if thoroughly and has_time():
        counts += recheck_deliveries(hub, program, older_than, taken_up)
    return counts


# Uploads


def sweep_uploads(
    hub: "Hub", program: Program, source: Source, older_than: timedelta, taken_up: set[str]
) -> Counter[str]:
    """Ingest uploads without an event, and delete objects that are stored elsewhere.

    If a source keeps its uploads, the last version of each name stays and is not checked again after its ingestion.
    """
    counts = Counter[str]()
    notes, now = hub.state(program.id, source.name), hub.real_now()
    stays = source.options.get("keep") is True
    swept, settled = notes.get("swept"), (notes.get(SETTLED_NOTE) if stays else None)
    since = parse_instant(swept["at"]) - timedelta(hours=1) if swept else None
    visit = FolderSweep(
        hub,
        program,
        source,
        older_than,
        since,
        stays,
        parse_instant(settled["until"]) if settled else None,
        now - MOVED_AFTER,
        taken_up,
    )
    found = sorted(hub.inbox.versions(f"{SFTP_PREFIX}/{program.id}/{source.name}/"), key=lambda one: (one.key, one.at))
    for key, group in groupby(found, key=lambda one: one.key):
        history = list(group)
        try:
            counts += visit.sweep_key(key, history)
        except Exception:
            logger.exception("upload stays for the next sweep", extra={"key": key})
            visit.hold_back_mark(history[0])
            counts["failed"] += 1
    if not counts["failed"]:
        notes.put("swept", {"at": format_instant(now)})
    if stays and visit.done_until != visit.settled:
        notes.put(SETTLED_NOTE, {"until": format_instant(visit.done_until)})
    return counts


@dataclass
class FolderSweep:
    """A sweep of one source's folder, key by key.

    `settled`: last versions put before this time need no check. `done_until` is its value for the next sweep.
    """

    hub: "Hub"
    program: Program
    source: Source
    older_than: timedelta
    since: datetime | None
    stays: bool
    settled: datetime | None
    done_until: datetime
    taken_up: set[str]

    def hold_back_mark(self, version: ObjectVersion) -> None:
        self.done_until = min(self.done_until, version.at)

    def sweep_key(self, key: str, history: Sequence[ObjectVersion]) -> Counter[str]:
        """Process all versions ever put at a key, oldest first."""
        counts, now = Counter[str](), self.hub.real_now()
        name = names.base_name(key)
        put = [one for one in history if not one.removed]
        is_old = self.since and all(one.at < self.since for one in history)
        if key.endswith("/") or (name.startswith(names.ANSWER_PREFIXES) and is_old):
            return counts
        pending = False
        for version in put:
            age, is_last = now - version.at, version is history[-1]
            is_settled = self.settled is not None and version.at < self.settled
            if age < self.older_than or (is_settled and is_last):
                continue
            state = "" if is_settled else upload_state(self.hub, self.program, self.source, version)
            if is_settled:
                self.hub.inbox.remove(key, version.id)  # Overwritten or deleted since, and stored elsewhere.
                counts[MOVED] += 1
            elif state in ("", ARRIVED):
                if not state and not is_last and names.may_be_renamed(name) and age >= MOVED_AFTER:
                    self.hub.inbox.remove(key, version.id)  # The former name of a renamed or withdrawn upload.
                    counts[TIDIED] += 1
                else:
                    pending = True
                    self.hold_back_mark(version)
            elif self.stays and is_last:
                continue
            elif age >= (SET_ASIDE_FOR if state == IGNORED else MOVED_AFTER):
                self.hub.inbox.remove(key, version.id)
                counts[MOVED] += 1
        if pending:
            for delivery in store_uploads(self.hub, key, patience=self.older_than):
                process_delivery(self.hub, delivery)
                counts[UPLOADS] += 1
                self.taken_up.add(delivery.id)
        if history and not put and now - history[-1].at >= MOVED_AFTER:
            for version in history:  # Only delete markers are left.
                self.hub.inbox.remove(key, version.id)
        return counts


def upload_state(hub: "Hub", program: Program, source: Source, version: ObjectVersion) -> str:
    """The state of an upload; empty if nobody claimed it."""
    claimed = hub.state(program.id, source.name).get(claim_key(version))
    header = hub.deliveries(program.id).get(claimed["delivery"]) if claimed else None
    return header.state if header else ""


# Interrupted calls and held records that are not listed


def recheck_deliveries(
    hub: "Hub", program: Program, older_than: timedelta, taken_up: Container[str] = ()
) -> Counter[str]:
    """Look once at every delivery that came since the last look, when its worker is surely done with it.

    `redone`: calls whose records were not all inserted and folded, and decisions that were not carried out; `held`:
    held records that were on no list; `answers`: files that ended and were answered by nobody. What fails is looked at
    again the next time, for three days. The answers of what was `taken_up` a moment ago are on their way.
    """
    counts, notes, deliveries = Counter[str](), hub.state(program.id, ""), hub.deliveries(program.id)
    until = hub.now() - older_than
    looked = notes.get(RECHECK_NOTE) or {"until": format_instant(until - RECHECK_LOOKBACK)}
    since = max(parse_instant(looked["until"]), until - RECHECK_LOOKBACK_MAX)
    # A worker that ends in the midst of this has not looked at the rest.
    notes.put(RECHECK_NOTE, looked)
    reader, left = LedgerReader(program, hub.ledger(program), deliveries, hub.now()), ROWS_MAX
    failed: list[str] = []
    again = [one for one in map(deliveries.get, looked.get("failed", ())) if one is not None]
    young_enough = [one for one in again if one.delivery.received_at >= until - RECHECK_LOOKBACK_MAX]
    for header in chain(
        young_enough, chain.from_iterable(deliveries.between(*span) for span in day_spans(since, until))
    ):
        rows = row_count(header)
        if rows > left < ROWS_MAX:
            until = header.delivery.received_at
            break
        left -= rows
        try:
            counts += recheck_delivery(hub, reader, header, is_answered=header.delivery.id in taken_up)
        except Exception:
            logger.exception("delivery is looked at again", extra={"delivery": header.delivery.id})
            failed.append(header.delivery.id)
    counts["failed"] = len(failed)
    notes.put(RECHECK_NOTE, {"until": format_instant(until), "failed": failed[-FAILED_NOTED_MAX:]})
    return +counts


def row_count(header: DeliveryHeader) -> int:
    """Roughly how many records have to be looked up."""
    if header.delivery.kind is DeliveryKind.FILE:
        return int(header.report.get("counts", {}).get(Outcome.HELD, 0))
    return len(header.report.get("rows", ())) or (
        header.delivery.size // REPORT_BYTES + 1 if header.delivery.kind is DeliveryKind.ACTIONS else 0
    )


def recheck_delivery(hub: "Hub", reader: LedgerReader, header: DeliveryHeader, *, is_answered: bool) -> Counter[str]:
    counts = Counter[str]()
    if header.delivery.kind is DeliveryKind.FILE and not is_answered:
        counts += recheck_file(hub, header)
    if header.delivery.kind is DeliveryKind.DECISION:
        counts += recheck_decision(hub, header)
    return counts + recheck_records(hub, reader, header) if row_count(header) else counts


def recheck_file(hub: "Hub", header: DeliveryHeader) -> Counter[str]:
    """A file that ended, and whose worker ended before it could ask for its answer."""
    is_answerable = header.state in (DONE, HELD, REFUSED) and header.report.get("code") != NEVER_ARRIVED
    if not is_answerable or ANSWER_KEY in header.report or is_answered(hub.inbox, header.delivery, header.state):
        return Counter()
    hub.send("answers", {"program": header.delivery.program, "delivery": header.delivery.id, "what": "batch"})
    return Counter(answers=1)


def recheck_decision(hub: "Hub", header: DeliveryHeader) -> Counter[str]:
    """A person's decision that was stored; what it is about still waits for one, or was not answered."""
    deliveries = hub.deliveries(header.delivery.program)
    decided = json.loads(deliveries.body(header))["delivery"]
    if header.state == REFUSED or (held := deliveries.get(decided)) is None:
        return Counter()
    counts = Counter[str]()
    if held.state == HELD:
        counts["redone"] += 1
        if resume_call(hub, header).state == REFUSED:
            deliveries.list_open(held.delivery, HELD)
            return counts
    deliveries.forget("held", held.delivery.received_at, held.delivery.id)
    return counts + recheck_file(hub, deliveries.get(decided) or held)


def recheck_records(hub: "Hub", reader: LedgerReader, header: DeliveryHeader) -> Counter[str]:
    """The records of a delivery, and what their orders owe to others, as the stream does that told nobody of them.

    Of a file only those that were held.
    """
    counts, results = Counter[str](), list(reader.results(header))
    if header.delivery.kind is DeliveryKind.FILE:
        results = [result for result in results if result.outcome is Outcome.HELD]
    elif header.state != REFUSED and not all(is_done(reader, result) for result in results):
        resume_call(hub, header)
        counts["redone"] += 1
        reader.orders.clear()
    for order in {order.key: order for order in touched_orders(reader, results)}.values():
        counts["held"] += list_held(reader.deliveries, order)
        for late in settle_order(hub, reader.program, reader.ledger, order):
            logger.error("received in time, came after final", extra={"modification": late})
    return counts


def touched_orders(reader: LedgerReader, results: Iterable[Result]) -> Iterator[Order]:
    for result in results:
        recorded = reader.modification(result.modification) if result.modification else None
        reported = reader.action(result.action) if result.action and not recorded else None
        if (found := recorded or reported) is not None:
            yield found[0]


def is_done(reader: LedgerReader, result: Result) -> bool:
    """Whether a record is stored and folded, or an action reported."""
    if not result.modification:
        return not result.action or result.outcome is not Outcome.APPLIED or reader.action(result.action) is not None
    found = reader.modification(result.modification)
    if found is None:
        return False
    order, record = found
    return not order.actions or order.booking_of(record.id) is not None


def day_spans(start: datetime, end: datetime) -> Iterator[tuple[str, str]]:
    """The span split at UTC midnights, as prefixes of delivery ids."""
    while start < end:
        until = min(end, start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1))
        yield format_compact(start), format_compact(until) if until.date() == start.date() else f"{start:%Y%m%d}~"
        start = until
