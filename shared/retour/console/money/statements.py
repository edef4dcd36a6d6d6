"""Statements as they were made, one with its lines, and the billing groups with what is to come."""

from retour.api import statements as api
from retour.console.request import Response, download
from retour.console.visit import Visit
from retour.console.words import Words
from retour.domain.funding.billing import groups_of
from retour.domain.funding.schedule import AfterStatement, OnDay, PayRule


def index(visit: Visit) -> Response:
    """What the next ones would hold is worked out when somebody asks: it looks at every action that is to come."""
    query = {name: value for name, value in visit.request.query.items() if value}
    found = api.statements(visit.hub, visit.call(query=query), visit.program)
    document = visit.hub.programs.newest_version(visit.program.id).document
    rules = {one.name: one.pays for one in groups_of(document)}
    return visit.render(
        "statements.html",
        found=found,
        groups=api.declared_groups(document),
        next=api.billing_groups(visit.hub, visit.program) if query.get("next") else None,
        paid=lambda name: paid_text(visit.words, rules[name]),
    )


def paid_text(words: Words, pays: PayRule) -> str:
    """When a group's statements are paid: on their day, so many days later, or on a day of the month."""
    match pays:
        case OnDay(day):
            return words.say("on day %(day)s of the month", day=day)
        case AfterStatement(days) if days:
            return words.count("%(number)s day after the statement", "%(number)s days after the statement", days)
    return words.say("on the day of the statement")


def show(visit: Visit) -> Response:
    one = api.statement(visit.hub, visit.program, visit.part["statement"])
    return visit.render("statement.html", one=one)


def hand_out(visit: Visit) -> Response:
    name, text = api.statement_csv(visit.hub, visit.program, visit.part["statement"])
    return download(name, text.encode(), "text/csv; charset=utf-8")
