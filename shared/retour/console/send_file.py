"""Send a file: a dry run first; then, once confirmed, for real."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retour.commands import delivery as commands
from retour.commands import files
from retour.commands.files import FILE_MAX, UPLOAD_SECONDS, choose_source, safe_file_name
from retour.console.delivery import progress_document, refusal_groups
from retour.console.page_context import AbortError, PageContext
from retour.console.request import Response, json_response, redirect
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Source
from retour.domain.times import format_instant, parse_instant
from retour.errors import RequestError
from retour.intake.batch import ARRIVED, WORKING, payouts_moved
from retour.intake.dry_run import dry_run_delivery
from retour.intake.file import is_large
from retour.intake.uploads import UPLOAD_BYTES_MAX
from retour.previews.check import check_sample
from retour.store.source_state import SourceState
from retour.views import documents
from retour.views.deliveries import batch_detail

KEPT_HOURS = 24
RAISED_CODE = "PAYOUT_RAISED"
ROWS = 100
DRY_RUNS_STATE = "console.dry-runs"


def upload_form(context: PageContext, wrong: str = "", status: int = 200) -> Response:
    """The form. Its script uploads large files to a pre-signed URL."""
    shown = context.render(
        "send.html", status, wrong=wrong, sources=file_sources(context), most=FILE_MAX, largest=UPLOAD_BYTES_MAX
    )
    return replace(shown, connects=context.hub.inbox.origin)


def file_sources(context: PageContext) -> list[str]:
    """The sources whose mapping may read a file."""
    return [name for name, source in context.program.sources.items() if source.kind in ("", "standard")]


def dry_run_store(context: PageContext) -> SourceState:
    return context.hub.state(context.program.id, DRY_RUNS_STATE)


def take_upload(context: PageContext) -> Response:
    """Store a file for a day and show its dry run."""
    say, upload = context.words.say, context.request.uploads.get("file")
    source = context.request.form.get("source", "")
    if upload is None or not upload.name or not upload.body:
        return upload_form(context, say("Choose a file that is not empty."), 422)
    if len(upload.body) > FILE_MAX:
        return upload_form(
            context, say("The file is too large for this page; send it by SFTP, or ask the API for an upload."), 413
        )
    named = check_name(context, upload.name, source)
    if named.wrong:
        return upload_form(context, named.wrong, 422)
    run, doc = create_dry_run(context, named.name, source)
    context.hub.inbox.put(doc["key"], upload.body)
    if is_large(context.hub, build_delivery(context, doc, upload.body)[0], upload.body):
        return start_large_dry_run(context, run, doc)
    return redirect(f"{context.base}/dry-runs/{run}")


def upload_address(context: PageContext) -> Response:
    """A pre-signed URL for a large file, and the page that shows it afterwards."""
    asked, say = context.request.form, context.words.say
    source, size = asked.get("source", ""), asked.get("size", "")
    named = check_name(context, asked.get("name", ""), source)
    if not (size.isascii() and size.isdigit()) or named.wrong:
        return json_response({"wrong": named.wrong or say("Choose a file that is not empty.")}, 422)
    if int(size[:15]) > UPLOAD_BYTES_MAX:
        most = context.words.size(UPLOAD_BYTES_MAX)
        return json_response({"wrong": say("A file may have up to %(size)s. Split it into several.", size=most)}, 413)
    run, doc = create_dry_run(context, named.name, source)
    url = context.hub.inbox.presign_put(doc["key"], UPLOAD_SECONDS)
    return json_response({"url": url, "then": f"{context.base}/dry-runs/{run}"})


@dataclass(frozen=True)
class CheckedName:
    """A safe file name, or what is wrong with it or its source."""

    name: str
    wrong: str = ""


def check_name(context: PageContext, name: str, source: str) -> CheckedName:
    if source and source not in context.program.sources:
        return CheckedName(name, context.words.say("This program has no such source."))
    try:
        return CheckedName(safe_file_name(name))
    except RequestError as refused:
        return CheckedName(name, context.explain(refused))


def create_dry_run(context: PageContext, name: str, source: str) -> tuple[str, dict[str, Any]]:
    """Create a dry run stored for a day. Returns its id and where its file is or will be."""
    run = secrets.token_urlsafe(12).replace("-", "x").replace("_", "y")
    ends = format_instant(context.hub.real_now() + timedelta(hours=KEPT_HOURS))
    key = f"raw/{context.program.id}/dry-run-{run}"
    doc = {"name": name, "source": source, "key": key, "ends": ends, "by": context.signed_in_person.name}
    dry_run_store(context).put(run, doc)
    return run, doc


def load_dry_run(context: PageContext) -> dict[str, Any]:
    doc = dry_run_store(context).get(context.part["run"])
    if doc is None or parse_instant(doc["ends"]) <= context.hub.real_now():
        raise context.not_found()
    return doc


def stored_size(context: PageContext, doc: dict[str, Any]) -> int:
    """The size of the stored file; raises if the upload was not completed."""
    try:
        return context.hub.inbox.size(doc["key"])
    except KeyError:
        said = context.words.say("The upload of %(name)s did not come to its end. Send it again.", name=doc["name"])
        raise AbortError(context.problem(409, said)) from None


def dry_run_page(context: PageContext) -> Response:
    doc = load_dry_run(context)
    size = stored_size(context, doc)
    if "rehearsal" in doc or size > FILE_MAX:
        return render_large(context, doc, size)
    return render_dry_run(context, doc, context.hub.inbox.read(doc["key"]))


def start_large_dry_run(context: PageContext, run: str, doc: dict[str, Any]) -> Response:
    """Simulate a file with many rows as a large file, and follow it on its page."""
    if "rehearsal" not in doc:
        source, size = choose_source(context.program, doc["source"] or None), stored_size(context, doc)
        command = replace(context.command_context, key="")
        batch = files.send_stored_file(command, source, doc["name"], doc["key"], size, is_dry_run=True)
        dry_run_store(context).put(run, {**doc, "rehearsal": batch.delivery.id})
    return redirect(f"{context.base}/dry-runs/{run}")


def render_large(context: PageContext, doc: dict[str, Any], size: int) -> Response:
    """The progress and result of a large dry run."""
    header = context.reader.deliveries.get(doc.get("rehearsal", ""))
    document = batch_detail(replace(context.reader, program=context.localized_program), header) if header else None
    answer = context.render(
        "dry_run_large.html" if not context.request.wants_block else "dry_run_state.html",
        name=doc["name"],
        run=context.part["run"],
        size=size,
        done=doc.get("batch", ""),
        answer=document or {},
        progress=progress_document(context, header) if header else None,
    )
    if context.request.wants_block and (document["state"] if document else "") not in (ARRIVED, WORKING):
        return replace(answer, headers={**answer.headers, "hx-refresh": "true"})
    return answer


def render_dry_run(context: PageContext, doc: dict[str, Any], body: bytes, changed: bool = False) -> Response:
    delivery, source = build_delivery(context, doc, body)
    batch = dry_run_delivery(context.hub, delivery, body)
    results = list(batch.results)
    language = context.words.language
    refused = [one for one in results if one.outcome is Outcome.REFUSED]
    rest = [one for one in results if one.outcome is not Outcome.REFUSED]
    answer = documents.dry_run_document(replace(batch, results=()), language)
    return context.render(
        "dry_run.html",
        409 if changed else 200,
        name=doc["name"],
        source=source,
        run=context.part["run"],
        answer=answer,
        read=check_sample(context.hub, context.localized_program, source, delivery, body),
        counts=batch.counts,
        groups=list(refusal_groups(context, results)),
        rows=[documents.result_document(one, language) for one in [*refused, *rest][:ROWS]],
        raised=[documents.result_document(one, language) for one in results if one.code == RAISED_CODE],
        total=len(results),
        sum=documents.effect_totals(payouts_moved(results)),
        seen=fingerprint(results),
        changed=changed,
        done=doc.get("batch", ""),
        size=len(body),
    )


def build_delivery(context: PageContext, doc: dict[str, Any], body: bytes) -> tuple[Delivery, Source]:
    """The delivery this file would become."""
    source = choose_source(context.program, doc["source"] or None)
    command = replace(context.command_context, key="")
    delivery = commands.build_delivery(command, body, source.name, DeliveryKind.FILE)
    return replace(delivery, name=doc["name"], body_key=doc["key"]), source


def fingerprint(results: Sequence[Result]) -> str:
    """A hash of a dry run's results, to detect differences when it is applied."""
    import hashlib

    said = [(one.place, one.outcome, one.effect and (one.effect.payout_before, one.effect.payout_after))
            for one in results]  # fmt: skip
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def apply_dry_run(context: PageContext) -> Response:
    """Send the file for real, unless the result would differ from what was shown."""
    doc, run = load_dry_run(context), context.part["run"]
    if context.request.form.get("step") == "look":
        return start_large_dry_run(context, run, doc)
    if doc.get("batch"):
        return redirect(f"{context.base}/deliveries/{doc['batch']}?told=apply")
    size = stored_size(context, doc)
    body = context.hub.inbox.read(doc["key"]) if size <= FILE_MAX else b""
    if (
        body
        and "rehearsal" not in doc
        and context.request.form.get("seen", "")
        != fingerprint(dry_run_delivery(context.hub, build_delivery(context, doc, body)[0], body).results)
    ):
        return render_dry_run(context, doc, body, changed=True)
    command = replace(context.command_context, key=f"dry-run-{run}")
    try:
        source = choose_source(context.program, doc["source"] or None)
        if body:
            batch = files.send_file(command, source, doc["name"], body).delivery.id
        else:
            batch = files.send_stored_file(command, source, doc["name"], doc["key"], size).delivery.id
    except RequestError as refused:
        raise AbortError(context.refusal(refused)) from None
    dry_run_store(context).put(run, {**doc, "batch": batch})
    return redirect(f"{context.base}/deliveries/{quote(batch)}?told=apply")
