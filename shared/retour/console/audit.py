"""Who did what: people's acts, decisions and versions, newest first, and all of them as a file."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from retour.console import delivery, labels
from retour.console.deliveries import compact_day, delivery_line
from retour.console.page_context import PageContext
from retour.console.request import Response, download
from retour.console.spreadsheet import as_csv
from retour.domain.delivery import Channel
from retour.domain.times import format_instant
from retour.store.deliveries import DeliveryHeader
from retour.views import paging
from retour.views.documents import Document
from retour.views.paging import ListPosition, day_bounds

PAGE = 50
EXPORT_MAX = 5_000
DAYS = 400
COLUMNS = ("at", "who", "what", "kind", "records", "delivery", "sha256")


def index(context: PageContext) -> Response:
    query = context.request.query
    found = list(islice(acts(context), PAGE + 1))
    shown, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
    cursor = ListPosition(last.delivery.id[:8], last.delivery.id).cursor() if last else None
    return context.render(
        "audit.html",
        acts=[{**delivery_line(context, one), "acts": delivery.acts_asked(one)} for one in shown],
        older=context.here(cursor=cursor) if cursor else None,
        who=query.get("who", ""),
        filters=[name for name in ("who", "from", "to") if query.get(name)],
        export=context.here(cursor=None)[len(context.request.path) :],
    )


def acts(context: PageContext) -> Iterator[DeliveryHeader]:
    """What people did, by the filters of this address."""
    query = context.request.query
    today, first = day_bounds(context.hub, context.program)
    start = paging.parse_cursor(query.get("cursor", "")) or ListPosition(
        min(compact_day(query.get("to")) or today, today)
    )
    earliest = f"{context.hub.now() - timedelta(days=DAYS):%Y%m%d}"
    first = max(compact_day(query.get("from")) or first, first, earliest)
    who = query.get("who", "").strip().casefold()
    for seen in paging.scan_headers(context.reader.deliveries, start, first):
        if not isinstance(seen, DeliveryHeader):
            return
        if seen.delivery.channel is Channel.CONSOLE and who in seen.delivery.sender.casefold():
            yield seen


def export(context: PageContext) -> Response:
    lines = [act_line(context, one) for one in islice(acts(context), EXPORT_MAX)]
    return download(f"audit-{context.program.id}.csv", as_csv(COLUMNS, lines), "text/csv; charset=utf-8")


def act_line(context: PageContext, header: DeliveryHeader) -> Document:
    one, asked = header.delivery, delivery.acts_asked(header)
    counts: dict[str, int] = header.report.get("counts", {})
    said = {"acts": asked, "counts": counts, "name": one.name, "kind": one.kind.value}
    return {
        "at": format_instant(one.received_at),
        "who": one.sender,
        "what": labels.delivery_name(context.words, said),
        "kind": one.kind.value,
        "records": sum(asked.values()) or len(header.report.get("rows", ())),
        "delivery": one.id,
        "sha256": one.sha256,
    }
