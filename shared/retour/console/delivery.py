"""One delivery: what each row did, and how the rest is put right."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour.api import acts, batches, corrections, documents, reading
from retour.api.calls import Refused
from retour.api.corrections import CORRECTABLE, Rule
from retour.api.documents import Document
from retour.console import rows
from retour.console.request import Response, download, to
from retour.console.visit import Stop, Visit
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import WITHOUT_RECORDS
from retour.domain.program import Program
from retour.intake import correction
from retour.intake.batch import ARRIVED, DONE, HELD, WORKING, payouts_moved
from retour.intake.correction import CORRECTS, Link
from retour.intake.large import Progress
from retour.store.deliveries import Header

ROWS = 50
ROWS_LOOKED_AT = 20_000
ORDER = ("refused", "held", "waiting", "applied", "unchanged", "duplicate", "superseded")
RULES = 5
"""Wrong values offered to be mended for each reason of refusal."""
PROMISED_FROM = timedelta(seconds=5)
"""Before, nobody can say how much longer a file takes."""
MANY = 1_000
"""From more rows on, discarding them is confirmed by typing their number."""


@dataclass(frozen=True)
class Group:
    """Rows refused for one reason. `rules` mend the same wrong value in several of them."""

    code: str
    count: int
    explanation: str
    rules: Sequence[Rule] = ()


def show(visit: Visit) -> Response:
    header = batches.header_of(visit.reader, visit.part["batch"])
    if visit.request.wants_block:
        return moved_on(visit, header)
    results = list(islice(visit.reader.results(header), ROWS_LOOKED_AT)) if has_rows(header) else []
    counts = header.report.get("counts") or documents.count(results)
    query = visit.request.query
    outcome, code = query.get("outcome", ""), query.get("code", "")
    chosen = [one for one in results if outcome in ("", one.outcome.value) and code in ("", one.code)]
    if not outcome:
        chosen.sort(key=lambda one: ORDER.index(one.outcome.value) if one.outcome.value in ORDER[:3] else 3)
    start = number_of(query.get("from"))
    may = allowed(visit, header, counts)
    links = correction.links(visit.hub, header.delivery) if correction.is_correctable(header.delivery) else []
    groups = groups_of(visit, results, links if may["correct"] else None)
    return visit.render(
        "delivery.html",
        batch=document_of(visit, header, counts),
        header=header,
        rows=[row_of(visit, one, links, may["correct"]) for one in chosen[start : start + ROWS]],
        groups=list(groups),
        counts=counts,
        outcome=outcome,
        code=code,
        total=len(chosen),
        start=start,
        later=visit.here(**{"from": str(start + ROWS)}) if start + ROWS < len(chosen) else None,
        cut=len(results) >= ROWS_LOOKED_AT,
        effect=effects_of(header, results),
        may=may,
        progress=progress_of(visit, header),
        held=held(visit.program, header),
        same_as=named(visit, header.report.get("same_as", "")),
        corrects=named(visit, header.delivery.facts.get(CORRECTS, "")),
        sent_again=sent_again(visit, results, links),
        of_actions=reading.is_of_actions(header.delivery),
        reasons=sorted(visit.program.reasons),
        opened=rows.opened(visit, query["open"]) if may["correct"] and query.get("open") else {},
    )


def allowed(visit: Visit, header: Header, counts: Mapping[str, int]) -> dict[str, bool]:
    """What this person may do with it as it stands."""
    of_actions, decides = reading.is_of_actions(header.delivery), visit.may("decide")
    return {
        "undo": header.state == DONE and bool(counts.get("applied")) and visit.may("act") and not of_actions,
        "settle": header.state == HELD and decides,
        "replay": has_rows(header)
        and header.state not in (HELD, ARRIVED)
        and decides
        and not header.delivery.is_dry_run,
        "correct": header.state == DONE and decides and correction.is_correctable(header.delivery),
    }


def has_rows(header: Header) -> bool:
    return header.delivery.kind not in WITHOUT_RECORDS


def number_of(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else 0


def document_of(visit: Visit, header: Header, counts: dict[str, int]) -> Document:
    """The API's own document, its sentence in the reader's language."""
    found = documents.batch_document(header, visit.program, counts)
    facts = header.report
    return found | documents.whole(facts.get("code", ""), facts.get("details", {}), visit.words.language)


def effects_of(header: Header, results: Sequence[Result]) -> list[Document]:
    """What the rows together did to payouts, per currency."""
    kept: Mapping[str, int] | None = header.report.get("effect")
    return documents.effects(payouts_moved(results) if kept is None else kept)


# While it is read


def moved_on(visit: Visit, header: Header) -> Response:
    """The block that follows a delivery at work; once that is done the page is loaded anew."""
    answer = visit.render(
        "delivery_state.html", batch=document_of(visit, header, {}), progress=progress_of(visit, header)
    )
    if header.state in (ARRIVED, WORKING):
        return answer
    return Response(answer.status, answer.body, {**answer.headers, "hx-refresh": "true"})


def progress_of(visit: Visit, header: Header) -> Document | None:
    """How far a large file has come, and how often to ask again: less often the longer it takes."""
    if header.state not in (ARRIVED, WORKING):
        return None
    passed = visit.hub.now() - header.delivery.received_at
    every = 2 if passed < timedelta(minutes=1) else 5 if passed < timedelta(minutes=10) else 15
    if header.state == ARRIVED:
        return {"every": every}
    work = visit.hub.work(visit.program.id, header.delivery.id)
    found = {"every": every, **Progress.of(work).document(visit.hub.now())}
    if passed < PROMISED_FROM:
        found.pop("seconds_left", None)
    return found


# Its rows


def row_of(visit: Visit, result: Result, links: Sequence[Link], may_correct: bool) -> Document:
    """A row as the table shows it. `correct` is its place where it can be corrected, `by` what corrected it."""
    place = corrections.place_of(result)
    can = result.outcome in CORRECTABLE
    return {
        **documents.result_document(result, visit.words.language),
        "raw": result.raw,
        "by": correction.corrected_by(links, place) if can else None,
        "correct": place if can and may_correct else "",
    }


def groups_of(visit: Visit, results: Sequence[Result], links: Sequence[Link] | None = None) -> Iterator[Group]:
    """Refusals by their cure, the most frequent first. Without `links` nothing is offered to mend them."""
    by_code: dict[str, list[Result]] = {}
    for one in results:
        if one.outcome is Outcome.REFUSED:
            by_code.setdefault(one.code, []).append(one)
    for code, found in sorted(by_code.items(), key=lambda item: -len(item[1])):
        first = documents.result_document(found[0], visit.words.language)
        rules = corrections.rules(found, links) if links is not None else []
        yield Group(code, len(found), str(first["explanation"]), rules[:RULES])


@dataclass(frozen=True)
class Other:
    """Another delivery that this one has to do with."""

    id: str
    name: str
    received_at: str


def named(visit: Visit, delivery_id: str) -> Other | None:
    header = visit.reader.deliveries.get(delivery_id) if delivery_id else None
    if header is None:
        return None
    return Other(delivery_id, header.delivery.name, header.delivery.received_at.isoformat())


def sent_again(visit: Visit, results: Sequence[Result], links: Sequence[Link]) -> Document | None:
    """What became of the row that was just sent again, and which refused row is next."""
    batch, place = (visit.request.query.get(name, "") for name in ("corrected", "place"))
    if batch not in [link.delivery for link in links]:
        return None
    header = batches.header_of(visit.reader, batch)
    told = [documents.result_document(one, visit.words.language) for one in islice(visit.reader.results(header), ROWS)]
    places = [corrections.place_of(one) for one in results if one.outcome is Outcome.REFUSED]
    after = places[places.index(place) + 1 :] if place in places else places
    following = (one for one in [*after, *places] if correction.corrected_by(links, one) is None)
    return {"batch": batch, "place": place, "outcomes": told, "next": next(following, "")}


# Decided upon


@dataclass(frozen=True)
class Held:
    """Why a delivery is held, as it was measured, and whom it would hit most."""

    threshold: str
    value: str
    limit: str
    rows: int
    partners: Sequence[Document]
    total: Document | None
    counts: Mapping[str, int]

    @property
    def is_many(self) -> bool:
        return self.rows > MANY


def held(program: Program, header: Header) -> Held | None:
    if header.state != HELD:
        return None
    details, preview = header.report.get("details", {}), header.report.get("preview", {})
    counts: Mapping[str, int] = preview.get("counts", {})
    return Held(
        threshold=details.get("threshold", ""),
        value=details.get("value", details.get("share", "")),
        limit=details.get("limit", ""),
        rows=sum(counts.values()),
        partners=preview.get("partners", ()),
        total=preview.get("total"),
        counts=counts,
    )


def settle(visit: Visit) -> Response:
    """Release, discard, or read again."""
    batch, what = visit.part["batch"], visit.part["what"]
    if what == "discard":
        meant(visit, batch)
    try:
        decided(visit, batch, what)
    except Refused as refused:
        if refused.status == 409:
            return visit.problem(409, visit.told(refused))
        raise
    return to(f"{visit.base}/deliveries/{quote(batch)}?told={what}")


def meant(visit: Visit, batch: str) -> None:
    """A discard of many rows cannot be a slip of the hand."""
    found = held(visit.program, batches.header_of(visit.reader, batch))
    if found is not None and not typed(found.rows, visit.request.form.get("rows", "")):
        say = visit.words.say
        said = say("Type %(rows)s, the number of its rows, to discard it. Nothing was done.", rows=found.rows)
        raise Stop(visit.problem(422, said))


def typed(rows: int, text: str) -> bool:
    """Whether the number of many rows was typed, whatever sets its thousands apart; of few it need not be."""
    return rows <= MANY or "".join(sign for sign in text if sign.isascii() and sign.isdigit()) == str(rows)


def decided(visit: Visit, batch: str, what: str) -> None:
    """A person's decision on one delivery, by the functions of the API."""
    body: dict[str, Any] = {"note": visit.request.form.get("note", "")}
    call = visit.call("POST", json.dumps(body).encode(), visit.request.form.get("form", ""))
    if what == "replay":
        batches.replay(visit.hub, visit.program, batch)
    else:
        batches.settle(visit.hub, call, visit.principal, visit.program, batch, what)


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
        if refused.status == 409:
            return visit.problem(409, visit.told(refused))
        raise
    if confirmed:
        return to(f"{visit.base}/deliveries/{quote(answer['batch'])}?told=apply")
    header = batches.header_of(visit.reader, batch)
    return visit.render("undo.html", answer=answer, batch=batch, name=header.delivery.name, given=given)


# Handed out


def hand_out(visit: Visit) -> Response:
    batch, opened = visit.part["batch"], visit.program
    found = {"raw": batches.raw, "result": batches.result, "rejected": batches.rejected}[visit.part["what"]](
        visit.hub, opened, batch
    )
    if found.url:
        return Response(307, b"", {"location": found.url})
    return download(found.name, found.body, found.media_type)
