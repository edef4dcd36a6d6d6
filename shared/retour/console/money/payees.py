"""Who is paid where, and how it is taxed; never more of an account than its last four signs."""

from retour.commands import payees
from retour.console.money.payments import payer_context
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.domain.funding.payments import Treatment
from retour.errors import RequestError
from retour.money.statements import billing
from retour.views import payees as views

KEPT = ("partner", "billing_group", "holder", "bic", "treatment", "country", "tax_id")
"""What a form that was refused shows again; a whole account number it never does."""


def index(context: PageContext, wrong: str = "", what: str = "") -> Response:
    form = context.request.form
    return context.render(
        "payees.html",
        422 if wrong else 200,
        accounts=views.list_accounts(context.hub, context.program)["items"],
        taxes=views.list_treatments(context.hub, context.program)["items"],
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
    names = payees.TAX_FIELDS if what == "tax" else payees.ACCOUNT_FIELDS
    put = payees.put_treatment if what == "tax" else payees.put_account
    try:
        put(payer_context(context), {name: form[name] for name in names if form.get(name)})
    except RequestError as error:
        return index(context, context.explain(error), what)
    return redirect(f"{context.base}/money/payees")
