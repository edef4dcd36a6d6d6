"""What was booked with its balances, and whether everything that is kept of money agrees."""

from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.views import journal as view

PAGE = 50


def index(context: PageContext) -> Response:
    """Everything is compared when somebody asks: it looks at every action."""
    query = context.request.query
    account = query.get("account", "")
    found = view.journal(context.hub, context.program, PAGE, query.get("cursor", ""), account)
    verified = view.verification(context.hub, context.localized_program) if query.get("verify") else None
    return context.render("journal.html", found=found, verified=verified, account=account)
