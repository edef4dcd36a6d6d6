"""What the clock alone brings: visits that are owed, sources that are silent, waiting that has lasted long enough.

Asked every quarter of an hour; a question that was missed is made up for by the next.
"""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.domain.times import instant
from retour.remote.visit import DAILY, due, moment

if TYPE_CHECKING:
    from retour.wiring import Hub

EXPECTED = "expected#"
"""What begins the note of a source whether it spoke in time; the day follows."""


def ask_for_visits(hub: "Hub", program: Program) -> list[str]:
    """The sources whose daily visit was owed and is now asked for, by one caller a day only."""
    now = hub.now()
    asked = []
    for source in program.sources.values():
        if source.channel is not Channel.PULL or not source.enabled:
            continue
        state = hub.state(program.id, source.name)
        last = state.get("last-visit")
        if due(source, now, instant(last["started"]) if last else None):
            day = latest(source.options.get("at", DAILY), source.time_zone, now).astimezone(ZoneInfo(source.time_zone))
            if state.claim(f"daily#{day.date()}", {}):
                hub.send("pulls", {"program": program.id, "source": source.name})
                asked.append(source.name)
    return asked


def list_silent(hub: "Hub", program: Program) -> list[str]:
    """The sources of which nothing came by the time it was expected, newly listed; who spoke since is taken off."""
    deliveries = hub.deliveries(program.id)
    for name, doc in list(deliveries.due("silent")):
        source = program.sources.get(name)
        since = instant(doc["deadline"])
        if source is None or heard(hub, program, source, since):
            deliveries.forget("silent", since, name)
    return [source.name for source in overdue(hub, program)]


def overdue(hub: "Hub", program: Program) -> Iterator[Source]:
    now = hub.now()
    for source in program.sources.values():
        if source.expected_by is None or not source.enabled:
            continue
        expected = latest(source.expected_by, source.time_zone, now)
        known_since = instant(hub.programs.versions(program.id)[0].recorded_at)
        state, key = hub.state(program.id, source.name), f"{EXPECTED}{expected.date()}"
        if known_since > expected - timedelta(days=1) or state.get(key):
            continue
        silent = not heard(hub, program, source, expected - timedelta(days=1))
        if silent:
            doc = {"source": source.name, "expected_by": source.expected_by}
            hub.deliveries(program.id).remind("silent", expected, source.name, doc)
        state.put(key, {"silent": silent})
        if silent:
            yield source


def latest(at: str, zone: str, now: datetime) -> datetime:
    """The last moment, up to now, at which a clock in that zone showed that time of day."""
    today = now.astimezone(ZoneInfo(zone)).date()
    slots = (moment(day, time.fromisoformat(at), ZoneInfo(zone)) for day in (today, today - timedelta(days=1)))
    return max(slot for slot in slots if slot <= now)


def heard(hub: "Hub", program: Program, source: Source, since: datetime) -> bool:
    """Whether anything came over a source since then."""
    deliveries = hub.deliveries(program.id)
    day = since
    while day.date() <= hub.now().date():
        before = None
        while found := deliveries.newest(f"{day:%Y%m%d}", before):
            for header in found:
                if header.delivery.source == source.name and header.delivery.received_at >= since:
                    return True
            before = found[-1].delivery.id
        day += timedelta(days=1)
    return False
