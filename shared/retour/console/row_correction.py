"""Correct a refused row in place, or one wrong value in many rows."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.commands import corrections
from retour.commands.corrections import Correction, EditedRow, FaultyRow, Replacement
from retour.commands.once import Once
from retour.console.page_context import AbortError, PageContext
from retour.console.request import Response, redirect
from retour.domain.actions.outcome import Outcome
from retour.errors import ConflictError, InvalidRequestError, RequestError
from retour.intake import correction
from retour.store.deliveries import DeliveryHeader
from retour.views.deliveries import find_header
from retour.views.documents import dry_run_document, result_document
from retour.views.schemas import BatchAnswerDocument

COLUMN_PREFIX = "c."
"""Prefix of a row's form fields, so that columns may have any name."""
FORMS_STATE = "console.forms"


def row_page(context: PageContext) -> Response:
    """The columns of a row as sent, for editing."""
    query = context.request.query
    header, found = load_row(context, query.get("place", ""))
    # If the order is unknown, the inbox may have similar ones.
    nearly = {found.column: query["order"]} if query.get("order") and found.result.outcome is Outcome.WAITING else {}
    return render_row(
        context, row_values(context, header, found, {**found.sent.columns, **nearly}, refusal_by_column(context, found))
    )


def load_row(context: PageContext, place: str) -> tuple[DeliveryHeader, FaultyRow]:
    return corrections.load_faulty_row(context.hub, context.program, context.part["batch"], place)


def render_row(context: PageContext, values: Mapping[str, Any], status: int = 200) -> Response:
    return context.render("row_form.html" if context.request.wants_block else "row.html", status, **values)


def open_row_values(context: PageContext, place: str) -> Mapping[str, Any]:
    """The content of an expanded row; empty if it cannot be corrected."""
    try:
        header, found = load_row(context, place)
    except RequestError:
        return {}
    return row_values(context, header, found, found.sent.columns, refusal_by_column(context, found))


def refusal_by_column(context: PageContext, found: FaultyRow) -> dict[str, str]:
    """The reason of refusal under the column at fault."""
    return {found.column: str(result_document(found.result, context.words.language)["explanation"])}


def row_values(
    context: PageContext,
    header: DeliveryHeader,
    found: FaultyRow,
    columns: Mapping[str, str],
    wrong: Mapping[str, str],
    preview: BatchAnswerDocument | None = None,
) -> dict[str, Any]:
    """`wrong` says under which column what is the matter; what is of no column is under the empty name."""
    have = [*columns] if found.column in ("", *columns) else [*columns, found.column]
    further = correction.further_columns(context.program, header.delivery, found.sent)
    links = correction.correction_links(context.hub, header.delivery)
    return {
        "batch": header.delivery.id,
        "name": header.delivery.name,
        "found": found,
        "columns": {name: columns.get(name, "") for name in have},
        "further": [name for name in further if name not in have],
        "wrong": wrong,
        "preview": preview,
        "done": correction.newest_correction(links, found.sent.place),
        "reasons": sorted(context.program.reasons),
    }


def send_correction(context: PageContext) -> Response:
    """Send the corrected row, unless it would be refused again."""
    form = context.request.form
    header, found = load_row(context, form.get("place", ""))
    typed = {name.removeprefix(COLUMN_PREFIX): form[name] for name in form if name.startswith(COLUMN_PREFIX)}
    changed = {name: text for name, text in typed.items() if text != found.sent.columns.get(name, "")}
    change = [EditedRow(found.sent.place, changed)]
    try:
        preview = preview_document(context, header, change)
    except InvalidRequestError as refused:
        return render_checked(context, header, found, typed, {"": context.explain(refused)}, None)
    wrong = errors_by_column(context, header, found, preview)
    if wrong or "check" in (form.get("step"), context.request.query.get("step")):
        return render_checked(context, header, found, typed, wrong, preview)
    told = f"corrected={quote(send_once(context, header, change))}&place={quote(found.sent.place, safe='')}"
    return redirect(f"{context.base}/deliveries/{quote(header.delivery.id)}?{told}")


def render_checked(
    context: PageContext,
    header: DeliveryHeader,
    found: FaultyRow,
    typed: Mapping[str, str],
    wrong: Mapping[str, str],
    preview: BatchAnswerDocument | None,
) -> Response:
    """The form again with what it would come to; htmx asks for that alone while somebody types."""
    if context.request.wants_block:
        return context.render("row_checked.html", preview=preview, wrong=wrong)
    said = {name: text for name, text in typed.items() if text or name in found.sent.columns}
    values = row_values(context, header, found, {**found.sent.columns, **said}, wrong, preview)
    return render_row(context, values, 422 if wrong else 200)


def preview_document(context: PageContext, header: DeliveryHeader, change: Correction) -> BatchAnswerDocument:
    preview = corrections.preview_correction(context.command_context, header, change)
    return dry_run_document(preview, context.words.language)


def send_once(context: PageContext, header: DeliveryHeader, change: Correction) -> str:
    """Send a correction and return its delivery id. Repeating the form has no effect."""
    said = "\0".join((header.delivery.id, repr(change)))
    once = Once(context.hub.state(context.program.id, FORMS_STATE), context.command_context.key, said)
    return str(once.answer(lambda: corrections.correct(context.command_context, header, change).delivery.id))


def errors_by_column(
    context: PageContext, header: DeliveryHeader, found: FaultyRow, preview: BatchAnswerDocument
) -> dict[str, str]:
    """Reasons by column why a correction would be refused."""
    if preview["state"] == "refused":
        return {"": str(preview.get("explanation", ""))}
    refused = [one for one in preview["outcomes"] if one["outcome"] == "refused"]
    of = (context.program, header.delivery, found.sent)
    return {correction.column_at_fault(*of, one["code"], one.get("column", "")): one["explanation"] for one in refused}


def replace_value(context: PageContext) -> Response:
    """Replace a value in all refused rows: preview first, then send."""
    form, batch = context.request.form, context.part["batch"]
    rule = {name: form.get(name, "") for name in ("column", "from", "to", "code")}
    wrong = "" if rule["to"].strip() else context.words.say("Enter the new value.")
    answer: BatchAnswerDocument | None = None
    header = find_header(context.reader, batch)
    if not wrong:
        change = Replacement(rule["column"], rule["from"], rule["to"], rule["code"])
        try:
            corrections.require_correctable(header)
            if form.get("step") == "do":
                sent = send_once(context, header, change)
                return redirect(f"{context.base}/deliveries/{quote(sent)}?told=apply")
            answer = preview_document(context, header, change)
        except ConflictError as refused:
            raise AbortError(context.refusal(refused)) from None
    return context.render("mend.html", 422 if wrong else 200, answer=answer or {}, batch=batch, rule=rule,
                        name=header.delivery.name, wrong=wrong, reasons=sorted(context.program.reasons))  # fmt: skip
