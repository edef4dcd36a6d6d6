"""What came in lately, by source: the hours that are over as they were counted, the deliveries since by looking."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from markupsafe import Markup

from retour.api import admission, paging
from retour.api.paging import Place
from retour.console import charts, counted
from retour.console.visit import Visit
from retour.domain.calendar import local_day
from retour.domain.delivery import Kind, received_at
from retour.domain.program import Source
from retour.domain.times import instant
from retour.schedule.arrivals import NOT_LOOKED_AT
from retour.schedule.due import EXPECTED
from retour.store.deliveries import Header

DAYS = 14
LIVE = 60
"""Deliveries since the last hour that is counted, as many as a page looks at."""
LATEST = 10
LOOKED_AT = 100
"""Orders looked up for them."""


@dataclass(frozen=True)
class Arrivals:
    """Of the last days: what each source brought by the hour, as it was counted; then the deliveries since.

    `cut`: there were more since than a page looks at. `latest` are the newest ones of all.
    """

    hours: Mapping[datetime, Mapping[str, Any]]
    until: datetime | None
    since: Sequence[Header]
    cut: bool
    latest: Sequence[Header]


def of(visit: Visit) -> Arrivals:
    """Looked up once for a page."""
    if "arrivals" not in visit.memory:
        visit.memory["arrivals"] = looked_up(visit)
    found: Arrivals = visit.memory["arrivals"]
    return found


def looked_up(visit: Visit) -> Arrivals:
    now, rollups = visit.hub.now(), counted.store(visit)
    days = [f"{now - timedelta(days=back):%Y%m%d}" for back in range(DAYS + 1)]
    until = rollups.counted_until()
    hours = {
        datetime.strptime(f"{day}{hour}", "%Y%m%d%H").replace(tzinfo=UTC): brought
        for day, doc in rollups.days(days).items()
        for hour, brought in doc["hours"].items()
    }
    today, first = admission.days(visit.hub, visit.program)
    newest = (one for one in paging.headers(visit.reader.deliveries, Place(today), max(first, days[-1]))
              if isinstance(one, Header) and one.delivery.kind not in (Kind.PROGRAM, Kind.RATES))  # fmt: skip
    latest: list[Header] = []
    since: list[Header] = []
    for header in newest:
        is_new = until is None or header.delivery.received_at >= until
        since += [header] if is_new else []
        latest += [header] if len(latest) < LATEST else []
        if len(since) == LIVE or (not is_new and len(latest) == LATEST):
            break
    return Arrivals(hours, until, since, len(since) == LIVE, latest)


@dataclass(frozen=True)
class Line:
    """One source and its last days."""

    name: str
    channel: str
    last: str
    picture: Markup
    today: Mapping[str, int]
    expected_by: str
    silent: bool

    @property
    def last_at(self) -> datetime:
        return received_at(self.last)


def lines(visit: Visit) -> list[Line]:
    zone, program, seen = visit.program.time_zone, visit.program, of(visit)
    days = [visit.today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    silent = {subject: str(doc["deadline"]) for subject, doc in visit.reader.deliveries.due("silent")}
    counts: dict[str, dict[date, Counter[str]]] = {}
    last: dict[str, tuple[str, str]] = {}
    for hour, brought in sorted(seen.hours.items()):
        for source, one in brought.items():
            counts.setdefault(source, {}).setdefault(local_day(hour, zone), Counter()).update(one["counts"])
            last[source] = (one["last"], one["channel"])
    for header in reversed(seen.since):
        delivery = header.delivery
        of_source = counts.setdefault(delivery.source, {})
        of_source.setdefault(local_day(delivery.received_at, zone), Counter()).update(known_counts(visit, header))
        last[delivery.source] = (delivery.id, delivery.channel.value)
    names = [*program.sources, *(name for name in sorted(last) if name and name not in program.sources)]
    found = []
    for name in names:
        declared = program.sources.get(name)
        of_days: Mapping[date, Mapping[str, int]] = counts.get(name, {})
        missing = silent_days(visit, declared, days) if declared else set()
        missing |= {local_day(instant(silent[name]), zone)} if name in silent else set()
        bars = [(day.isoformat(), of_days.get(day) or {}, day in missing and not of_days.get(day)) for day in days]
        found.append(
            Line(
                name=name,
                channel=declared.channel.value if declared else last[name][1],
                last=last.get(name, ("", ""))[0],
                picture=charts.day_bars(visit.words, bars, name),
                today=of_days.get(visit.today, {}),
                expected_by=(declared.expected_by or "") if declared else "",
                silent=name in silent,
            )
        )
    return found


def silent_days(visit: Visit, source: Source, days: Sequence[date]) -> set[date]:
    """The days on which nothing came of what was expected, as it was seen then."""
    if source.expected_by is None:
        return set()
    state = visit.hub.state(visit.program.id, source.name)
    seen = (one for month in {f"{day:%Y-%m}" for day in days} for one in state.list(f"{EXPECTED}{month}"))
    return {date.fromisoformat(key.removeprefix(EXPECTED)) for key, doc in seen if doc["silent"]}


def known_counts(visit: Visit, header: Header) -> Mapping[str, int]:
    """By outcome; of calls and webhooks only as many as a page may look up, the others count as rows."""
    counts: Mapping[str, int] | None = header.report.get("counts")
    if counts is None and len(visit.reader.orders) < LOOKED_AT:
        counts = visit.reader.counts(header)
    return counts or {NOT_LOOKED_AT: len(header.report.get("rows", ()))}
