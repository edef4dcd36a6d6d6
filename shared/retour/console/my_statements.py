"""A partner's own statements: what was stated, when it is due, and every order that it is made of."""

from collections.abc import Iterator

from retour.api import statements as api
from retour.api.documents import Document
from retour.console import portal
from retour.console.request import Response, download
from retour.console.visit import Visit

SHOWN_MAX = 100
"""Statements of a program on the page: eight years of them."""
NOT_THEIRS = ("contract",)
"""Columns that are the merchant's own."""


def index(visit: Visit) -> Response:
    blocks = []
    for own, grant in portal.opened(visit):
        found = api.statements(
            own.hub, own.call(query={"partner": grant.partner, "limit": str(SHOWN_MAX)}), own.program
        )
        blocks.append({"v": own, "w": own.words, "statements": found["items"]})
    return visit.render("my_statements.html", blocks=blocks)


def show(visit: Visit) -> Response:
    own, one = chosen(visit)
    return visit.render("my_statement.html", own=own, one=one, program=own.program)


def lines(visit: Visit) -> Response:
    own, one = chosen(visit)
    columns = [name for name in api.COLUMNS if name not in NOT_THEIRS]
    name, text = api.statement_csv(own.hub, own.program, one["id"], columns)
    return download(name, text.encode(), "text/csv; charset=utf-8")


def chosen(visit: Visit) -> tuple[Visit, Document]:
    """The statement that the address names, if it is this partner's; a foreign one and a missing one look the same."""
    for own, one in candidates(visit):
        return own, one
    raise visit.not_found()


def candidates(visit: Visit) -> Iterator[tuple[Visit, Document]]:
    query = visit.request.query
    for own, grant in portal.opened(visit):
        if own.program.id == query.get("program") and api.ID.fullmatch(query.get("id", "")):
            one = api.statement(own.hub, own.program, query.get("id", ""))
            if one["partner"] == grant.partner:
                yield own, one
