"""A partner's own payout account: its last four signs, since when it is so, and a form to change it."""

import json
from dataclasses import replace

from retour.api import payees as api
from retour.api.calls import ProblemError
from retour.api.payments import FINANCE
from retour.console import portal
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.domain.times import parse_instant
from retour.store.programs import Principal

FIELDS = ("holder", "iban", "bic")


def index(context: PageContext, wrong: str = "") -> Response:
    """`wrong`: what is wrong with the form that was sent, shown at the program it was for."""
    form, blocks = context.request.form, []
    for own, grant in portal.partner_programs(context):
        is_sent = bool(wrong) and form.get("program") == own.program.id
        known = api.list_accounts(own.hub, own.program)["items"]
        account = next((one for one in known if one.get("partner") == grant.partner), None)
        waits = account is not None and parse_instant(account["usable_from"]) > own.hub.now()
        given = {name: form.get(name, "") for name in ("holder", "bic")} if is_sent else {}
        blocks.append({"v": own, "w": own.words, "account": account, "waits": waits, "given": given,
                       "wrong": wrong if is_sent else ""})  # fmt: skip
    return context.render("my_account.html", 422 if wrong else 200, blocks=blocks)


def keep(context: PageContext) -> Response:
    form = context.request.form
    for own, grant in portal.partner_programs(context):
        if own.program.id != form.get("program"):
            continue
        given = {name: form.get(name, "") for name in FIELDS}
        call = own.call("POST", json.dumps(given).encode(), key=form.get("form", ""))
        # What partners may do for themselves finance may do for them; the act says who it was.
        principal = Principal(own.program.id, FINANCE, context.signed_in_person.name)
        localized = replace(own.program, language=own.words.language)
        try:
            api.keep_account(own.hub, call, principal, localized, "partner", grant.partner, given)
        except ProblemError as error:
            return index(context, context.explain(error))
        return redirect("/my/account")
    raise context.not_found()
