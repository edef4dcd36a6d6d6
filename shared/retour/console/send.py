"""A file sent from here: first what it would do, then, if that is meant, done."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retour.api import admission, documents, modifications
from retour.api.batches import batch_shown
from retour.api.calls import FILE_MAX, UPLOAD_SECONDS, Call, Refused, file_name
from retour.console.delivery import groups_of, progress_of
from retour.console.request import Response, document, to
from retour.console.visit import Stop, Visit
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery, Kind
from retour.domain.program import Source
from retour.domain.times import instant, text
from retour.intake.arrival import UPLOAD_MAX
from retour.intake.batch import ARRIVED, WORKING, payouts_moved
from retour.intake.file import is_large
from retour.intake.rehearse import rehearse
from retour.setup.check import check
from retour.store.state import SourceState

KEPT_HOURS = 24
RAISED = "PAYOUT_RAISED"
ROWS = 100
OWN = "console.dry-runs"


def form(visit: Visit, wrong: str = "", status: int = 200) -> Response:
    """Its script puts a larger file to the address it is given, which is not ours."""
    shown = visit.render("send.html", status, wrong=wrong, sources=sources(visit), most=FILE_MAX, largest=UPLOAD_MAX)
    return replace(shown, connects=visit.hub.inbox.origin)


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
    named = checked(visit, upload.name, source)
    if named.wrong:
        return form(visit, named.wrong, 422)
    run, doc = begun(visit, named.name, source)
    visit.hub.inbox.put(doc["key"], upload.body)
    if is_large(visit.hub, delivery_of(visit, doc, upload.body)[0], upload.body):
        return begin(visit, run, doc)
    return to(f"{visit.base}/dry-runs/{run}")


def address(visit: Visit) -> Response:
    """Where a file is put that is too large to come by here, and the page that shows it then."""
    asked, say = visit.request.form, visit.words.say
    source, size = asked.get("source", ""), asked.get("size", "")
    named = checked(visit, asked.get("name", ""), source)
    if not (size.isascii() and size.isdigit()) or named.wrong:
        return document({"wrong": named.wrong or say("Choose a file that is not empty.")}, 422)
    if int(size[:15]) > UPLOAD_MAX:
        most = visit.words.size(UPLOAD_MAX)
        return document({"wrong": say("A file may have up to %(size)s. Split it into several.", size=most)}, 413)
    run, doc = begun(visit, named.name, source)
    url = visit.hub.inbox.presign_put(doc["key"], UPLOAD_SECONDS)
    return document({"url": url, "then": f"{visit.base}/dry-runs/{run}"})


@dataclass(frozen=True)
class Named:
    """A file's name as it is kept; or what is wrong with it, or with its source."""

    name: str
    wrong: str = ""


def checked(visit: Visit, name: str, source: str) -> Named:
    if source and source not in visit.program.sources:
        return Named(name, visit.words.say("This program has no such source."))
    try:
        return Named(file_name(call_of(visit, name, source)))
    except Refused as refused:
        return Named(name, visit.told(refused))


def begun(visit: Visit, name: str, source: str) -> tuple[str, dict[str, Any]]:
    """A dry run that is kept for a day: its id, and where its file lies or will lie."""
    run = secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")
    ends = text(visit.hub.real_now() + timedelta(hours=KEPT_HOURS))
    key = f"raw/{visit.program.id}/dry-run-{run}"
    doc = {"name": name, "source": source, "key": key, "ends": ends, "by": visit.someone.name}
    runs(visit).put(run, doc)
    return run, doc


def call_of(visit: Visit, name: str, source: str, body: bytes = b"", key: str = "", rehearse: bool = False) -> Call:
    query = {"name": name, **({"source": source} if source else {}), **({"dry_run": "true"} if rehearse else {})}
    headers = {"idempotency-key": key} if key else {}
    return Call(method="POST", path=visit.request.path, query=query, headers=headers, body=body)


def kept(visit: Visit) -> dict[str, Any]:
    doc = runs(visit).get(visit.part["run"])
    if doc is None or instant(doc["ends"]) <= visit.hub.real_now():
        raise visit.not_found()
    return doc


def size_of(visit: Visit, doc: dict[str, Any]) -> int:
    """Of the kept file; an upload that did not come to its end is none."""
    try:
        return visit.hub.inbox.size(doc["key"])
    except KeyError:
        said = visit.words.say("The upload of %(name)s did not come to its end. Send it again.", name=doc["name"])
        raise Stop(visit.problem(409, said)) from None


def dry_run(visit: Visit) -> Response:
    doc = kept(visit)
    size = size_of(visit, doc)
    if "rehearsal" in doc or size > FILE_MAX:
        return followed(visit, doc, size)
    return shown(visit, doc, visit.hub.inbox.read(doc["key"]))


def begin(visit: Visit, run: str, doc: dict[str, Any]) -> Response:
    """A file of many rows is rehearsed as large files are taken in; its page follows that."""
    if "rehearsal" not in doc:
        call = call_of(visit, doc["name"], doc["source"], rehearse=True)
        size = size_of(visit, doc)
        answer = modifications.take_over(visit.hub, call, visit.principal, visit.program, doc["key"], size)
        runs(visit).put(run, {**doc, "rehearsal": answer["batch"]})
    return to(f"{visit.base}/dry-runs/{run}")


def followed(visit: Visit, doc: dict[str, Any], size: int) -> Response:
    """How far the dry run of a large file has come, and what it came to."""
    header = visit.reader.deliveries.get(doc.get("rehearsal", ""))
    document = batch_shown(replace(visit.reader, program=visit.spoken), header) if header else {}
    answer = visit.render(
        "dry_run_large.html" if not visit.request.wants_block else "dry_run_state.html",
        name=doc["name"],
        run=visit.part["run"],
        size=size,
        done=doc.get("batch", ""),
        answer=document,
        progress=progress_of(visit, header) if header else None,
    )
    if visit.request.wants_block and document.get("state") not in (ARRIVED, WORKING):
        return replace(answer, headers={**answer.headers, "hx-refresh": "true"})
    return answer


def shown(visit: Visit, doc: dict[str, Any], body: bytes, changed: bool = False) -> Response:
    delivery, source = delivery_of(visit, doc, body)
    batch = rehearse(visit.hub, delivery, body)
    results = list(batch.results)
    language = visit.words.language
    refused = [one for one in results if one.outcome is Outcome.REFUSED]
    rest = [one for one in results if one.outcome is not Outcome.REFUSED]
    answer = documents.rehearsal_document(replace(batch, results=()), language)
    return visit.render(
        "dry_run.html",
        409 if changed else 200,
        name=doc["name"],
        source=source,
        run=visit.part["run"],
        answer=answer,
        read=check(visit.hub, visit.spoken, source, delivery, body),
        counts=batch.counts,
        groups=list(groups_of(visit, results)),
        rows=[documents.result_document(one, language) for one in [*refused, *rest][:ROWS]],
        raised=[documents.result_document(one, language) for one in results if one.code == RAISED],
        total=len(results),
        sum=documents.effects(payouts_moved(results)),
        seen=fingerprint(results),
        changed=changed,
        done=doc.get("batch", ""),
        size=len(body),
    )


def delivery_of(visit: Visit, doc: dict[str, Any], body: bytes) -> tuple[Delivery, Source]:
    """What sending it would make of it."""
    call = call_of(visit, doc["name"], doc["source"], body)
    source = admission.source_for_api(call, visit.program)
    delivery = admission.delivery_of(call, visit.hub, visit.principal, visit.program.id, source.name, Kind.FILE)
    return replace(delivery, name=doc["name"], body_key=doc["key"]), source


def fingerprint(results: Sequence[Result]) -> str:
    """What a dry run came to, so that it shows when it comes to something else by the time it is applied."""
    import hashlib

    said = [(one.place, one.outcome, one.effect and (one.effect.payout_before, one.effect.payout_after))
            for one in results]  # fmt: skip
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def apply(visit: Visit) -> Response:
    """Sent as a delivery like every other, unless it would do something else than was shown."""
    doc, run = kept(visit), visit.part["run"]
    if visit.request.form.get("step") == "look":
        return begin(visit, run, doc)
    if doc.get("batch"):
        return to(f"{visit.base}/deliveries/{doc['batch']}?told=apply")
    size = size_of(visit, doc)
    body = visit.hub.inbox.read(doc["key"]) if size <= FILE_MAX else b""
    if (
        body
        and "rehearsal" not in doc
        and visit.request.form.get("seen", "")
        != fingerprint(rehearse(visit.hub, delivery_of(visit, doc, body)[0], body).results)
    ):
        return shown(visit, doc, body, changed=True)
    call = call_of(visit, doc["name"], doc["source"], body, f"dry-run-{run}")
    try:
        if body:
            batch = modifications.take_file(visit.hub, call, visit.principal, visit.program)["batch"]
        else:
            batch = modifications.take_over(visit.hub, call, visit.principal, visit.program, doc["key"], size)["batch"]
    except Refused as refused:
        raise Stop(visit.problem(422, visit.told(refused))) from None
    runs(visit).put(run, {**doc, "batch": batch})
    return to(f"{visit.base}/deliveries/{quote(batch)}?told=apply")
