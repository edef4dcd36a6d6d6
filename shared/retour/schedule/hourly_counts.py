"""Hourly counts of deliveries by source, so that no page computes them by reading deliveries.

An hour is counted once it is closed, and again when one of its open deliveries is finished.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from retour.counting.rollup import rollups_of
from retour.domain.delivery import KINDS_WITHOUT_ROWS, DeliveryKind
from retour.domain.program import Program
from retour.domain.times import format_compact, format_instant, parse_instant
from retour.intake.batch import DONE, IGNORED, REFUSED
from retour.store.bulk import batched
from retour.store.deliveries import DeliveryHeader
from retour.views.documents import count_outcomes
from retour.views.ledger_reader import REPORT_BYTES, LedgerReader

if TYPE_CHECKING:
    from retour.wiring import Hub

HOUR = timedelta(hours=1)
HOUR_CLOSES_AFTER = timedelta(minutes=5)
"""An hour is closed this long after its end."""
LOOKBACK = timedelta(days=15)
"""How far back a program is counted the first time."""
RECOUNTED_FOR = timedelta(days=3)
"""How long an hour with held or open deliveries is recounted."""
ROWS_MAX = 20_000
"""Rows per hour whose outcomes are looked up. Beyond that, deliveries are marked as not looked up."""
REFUSED_LISTED_MAX = 5
"""Refused deliveries listed per source and hour."""
WORKERS = 8
DELIVERIES_AT_ONCE = 64
HOURS_TO_ASK_FIRST = 4
"""Hours checked at once for any deliveries before they are counted one by one."""
FINISHED = (DONE, REFUSED, IGNORED, "undone")
UNCOUNTED_ROWS = "rows"
UNKNOWN_COUNT = -1

Document = dict[str, Any]


def count_arrivals(hub: "Hub", program: Program, has_time: Callable[[], bool] = lambda: True) -> int:
    """Count the hours closed since the last run. Returns how many."""
    rollups, now = rollups_of(hub, program), hub.now()
    known = rollups.arrivals_progress() or {}
    until = start_of_hour(now - HOUR_CLOSES_AFTER)
    opened = open_by_hour(hub, program) if known.get("again") else Counter[str]()
    again = {hour: seen for hour, seen in open_counts(known).items() if now - parse_instant(hour) < RECOUNTED_FOR}
    changed = [hour for hour, seen in again.items() if opened[hour] != seen]
    start = parse_instant(known["until"]) if known else first_hour(hub, program, now)
    hours = sorted({*map(parse_instant, changed), *hours_between(start, until)})
    done = 0
    for day, of_day in groupby(hours, key=lambda hour: f"{hour:%Y%m%d}"):
        counted = rollups.days([day]).get(day, {"hours": {}})
        closed = list(of_day)
        for hour in closed if has_deliveries(hub, program, day, closed) else ():
            doc, unfinished = count_hour(hub, program, hour)
            if doc:
                counted["hours"][f"{hour:%H}"] = doc
            again.pop(format_instant(hour), None)
            if unfinished:
                again[format_instant(hour)] = unfinished
        start, done = max(start, closed[-1] + HOUR), done + len(closed)
        if counted["hours"]:
            rollups.put_day(day, counted)
        rollups.put_counted_until(format_instant(start), again)
        if not has_time():
            break
    return done


def open_counts(known: Mapping[str, Any]) -> dict[str, int]:
    """Hours with unfinished deliveries, and how many were open at the last count.

    Older releases stored only the hours, which are counted again.
    """
    again = known.get("again", {})
    return dict(again) if isinstance(again, Mapping) else dict.fromkeys(again, UNKNOWN_COUNT)


def open_by_hour(hub: "Hub", program: Program) -> "Counter[str]":
    """The number of open deliveries by hour."""
    ids = hub.deliveries(program.id).open_ids()
    return Counter(format_instant(datetime.strptime(id_[:11], "%Y%m%dT%H").replace(tzinfo=UTC)) for id_ in ids)


def start_of_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR


def first_hour(hub: "Hub", program: Program, now: datetime) -> datetime:
    known_since = hub.programs.first_recorded_at(program.id)
    return start_of_hour(max(known_since, now - LOOKBACK))


def has_deliveries(hub: "Hub", program: Program, day: str, hours: Sequence[datetime]) -> bool:
    return len(hours) < HOURS_TO_ASK_FIRST or bool(hub.deliveries(program.id).newest(day, most=1))


def count_hour(hub: "Hub", program: Program, hour: datetime) -> tuple[Document, int]:
    """The counts of an hour by source, and the number of its unfinished deliveries."""
    doc: Document = {}
    left, unfinished = ROWS_MAX, 0
    headers = hub.deliveries(program.id).between(format_compact(hour), format_compact(hour + HOUR))
    with ThreadPoolExecutor(WORKERS) as pool:
        for some in batched(headers, DELIVERIES_AT_ONCE):
            looked_at = []
            for header in some:
                rows = row_count(header)
                looked_at.append(rows <= left)
                left -= rows if rows <= left else 0
            found = pool.map(lambda one: outcome_counts(hub, program, *one), zip(some, looked_at, strict=True))
            for header, counts in zip(some, found, strict=True):
                if header.delivery.kind not in KINDS_WITHOUT_ROWS:
                    add_delivery(doc, header, counts)
                unfinished += header.state not in FINISHED
    return doc, unfinished


def add_delivery(doc: Document, header: DeliveryHeader, counts: Mapping[str, int]) -> None:
    """Add a delivery to the counts of its source."""
    delivery = header.delivery
    of_source = doc.setdefault(delivery.source, {"deliveries": 0, "counts": {}})
    of_source |= {"channel": delivery.channel.value, "last": delivery.id, "deliveries": of_source["deliveries"] + 1}
    of_source["counts"] = dict(Counter(of_source["counts"]) + Counter(counts))
    if is_refused_whole(header):
        listed = of_source.setdefault("refused", [])
        listed += [[delivery.id, delivery.name]] if len(listed) < REFUSED_LISTED_MAX else []

    if refused := rows_refused(header):
        with_refusals = of_source.setdefault("rows", [])
        with_refusals += [[delivery.id, delivery.name, refused]] if len(with_refusals) < REFUSED_LISTED_MAX else []


def rows_refused(header: DeliveryHeader) -> int:
    """How many rows of a delivery that is done were refused, as far as that was counted when it was."""
    return int(header.report.get("counts", {}).get("refused", 0)) if header.state == DONE else 0


def row_count(header: DeliveryHeader) -> int:
    if header.report.get("counts") is not None:
        return 0
    per_size = header.delivery.size // REPORT_BYTES if header.delivery.kind is DeliveryKind.ACTIONS else 0
    return len(header.report.get("rows", ())) or per_size


def outcome_counts(hub: "Hub", program: Program, header: DeliveryHeader, looked_at: bool) -> Mapping[str, int]:
    """The outcomes of a delivery's rows: for files as stored, for calls and webhooks from the ledger."""
    known: Mapping[str, int] | None = header.report.get("counts")
    if known is not None or header.state not in FINISHED:
        return known or {}
    if not looked_at:
        return {UNCOUNTED_ROWS: row_count(header)}
    reader = LedgerReader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())
    return count_outcomes(reader.results(header))


def is_refused_whole(header: DeliveryHeader) -> bool:
    """Whether a delivery was refused as a whole, but not by a person."""
    return header.state == REFUSED and header.report.get("code") != "DISCARDED"
