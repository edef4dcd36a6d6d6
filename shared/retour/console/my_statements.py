"""A partner's own statements: sums, due dates, and every order in them."""

from collections.abc import Iterator

from retour.console import portal
from retour.console.page_context import PageContext
from retour.console.request import Response, download
from retour.views import statements as view
from retour.views.documents import Document

SHOWN_MAX = 100
"""Statements shown per program: eight years of them."""
NOT_THEIRS = ("contract",)
"""Columns only merchants see."""


def index(context: PageContext) -> Response:
    blocks = []
    for own, grant in portal.partner_programs(context):
        found = view.list_statements(own.hub, own.program, SHOWN_MAX, partner=grant.partner)
        blocks.append({"v": own, "w": own.words, "statements": found["items"]})
    return context.render("my_statements.html", blocks=blocks)


def show(context: PageContext) -> Response:
    own, one = addressed_statement(context)
    return context.render("my_statement.html", own=own, one=one, program=own.program)


def lines(context: PageContext) -> Response:
    own, one = addressed_statement(context)
    columns = [name for name in view.COLUMNS if name not in NOT_THEIRS]
    name, text = view.statement_csv(own.hub, own.program, one["id"], columns)
    return download(name, text.encode(), "text/csv; charset=utf-8")


def addressed_statement(context: PageContext) -> tuple[PageContext, Document]:
    """The statement in the URL, if it is this partner's; foreign and missing ones are not distinguished."""
    for own, one in candidates(context):
        return own, one
    raise context.not_found()


def candidates(context: PageContext) -> Iterator[tuple[PageContext, Document]]:
    query = context.request.query
    for own, grant in portal.partner_programs(context):
        if own.program.id == query.get("program") and view.ID.fullmatch(query.get("id", "")):
            one = view.statement(own.hub, own.program, query.get("id", ""))
            if one["partner"] == grant.partner:
                yield own, one
