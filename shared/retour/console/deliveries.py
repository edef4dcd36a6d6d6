"""The list of deliveries: where each came from, and its outcome."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, cast

from retour.console import delivery
from retour.console.delivery import DeliveryLine
from retour.console.page_context import PageContext
from retour.console.request import Response, download
from retour.console.spreadsheet import as_csv
from retour.domain.delivery import Channel, receipt_time
from retour.domain.times import format_instant
from retour.errors import RequestError
from retour.intake.batch import HELD, WORKING, payouts_moved
from retour.intake.large import Progress
from retour.store.deliveries import DeliveryHeader
from retour.views import documents, paging
from retour.views.deliveries import STATES, find_header
from retour.views.documents import Document
from retour.views.paging import ListPosition, Page, day_bounds

PAGE = 25
FEW_ROWS = 20
LISTED_ORDERS = 60
BULK_DECISIONS = ("release", "discard", "replay")
EXPORT_MAX = 5_000
OUTCOMES = ("applied", "unchanged", "duplicate", "superseded", "waiting", "held", "refused")
EXPORT_COLUMNS = (
    "received_at", "name", "channel", "source", "sender", "state", "rows", *OUTCOMES, "code", "id", "sha256",
)  # fmt: skip


def list_deliveries(context: PageContext, limit: int) -> Page[DeliveryLine]:
    """The deliveries that match the filters in the URL, newest first."""
    items: list[DeliveryLine] = []
    for seen in wanted_headers(context, paging.parse_cursor(context.request.query.get("cursor", ""))):
        if isinstance(seen, ListPosition):
            return Page(items, seen)
        items.append(delivery_line(context, seen))
        if len(items) == limit:
            return Page(items, ListPosition(seen.delivery.id[:8], seen.delivery.id))
    return Page(items, None)


def wanted_headers(context: PageContext, start: ListPosition | None) -> Iterator[DeliveryHeader | ListPosition]:
    """What the filters of this address mean, from a place on; last a place, where a page has looked far enough."""
    query, program = context.request.query, context.program
    today, first = day_bounds(context.hub, program)
    start = start or ListPosition(min(compact_day(query.get("to")) or today, today))
    first = max(compact_day(query.get("from")) or first, first)
    text = query.get("q", "").strip().lower()

    def is_wanted(header: DeliveryHeader) -> bool:
        one = header.delivery
        return (
            query.get("channel") in (None, "", one.channel)
            and query.get("state") in (None, "", header.state)
            and query.get("source") in (None, "", one.source)
            and (not text or text in one.name.lower() or text in one.id.lower())
        )

    for seen in paging.scan_headers(context.reader.deliveries, start, first):
        if isinstance(seen, ListPosition) or is_wanted(seen):
            yield seen


def delivery_line(context: PageContext, header: DeliveryHeader) -> DeliveryLine:
    """A delivery in a list. Outcomes that are not stored are looked up only for short ones, to limit the cost."""
    report = header.report
    rows = len(report.get("rows", ()))
    few = 0 < rows <= FEW_ROWS and len(context.reader.orders) + rows <= LISTED_ORDERS
    results = list(context.reader.results(header)) if few and "counts" not in report else []
    counts = report.get("counts") or documents.count_outcomes(results)
    document = cast(DeliveryLine, documents.batch_document(header, context.program, counts))
    document["acts"] = delivery.acts_asked(header)
    if results:
        document["effect"] = documents.effect_totals(payouts_moved(results))
    if "same_as" in document:
        document["same_on"] = receipt_time(document["same_as"])
    if header.state == WORKING:
        document["percent"] = Progress.of(context.hub.work(context.program.id, header.delivery.id)).percent
    return document


def compact_day(text: str | None) -> str | None:
    day = (text or "").replace("-", "")
    return day if paging.is_day(day) else None


def index(context: PageContext) -> Response:
    page = list_deliveries(context, PAGE)
    older = context.here(cursor=page.next.cursor()) if page.next else None
    filters = [name for name in ("channel", "state", "source", "from", "to", "q") if context.request.query.get(name)]
    return context.render(
        "deliveries.html",
        items=page.items,
        older=older,
        filters=filters,
        channels=[channel.value for channel in Channel],
        states=STATES,
        sources=[*context.program.sources],
    )


def export(context: PageContext) -> Response:
    """What the filters of this address find, as a file; outcomes as they are kept, none is looked up."""
    lines: list[Mapping[str, Any]] = []
    place: ListPosition | None = None
    while len(lines) < EXPORT_MAX:
        found = list(islice(wanted_headers(context, place), EXPORT_MAX - len(lines)))
        lines += [export_line(one) for one in found if isinstance(one, DeliveryHeader)]
        if not found or not isinstance(found[-1], ListPosition):
            break
        place = found[-1]
    name = f"deliveries-{context.program.id}.csv"
    return download(name, as_csv(EXPORT_COLUMNS, lines), "text/csv; charset=utf-8")


def export_line(header: DeliveryHeader) -> Mapping[str, Any]:
    one, report = header.delivery, header.report
    counts: dict[str, int] = report.get("counts", {})
    return {
        **{name: counts.get(name, "") for name in OUTCOMES},
        "received_at": format_instant(one.received_at),
        "name": one.name,
        "channel": one.channel.value,
        "source": one.source,
        "sender": one.sender,
        "state": header.state,
        "rows": report.get("total") or len(report.get("rows", ())),
        "code": report.get("code", ""),
        "id": one.id,
        "sha256": one.sha256,
    }


def recent_headers(context: PageContext, days: int) -> list[DeliveryHeader]:
    """The headers of the last days, newest first, up to the page's limit."""
    today, first = day_bounds(context.hub, context.program)
    from_day = max(f"{context.hub.now() - timedelta(days=days):%Y%m%d}", first)
    return [one for one in islice(paging.scan_headers(context.reader.deliveries, ListPosition(today), from_day), 300)
            if isinstance(one, DeliveryHeader)]  # fmt: skip


# Bulk decisions


@dataclass(frozen=True)
class SelectedDelivery:
    """A selected delivery. `cannot` says why it cannot be decided, `done` that it was."""

    header: DeliveryHeader
    line: DeliveryLine
    cannot: str = ""
    done: bool = False

    @property
    def total(self) -> Document | None:
        """A held delivery's effect on payouts, if it was simulated."""
        found: Document | None = self.header.report.get("preview", {}).get("total")
        return found


def bulk_decision(context: PageContext) -> Response:
    """Preview a bulk decision, then decide one by one and show the results."""
    form, what = context.request.form, context.request.form.get("what", "")
    if what not in BULK_DECISIONS:
        raise context.not_found()
    ids = list(dict.fromkeys(context.request.values("ids")))[:PAGE]
    chosen = [check_selected(context, find_header(context.reader, one), what) for one in ids]
    rows = sum(
        held.rows for one in chosen if not one.cannot and (held := delivery.hold_details(context.program, one.header))
    )
    confirmed = form.get("step") == "do"
    wrong = ""
    if not ids:
        wrong = context.words.say("Select at least one delivery.")
    elif confirmed and what == "discard" and not delivery.is_count_confirmed(rows, form.get("rows", "")):
        wrong = context.words.say("Type %(rows)s, the number of their rows, to discard them.", rows=rows)
    elif confirmed:
        chosen = [one if one.cannot else decide_selected(context, one, what) for one in chosen]
    return context.render("deliveries_bulk.html", 422 if wrong else 200, chosen=chosen, what=what, wrong=wrong,
                        done=confirmed and not wrong, rows=rows, many=what == "discard" and rows > delivery.MANY_ROWS,
                        sum=payout_sums(chosen), note=form.get("note", ""))  # fmt: skip


def check_selected(context: PageContext, header: DeliveryHeader, what: str) -> SelectedDelivery:
    """A delivery, and whether this decision is possible."""
    say = context.words.say
    cannot = ""
    if what != "replay" and header.state != HELD:
        cannot = say("It is not held.")
    elif what == "replay" and not delivery.possible_acts(context, header, {})["replay"]:
        cannot = say("It cannot be read again as it stands.")
    return SelectedDelivery(header, delivery_line(context, header), cannot)


def decide_selected(context: PageContext, one: SelectedDelivery, what: str) -> SelectedDelivery:
    """Decide a delivery and return its new state. Another person may have been first."""
    batch = one.header.delivery.id
    try:
        delivery.send_decision(context, batch, what)
    except RequestError as refused:
        return SelectedDelivery(one.header, one.line, context.explain(refused))
    header = find_header(context.reader, batch)
    return SelectedDelivery(header, delivery_line(context, header), done=True)


def payout_sums(chosen: Sequence[SelectedDelivery]) -> list[Document]:
    """The total effect on payouts of the deliveries that can be decided and were simulated."""
    sums: dict[str, Decimal] = {}
    for one in chosen:
        if one.total and not one.cannot:
            unit = one.total["currency"]
            sums[unit] = sums.get(unit, Decimal(0)) + Decimal(one.total["payout"]["difference"])
    return [{"currency": currency, "change": change} for currency, change in sums.items()]
