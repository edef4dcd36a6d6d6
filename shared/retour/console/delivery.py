"""One delivery: the outcome of each row, and how to correct the others."""

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NotRequired, cast
from urllib.parse import quote

from retour.commands import acts, batches, corrections
from retour.commands.acts import UndoBatch
from retour.commands.batches import Decision
from retour.commands.corrections import CORRECTABLE, ReplacementRule
from retour.console import row_correction
from retour.console.page_context import AbortError, PageContext
from retour.console.request import Response, download, redirect
from retour.console.sessions import local_path
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, Channel, DeliveryKind
from retour.domain.program import Program
from retour.errors import ConflictError
from retour.intake import correction
from retour.intake.batch import ARRIVED, DONE, HELD, WORKING, payouts_moved
from retour.intake.correction import CORRECTS, CorrectionLink
from retour.intake.large import Progress
from retour.previews.act import act_preview_document
from retour.replies import downloads
from retour.store.deliveries import DeliveryHeader
from retour.views import documents, ledger_reader
from retour.views.deliveries import find_header
from retour.views.documents import Document
from retour.views.schemas import BatchDocument, EffectTotalDocument

ROWS = 50
ROWS_LOOKED_AT = 20_000
OUTCOME_ORDER = ("refused", "held", "waiting", "applied", "unchanged", "duplicate", "superseded")
VALUES_SHOWN_MAX = 5
"""Wrong values listed per reason of refusal."""
RULES_MAX = 5
"""Replacements offered per reason of refusal."""
ESTIMATE_AFTER = timedelta(seconds=5)
"""Time before the remaining duration of a file is estimated."""
MANY_ROWS = 1_000
"""Rows above which a discard is confirmed by typing their number."""

DOWNLOADS = {
    "raw": downloads.download_raw,
    "result": downloads.download_result,
    "rejected": downloads.download_rejected,
}


class DeliveryLine(BatchDocument):
    """A delivery on pages: the act requested, the delivery it repeats, and the progress of a large file."""

    acts: NotRequired[Mapping[str, int]]
    same_on: NotRequired[datetime]
    percent: NotRequired[int]


@dataclass(frozen=True)
class RefusalGroup:
    """Rows refused for one reason that were not corrected since.

    `values` are their wrong values, most frequent first, if they differ; `others` is the number of further ones.
    `rules` are replacements for values in several rows.
    """

    code: str
    count: int
    explanation: str
    values: Sequence[tuple[str, int]] = ()
    others: int = 0
    rules: Sequence[ReplacementRule] = ()


def show(context: PageContext) -> Response:
    header = find_header(context.reader, context.part["batch"])
    if context.request.wants_block:
        return state_block(context, header)
    results = list(islice(context.reader.results(header), ROWS_LOOKED_AT)) if has_rows(header) else []
    counts = header.report.get("counts") or documents.count_outcomes(results)
    query = context.request.query
    outcome, code = query.get("outcome", ""), query.get("code", "")
    chosen = [one for one in results if outcome in ("", one.outcome.value) and code in ("", one.code)]
    if not outcome:
        chosen.sort(
            key=lambda one: OUTCOME_ORDER.index(one.outcome.value) if one.outcome.value in OUTCOME_ORDER[:3] else 3
        )
    start = parse_start(query.get("from"))
    may = possible_acts(context, header, counts)
    links = (
        correction.correction_links(context.hub, header.delivery) if correction.is_correctable(header.delivery) else []
    )
    groups = refusal_groups(context, results, links, may_mend=may["correct"])
    return context.render(
        "delivery.html",
        batch=localized_document(context, header, counts),
        header=header,
        rows=[row_document(context, one, links, may["correct"]) for one in chosen[start : start + ROWS]],
        groups=list(groups),
        counts=counts,
        outcome=outcome,
        code=code,
        total=len(chosen),
        start=start,
        later=context.here(**{"from": str(start + ROWS)}) if start + ROWS < len(chosen) else None,
        cut=len(results) >= ROWS_LOOKED_AT,
        effect=total_effects(header, results),
        may=may,
        progress=progress_document(context, header),
        held=hold_details(context.program, header),
        same_as=related_delivery(context, header.report.get("same_as", "")),
        corrects=related_delivery(context, header.delivery.facts.get(CORRECTS, "")),
        sent_again=correction_result(context, results, links),
        of_actions=ledger_reader.is_action_report(header.delivery),
        reasons=sorted(context.program.reasons),
        opened=row_correction.open_row_values(context, query["open"]) if may["correct"] and query.get("open") else {},
    )


def possible_acts(context: PageContext, header: DeliveryHeader, counts: Mapping[str, int]) -> dict[str, bool]:
    """The acts this person may perform on a delivery in its state."""
    of_actions, decides = ledger_reader.is_action_report(header.delivery), context.may("decide")
    return {
        "undo": header.state == DONE and bool(counts.get("applied")) and context.may("act") and not of_actions,
        "settle": header.state == HELD and decides,
        "replay": has_rows(header)
        and header.state not in (HELD, ARRIVED)
        and decides
        and not header.delivery.is_dry_run,
        "correct": header.state == DONE and decides and correction.is_correctable(header.delivery),
    }


def has_rows(header: DeliveryHeader) -> bool:
    return header.delivery.kind not in KINDS_WITHOUT_RECORDS


def parse_start(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else 0


def localized_document(context: PageContext, header: DeliveryHeader, counts: dict[str, int]) -> DeliveryLine:
    """The API's document with its sentence in the reader's language."""
    found = cast(DeliveryLine, documents.batch_document(header, context.program, counts))
    found["acts"] = acts_asked(header)
    facts = header.report
    refused = documents.refusal_fields(facts.get("code", ""), facts.get("details", {}), context.words.language)
    documents.add_refusal(found, refused)
    return found


def acts_asked(header: DeliveryHeader) -> Mapping[str, int]:
    """The acts requested in the console, with their numbers; empty for other deliveries."""
    delivery = header.delivery
    if delivery.channel is not Channel.CONSOLE or CORRECTS in delivery.facts:
        return {}
    if delivery.kind is DeliveryKind.FILE and delivery.facts.get("bulk"):
        return {delivery.name.removesuffix(".csv"): int(header.report.get("total", 0))}
    if delivery.kind is not DeliveryKind.MODIFICATIONS or header.inline is None:
        return {}
    said = json.loads(zlib.decompress(header.inline))
    return Counter(str(one.get("change", "")) for one in (said if isinstance(said, list) else [said]))


def total_effects(header: DeliveryHeader, results: Sequence[Result]) -> list[EffectTotalDocument]:
    """The rows' total effect on payouts by currency."""
    kept: Mapping[str, int] | None = header.report.get("effect")
    return documents.effect_totals(payouts_moved(results) if kept is None else kept)


# Progress


def state_block(context: PageContext, header: DeliveryHeader) -> Response:
    """The block that follows a delivery in progress, and reloads the page when it is done."""
    answer = context.render(
        "delivery_state.html",
        batch=localized_document(context, header, {}),
        progress=progress_document(context, header),
    )
    if header.state in (ARRIVED, WORKING):
        return answer
    return Response(answer.status, answer.body, {**answer.headers, "hx-refresh": "true"})


def progress_document(context: PageContext, header: DeliveryHeader) -> Document | None:
    """A large file's progress, and when to ask again: less often the longer it takes."""
    if header.state not in (ARRIVED, WORKING):
        return None
    passed = context.hub.now() - header.delivery.received_at
    every = 2 if passed < timedelta(minutes=1) else 5 if passed < timedelta(minutes=10) else 15
    if header.state == ARRIVED:
        return {"every": every}
    work = context.hub.work(context.program.id, header.delivery.id)
    found = {"every": every, **Progress.of(work).document(context.hub.now())}
    if passed < ESTIMATE_AFTER:
        found.pop("seconds_left", None)
    return found


# Rows


def row_document(context: PageContext, result: Result, links: Sequence[CorrectionLink], may_correct: bool) -> Document:
    """A row of the table. `correct` is its place if it can be corrected, `by` the correction."""
    place = corrections.place_of(result)
    can = result.outcome in CORRECTABLE
    return {
        **documents.result_document(result, context.words.language),
        "raw": result.raw,
        "by": correction.newest_correction(links, place) if can else None,
        "correct": place if can and may_correct else "",
    }


def refusal_groups(
    context: PageContext, results: Sequence[Result], links: Sequence[CorrectionLink] = (), *, may_mend: bool = False
) -> Iterator[RefusalGroup]:
    """Refusals by their remedy, most frequent first, without corrected rows (`links`)."""
    by_code: dict[str, list[Result]] = {}
    for one in results:
        if one.outcome is Outcome.REFUSED and correction.newest_correction(links, corrections.place_of(one)) is None:
            by_code.setdefault(one.code, []).append(one)
    for code, found in sorted(by_code.items(), key=lambda item: -len(item[1])):
        values = Counter(filter(None, map(corrections.value_at_fault, found))).most_common()
        worst = next((one for one in found if values and corrections.value_at_fault(one) == values[0][0]), found[0])
        explained = documents.result_document(worst, context.words.language)
        yield RefusalGroup(
            code,
            len(found),
            str(explained["explanation"]),
            values[:VALUES_SHOWN_MAX] if len(values) > 1 else (),
            max(len(values) - VALUES_SHOWN_MAX, 0),
            corrections.suggest_rules(found, links)[:RULES_MAX] if may_mend else (),
        )


@dataclass(frozen=True)
class RelatedDelivery:
    """A related delivery."""

    id: str
    name: str
    received_at: str


def related_delivery(context: PageContext, delivery_id: str) -> RelatedDelivery | None:
    header = context.reader.deliveries.get(delivery_id) if delivery_id else None
    if header is None:
        return None
    return RelatedDelivery(delivery_id, header.delivery.name, header.delivery.received_at.isoformat())


def correction_result(
    context: PageContext, results: Sequence[Result], links: Sequence[CorrectionLink]
) -> Document | None:
    """The outcome of the row just corrected, and the next refused row."""
    batch, place = (context.request.query.get(name, "") for name in ("corrected", "place"))
    if batch not in [link.delivery for link in links]:
        return None
    header = find_header(context.reader, batch)
    told = [
        documents.result_document(one, context.words.language) for one in islice(context.reader.results(header), ROWS)
    ]
    places = [corrections.place_of(one) for one in results if one.outcome is Outcome.REFUSED]
    after = places[places.index(place) + 1 :] if place in places else places
    following = (one for one in [*after, *places] if correction.newest_correction(links, one) is None)
    return {"batch": batch, "place": place, "outcomes": told, "next": next(following, "")}


# Decisions


@dataclass(frozen=True)
class HoldDetails:
    """Why a delivery is held, with the figures, and who is affected most."""

    threshold: str
    value: str
    limit: str
    rows: int
    partners: Sequence[Document]
    total: Document | None
    counts: Mapping[str, int]

    @property
    def is_many(self) -> bool:
        return self.rows > MANY_ROWS


def hold_details(program: Program, header: DeliveryHeader) -> HoldDetails | None:
    if header.state != HELD:
        return None
    details, preview = header.report.get("details", {}), header.report.get("preview", {})
    counts: Mapping[str, int] = preview.get("counts", {})
    return HoldDetails(
        threshold=details.get("threshold", ""),
        value=details.get("value", details.get("share", "")),
        limit=details.get("limit", ""),
        rows=sum(counts.values()),
        partners=preview.get("partners", ()),
        total=preview.get("total"),
        counts=counts,
    )


def decide(context: PageContext) -> Response:
    """Release, discard or replay."""
    batch, what = context.part["batch"], context.part["what"]
    if what == "discard":
        require_typed_count(context, batch)
    try:
        send_decision(context, batch, what)
    except ConflictError as refused:
        return context.refusal(refused)
    back = context.request.form.get("back", "")
    return redirect(local_path(back) if back else f"{context.base}/deliveries/{quote(batch)}?told={what}")


def require_typed_count(context: PageContext, batch: str) -> None:
    """Require the number of rows before many are discarded."""
    found = hold_details(context.program, find_header(context.reader, batch))
    if found is not None and not is_count_confirmed(found.rows, context.request.form.get("rows", "")):
        say = context.words.say
        said = say("To discard it, type its number of rows: %(rows)s. Nothing was changed.", rows=found.rows)
        raise AbortError(context.problem(422, said))


def is_count_confirmed(rows: int, text: str) -> bool:
    """Whether the number was typed, with any thousands separator. Few rows need no confirmation."""
    return rows <= MANY_ROWS or "".join(sign for sign in text if sign.isascii() and sign.isdigit()) == str(rows)


def send_decision(context: PageContext, batch: str, what: str) -> None:
    """Perform a decision on a delivery."""
    if what == "replay":
        batches.replay_batch(context.command_context, batch)
    else:
        note = context.request.form.get("note", "")
        batches.resolve_held_batch(context.command_context, batch, Decision(what), note)


def undo(context: PageContext) -> Response:
    """Undo a delivery: preview first, then as a delivery of its own."""
    form, batch = context.request.form, context.part["batch"]
    given = {name: form[name].strip() for name in ("reason", "note") if form.get(name, "").strip()}
    command = UndoBatch(batch, acts.as_values(given))
    try:
        if form.get("step") == "do":
            made = acts.perform(context.command_context, command)
            return redirect(f"{context.base}/deliveries/{quote(made.delivery.id)}?told=apply")
        preview = acts.preview(context.command_context, command)
    except ConflictError as refused:
        return context.refusal(refused)
    header = find_header(context.reader, batch)
    answer = act_preview_document(preview, context.localized_program)
    return context.render("undo.html", answer=answer, batch=batch, name=header.delivery.name, given=given)


# Downloads


def download_file(context: PageContext) -> Response:
    found = DOWNLOADS[context.part["what"]](context.hub, context.program, context.part["batch"])
    if found.url:
        return Response(307, b"", {"location": found.url})
    return download(found.name, found.body, found.media_type)
