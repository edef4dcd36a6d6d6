"""Scheduled work: polls that are due, silent sources, waiting records that expired.

Runs every 15 minutes. A missed run is made up for by the next.
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
"""Key prefix of a source's daily note of whether it was heard from in time, followed by the day."""
HEARD_NOTE = "heard"
"""Key of a program's note of when its sources were last heard from."""
LOOKBACK = timedelta(days=2)
OVERLAP = timedelta(minutes=10)
"""Maximum time from a delivery's receipt to its header."""


def request_polls(hub: "Hub", program: Program) -> list[str]:
    """Request the polls that are due, each claimed by one caller. Returns the sources."""
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
    """List sources that were not heard from by their expected time, and remove those that were since.

    A silent source is listed once, with the first time it was missed. Returns the newly listed ones.
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
    """Whether an unlisted source was silent on the day of its expected time. Evaluated once a day."""
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
    """When each source was last heard from, and since when it is expected.

    Kept between runs, so that only new deliveries are read, and those of two days at most: a source not heard from in
    that time is silent anyway.
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
    """The latest time up to now at which a clock in that zone showed this time of day."""
    today = now.astimezone(ZoneInfo(zone)).date()
    slots = (local_moment(day, time.fromisoformat(at), ZoneInfo(zone)) for day in (today, today - timedelta(days=1)))
    return max(slot for slot in slots if slot <= now)
