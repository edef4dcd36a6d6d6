"""What came in, from where, and what became of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour.api import acts, admission, batches, views
from retour.api.calls import Refused
from retour.api.views import Document, Page, Place
from retour.console.request import Response, download, to
from retour.console.visit import Visit
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Kind
from retour.domain.money import to_text
from retour.intake.batch import ARRIVED, DONE, HELD
from retour.store.deliveries import Header

PAGE = 25
ROWS = 50
ROWS_LOOKED_AT = 20_000
FEW_ROWS = 20
LISTED_ORDERS = 60
ORDER = ("refused", "held", "waiting", "applied", "unchanged", "duplicate", "superseded")


def listed(visit: Visit, limit: int) -> Page:
    """Deliveries by the filters of this address, newest first."""
    query, program = visit.request.query, visit.program
    today, first = admission.days(visit.hub, program)
    start = views.place_of(query.get("cursor", "")) or Place(today)
    if (until := day_of(query.get("to"))) and not query.get("cursor"):
        start = Place(min(until, today))
    first = max(day_of(query.get("from")) or first, first)
    text = query.get("q", "").strip().lower()

    def wanted(header: Header) -> bool:
        delivery = header.delivery
        return (
            query.get("channel") in (None, "", delivery.channel)
            and query.get("state") in (None, "", header.state)
            and query.get("source") in (None, "", delivery.source)
            and (not text or text in delivery.name.lower() or text in delivery.id.lower())
        )

    items: list[Document] = []
    for seen in views.headers(visit.reader.deliveries, start, first):
        if isinstance(seen, Place):
            return Page(items, seen)
        if wanted(seen):
            items.append(line_of(visit, seen))
        if len(items) == limit:
            return Page(items, Place(seen.delivery.id[:8], seen.delivery.id))
    return Page(items, None)


def line_of(visit: Visit, header: Header) -> Document:
    """As a list shows it. Outcomes that are not kept are looked up for short ones only, so that no list is dear."""
    counts = header.report.get("counts")
    if counts is None:
        rows = len(header.report.get("rows", ()))
        known = 0 < rows <= FEW_ROWS and len(visit.reader.orders) + rows <= LISTED_ORDERS
        counts = visit.reader.counts(header) if known else {}
    return views.batch_document(header, visit.program, counts)


def day_of(text: str | None) -> str | None:
    day = (text or "").replace("-", "")
    return day if views.is_day(day) else None


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


# One delivery


@dataclass(frozen=True)
class Group:
    """Rows refused for one reason."""

    code: str
    count: int
    explanation: str
    first: str


def show(visit: Visit) -> Response:
    header = batches.header_of(visit.reader, visit.part["batch"])
    state = header.state
    if visit.request.wants_block:
        if state in ("arriving", "working"):
            return visit.render("delivery_state.html", batch=document_of(visit, header, {}))
        answer = visit.render("delivery_state.html", batch=document_of(visit, header, {}))
        return Response(answer.status, answer.body, {**answer.headers, "hx-refresh": "true"})
    results = list(islice(visit.reader.results(header), ROWS_LOOKED_AT)) if has_rows(header) else []
    counts = header.report.get("counts") or views.count(results)
    outcome, code = visit.request.query.get("outcome", ""), visit.request.query.get("code", "")
    chosen = [one for one in results if outcome in ("", one.outcome.value) and code in ("", one.code)]
    if not outcome:
        chosen.sort(key=lambda one: ORDER.index(one.outcome.value) if one.outcome.value in ORDER[:3] else 3)
    start = number_of(visit.request.query.get("from"))
    language = visit.words.language
    rows = [views.result_document(one, language) | {"raw": one.raw} for one in chosen[start : start + ROWS]]
    return visit.render(
        "delivery.html",
        batch=document_of(visit, header, counts),
        header=header,
        rows=rows,
        groups=list(groups_of(visit, results)),
        counts=counts,
        outcome=outcome,
        code=code,
        total=len(chosen),
        start=start,
        later=visit.here(**{"from": str(start + ROWS)}) if start + ROWS < len(chosen) else None,
        cut=len(results) >= ROWS_LOOKED_AT,
        effect=effect_of(results),
        lines=held_facts(visit, header),
        of_actions=views.is_of_actions(header.delivery),
        can_undo=state == DONE
        and bool(counts.get("applied"))
        and visit.may("act")
        and not views.is_of_actions(header.delivery),
        can_settle=state == HELD and visit.may("decide"),
        can_replay=header.delivery.kind not in (Kind.PROGRAM, Kind.DECISION)
        and state not in (HELD, ARRIVED)
        and visit.may("decide"),
    )


def has_rows(header: Header) -> bool:
    return header.delivery.kind not in (Kind.PROGRAM, Kind.DECISION)


def number_of(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else 0


def document_of(visit: Visit, header: Header, counts: dict[str, int]) -> Document:
    """The API's own document, its sentence in the reader's language."""
    found = views.batch_document(header, visit.program, counts)
    facts = header.report
    return found | views.whole(facts.get("code", ""), facts.get("details", {}), visit.words.language)


def groups_of(visit: Visit, results: list[Result]) -> Iterator[Group]:
    """Refusals by their cure, the most frequent first."""
    by_code: dict[str, list[Result]] = {}
    for one in results:
        if one.outcome is Outcome.REFUSED:
            by_code.setdefault(one.code, []).append(one)
    for code, found in sorted(by_code.items(), key=lambda item: -len(item[1])):
        first = views.result_document(found[0], visit.words.language)
        yield Group(code, len(found), str(first["explanation"]), found[0].place)


def effect_of(results: list[Result]) -> list[Document]:
    """What the rows together did to payouts, per currency."""
    sums: dict[str, int] = {}
    for one in results:
        if one.effect is not None and one.outcome is Outcome.APPLIED:
            change = one.effect.payout_after - one.effect.payout_before
            sums[one.effect.payout_currency] = sums.get(one.effect.payout_currency, 0) + change
    return [{"currency": currency, "change": to_text(change, currency)} for currency, change in sums.items()]


def held_facts(visit: Visit, header: Header) -> list[tuple[str, str]]:
    """What made it held, as it was measured."""
    if header.state != HELD:
        return []
    return [(name, str(value)) for name, value in header.report.get("details", {}).items() if value]


def hand_out(visit: Visit) -> Response:
    batch, opened = visit.part["batch"], visit.program
    found = {"raw": batches.raw, "result": batches.result, "rejected": batches.rejected}[visit.part["what"]](
        visit.hub, opened, batch
    )
    if found.url:
        return Response(307, b"", {"location": found.url})
    return download(found.name, found.body, found.media_type)


def settle(visit: Visit) -> Response:
    """Release, discard, or read again."""
    batch, what = visit.part["batch"], visit.part["what"]
    body: dict[str, Any] = {"note": visit.request.form.get("note", "")}
    call = visit.call("POST", json.dumps(body).encode(), visit.request.form.get("form", ""))
    try:
        if what == "replay":
            batches.replay(visit.hub, visit.program, batch)
        else:
            batches.settle(visit.hub, call, visit.principal, visit.program, batch, what)
    except Refused as refused:
        if int(refused.answer["statusCode"]) == 409:
            return visit.problem(409, visit.told(refused))
        raise
    return to(f"{visit.base}/deliveries/{quote(batch)}?told={what}")


def undo(visit: Visit) -> Response:
    """A delivery taken back whole: first what that would come to, then, confirmed, a delivery of its own."""
    form, batch = visit.request.form, visit.part["batch"]
    confirmed = form.get("step") == "do"
    given = {name: form[name].strip() for name in ("reason", "note") if form.get(name, "").strip()}
    query = {} if confirmed else {"dry_run": "true"}
    call = visit.call("POST", json.dumps(given).encode(), form.get("form", ""), query)
    try:
        answer = acts.undo_batch(visit.hub, call, visit.principal, visit.spoken, batch)
    except Refused as refused:
        if int(refused.answer["statusCode"]) == 409:
            return visit.problem(409, visit.told(refused))
        raise
    if confirmed:
        return to(f"{visit.base}/deliveries/{quote(answer['batch'])}?told=apply")
    header = batches.header_of(visit.reader, batch)
    return visit.render("undo.html", answer=answer, batch=batch, name=header.delivery.name, given=given)


def since(visit: Visit, days: int) -> list[Header]:
    """The headers of the last days, newest first, as many as a page may look at."""
    today, first = admission.days(visit.hub, visit.program)
    from_day = max(f"{visit.hub.now() - timedelta(days=days):%Y%m%d}", first)
    return [one for one in islice(views.headers(visit.reader.deliveries, Place(today), from_day), 300)
            if isinstance(one, Header)]  # fmt: skip
