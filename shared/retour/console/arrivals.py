"""Recent deliveries by source: counted for the hours that are over, read for those since."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from markupsafe import Markup

from retour.console import charts, program_counts
from retour.console.page_context import PageContext
from retour.domain.calendar import local_day
from retour.domain.delivery import KINDS_WITHOUT_ROWS, receipt_time
from retour.domain.program import Source
from retour.domain.times import parse_instant
from retour.schedule.due import EXPECTED_NOTE
from retour.schedule.hourly_counts import UNCOUNTED_ROWS
from retour.store.deliveries import DeliveryHeader
from retour.views import paging
from retour.views.paging import ListPosition, day_bounds

DAYS = 14
LIVE_MAX = 60
"""Deliveries after the last counted hour that a page reads."""
LATEST = 10
ORDERS_LOOKUP_MAX = 100
"""Orders read for them."""


@dataclass(frozen=True)
class Arrivals:
    """Recent hourly counts by source, and the deliveries since.

    `cut`: there were more than a page reads. `latest` are the newest of all.
    """

    hours: Mapping[datetime, Mapping[str, Any]]
    until: datetime | None
    since: Sequence[DeliveryHeader]
    cut: bool
    latest: Sequence[DeliveryHeader]


def load_arrivals(context: PageContext) -> Arrivals:
    """Load them once per page."""
    if "arrivals" not in context.memory:
        context.memory["arrivals"] = collect_arrivals(context)
    found: Arrivals = context.memory["arrivals"]
    return found


def collect_arrivals(context: PageContext) -> Arrivals:
    now, rollups = context.hub.now(), program_counts.rollup_store(context)
    days = [f"{now - timedelta(days=back):%Y%m%d}" for back in range(DAYS + 1)]
    until = rollups.counted_until()
    hours = {
        datetime.strptime(f"{day}{hour}", "%Y%m%d%H").replace(tzinfo=UTC): brought
        for day, doc in rollups.days(days).items()
        for hour, brought in doc["hours"].items()
    }
    today, first = day_bounds(context.hub, context.program)
    newest = (one for one in paging.scan_headers(context.reader.deliveries, ListPosition(today), max(first, days[-1]))
              if isinstance(one, DeliveryHeader)
              and one.delivery.kind not in KINDS_WITHOUT_ROWS)  # fmt: skip
    latest: list[DeliveryHeader] = []
    since: list[DeliveryHeader] = []
    for header in newest:
        is_new = until is None or header.delivery.received_at >= until
        since += [header] if is_new else []
        latest += [header] if len(latest) < LATEST else []
        if len(since) == LIVE_MAX or (not is_new and len(latest) == LATEST):
            break
    return Arrivals(hours, until, since, len(since) == LIVE_MAX, latest)


@dataclass(frozen=True)
class SourceRow:
    """A source and its recent days."""

    name: str
    channel: str
    last: str
    picture: Markup
    today: Mapping[str, int]
    expected_by: str
    silent: bool

    @property
    def last_at(self) -> datetime:
        return receipt_time(self.last)


def source_rows(context: PageContext) -> list[SourceRow]:
    zone, program, seen = context.program.time_zone, context.program, load_arrivals(context)
    days = [context.today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    silent = {subject: str(doc["deadline"]) for subject, doc in context.reader.deliveries.due("silent")}
    counts: dict[str, dict[date, Counter[str]]] = {}
    last: dict[str, tuple[str, str]] = {}
    for hour, brought in sorted(seen.hours.items()):
        for source, one in brought.items():
            counts.setdefault(source, {}).setdefault(local_day(hour, zone), Counter()).update(one["counts"])
            last[source] = (one["last"], one["channel"])
    for header in reversed(seen.since):
        delivery = header.delivery
        of_source = counts.setdefault(delivery.source, {})
        of_source.setdefault(local_day(delivery.received_at, zone), Counter()).update(known_counts(context, header))
        last[delivery.source] = (delivery.id, delivery.channel.value)
    names = [*program.sources, *(name for name in sorted(last) if name and name not in program.sources)]
    found = []
    for name in names:
        declared = program.sources.get(name)
        of_days: Mapping[date, Mapping[str, int]] = counts.get(name, {})
        missing = silent_days(context, declared, days) if declared else set()
        missing |= {local_day(parse_instant(silent[name]), zone)} if name in silent else set()
        bars = [(day.isoformat(), of_days.get(day) or {}, day in missing and not of_days.get(day)) for day in days]
        found.append(
            SourceRow(
                name=name,
                channel=declared.channel.value if declared else last[name][1],
                last=last.get(name, ("", ""))[0],
                picture=charts.day_bars(context.words, bars, name),
                today=of_days.get(context.today, {}),
                expected_by=(declared.expected_by or "") if declared else "",
                silent=name in silent,
            )
        )
    return found


def silent_days(context: PageContext, source: Source, days: Sequence[date]) -> set[date]:
    """Days on which an expected delivery was missing."""
    if source.expected_by is None:
        return set()
    state = context.hub.state(context.program.id, source.name)
    seen = (one for month in {f"{day:%Y-%m}" for day in days} for one in state.list(f"{EXPECTED_NOTE}{month}"))
    return {date.fromisoformat(key.removeprefix(EXPECTED_NOTE)) for key, doc in seen if doc["silent"]}


def known_counts(context: PageContext, header: DeliveryHeader) -> Mapping[str, int]:
    """Counts by outcome; beyond the lookup limit, calls and webhooks count as rows."""
    counts: Mapping[str, int] | None = header.report.get("counts")
    if counts is None and len(context.reader.orders) < ORDERS_LOOKUP_MAX:
        counts = context.reader.counts(header)
    return counts or {UNCOUNTED_ROWS: len(header.report.get("rows", ()))}
