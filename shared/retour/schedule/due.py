"""What the clock alone brings: visits that are owed, sources that are silent, waiting that has lasted long enough.

Asked every quarter of an hour; a question that was missed is made up for by the next.
"""

from collections.abc import Container, Iterable
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.domain.times import instant, text
from retour.remote.visit import due, latest_visit, moment, times_of_day

if TYPE_CHECKING:
    from retour.wiring import Hub

EXPECTED = "expected#"
"""What begins the note of a source whether it spoke in time; the day follows."""
HEARD = "heard"
"""The one note of a program of when its sources were last heard of."""
LOOKED_BACK = timedelta(days=2)
OVERLAP = timedelta(minutes=10)
"""So long a delivery may take from its receipt to its header."""


def ask_for_visits(hub: "Hub", program: Program) -> list[str]:
    """The sources of which a visit was owed and is now asked for, by one caller only for each time of day."""
    now = hub.now()
    asked = []
    for source in program.sources.values():
        if source.channel is not Channel.PULL or not source.enabled:
            continue
        state = hub.state(program.id, source.name)
        last = state.get("last-visit")
        owed = latest_visit(source, now)
        if owed is not None and due(source, now, instant(last["started"]) if last else None):
            local = owed.astimezone(ZoneInfo(source.time_zone))
            time_of_day = f"T{local:%H:%M}" if len(times_of_day(source.options)) > 1 else ""
            if state.claim(f"daily#{local.date()}{time_of_day}", {}):
                hub.send("pulls", {"program": program.id, "source": source.name})
                asked.append(source.name)
    return asked


def list_silent(hub: "Hub", program: Program) -> list[str]:
    """The sources of which nothing came by the time it was expected, newly listed; who spoke since is taken off.

    However long a source is silent, it is listed once, with the time at which it was first missed.
    """
    deliveries = hub.deliveries(program.id)
    expecting = {one.name: one for one in program.sources.values() if one.expected_by is not None and one.enabled}
    listed = [(name, instant(doc["deadline"])) for name, doc in deliveries.due("silent")]
    if not expecting and not listed:
        return []
    heard, since = last_heard(hub, program, expecting)
    missed: set[str] = set()
    for name, deadline in listed:
        if name in missed or name not in expecting or (name in heard and heard[name] >= deadline):
            deliveries.forget("silent", deadline, name)
        else:
            missed.add(name)
    return [
        source.name
        for source in expecting.values()
        if is_missed_anew(hub, source, heard.get(source.name), since[source.name], program.id, missed)
    ]


def is_missed_anew(
    hub: "Hub", source: Source, heard: datetime | None, since: datetime, program_id: str, missed: Container[str]
) -> bool:
    """Whether a source that was not listed did not speak within a day of its time; that is judged once a day."""
    assert source.expected_by is not None
    expected = latest(source.expected_by, source.time_zone, hub.now())
    day_before = expected - timedelta(days=1)
    state, key = hub.state(program_id, source.name), f"{EXPECTED}{expected.date()}"
    if since > day_before or state.get(key):
        return False
    silent = heard is None or heard < day_before
    is_new = silent and source.name not in missed
    if is_new:
        doc = {"source": source.name, "expected_by": source.expected_by}
        hub.deliveries(program_id).remind("silent", expected, source.name, doc)
    state.put(key, {"silent": silent})
    return is_new


def last_heard(
    hub: "Hub", program: Program, expecting: Iterable[str]
) -> tuple[dict[str, datetime], dict[str, datetime]]:
    """When each source was last heard of, and since when something is expected of it.

    Kept from one tick to the next, so that only what came since is looked at, and never more than of two days: who
    spoke before those is silent whatever it said.
    """
    state, now = hub.state(program.id, ""), hub.now()
    kept = state.get(HEARD) or {"until": text(now - LOOKED_BACK), "heard": {}, "since": {}}
    start = max(instant(kept["until"]) - OVERLAP, now - LOOKED_BACK)
    known = {name: instant(at) for name, at in kept["heard"].items()}
    came = hub.deliveries(program.id).newest_of_sources(start, now)
    heard = known | {name: max(at, known.get(name, at)) for name, at in came.items()}
    since = {name: instant(at) for name, at in kept["since"].items() if name in expecting}
    if new := [name for name in expecting if name not in since]:
        since |= dict.fromkeys(new, instant(hub.programs.newest_version(program.id).recorded_at))
    state.put(
        HEARD,
        {
            "until": text(now),
            "heard": {name: text(at) for name, at in heard.items() if name in program.sources},
            "since": {name: text(at) for name, at in since.items()},
        },
    )
    return heard, since


def latest(at: str, zone: str, now: datetime) -> datetime:
    """The last moment, up to now, at which a clock in that zone showed that time of day."""
    today = now.astimezone(ZoneInfo(zone)).date()
    slots = (moment(day, time.fromisoformat(at), ZoneInfo(zone)) for day in (today, today - timedelta(days=1)))
    return max(slot for slot in slots if slot <= now)
