"""What came in, from where, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice

from retour.api import admission, batches, documents, paging
from retour.api.calls import Refused
from retour.api.documents import Document
from retour.api.paging import Page, Place
from retour.console import delivery
from retour.console.request import Response
from retour.console.visit import Visit
from retour.domain.delivery import Channel, received_at
from retour.intake.batch import HELD, WORKING, payouts_moved
from retour.intake.large import Progress
from retour.store.deliveries import Header

PAGE = 25
FEW_ROWS = 20
LISTED_ORDERS = 60
MANY = ("release", "discard", "replay")


def listed(visit: Visit, limit: int) -> Page:
    """Deliveries by the filters of this address, newest first."""
    query, program = visit.request.query, visit.program
    today, first = admission.days(visit.hub, program)
    start = paging.place_of(query.get("cursor", "")) or Place(today)
    if (until := day_of(query.get("to"))) and not query.get("cursor"):
        start = Place(min(until, today))
    first = max(day_of(query.get("from")) or first, first)
    text = query.get("q", "").strip().lower()

    def wanted(header: Header) -> bool:
        one = header.delivery
        return (
            query.get("channel") in (None, "", one.channel)
            and query.get("state") in (None, "", header.state)
            and query.get("source") in (None, "", one.source)
            and (not text or text in one.name.lower() or text in one.id.lower())
        )

    items: list[Document] = []
    for seen in paging.headers(visit.reader.deliveries, start, first):
        if isinstance(seen, Place):
            return Page(items, seen)
        if wanted(seen):
            items.append(line_of(visit, seen))
        if len(items) == limit:
            return Page(items, Place(seen.delivery.id[:8], seen.delivery.id))
    return Page(items, None)


def line_of(visit: Visit, header: Header) -> Document:
    """As a list shows it. Outcomes that are not kept are looked up for short ones only, so that no list is dear."""
    report = header.report
    rows = len(report.get("rows", ()))
    few = 0 < rows <= FEW_ROWS and len(visit.reader.orders) + rows <= LISTED_ORDERS
    results = list(visit.reader.results(header)) if few and "counts" not in report else []
    document = documents.batch_document(header, visit.program, report.get("counts") or documents.count(results))
    if results:
        document["effect"] = documents.effects(payouts_moved(results))
    if "same_as" in document:
        document["same_on"] = received_at(document["same_as"])
    if header.state == WORKING:
        document["percent"] = Progress.of(visit.hub.work(visit.program.id, header.delivery.id)).percent
    return document


def day_of(text: str | None) -> str | None:
    day = (text or "").replace("-", "")
    return day if paging.is_day(day) else None


def index(visit: Visit) -> Response:
    page = listed(visit, PAGE)
    older = visit.here(cursor=page.next.cursor()) if page.next else None
    filters = [name for name in ("channel", "state", "source", "from", "to", "q") if visit.request.query.get(name)]
    return visit.render(
        "deliveries.html",
        items=page.items,
        older=older,
        filters=filters,
        channels=[channel.value for channel in Channel],
        states=batches.STATES,
        sources=[*visit.program.sources],
    )


def since(visit: Visit, days: int) -> list[Header]:
    """The headers of the last days, newest first, as many as a page may look at."""
    today, first = admission.days(visit.hub, visit.program)
    from_day = max(f"{visit.hub.now() - timedelta(days=days):%Y%m%d}", first)
    return [one for one in islice(paging.headers(visit.reader.deliveries, Place(today), from_day), 300)
            if isinstance(one, Header)]  # fmt: skip


# Several at once


@dataclass(frozen=True)
class Chosen:
    """One of several that were selected. `cannot` says why it is left as it is, `done` that it was decided."""

    header: Header
    line: Document
    cannot: str = ""
    done: bool = False

    @property
    def total(self) -> Document | None:
        """What a held one would do to payouts, where it was weighed."""
        found: Document | None = self.header.report.get("preview", {}).get("total")
        return found


def bulk(visit: Visit) -> Response:
    """First what it would come to, then, confirmed, done one by one, with what became of each."""
    form, what = visit.request.form, visit.request.form.get("what", "")
    if what not in MANY:
        raise visit.not_found()
    ids = list(dict.fromkeys(visit.request.values("ids")))[:PAGE]
    chosen = [fit(visit, batches.header_of(visit.reader, one), what) for one in ids]
    rows = sum(held.rows for one in chosen if not one.cannot and (held := delivery.held(visit.program, one.header)))
    confirmed = form.get("step") == "do"
    wrong = ""
    if not ids:
        wrong = visit.words.say("Select at least one delivery.")
    elif confirmed and what == "discard" and not delivery.typed(rows, form.get("rows", "")):
        wrong = visit.words.say("Type %(rows)s, the number of their rows, to discard them.", rows=rows)
    elif confirmed:
        chosen = [one if one.cannot else carried_out(visit, one, what) for one in chosen]
    return visit.render("deliveries_bulk.html", 422 if wrong else 200, chosen=chosen, what=what, wrong=wrong,
                        done=confirmed and not wrong, rows=rows, many=what == "discard" and rows > delivery.MANY,
                        sum=sum_of(chosen), note=form.get("note", ""))  # fmt: skip


def fit(visit: Visit, header: Header, what: str) -> Chosen:
    """A delivery, and whether this can be done to it."""
    say = visit.words.say
    cannot = ""
    if what != "replay" and header.state != HELD:
        cannot = say("It is not held.")
    elif what == "replay" and not delivery.allowed(visit, header, {})["replay"]:
        cannot = say("It cannot be read again as it stands.")
    return Chosen(header, line_of(visit, header), cannot)


def carried_out(visit: Visit, one: Chosen, what: str) -> Chosen:
    """Decided, and as it stands then; somebody may have been faster."""
    batch = one.header.delivery.id
    try:
        delivery.decided(visit, batch, what)
    except Refused as refused:
        return Chosen(one.header, one.line, visit.told(refused))
    header = batches.header_of(visit.reader, batch)
    return Chosen(header, line_of(visit, header), done=True)


def sum_of(chosen: Sequence[Chosen]) -> list[Document]:
    """What those that can be decided would do to payouts together, as far as they were weighed."""
    sums: dict[str, Decimal] = {}
    for one in chosen:
        if one.total and not one.cannot:
            unit = one.total["currency"]
            sums[unit] = sums.get(unit, Decimal(0)) + Decimal(one.total["payout"]["difference"])
    return [{"currency": currency, "change": change} for currency, change in sums.items()]
