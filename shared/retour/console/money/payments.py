"""Payment batches: what could be paid, what was proposed, approved, handed out, and what became of it."""

import json
from dataclasses import replace
from typing import Any

from retour.api import payments as api
from retour.api.calls import Call, ProblemError
from retour.console.page_context import PageContext
from retour.console.request import Response, download, redirect
from retour.store.programs import Principal
from retour.views.documents import Document


def payer(context: PageContext) -> Principal:
    """The person as one of finance, whatever other roles they have."""
    return replace(context.principal, role=api.FINANCE)


def form_call(context: PageContext, document: Document, query: dict[str, str] | None = None) -> Call:
    body = json.dumps(document).encode()
    return context.call("POST", body, key=context.request.form.get("form", ""), query=query)


def index(context: PageContext, wrong: str = "", refused: Document | None = None) -> Response:
    """The batches; for who pays also what a new one would be."""
    query = {name: value for name, value in context.request.query.items() if name == "cursor" and value}
    found = api.payments(context.hub, context.call(query=query), context.program)
    day = context.request.form.get("day") or context.request.query.get("day", "")
    could = None
    if context.may("pay") and context.request.query.get("next") and not wrong:
        try:
            call = form_call(context, {"day": day} if day else {}, {"dry_run": "true"})
            could = api.propose_batch(context.hub, call, payer(context), context.localized_program)
        except ProblemError as error:
            wrong = context.explain(error)
    return context.render(
        "payments.html", 422 if wrong else 200, found=found, could=could, day=day, wrong=wrong, refused=refused or {},
        today=context.today.isoformat(),
    )  # fmt: skip


def propose(context: PageContext) -> Response:
    day = context.request.form.get("day", "")
    try:
        call = form_call(context, {"day": day} if day else {})
        made = api.propose_batch(context.hub, call, payer(context), context.localized_program)
    except ProblemError as error:
        return index(context, context.explain(error), error.members)
    return redirect(f"{context.base}/money/payments/{made['id']}")


def show(context: PageContext, wrong: str = "", told: Any = None, changed: Any = ()) -> Response:
    found = api.payment_batch(context.hub, context.localized_program, context.part["payment"])
    own = found["proposed_by"] == context.signed_in_person.name
    return context.render(
        "payment.html", 422 if wrong else 200, one=found, wrong=wrong, told=told, changed=changed, is_own=own
    )


def approve(context: PageContext) -> Response:
    try:
        call = form_call(context, {"contents": context.request.form.get("contents", "")})
        api.approve_batch(context.hub, call, payer(context), context.localized_program, context.part["payment"])
    except ProblemError as error:
        return show(context, context.explain(error), changed=error.members.get("changed", ()))
    return redirect(f"{context.base}/money/payments/{context.part['payment']}")


def hand_out(context: PageContext) -> Response:
    """A file for the bank: asked for by a form, since that it was handed out is kept."""
    try:
        call = context.call(query={"format": context.request.form.get("format", "")})
        found = api.export_batch(context.hub, call, payer(context), context.localized_program, context.part["payment"])
    except ProblemError as error:
        return show(context, context.explain(error))
    return download(found.name, found.body, found.media_type)


def confirm(context: PageContext) -> Response:
    """One payment, all of them, or a file of what became of them."""
    form, upload = context.request.form, context.request.uploads.get("file")
    try:
        if upload is not None:
            call = replace(form_call(context, {}), body=upload.body, headers={"content-type": "text/csv"})
        else:
            row = {
                name: form[name] for name in ("partner", "billing_group", "status", "day", "reason") if form.get(name)
            }
            call = form_call(context, {"results": [row]} if "partner" in row else row)
        told = api.confirm_batch(context.hub, call, payer(context), context.localized_program, context.part["payment"])
    except ProblemError as error:
        return show(context, context.explain(error))
    refused = [one for one in told["outcomes"] if one["outcome"] == "refused"]
    if refused or upload is not None:
        return show(context, told={**told, "refused": refused})
    return redirect(f"{context.base}/money/payments/{context.part['payment']}")
