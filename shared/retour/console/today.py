"""The start page and the inbox: what needs attention; and the search by id."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour.console import arrivals, deliveries, program_counts
from retour.console.arrivals import DAYS
from retour.console.page_context import PageContext
from retour.console.program_counts import ProgramCounts
from retour.console.request import Response, redirect
from retour.schedule.hourly_counts import is_refused_whole
from retour.views import paging

WEEKS = 5
CASES = 7
CASES_SCAN_MAX = 100
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


def cases(context: PageContext) -> Iterator[Case]:
    """What is listed for people, the kinds that cost money first; of each so many."""
    for kind in KINDS:
        yield from islice(of_kind(context, kind), CASES_SCAN_MAX)


def of_kind(context: PageContext, kind: str, after: str = "") -> Iterator[Case]:
    """All of a kind, beyond a place."""
    say = context.words.say
    if kind == "refused":
        for delivery, name in refused_deliveries(context):
            if not after or delivery < after:
                said = say("%(name)s was refused whole.", name=name or delivery)
                yield Case(kind, said, delivery_link(context, delivery), place=delivery)
        return
    until = context.hub.now() if kind == "differing" else None
    for subject, doc in context.reader.deliveries.due(kind, until, after):
        if found := build_case(context, kind, subject, doc):
            yield replace(found, place=f"{doc['deadline']}#{subject}")


def build_case(context: PageContext, kind: str, subject: str, doc: Mapping[str, Any]) -> Case | None:
    say, words = context.words.say, context.words
    deadline = str(doc.get("deadline", ""))
    match kind:
        case "held" if paging.is_delivery_id(subject):
            said = say("A delivery of %(source)s is held until somebody releases or discards it.",
                       source=doc.get("source", ""))  # fmt: skip
            return Case(kind, said, delivery_link(context, subject))
        case "held" if doc.get("code") == "NAME_CONFLICT":
            said = say("%(name)s is already a name of order %(order)s; a record claims it for another order.",
                       name=doc.get("name", ""), order=doc.get("order", ""))  # fmt: skip
            return Case(kind, said, record_link(context, subject))
        case "held":
            return Case(kind, say("A record looks like one that came before: the same return, or a second one?"),
                        record_link(context, subject), record=subject)  # fmt: skip
        case "waiting" if doc.get("code") == "ORDER_TOTAL_UNKNOWN":
            public_id = f"{doc.get('home', '')}~{subject}"
            said = say("The total of order %(order)s is not known yet; its refund waits and is refused on %(day)s.",
                       order=str(doc.get("home", "")), day=words.day(deadline))  # fmt: skip
            return Case(kind, said, record_link(context, public_id), deadline, public_id)
        case "status":
            said = say("%(source)s sends the status %(status)s, which is not declared: it says nothing about returns.",
                       source=doc.get("source", ""), status=doc.get("status", ""))  # fmt: skip
            return Case(kind, said, f"{context.base}/setup/sources/{quote(str(doc.get('source', '')), safe='')}")
        case "waiting":
            home = str(doc.get("home", ""))
            said = say("Order %(order)s is not known yet; its return waits and is refused on %(day)s.",
                       order=home.lstrip("@"), day=words.day(deadline))  # fmt: skip
            return Case(kind, said, record_link(context, f"{home}~{subject}"), deadline, f"{home}~{subject}")
        case "failing":
            said = say("%(source)s cannot be polled. %(words)s", source=subject, words=doc.get("words", ""))
            return Case(kind, said, f"{context.base}/setup/sources/{quote(subject, safe='')}", deadline)
        case "silent":
            said = say("%(source)s: expected by %(time)s, not here.", source=subject, time=words.moment(deadline))
            return Case(kind, said, f"{context.base}/setup/sources/{quote(subject, safe='')}", deadline)
        case "rate":
            said = say("From %(day)s on no rate is known for %(currencies)s; such orders would be refused.",
                       day=words.day(deadline), currencies=str(doc.get("currencies", "")))  # fmt: skip
            return Case(kind, said, f"{context.base}/setup", deadline)
        case "alarm":
            return Case(kind, say("A record that came in time was found after its action was final."),
                        record_link(context, subject))  # fmt: skip
        case "differing":
            about = {name: str(doc.get(name, "")) for name in ("source", "others", "order", "said", "by_others")}
            said = say(
                "%(source)s and %(others)s report different totals for the returns of order %(order)s: "
                "%(said)s and %(by_others)s.",
                **about,
            )
            return Case(kind, said, f"{context.base}/actions/{quote(subject.partition('#')[0], safe='')}", deadline)
        case "orphan":
            return Case(kind, say("Its parent was reversed, but this action is locked."), record_link(context, subject))
    return None


def delivery_link(context: PageContext, delivery_id: str) -> str:
    return f"{context.base}/deliveries/{quote(delivery_id)}"


def record_link(context: PageContext, public_id: str) -> str:
    return f"{context.base}/modification?id={quote(public_id, safe='')}"


def refused_deliveries(context: PageContext) -> list[tuple[str, str]]:
    """Id and name of the deliveries of the last days that were refused whole, newest first."""
    seen = arrivals.load_arrivals(context)
    listed = [(one.delivery.id, one.delivery.name) for one in seen.since if is_refused_whole(one)]
    for brought in seen.hours.values():
        listed += [(one[0], one[1]) for of_source in brought.values() for one in of_source.get("refused", ())]
    return sorted(listed, reverse=True)


# What can change until when


@dataclass(frozen=True)
class Day:
    """`sums`: currency and payout."""

    day: date
    sums: Sequence[tuple[str, int]]
    actions: int
    shade: int


def lock_days(context: PageContext, known: ProgramCounts) -> list[Day]:
    """Payouts that can still change, by the last day on which they can, for the coming weeks."""
    monday = context.today - timedelta(days=context.today.weekday())
    sums: dict[date, Counter[str]] = {}
    actions: Counter[date] = Counter()
    for day, _, currency, count, payout, _ in known.total.by_last_day():
        sums.setdefault(day, Counter())[currency] += payout
        actions[day] += count
    days = [monday + timedelta(days=number) for number in range(7 * WEEKS)]
    own = context.program.currency
    most = max([sums[day][own] for day in days if day in sums], default=0) or 1
    return [
        Day(day, sorted(sums.get(day, {}).items()), actions[day],
            min(max(-(-sums[day][own] * SHADES // most), 1), SHADES) if day in sums else 0)
        for day in days
    ]  # fmt: skip


def today_page(context: PageContext) -> Response:
    found = list(islice(cases(context), CASES + 1))
    seen = arrivals.load_arrivals(context)
    latest = seen.latest
    if context.request.query.get("block") == "needs":
        return context.render("needs.html", cases=found[:CASES], more=len(found) > CASES, last=next(iter(latest), None))
    known = program_counts.load_counts(context)
    days = lock_days(context, known)
    return context.render(
        "today.html",
        cases=found[:CASES],
        more=len(found) > CASES,
        last=next(iter(latest), None),
        lines=arrivals.source_rows(context),
        seen=seen,
        items=[deliveries.delivery_line(context, one) for one in latest],
        weeks=[days[start : start + 7] for start in range(0, len(days), 7)],
        day_now=context.today,
        counted=known,
    )


def search(context: PageContext) -> Response:
    """A pasted id leads to what it names."""
    asked = context.request.query.get("q", "").strip().lstrip("#")
    reader = context.reader
    if not asked:
        return redirect(f"{context.base}/today")
    if paging.is_delivery_id(asked) and reader.deliveries.get(asked):
        return redirect(delivery_link(context, asked))
    if "~" in asked and reader.modification(asked):
        return redirect(record_link(context, asked))
    if reader.action(asked):
        return redirect(f"{context.base}/action?id={quote(asked, safe='')}")
    order = reader.order_by_id(context.request.query["q"].strip())
    if len(order.actions) == 1 and order.actions[0].id in order.heads:
        return redirect(f"{context.base}/action?id={quote(order.actions[0].id, safe='')}")
    if order.actions:
        return redirect(f"{context.base}/actions?order_id={quote(asked, safe='')}")
    if order.records:
        return redirect(record_link(context, order.records[0].public_id))
    same = [
        one
        for one in deliveries.recent_headers(context, DAYS)
        if asked.lower() in (one.delivery.sha256, one.delivery.name.lower())
    ]
    if same:
        return redirect(delivery_link(context, same[0].delivery.id))
    return context.render("nothing.html", 404, asked=asked)
