"""Who is paid where, and how it is taxed; never more of an account than its last four signs."""

from retour.api import payees as api
from retour.api.calls import ProblemError
from retour.console.money.payments import form_call, payer
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.domain.funding.payments import Treatment
from retour.money.statements import billing

ACCOUNT_FIELDS = ("partner", "billing_group", "holder", "iban", "bic")
TAX_FIELDS = ("partner", "treatment", "country", "tax_id")
KEPT = ("partner", "billing_group", "holder", "bic", "treatment", "country", "tax_id")
"""What a form that was refused shows again; a whole account number it never does."""


def index(context: PageContext, wrong: str = "", what: str = "") -> Response:
    form = context.request.form
    return context.render(
        "payees.html",
        422 if wrong else 200,
        accounts=api.list_accounts(context.hub, context.program)["items"],
        taxes=api.list_treatments(context.hub, context.program)["items"],
        treatments=[one.value for one in Treatment],
        groups=billing(context.hub, context.program).names(),
        wrong=wrong,
        what=what,
        given={name: form.get(name, "") for name in KEPT},
    )


def keep(context: PageContext) -> Response:
    """An account or a tax treatment, whichever form was sent."""
    form = context.request.form
    what = "tax" if form.get("what") == "tax" else "account"
    names = TAX_FIELDS if what == "tax" else ACCOUNT_FIELDS
    call = form_call(context, {name: form[name] for name in names if form.get(name)})
    put = api.put_treatment if what == "tax" else api.put_account
    try:
        put(context.hub, call, payer(context), context.localized_program)
    except ProblemError as error:
        return index(context, context.explain(error), what)
    return redirect(f"{context.base}/money/payees")
