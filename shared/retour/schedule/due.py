"""Scheduled work: polls that are due, silent sources, waiting records that expired.

Asked every quarter of an hour; a question that was missed is made up for by the next.
"""

from collections.abc import Container, Iterable
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant
from retour.polling.slots import is_poll_due, latest_slot, local_moment, times_of_day

if TYPE_CHECKING:
    from retour.wiring import Hub

EXPECTED_NOTE = "expected#"
"""What begins the note of a source whether it spoke in time; the day follows."""
HEARD_NOTE = "heard"
"""The one note of a program of when its sources were last heard of."""
LOOKBACK = timedelta(days=2)
OVERLAP = timedelta(minutes=10)
"""So long a delivery may take from its receipt to its header."""


def request_polls(hub: "Hub", program: Program) -> list[str]:
    """The sources of which a visit was owed and is now asked for, by one caller only for each time of day."""
    now = hub.now()
    asked = []
    for source in program.sources.values():
        if source.channel is not Channel.PULL or not source.enabled:
            continue
        state = hub.state(program.id, source.name)
        last = state.get("last-visit")
        owed = latest_slot(source, now)
        if owed is not None and is_poll_due(source, now, parse_instant(last["started"]) if last else None):
            local = owed.astimezone(ZoneInfo(source.time_zone))
            time_of_day = f"T{local:%H:%M}" if len(times_of_day(source.options)) > 1 else ""
            if state.claim(f"daily#{local.date()}{time_of_day}", {}):
                hub.send("pulls", {"program": program.id, "source": source.name})
                asked.append(source.name)
    return asked


def list_silent_sources(hub: "Hub", program: Program) -> list[str]:
    """The sources of which nothing came by the time it was expected, newly listed; who spoke since is taken off.

    However long a source is silent, it is listed once, with the time at which it was first missed.
    """
    deliveries = hub.deliveries(program.id)
    expecting = {one.name: one for one in program.sources.values() if one.expected_by is not None and one.enabled}
    listed = [(name, parse_instant(doc["deadline"])) for name, doc in deliveries.due("silent")]
    if not expecting and not listed:
        return []
    heard, since = last_heard_times(hub, program, expecting)
    missed: set[str] = set()
    for name, deadline in listed:
        if name in missed or name not in expecting or (name in heard and heard[name] >= deadline):
            deliveries.forget("silent", deadline, name)
        else:
            missed.add(name)
    return [
        source.name
        for source in expecting.values()
        if is_newly_silent(hub, source, heard.get(source.name), since[source.name], program.id, missed)
    ]


def is_newly_silent(
    hub: "Hub", source: Source, heard: datetime | None, since: datetime, program_id: str, missed: Container[str]
) -> bool:
    """Whether a source that was not listed did not speak within a day of its time; that is judged once a day."""
    assert source.expected_by is not None
    expected = latest_time_of_day(source.expected_by, source.time_zone, hub.now())
    day_before = expected - timedelta(days=1)
    state, key = hub.state(program_id, source.name), f"{EXPECTED_NOTE}{expected.date()}"
    if since > day_before or state.get(key):
        return False
    silent = heard is None or heard < day_before
    is_new = silent and source.name not in missed
    if is_new:
        doc = {"source": source.name, "expected_by": source.expected_by}
        hub.deliveries(program_id).remind("silent", expected, source.name, doc)
    state.put(key, {"silent": silent})
    return is_new


def last_heard_times(
    hub: "Hub", program: Program, expecting: Iterable[str]
) -> tuple[dict[str, datetime], dict[str, datetime]]:
    """When each source was last heard of, and since when something is expected of it.

    Kept from one tick to the next, so that only what came since is looked at, and never more than of two days: who
    spoke before those is silent whatever it said.
    """
    state, now = hub.state(program.id, ""), hub.now()
    kept = state.get(HEARD_NOTE) or {"until": format_instant(now - LOOKBACK), "heard": {}, "since": {}}
    start = max(parse_instant(kept["until"]) - OVERLAP, now - LOOKBACK)
    known = {name: parse_instant(at) for name, at in kept["heard"].items()}
    came = hub.deliveries(program.id).newest_of_sources(start, now)
    heard = known | {name: max(at, known.get(name, at)) for name, at in came.items()}
    since = {name: parse_instant(at) for name, at in kept["since"].items() if name in expecting}
    if new := [name for name in expecting if name not in since]:
        since |= dict.fromkeys(new, parse_instant(hub.programs.newest_version(program.id).recorded_at))
    state.put(
        HEARD_NOTE,
        {
            "until": format_instant(now),
            "heard": {name: format_instant(at) for name, at in heard.items() if name in program.sources},
            "since": {name: format_instant(at) for name, at in since.items()},
        },
    )
    return heard, since


def latest_time_of_day(at: str, zone: str, now: datetime) -> datetime:
    """The last moment, up to now, at which a clock in that zone showed that time of day."""
    today = now.astimezone(ZoneInfo(zone)).date()
    slots = (local_moment(day, time.fromisoformat(at), ZoneInfo(zone)) for day in (today, today - timedelta(days=1)))
    return max(slot for slot in slots if slot <= now)
