"""Statements as they were made, one with its lines, and the billing groups with what is to come."""

from retour.api import statements as api
from retour.console.page_context import PageContext
from retour.console.request import Response, download
from retour.console.words import Words
from retour.domain.funding.billing import parse_groups
from retour.domain.funding.schedule import AfterStatement, OnDay, PayRule


def index(context: PageContext) -> Response:
    """What the next ones would hold is worked out when somebody asks: it looks at every action that is to come."""
    query = {name: value for name, value in context.request.query.items() if value}
    found = api.statements(context.hub, context.call(query=query), context.program)
    document = context.hub.programs.newest_version(context.program.id).document
    rules = {one.name: one.pays for one in parse_groups(document)}
    return context.render(
        "statements.html",
        found=found,
        groups=api.declared_groups(document),
        next=api.billing_groups(context.hub, context.program) if query.get("next") else None,
        paid=lambda name: paid_text(context.words, rules[name]),
    )


def paid_text(words: Words, pays: PayRule) -> str:
    """When a group's statements are paid: on their day, so many days later, or on a day of the month."""
    match pays:
        case OnDay(day):
            return words.say("on day %(day)s of the month", day=day)
        case AfterStatement(days) if days:
            return words.count("%(number)s day after the statement", "%(number)s days after the statement", days)
    return words.say("on the day of the statement")


def show(context: PageContext) -> Response:
    one = api.statement(context.hub, context.program, context.part["statement"])
    return context.render("statement.html", one=one)


def hand_out(context: PageContext) -> Response:
    name, text = api.statement_csv(context.hub, context.program, context.part["statement"])
    return download(name, text.encode(), "text/csv; charset=utf-8")
