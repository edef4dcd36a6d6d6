"""A refused row put right in its place, and one wrong value mended in many rows at once."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from retour.api import corrections
from retour.api.batches import header_of
from retour.api.calls import Refused, once
from retour.api.corrections import Faulty
from retour.api.documents import Document, result_document
from retour.console.request import Response, to
from retour.console.visit import Stop, Visit
from retour.domain.actions.outcome import Outcome
from retour.intake import correction
from retour.store.deliveries import Header

COLUMN = "c."
"""What the fields of a row begin with in a form, so that a column may have any name."""
FORMS = "console.forms"


def row(visit: Visit) -> Response:
    """The columns of one row as they were sent, to be changed."""
    query = visit.request.query
    header, found = faulty(visit, query.get("place", ""))
    # Where the order is not known yet, the inbox may have one that is called nearly the same.
    nearly = {found.column: query["order"]} if query.get("order") and found.result.outcome is Outcome.WAITING else {}
    return shown(visit, values_of(visit, header, found, {**found.sent.columns, **nearly}, said_of(visit, found)))


def faulty(visit: Visit, place: str) -> tuple[Header, Faulty]:
    return corrections.one_row(visit.hub, visit.program, visit.part["batch"], place)


def shown(visit: Visit, values: Mapping[str, Any], status: int = 200) -> Response:
    return visit.render("row_form.html" if visit.request.wants_block else "row.html", status, **values)


def opened(visit: Visit, place: str) -> Mapping[str, Any]:
    """What the row shows that is open in its list; nothing where it is not to be corrected."""
    try:
        header, found = faulty(visit, place)
    except Refused:
        return {}
    return values_of(visit, header, found, found.sent.columns, said_of(visit, found))


def said_of(visit: Visit, found: Faulty) -> dict[str, str]:
    """Why it was refused, under the column that is at fault."""
    return {found.column: str(result_document(found.result, visit.words.language)["explanation"])}


def values_of(
    visit: Visit,
    header: Header,
    found: Faulty,
    columns: Mapping[str, str],
    wrong: Mapping[str, str],
    preview: Document | None = None,
) -> dict[str, Any]:
    """`wrong` says under which column what is the matter; what is of no column is under the empty name."""
    have = [*columns] if found.column in ("", *columns) else [*columns, found.column]
    further = correction.further_columns(visit.program, header.delivery, found.sent)
    links = correction.links(visit.hub, header.delivery)
    return {
        "batch": header.delivery.id,
        "name": header.delivery.name,
        "found": found,
        "columns": {name: columns.get(name, "") for name in have},
        "further": [name for name in further if name not in have],
        "wrong": wrong,
        "preview": preview,
        "done": correction.corrected_by(links, found.sent.place),
        "reasons": sorted(visit.program.reasons),
    }


def send(visit: Visit) -> Response:
    """What was typed, read as its source reads it; sent, unless it would be refused again."""
    form = visit.request.form
    header, found = faulty(visit, form.get("place", ""))
    typed = {name.removeprefix(COLUMN): form[name] for name in form if name.startswith(COLUMN)}
    changed = {name: text for name, text in typed.items() if text != found.sent.columns.get(name, "")}
    asked = {"rows": [{"record": found.sent.place, "fields": changed}]}
    try:
        preview = called(visit, asked, rehearse=True)
    except Refused as refused:
        if refused.status not in (400, 422):
            raise
        return checked(visit, header, found, typed, {"": visit.told(refused)}, None)
    wrong = wrong_of(visit, header, found, preview)
    if wrong or "check" in (form.get("step"), visit.request.query.get("step")):
        return checked(visit, header, found, typed, wrong, preview)
    answer = called(visit, asked, rehearse=False)
    told = f"corrected={quote(answer['batch'])}&place={quote(found.sent.place, safe='')}"
    return to(f"{visit.base}/deliveries/{quote(header.delivery.id)}?{told}")


def checked(
    visit: Visit,
    header: Header,
    found: Faulty,
    typed: Mapping[str, str],
    wrong: Mapping[str, str],
    preview: Document | None,
) -> Response:
    """The form again with what it would come to; htmx asks for that alone while somebody types."""
    if visit.request.wants_block:
        return visit.render("row_checked.html", preview=preview, wrong=wrong)
    said = {name: text for name, text in typed.items() if text or name in found.sent.columns}
    values = values_of(visit, header, found, {**found.sent.columns, **said}, wrong, preview)
    return shown(visit, values, 422 if wrong else 200)


def called(visit: Visit, asked: Mapping[str, Any], *, rehearse: bool) -> Document:
    """The API's answer to a correction. A form that is sent twice is carried out once."""
    body = json.dumps(asked, ensure_ascii=False).encode("utf-8", "surrogatepass")
    call = visit.call("POST", body, visit.request.form.get("form", ""), {"dry_run": "true"} if rehearse else {})

    def answer() -> tuple[int, Document]:
        return 200, corrections.correct(visit.hub, call, visit.principal, visit.spoken, visit.part["batch"])

    found: Document = once(visit.hub.state(visit.program.id, FORMS), call, answer)[1]
    return found


def wrong_of(visit: Visit, header: Header, found: Faulty, preview: Document) -> dict[str, str]:
    """By column, what a correction would be refused for."""
    if preview["state"] == "refused":
        return {"": str(preview.get("explanation", ""))}
    refused = [one for one in preview["outcomes"] if one["outcome"] == "refused"]
    of = (visit.program, header.delivery, found.sent)
    return {correction.column_at_fault(*of, one["code"], one.get("column", "")): one["explanation"] for one in refused}


def mend(visit: Visit) -> Response:
    """One value for another in every refused row that has it: first what that comes to, then, confirmed, done."""
    form, batch = visit.request.form, visit.part["batch"]
    rule = {name: form.get(name, "") for name in ("column", "from", "to", "code")}
    wrong = "" if rule["to"].strip() else visit.words.say("Say what it should be.")
    answer: Document = {}
    try:
        if not wrong:
            answer = called(visit, {"set": rule}, rehearse=form.get("step") != "do")
    except Refused as refused:
        if refused.status == 409:
            raise Stop(visit.problem(409, visit.told(refused))) from None
        raise
    if form.get("step") == "do" and not wrong:
        return to(f"{visit.base}/deliveries/{quote(answer['batch'])}?told=apply")
    name = header_of(visit.reader, batch).delivery.name
    return visit.render("mend.html", 422 if wrong else 200, answer=answer, batch=batch, name=name, rule=rule,
                        wrong=wrong, reasons=sorted(visit.program.reasons))  # fmt: skip
