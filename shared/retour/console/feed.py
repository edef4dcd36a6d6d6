"""A partner's calendar of expected credit, under a secret address: an all-day entry for each day, with its sum."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from retour.console import counted
from retour.console.people import hashed, kept
from retour.console.portal import grants
from retour.console.request import Response
from retour.console.visit import Visit
from retour.console.words import Words, language_of
from retour.domain.calendar import local_day

FOREVER = "9999-12-31T00:00:00.000Z"
KEPT_DAYS = 92
"""So long a day that has passed stays in the feed."""
FOLD_BYTES = 74

Seen = dict[str, list[Any]]
"""`<program> <partner> <day> <currency>`: the sum as it was told last (None: cancelled), and how often it changed."""


def page(visit: Visit, link: str = "") -> Response:
    grants(visit)
    return visit.render("my_calendar.html", link=link)


def renew(visit: Visit) -> Response:
    """A new secret address, shown once; the one before ends, and its entries go on under the new one."""
    token = secrets.token_urlsafe(32)
    state = kept(visit.hub)
    mine = [[grant.program, grant.partner] for grant in grants(visit)]
    owner = hashed(repr(sorted(mine)))
    before = state.get(f"calendar-of#{owner}")
    old = state.get(f"calendar#{before['key']}") if before else None
    seen = (old or {}).get("seen", {})
    doc = {"grants": mine, "ends": FOREVER, "language": visit.words.language, "seen": seen}
    state.put(f"calendar#{hashed(token)}", doc)
    state.put(f"calendar-of#{owner}", {"key": hashed(token), "ends": FOREVER})
    if before:
        state.delete(f"calendar#{before['key']}")
    return page(visit, f"{visit.request.address}/my/calendar/{token}.ics")


def calendar(visit: Visit) -> Response:
    """What a calendar program fetches, without signing in: whoever knows the address may see these sums."""
    state, key = kept(visit.hub), f"calendar#{hashed(visit.part['token'])}"
    doc = state.get(key)
    if doc is None:
        raise visit.not_found()
    seen: Seen = dict(doc.get("seen", {}))
    names: dict[str, str] = {}
    stamp = visit.hub.now()
    for program_id, partner in doc["grants"]:
        program = visit.hub.programs.get(program_id)
        if program is None:
            continue
        names[program_id] = program.name
        at, tally = counted.of_partner(replace(visit, opened=program, memory={}), partner)
        if at is None:
            continue
        stamp = at
        days: dict[str, int] = {}
        for day, _, currency, _, _, expected in tally.by_lock():
            name = f"{program_id} {partner} {day.isoformat()} {currency}"
            days[name] = days.get(name, 0) + expected
        today = local_day(at, program.time_zone)
        seen = followed(seen, f"{program_id} {partner}", {name: sum_ for name, sum_ in days.items() if sum_}, today)
    if seen != doc.get("seen"):
        state.put(key, {**doc, "seen": seen})
    language = doc.get("language") or language_of(None, visit.request.headers.get("accept-language", ""))
    body = "".join(f"{folded(line)}\r\n" for line in lines(Words(language, "UTC", visit.words.now), seen, names, stamp))
    return Response(200, body.encode(), {"content-type": "text/calendar; charset=utf-8"})


def followed(seen: Seen, whose: str, days: Mapping[str, int], today: date) -> Seen:
    """What was told before, brought up to date: another sum raises the sequence, and a day to come that is gone is
    cancelled. A day that has come stays as it was told last."""
    after: Seen = {}
    for name in sorted({*seen, *days}):
        before, day = seen.get(name), date.fromisoformat(name.split(" ")[-2])
        if name.rsplit(" ", 2)[0] != whose:
            after[name] = seen[name]
        elif day <= today:
            if before is not None and today - day < timedelta(days=KEPT_DAYS):
                after[name] = before
        elif before is None:
            after[name] = [days[name], 0]
        else:
            now = days.get(name)
            after[name] = before if before[0] == now else [now, before[1] + 1]
    return after


def lines(words: Words, seen: Seen, names: Mapping[str, str], stamp: datetime) -> Iterator[str]:
    title = escaped(words.say("Expected credit"))
    yield from ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Retour//Expected credit//EN", "CALSCALE:GREGORIAN",
                "METHOD:PUBLISH", f"X-WR-CALNAME:{title}", "REFRESH-INTERVAL;VALUE=DURATION:PT12H")  # fmt: skip
    for name, (total, sequence) in sorted(seen.items()):
        program_id, day, currency = (name.split(" ")[part] for part in (0, -2, -1))
        said = words.say("%(sum)s certain (%(program)s)", sum=words.minor(total or 0, currency),
                         program=names.get(program_id, program_id))  # fmt: skip
        uid = hashlib.sha256(name.encode()).hexdigest()[:32]
        after = date.fromisoformat(day) + timedelta(days=1)
        yield from (
            "BEGIN:VEVENT", f"UID:{uid}@retour", f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}", f"SEQUENCE:{sequence}",
            f"DTSTART;VALUE=DATE:{day.replace('-', '')}", f"DTEND;VALUE=DATE:{after:%Y%m%d}",
            f"SUMMARY:{escaped(said)}", f"STATUS:{'CANCELLED' if total is None else 'CONFIRMED'}",
            "TRANSP:TRANSPARENT", "END:VEVENT",
        )  # fmt: skip
    yield "END:VCALENDAR"


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def folded(line: str) -> str:
    """Lines of at most 75 bytes, as calendars ask for."""
    parts: list[str] = []
    current = ""
    for letter in line:
        if len((current + letter).encode()) > FOLD_BYTES:
            parts.append(current)
            current = ""
        current += letter
    return "\r\n ".join([*parts, current])
