"""What only a person can decide, or should know: listed by kind, put together where it is one matter, and weighed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour.console import arrivals
from retour.console.page_context import PageContext
from retour.domain.actions.action import LifecycleState
from retour.domain.actions.order import Order
from retour.intake import correction
from retour.intake.batch import HELD
from retour.schedule.hourly_counts import is_refused_whole, rows_refused
from retour.store.deliveries import DeliveryHeader
from retour.views import paging

CASES_SCAN_MAX = 100
KINDS = ("held", "alarm", "differing", "orphan", "rate", "failing", "silent", "status", "waiting", "refused", "rows")
LOOKUPS_MAX = 20
"""Deliveries and orders looked at for one page, to say what a case is worth and until when."""
FAR_DAYS = 30
"""So far off a case counts that has no day on which it is too late."""


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
    delivery: str = ""
    """What it came with, where it came with something."""


def cases(context: PageContext) -> Iterator[Case]:
    """What is listed for people, the kinds that cost money first; of each so many."""
    for kind in KINDS:
        yield from islice(of_kind(context, kind), CASES_SCAN_MAX)


def of_kind(context: PageContext, kind: str, after: str = "") -> Iterator[Case]:
    """All of a kind, beyond a place."""
    say = context.words.say
    if kind == "rows":
        yield from (case for case in refused_rows(context) if not after or case.place < after)
        return
    if kind == "refused":
        for delivery, name in refused_deliveries(context):
            if not after or delivery < after:
                said = say("%(name)s was refused whole.", name=name or delivery)
                yield Case(kind, said, delivery_link(context, delivery), place=delivery, delivery=delivery)
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
            return Case(kind, said, delivery_link(context, subject), delivery=subject)
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
            return Case(kind, said, record_link(context, f"{home}~{subject}"), deadline, f"{home}~{subject}",
                        delivery=str(doc.get("delivery", "")))  # fmt: skip
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


def refused_rows(context: PageContext) -> Iterator[Case]:
    """Deliveries of the last days with rows that were refused and not corrected since, the newest first."""
    for looked, (delivery_id, name, refused) in enumerate(deliveries_with_refusals(context)):
        header = context.reader.deliveries.get(delivery_id) if looked < LOOKUPS_MAX else None
        if header is not None:
            links = correction.correction_links(context.hub, header.delivery)
            refused -= len({place for link in links for place in link.places})
        if refused > 0:
            said = context.words.count(
                "%(number)s row of %(name)s was refused and not corrected.",
                "%(number)s rows of %(name)s were refused and not corrected.",
                refused,
                name=name or delivery_id,
            )
            link = f"{delivery_link(context, delivery_id)}?outcome=refused"
            yield Case("rows", said, link, place=delivery_id, delivery=delivery_id)


def deliveries_with_refusals(context: PageContext) -> list[tuple[str, str, int]]:
    """Id, name and refused rows, as far as they are counted."""
    seen = arrivals.load_arrivals(context)
    listed = [(one.delivery.id, one.delivery.name, refused) for one in seen.since if (refused := rows_refused(one))]
    for brought in seen.hours.values():
        listed += [(one[0], one[1], one[2]) for of_source in brought.values() for one in of_source.get("rows", ())]
    return sorted(listed, reverse=True)


# One matter, and what it is worth


@dataclass(frozen=True)
class Stake:
    """What a case is about: payout in minor units of a currency, and the moment at which it is too late."""

    payout: int = 0
    currency: str = ""
    deadline: str = ""


@dataclass(frozen=True)
class CaseGroup:
    """Cases that are one matter for a person: the orders of one file that are not known, or one case alone."""

    cases: Sequence[Case]
    sentence: str
    stake: Stake

    @property
    def case(self) -> Case:
        return self.cases[0]


def grouped_cases(context: PageContext, listed: Sequence[Case], most: int | None = None) -> list[CaseGroup]:
    """What is one matter put together, the dearest and nearest first; what nobody knows the worth of, by its kind."""
    by_matter: dict[tuple[str, ...], list[Case]] = {}
    for case in listed[:most] if most else listed:
        is_one_of_file = case.kind == "waiting" and case.delivery
        matter = (case.kind, case.delivery) if is_one_of_file else (case.kind, case.link, case.sentence)
        by_matter.setdefault(matter, []).append(case)
    found = []
    for looked, cases_ in enumerate(by_matter.values()):
        stake = stake_of(context, cases_[0]) if looked < LOOKUPS_MAX else Stake(deadline=cases_[0].deadline)
        found.append(CaseGroup(cases_, group_sentence(context, cases_), stake))
    return sorted(found, key=lambda one: weigh(context, one))


def weigh(context: PageContext, one: CaseGroup) -> tuple[float, int, str]:
    """Money by nearness: what is twice as dear, or half as far, comes first."""
    deadline = one.stake.deadline
    days = max(context.words.days_to(deadline), 0) + 1 if deadline else FAR_DAYS
    return -one.stake.payout / days, KINDS.index(one.case.kind), deadline or "~"


def group_sentence(context: PageContext, listed: Sequence[Case]) -> str:
    if len(listed) == 1:
        return listed[0].sentence
    header = context.reader.deliveries.get(listed[0].delivery)
    return context.words.count(
        "%(number)s order of %(name)s is not known yet; its return waits and is refused on %(day)s.",
        "%(number)s orders of %(name)s are not known yet; their returns wait and are refused from %(day)s on.",
        len(listed),
        name=(header.delivery.name if header else "") or listed[0].delivery,
        day=context.words.day(min(case.deadline for case in listed)),
    )


def stake_of(context: PageContext, case: Case) -> Stake:
    """Of a held file what it would change, of a held record what its order still pays, and until when it can."""
    if case.kind != "held":
        return Stake(deadline=case.deadline)
    if case.delivery:
        return stake_of_delivery(context, context.reader.deliveries.get(case.delivery))
    found = context.reader.modification(case.record) if case.record else None
    return stake_of_order(context, found[0]) if found else Stake(deadline=case.deadline)


def stake_of_delivery(context: PageContext, header: DeliveryHeader | None) -> Stake:
    total = header.report.get("preview", {}).get("total") if header and header.state == HELD else None
    if not total:
        return Stake()
    return Stake(abs(context.words.minor_of(total["payout"]["difference"], total["currency"])), total["currency"])


def stake_of_order(context: PageContext, order: Order) -> Stake:
    now = context.hub.now()
    open_ = [head for head in order.heads.values()
             if head.action and head.state(now) in (LifecycleState.PENDING, LifecycleState.APPROVED)]  # fmt: skip
    locks = [head.locks_at.isoformat() for head in open_ if head.locks_at]
    return Stake(sum(head.payout for head in open_), context.program.currency, min(locks, default=""))
