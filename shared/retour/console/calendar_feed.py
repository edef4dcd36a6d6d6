"""A partner's calendar of expected credit at a secret address: one all-day entry per day, with its sum."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from retour.console import program_counts
from retour.console.page_context import PageContext
from retour.console.people import hash_token, session_store
from retour.console.portal import partner_grants
from retour.console.request import Response
from retour.console.words import Words, language_of
from retour.domain.calendar import local_day

NEVER_ENDS = "9999-12-31T00:00:00.000Z"
KEPT_DAYS = 92
"""Days for which a past entry stays in the feed."""
FOLD_BYTES = 74

FeedEntries = dict[str, list[Any]]
"""`<program> <partner> <day> <currency>`: the last sum (None: cancelled), and the number of its changes."""


def page(context: PageContext, link: str = "") -> Response:
    partner_grants(context)
    return context.render("my_calendar.html", link=link)


def renew_address(context: PageContext) -> Response:
    """Create a new secret URL, shown once. The old one ends, and its entries continue under the new one."""
    token = secrets.token_urlsafe(32)
    state = session_store(context.hub)
    mine = [[grant.program, grant.partner] for grant in partner_grants(context)]
    owner = hash_token(repr(sorted(mine)))
    before = state.get(f"calendar-of#{owner}")
    old = state.get(f"calendar#{before['key']}") if before else None
    seen = (old or {}).get("seen", {})
    doc = {"grants": mine, "ends": NEVER_ENDS, "language": context.words.language, "seen": seen}
    state.put(f"calendar#{hash_token(token)}", doc)
    state.put(f"calendar-of#{owner}", {"key": hash_token(token), "ends": NEVER_ENDS})
    if before:
        state.delete(f"calendar#{before['key']}")
    return page(context, f"{context.request.address}/my/calendar/{token}.ics")


def calendar_file(context: PageContext) -> Response:
    """The calendar file, fetched without login: whoever knows the URL may see these sums."""
    state, key = session_store(context.hub), f"calendar#{hash_token(context.part['token'])}"
    doc = state.get(key)
    if doc is None:
        raise context.not_found()
    seen: FeedEntries = dict(doc.get("seen", {}))
    names: dict[str, str] = {}
    stamp = context.hub.now()
    for program_id, partner in doc["grants"]:
        program = context.hub.programs.get(program_id)
        if program is None:
            continue
        names[program_id] = program.name
        at, tally = program_counts.partner_tally(replace(context, opened=program, memory={}), partner)
        if at is None:
            continue
        stamp = at
        days: dict[str, int] = {}
        for day, _, currency, _, _, expected in tally.by_last_day():
            name = f"{program_id} {partner} {day.isoformat()} {currency}"
            days[name] = days.get(name, 0) + expected
        today = local_day(at, program.time_zone)
        seen = update_entries(
            seen, f"{program_id} {partner}", {name: sum_ for name, sum_ in days.items() if sum_}, today
        )
    if seen != doc.get("seen") and context.request.method != "HEAD":
        state.put(key, {**doc, "seen": seen})
    language = doc.get("language") or language_of(None, context.request.headers.get("accept-language", ""))
    body = "".join(
        f"{fold_line(line)}\r\n" for line in ics_lines(Words(language, "UTC", context.words.now), seen, names, stamp)
    )
    return Response(200, body.encode(), {"content-type": "text/calendar; charset=utf-8"})


def update_entries(seen: FeedEntries, whose: str, days: Mapping[str, int], today: date) -> FeedEntries:
    """Update the entries: a changed sum raises the sequence, a future day without credit is cancelled.

    Past days keep their last sum.
    """
    after: FeedEntries = {}
    for name in sorted({*seen, *days}):
        before, day = seen.get(name), date.fromisoformat(name.split(" ")[-2])
        if name.rsplit(" ", 2)[0] != whose:
            after[name] = seen[name]
        elif day < today:
            if before is not None and today - day < timedelta(days=KEPT_DAYS):
                after[name] = before
        elif before is None:
            after[name] = [days[name], 0]
        else:
            now = days.get(name)
            after[name] = before if before[0] == now else [now, before[1] + 1]
    return after


def ics_lines(words: Words, seen: FeedEntries, names: Mapping[str, str], stamp: datetime) -> Iterator[str]:
    title = escape_ics(words.say("Expected credit"))
    yield from ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Retour//Expected credit//EN", "CALSCALE:GREGORIAN",
                "METHOD:PUBLISH", f"X-WR-CALNAME:{title}", "REFRESH-INTERVAL;VALUE=DURATION:PT12H")  # fmt: skip
    for name, (total, sequence) in sorted(seen.items()):
        program_id, day, currency = (name.split(" ")[part] for part in (0, -2, -1))
        said = words.say("%(sum)s certain at the end of this day (%(program)s)", sum=words.minor(total or 0, currency),
                         program=names.get(program_id, program_id))  # fmt: skip
        uid = hashlib.sha256(name.encode()).hexdigest()[:32]
        after = date.fromisoformat(day) + timedelta(days=1)
        yield from (
            "BEGIN:VEVENT", f"UID:{uid}@retour", f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}", f"SEQUENCE:{sequence}",
            f"DTSTART;VALUE=DATE:{day.replace('-', '')}", f"DTEND;VALUE=DATE:{after:%Y%m%d}",
            f"SUMMARY:{escape_ics(said)}", f"STATUS:{'CANCELLED' if total is None else 'CONFIRMED'}",
            "TRANSP:TRANSPARENT", "END:VEVENT",
        )  # fmt: skip
    yield "END:VCALENDAR"


def escape_ics(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def fold_line(line: str) -> str:
    """Fold lines at 75 bytes, as iCalendar requires."""
    parts: list[str] = []
    current = ""
    for letter in line:
        if len((current + letter).encode()) > FOLD_BYTES:
            parts.append(current)
            current = ""
        current += letter
    return "\r\n ".join([*parts, current])
