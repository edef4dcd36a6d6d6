"""Payment batches: what could be paid, what was proposed, approved, handed out, and what became of it."""

from dataclasses import replace
from typing import Any

from retour.commands import payments
from retour.commands.payments import ProposeBatch
from retour.console.page_context import PageContext
from retour.console.request import Response, download, redirect
from retour.context import Context
from retour.errors import RequestError
from retour.views import payments as views
from retour.views.documents import Document
from retour.wiring import Hub

PAGE = 50


def payer_context(context: PageContext) -> Context[Hub]:
    """The person as one of finance, whatever other roles they have."""
    caller = replace(context.principal, role=payments.FINANCE)
    return replace(context.command_context, program=context.localized_program, caller=caller)


def index(context: PageContext, wrong: str = "", refused: Document | None = None) -> Response:
    """The batches; for who pays also what a new one would be."""
    found = views.list_payments(context.hub, context.program, PAGE, context.request.query.get("cursor", ""))
    day = context.request.form.get("day") or context.request.query.get("day", "")
    could = None
    if context.may("pay") and context.request.query.get("next") and not wrong:
        try:
            could = payments.preview_batch(payer_context(context), ProposeBatch(day))
        except RequestError as error:
            wrong = context.explain(error)
    return context.render(
        "payments.html", 422 if wrong else 200, found=found, could=could, day=day, wrong=wrong, refused=refused or {},
        today=context.today.isoformat(),
    )  # fmt: skip


def propose(context: PageContext) -> Response:
    day = context.request.form.get("day", "")
    try:
        made = payments.propose_batch(payer_context(context), ProposeBatch(day))
    except RequestError as error:
        return index(context, context.explain(error), error.members)
    return redirect(f"{context.base}/money/payments/{made['id']}")


def show(context: PageContext, wrong: str = "", told: Any = None, changed: Any = ()) -> Response:
    found = views.payment_batch(context.hub, context.localized_program, context.part["payment"])
    own = found["proposed_by"] == context.signed_in_person.name
    return context.render(
        "payment.html", 422 if wrong else 200, one=found, wrong=wrong, told=told, changed=changed, is_own=own
    )


def approve(context: PageContext) -> Response:
    try:
        contents = context.request.form.get("contents", "")
        payments.approve_batch(payer_context(context), context.part["payment"], contents)
    except RequestError as error:
        return show(context, context.explain(error), changed=error.members.get("changed", ()))
    return redirect(f"{context.base}/money/payments/{context.part['payment']}")


def hand_out(context: PageContext) -> Response:
    """A file for the bank: asked for by a form, since that it was handed out is kept."""
    try:
        file_format = context.request.form.get("format", "")
        found = payments.export_batch(replace(payer_context(context), key=""), context.part["payment"], file_format)
    except RequestError as error:
        return show(context, context.explain(error))
    return download(found.name, found.body, found.media_type)


def confirm(context: PageContext) -> Response:
    """One payment, all of them, or a file of what became of them."""
    form, upload = context.request.form, context.request.uploads.get("file")
    said: payments.ConfirmationValues
    if upload is not None:
        said = upload.body
    else:
        row = {name: form[name] for name in ("partner", "billing_group", "status", "day", "reason") if form.get(name)}
        said = {"results": [row]} if "partner" in row else row
    try:
        told = payments.confirm_batch(payer_context(context), context.part["payment"], said)
    except RequestError as error:
        return show(context, context.explain(error))
    refused = [one for one in told["outcomes"] if one["outcome"] == "refused"]
    if refused or upload is not None:
        return show(context, told={**told, "refused": refused})
    return redirect(f"{context.base}/money/payments/{context.part['payment']}")
