"""Statements as they were made, one with its lines, and the billing groups with what is to come."""

from retour.console.page_context import PageContext
from retour.console.request import Response, download
from retour.console.words import Words
from retour.domain.funding.billing import parse_groups
from retour.domain.funding.schedule import AfterStatement, OnDay, PayRule
from retour.views import statements as view

PAGE = 50


def index(context: PageContext) -> Response:
    """What the next ones would hold is worked out when somebody asks: it looks at every action that is to come."""
    query = {name: value for name, value in context.request.query.items() if value}
    of = (query.get("partner"), query.get("billing_group"))
    found = view.list_statements(context.hub, context.program, PAGE, query.get("cursor", ""), *of)
    document = context.hub.programs.newest_version(context.program.id).document
    rules = {one.name: one.pays for one in parse_groups(document)}
    return context.render(
        "statements.html",
        found=found,
        groups=view.declared_groups(document),
        next=view.billing_groups(context.hub, context.program) if query.get("next") else None,
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
    one = view.statement(context.hub, context.program, context.part["statement"])
    return context.render("statement.html", one=one)


def hand_out(context: PageContext) -> Response:
    name, text = view.statement_csv(context.hub, context.program, context.part["statement"])
    return download(name, text.encode(), "text/csv; charset=utf-8")
