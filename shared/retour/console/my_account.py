"""A partner's own payout account: its last four characters, since when, and a form to change it."""

from retour.commands import payees
from retour.commands.payments import FINANCE
from retour.console import portal
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.context import Context
from retour.domain.times import parse_instant
from retour.errors import RequestError
from retour.store.programs import Principal
from retour.views import payees as views

FIELDS = ("holder", "iban", "bic")


def index(context: PageContext, wrong: str = "") -> Response:
    """`wrong` is the error of a submitted form, shown at its program."""
    form, blocks = context.request.form, []
    for own, grant in portal.partner_programs(context):
        is_sent = bool(wrong) and form.get("program") == own.program.id
        known = views.list_accounts(own.hub, own.program)["items"]
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
        # Finance may do for partners what they may do themselves; the act records who did it.
        caller = Principal(own.program.id, FINANCE, context.signed_in_person.name)
        key = form.get("form", "")
        try:
            command = Context(ports=own.hub, program=own.localized_program, caller=caller, key=key)
            payees.keep_account(command, "partner", grant.partner, given)
        except RequestError as error:
            return index(context, context.explain(error))
        return redirect("/my/account")
    raise context.not_found()
