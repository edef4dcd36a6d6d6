"""Is anything going wrong, and what needs a person? The start page, the inbox, and looking things up by their id."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour.api import paging
from retour.console import arrivals, counted, deliveries
from retour.console.arrivals import DAYS
from retour.console.counted import Counted
from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.schedule.arrivals import is_refused_whole

WEEKS = 5
CASES = 7
LOOKED_AT = 100
KINDS = ("held", "alarm", "differing", "orphan", "rate", "failing", "silent", "status", "waiting", "refused")
SHADES = 5


@dataclass(frozen=True)
class Case:
    """Something only a person can decide, or should know."""

    kind: str
    sentence: str
    link: str
    deadline: str = ""
    record: str = ""
    place: str = ""
    """Its place in the list of its kind."""


def cases(visit: Visit) -> Iterator[Case]:
    """What is listed for people, the kinds that cost money first; of each so many."""
    for kind in KINDS:
        yield from islice(of_kind(visit, kind), LOOKED_AT)


def of_kind(visit: Visit, kind: str, after: str = "") -> Iterator[Case]:
    """All of a kind, beyond a place."""
    say = visit.words.say
    if kind == "refused":
        for delivery, name in refused_whole(visit):
            if not after or delivery < after:
                said = say("%(name)s was refused whole.", name=name or delivery)
                yield Case(kind, said, link_of(visit, delivery), place=delivery)
        return
    until = visit.hub.now() if kind == "differing" else None
    for subject, doc in visit.reader.deliveries.due(kind, until, after):
        if found := case_of(visit, kind, subject, doc):
            yield replace(found, place=f"{doc['deadline']}#{subject}")


def case_of(visit: Visit, kind: str, subject: str, doc: Mapping[str, Any]) -> Case | None:
    say, words = visit.words.say, visit.words
    deadline = str(doc.get("deadline", ""))
    match kind:
        case "held" if paging.is_delivery_id(subject):
            said = say("A delivery of %(source)s is held until somebody releases or discards it.",
                       source=doc.get("source", ""))  # fmt: skip
            return Case(kind, said, link_of(visit, subject))
        case "held" if doc.get("code") == "NAME_CONFLICT":
            said = say("%(name)s is already a name of order %(order)s; a record claims it for another order.",
                       name=doc.get("name", ""), order=doc.get("order", ""))  # fmt: skip
            return Case(kind, said, record_link(visit, subject))
        case "held":
            return Case(kind, say("A record looks like one that came before: the same return, or a second one?"),
                        record_link(visit, subject), record=subject)  # fmt: skip
        case "waiting" if doc.get("code") == "ORDER_TOTAL_UNKNOWN":
            public_id = f"{doc.get('home', '')}~{subject}"
            said = say("The total of order %(order)s is not known yet; its refund waits and is refused on %(day)s.",
                       order=str(doc.get("home", "")), day=words.day(deadline))  # fmt: skip
            return Case(kind, said, record_link(visit, public_id), deadline, public_id)
        case "status":
            said = say("%(source)s tells the status %(status)s, which nobody declared: it says nothing about returns.",
                       source=doc.get("source", ""), status=doc.get("status", ""))  # fmt: skip
            return Case(kind, said, f"{visit.base}/setup/sources/{quote(str(doc.get('source', '')), safe='')}")
        case "waiting":
            home = str(doc.get("home", ""))
            said = say("Order %(order)s is not known yet; its return waits and is refused on %(day)s.",
                       order=home.lstrip("@"), day=words.day(deadline))  # fmt: skip
            return Case(kind, said, record_link(visit, f"{home}~{subject}"), deadline, f"{home}~{subject}")
        case "failing":
            said = say("%(source)s cannot be visited. %(words)s", source=subject, words=doc.get("words", ""))
            return Case(kind, said, f"{visit.base}/setup/sources/{quote(subject, safe='')}", deadline)
        case "silent":
            said = say("%(source)s: expected by %(time)s, not here.", source=subject, time=words.moment(deadline))
            return Case(kind, said, f"{visit.base}/setup/sources/{quote(subject, safe='')}", deadline)
        case "rate":
            said = say("From %(day)s on no rate is known for %(currencies)s; such orders would be refused.",
                       day=words.day(deadline), currencies=str(doc.get("currencies", "")))  # fmt: skip
            return Case(kind, said, f"{visit.base}/setup", deadline)
        case "alarm":
            return Case(kind, say("A record that came in time was found after its action was final."),
                        record_link(visit, subject))  # fmt: skip
        case "differing":
            about = {name: str(doc.get(name, "")) for name in ("source", "others", "order", "said", "by_others")}
            said = say(
                "%(source)s and %(others)s tell different sums of the returns of order %(order)s: "
                "%(said)s and %(by_others)s.",
                **about,
            )
            return Case(kind, said, f"{visit.base}/actions/{quote(subject.partition('#')[0], safe='')}", deadline)
        case "orphan":
            return Case(kind, say("Its parent was reversed, but this action is locked."), record_link(visit, subject))
    return None


def link_of(visit: Visit, delivery_id: str) -> str:
    return f"{visit.base}/deliveries/{quote(delivery_id)}"


def record_link(visit: Visit, public_id: str) -> str:
    return f"{visit.base}/modification?id={quote(public_id, safe='')}"


def refused_whole(visit: Visit) -> list[tuple[str, str]]:
    """Id and name of the deliveries of the last days that were refused whole, newest first."""
    seen = arrivals.of(visit)
    listed = [(one.delivery.id, one.delivery.name) for one in seen.since if is_refused_whole(one)]
    for brought in seen.hours.values():
        listed += [(one[0], one[1]) for of_source in brought.values() for one in of_source.get("refused", ())]
    return sorted(listed, reverse=True)


# What locks when


@dataclass(frozen=True)
class Day:
    """`sums`: currency and payout."""

    day: date
    sums: Sequence[tuple[str, int]]
    actions: int
    shade: int


def locks(visit: Visit, known: Counted) -> list[Day]:
    """Payouts that can still change, by the day their actions lock, for the coming weeks."""
    monday = visit.today - timedelta(days=visit.today.weekday())
    sums: dict[date, Counter[str]] = {}
    actions: Counter[date] = Counter()
    for day, _, currency, count, payout, _ in known.total.by_lock():
        sums.setdefault(day, Counter())[currency] += payout
        actions[day] += count
    days = [monday + timedelta(days=number) for number in range(7 * WEEKS)]
    own = visit.program.currency
    most = max([sums[day][own] for day in days if day in sums], default=0) or 1
    return [
        Day(day, sorted(sums.get(day, {}).items()), actions[day],
            min(max(-(-sums[day][own] * SHADES // most), 1), SHADES) if day in sums else 0)
        for day in days
    ]  # fmt: skip


def today(visit: Visit) -> Response:
    found = list(islice(cases(visit), CASES + 1))
    seen = arrivals.of(visit)
    latest = seen.latest
    if visit.request.query.get("block") == "needs":
        return visit.render("needs.html", cases=found[:CASES], more=len(found) > CASES, last=next(iter(latest), None))
    known = counted.counted(visit)
    days = locks(visit, known)
    return visit.render(
        "today.html",
        cases=found[:CASES],
        more=len(found) > CASES,
        last=next(iter(latest), None),
        lines=arrivals.lines(visit),
        seen=seen,
        items=[deliveries.line_of(visit, one) for one in latest],
        weeks=[days[start : start + 7] for start in range(0, len(days), 7)],
        day_now=visit.today,
        counted=known,
    )


def search(visit: Visit) -> Response:
    """A pasted id leads to what it names."""
    asked = visit.request.query.get("q", "").strip().lstrip("#")
    reader = visit.reader
    if not asked:
        return to(f"{visit.base}/today")
    if paging.is_delivery_id(asked) and reader.deliveries.get(asked):
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
    same = [
        one
        for one in deliveries.since(visit, DAYS)
        if asked.lower() in (one.delivery.sha256, one.delivery.name.lower())
    ]
    if same:
        return to(link_of(visit, same[0].delivery.id))
    return visit.render("nothing.html", 404, asked=asked)
