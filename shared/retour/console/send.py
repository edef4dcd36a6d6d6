"""A file sent from here: first what it would do, then, if that is meant, done."""

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retour.api import admission, modifications, views
from retour.api.calls import FILE_MAX, Call, Refused, file_name
from retour.api.views import Document
from retour.console.delivery import groups_of
from retour.console.request import Response, to
from retour.console.visit import Stop, Visit
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Kind
from retour.domain.times import instant, text
from retour.intake.batch import Batch
from retour.intake.rehearse import rehearse
from retour.store.state import SourceState

KEPT_HOURS = 24
LOOKED_UP = 300
ROWS = 100
OWN = "console.dry-runs"


def form(visit: Visit, wrong: str = "", status: int = 200) -> Response:
    return visit.render("send.html", status, wrong=wrong, sources=sources(visit), most=FILE_MAX)


def sources(visit: Visit) -> list[str]:
    """Whose mapping may read a file."""
    return [name for name, source in visit.program.sources.items() if source.kind in ("", "standard")]


def runs(visit: Visit) -> SourceState:
    return visit.hub.state(visit.program.id, OWN)


def take(visit: Visit) -> Response:
    """Keep the file for a day, and show what it would do."""
    say, upload = visit.words.say, visit.request.uploads.get("file")
    source = visit.request.form.get("source", "")
    if upload is None or not upload.name or not upload.body:
        return form(visit, say("Choose a file that is not empty."), 422)
    if len(upload.body) > FILE_MAX:
        return form(
            visit, say("The file is too large for this page; send it by SFTP, or ask the API for an upload."), 413
        )
    if source and source not in visit.program.sources:
        return form(visit, say("This program has no such source."), 422)
    try:
        name = file_name(call_of(visit, upload.name, source))
    except Refused as refused:
        return form(visit, visit.told(refused), 422)
    run = secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")
    key = f"raw/{visit.program.id}/dry-run-{run}"
    visit.hub.inbox.put(key, upload.body)
    ends = text(visit.hub.real_now() + timedelta(hours=KEPT_HOURS))
    runs(visit).put(run, {"name": name, "source": source, "key": key, "ends": ends, "by": visit.someone.name})
    return to(f"{visit.base}/dry-runs/{run}")


def call_of(visit: Visit, name: str, source: str, body: bytes = b"", key: str = "") -> Call:
    query = {"name": name, **({"source": source} if source else {})}
    headers = {"idempotency-key": key} if key else {}
    return Call(method="POST", path=visit.request.path, query=query, headers=headers, body=body)


def kept(visit: Visit) -> tuple[dict[str, Any], bytes]:
    doc = runs(visit).get(visit.part["run"])
    if doc is None or instant(doc["ends"]) <= visit.hub.real_now():
        raise visit.not_found()
    return doc, visit.hub.inbox.read(doc["key"])


def dry_run(visit: Visit) -> Response:
    doc, body = kept(visit)
    return shown(visit, doc, body)


def shown(visit: Visit, doc: dict[str, Any], body: bytes, changed: bool = False) -> Response:
    batch = rehearsed(visit, doc, body)
    results = list(batch.results)
    language = visit.words.language
    refused = [one for one in results if one.outcome is Outcome.REFUSED]
    rest = [one for one in results if one.outcome is not Outcome.REFUSED]
    partners, cut = by_partner(visit, results)
    return visit.render(
        "dry_run.html",
        409 if changed else 200,
        name=doc["name"],
        source=doc["source"],
        run=visit.part["run"],
        state=batch.state,
        explanation=views.whole(batch.code, batch.details, language).get("explanation", ""),
        code=batch.code,
        counts=batch.counts,
        groups=list(groups_of(visit, results)),
        rows=[views.result_document(one, language) for one in [*refused, *rest][:ROWS]],
        total=len(results),
        partners=partners,
        cut=cut,
        sum=total_of(results),
        seen=fingerprint(results),
        changed=changed,
        done=doc.get("batch", ""),
        size=len(body),
    )


def rehearsed(visit: Visit, doc: dict[str, Any], body: bytes) -> Batch:
    call = call_of(visit, doc["name"], doc["source"], body)
    source = admission.source_for_api(call, visit.program).name
    delivery = admission.delivery_of(call, visit.hub, visit.principal, visit.program.id, source, Kind.FILE)
    delivery = replace(delivery, name=doc["name"], body_key=doc["key"])
    return rehearse(visit.hub, delivery, body)


def total_of(results: list[Result]) -> list[Document]:
    sums: dict[str, int] = {}
    for one in results:
        if one.effect is not None and one.outcome is Outcome.APPLIED:
            change = one.effect.payout_after - one.effect.payout_before
            sums[one.effect.payout_currency] = sums.get(one.effect.payout_currency, 0) + change
    return [{"currency": currency, "change": change} for currency, change in sums.items()]


def by_partner(visit: Visit, results: list[Result]) -> tuple[list[Document], bool]:
    """What every partner would gain or lose, of as many actions as a page may look up."""
    changes: dict[str, list[int]] = {}
    for one in results:
        if one.effect is None or one.outcome is not Outcome.APPLIED:
            continue
        if len(visit.reader.orders) >= LOOKED_UP:
            return rows_of(changes), True
        found = visit.reader.action(one.action)
        if found:
            sums = changes.setdefault(found[2].standing.partner, [0, 0])
            sums[0] += 1
            sums[1] += one.effect.payout_after - one.effect.payout_before
    return rows_of(changes), False


def rows_of(changes: dict[str, list[int]]) -> list[Document]:
    return [
        {"partner": partner, "actions": count, "change": change}
        for partner, (count, change) in sorted(changes.items(), key=lambda item: item[1][1])
    ]


def fingerprint(results: list[Result]) -> str:
    """What a dry run came to, so that it shows when it comes to something else by the time it is applied."""
    import hashlib

    said = [(one.place, one.outcome, one.effect and (one.effect.payout_before, one.effect.payout_after))
            for one in results]  # fmt: skip
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def apply(visit: Visit) -> Response:
    """Sent as a delivery like every other, unless it would do something else than was shown."""
    doc, body = kept(visit)
    if doc.get("batch"):
        return to(f"{visit.base}/deliveries/{doc['batch']}?told=apply")
    if fingerprint(list(rehearsed(visit, doc, body).results)) != visit.request.form.get("seen", ""):
        return shown(visit, doc, body, changed=True)
    call = call_of(visit, doc["name"], doc["source"], body, f"dry-run-{visit.part['run']}")
    try:
        batch = modifications.take_file(visit.hub, call, visit.principal, visit.program)["batch"]
    except Refused as refused:
        raise Stop(visit.problem(422, visit.told(refused))) from None
    runs(visit).put(visit.part["run"], {**doc, "batch": batch})
    return to(f"{visit.base}/deliveries/{quote(batch)}?told=apply")
