"""Is anything going wrong, and what needs a person? The start page, the inbox, and looking things up by their id."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from retour.api import listing, views
from retour.console import charts, deliveries
from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.domain.actions.action import State
from retour.domain.calendar import local_day
from retour.domain.times import instant
from retour.store.deliveries import Header

DAYS = 14
WEEKS = 5
CASES = 7
LOOKED_AT = 100
HEADS = 300
SOON = timedelta(days=7)
KINDS = ("held", "alarm", "orphan", "silent", "waiting", "refused")
SHADES = 5


@dataclass(frozen=True)
class Case:
    """Something only a person can decide, or should know."""

    kind: str
    sentence: str
    link: str
    deadline: str = ""
    record: str = ""


def cases(visit: Visit, kind: str = "") -> Iterator[Case]:
    """What is listed for people, the kinds that cost money first."""
    store, say = visit.reader.deliveries, visit.words.say
    for one in KINDS:
        if kind not in ("", one):
            continue
        if one == "refused":
            for header in refused_whole(visit):
                name = header.delivery.name or header.delivery.source
                yield Case(one, say("%(name)s was refused whole.", name=name), link_of(visit, header.delivery.id))
            continue
        for subject, doc in islice(store.due(one), LOOKED_AT):
            if found := case_of(visit, one, subject, doc):
                yield found


def case_of(visit: Visit, kind: str, subject: str, doc: Mapping[str, Any]) -> Case | None:
    say, words = visit.words.say, visit.words
    deadline = str(doc.get("deadline", ""))
    match kind:
        case "held" if views.is_delivery_id(subject):
            said = say("A delivery of %(source)s is held until somebody releases or discards it.",
                       source=doc.get("source", ""))  # fmt: skip
            return Case(kind, said, link_of(visit, subject))
        case "held":
            return Case(kind, say("A record looks like one that came before: the same return, or a second one?"),
                        record_link(visit, subject), record=subject)  # fmt: skip
        case "waiting":
            home = str(doc.get("home", ""))
            said = say("Order %(order)s is not known yet; its return waits and is refused on %(day)s.",
                       order=home.lstrip("@"), day=words.day(deadline))  # fmt: skip
            return Case(kind, said, record_link(visit, f"{home}~{subject}"), deadline, f"{home}~{subject}")
        case "silent":
            said = say("%(source)s: expected by %(time)s, not here.", source=subject, time=words.moment(deadline))
            return Case(kind, said, f"{visit.base}/setup/sources/{quote(subject, safe='')}", deadline)
        case "alarm":
            return Case(kind, say("A record that came in time was found after its action was final."),
                        record_link(visit, subject))  # fmt: skip
        case "orphan":
            return Case(kind, say("Its parent was reversed, but this action is locked."), record_link(visit, subject))
    return None


def link_of(visit: Visit, delivery_id: str) -> str:
    return f"{visit.base}/deliveries/{quote(delivery_id)}"


def record_link(visit: Visit, public_id: str) -> str:
    return f"{visit.base}/modification?id={quote(public_id, safe='')}"


def refused_whole(visit: Visit) -> list[Header]:
    return [one for one in recent(visit) if one.state == "refused" and one.report.get("code") != "DISCARDED"]


def recent(visit: Visit) -> list[Header]:
    if "recent" not in visit.memory:
        visit.memory["recent"] = deliveries.since(visit, DAYS)
    found: list[Header] = visit.memory["recent"]
    return found


@dataclass(frozen=True)
class Line:
    """One source and its last days."""

    name: str
    channel: str
    last: Header | None
    picture: Markup
    today: Mapping[str, int]
    expected_by: str
    silent: bool


def lines(visit: Visit) -> list[Line]:
    zone, program = visit.program.time_zone, visit.program
    today = local_day(visit.hub.now(), zone)
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    silent = {subject: str(doc["deadline"]) for subject, doc in visit.reader.deliveries.due("silent")}
    by_source: dict[str, list[Header]] = {}
    for header in recent(visit):
        by_source.setdefault(header.delivery.source, []).append(header)
    names = [*program.sources, *(name for name in by_source if name and name not in program.sources)]
    found = []
    for name in names:
        headers = by_source.get(name, [])
        source = program.sources.get(name)
        counts = {day: counts_of(visit, headers, day) for day in days}
        missing = local_day(instant(silent[name]), zone) if name in silent else None
        bars = [(day.isoformat(), counts[day], day == missing) for day in days]
        channel = source.channel.value if source else headers[0].delivery.channel.value
        found.append(
            Line(
                name,
                channel,
                headers[0] if headers else None,
                charts.day_bars(visit.words, bars, name),
                counts[today],
                (source.expected_by or "") if source else "",
                name in silent,
            )
        )
    return found


def counts_of(visit: Visit, headers: list[Header], day: date) -> Mapping[str, int]:
    """By outcome; of calls and webhooks only as many as a page may look up, the others count as rows."""
    sums: dict[str, int] = {}
    for header in headers:
        if local_day(header.delivery.received_at, visit.program.time_zone) != day:
            continue
        known = header.report.get("counts")
        if known is None and len(visit.reader.orders) < LOOKED_AT:
            known = visit.reader.counts(header)
        for name, count in (known or {"applied": len(header.report.get("rows", ()))}).items():
            sums[name] = sums.get(name, 0) + count
    return sums


@dataclass(frozen=True)
class Day:
    day: date
    payout: int
    actions: int
    shade: int


def locks(visit: Visit) -> tuple[list[Day], bool]:
    """Payouts not final yet by the day their actions lock, for the coming weeks; and whether there were too many."""
    program, reader = visit.program, visit.reader
    today = local_day(visit.hub.now(), program.time_zone)
    monday = today - timedelta(days=today.weekday())
    last = monday + timedelta(days=7 * WEEKS)
    filter_ = listing.filter_of({"locks_after": monday.isoformat(), "locks_before": last.isoformat()}, program)
    sums: dict[date, list[int]] = {}
    cut = False
    for looked, seen in enumerate(listing.candidates(visit.hub, reader, filter_, None)):
        if looked == HEADS:
            cut = True
            break
        found = listing.looked_up(reader, seen)
        if found and filter_.fits(found[1], found[2], reader.now) and found[2].locks_at:
            if found[2].state(reader.now) is State.REVERSED:
                continue
            sums.setdefault(local_day(found[2].locks_at, program.time_zone), []).append(found[2].payout)
    most = max([sum(payouts) for payouts in sums.values()] or [1]) or 1
    days = []
    for number in range(7 * WEEKS):
        day = monday + timedelta(days=number)
        payouts = sums.get(day, [])
        shade = -(-sum(payouts) * SHADES // most) if payouts else 0
        days.append(Day(day, sum(payouts), len(payouts), max(shade, 1 if payouts else 0)))
    return days, cut


def today(visit: Visit) -> Response:
    found = list(islice(cases(visit), CASES + 1))
    latest = recent(visit)
    if visit.request.query.get("block") == "needs":
        return visit.render("needs.html", cases=found[:CASES], more=len(found) > CASES, last=next(iter(latest), None))
    days, cut = locks(visit)
    shown = [deliveries.line_of(visit, one) for one in latest[:10]]
    return visit.render(
        "today.html",
        cases=found[:CASES],
        more=len(found) > CASES,
        last=next(iter(latest), None),
        lines=lines(visit),
        items=shown,
        weeks=[days[start : start + 7] for start in range(0, len(days), 7)],
        day_now=local_day(visit.hub.now(), visit.program.time_zone),
        cut=cut,
    )


def search(visit: Visit) -> Response:
    """A pasted id leads to what it names."""
    asked = visit.request.query.get("q", "").strip().lstrip("#")
    reader = visit.reader
    if not asked:
        return to(f"{visit.base}/today")
    if views.is_delivery_id(asked) and reader.deliveries.get(asked):
        return to(link_of(visit, asked))
    if "~" in asked and reader.modification(asked):
        return to(record_link(visit, asked))
    if reader.action(asked):
        return to(f"{visit.base}/action?id={quote(asked, safe='')}")
    order = reader.order_named(visit.request.query["q"].strip())
    if len(order.actions) == 1 and order.actions[0].id in order.heads:
        return to(f"{visit.base}/action?id={quote(order.actions[0].id, safe='')}")
    if order.actions:
        return to(f"{visit.base}/actions?order_id={quote(asked, safe='')}")
    if order.records:
        return to(record_link(visit, order.records[0].public_id))
    same = [one for one in recent(visit) if asked.lower() in (one.delivery.sha256, one.delivery.name.lower())]
    if same:
        return to(link_of(visit, same[0].delivery.id))
    return visit.render("nothing.html", 404, asked=asked)
