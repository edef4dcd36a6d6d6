"""People and their access."""

from collections.abc import Mapping

from retour.console.page_context import PageContext
from retour.console.people import LINK_HOURS, ROLES, Grant, create_link
from retour.console.request import Response


def people_page(
    context: PageContext, link: str = "", wrong: str = "", given: Mapping[str, str] | None = None
) -> Response:
    return context.render(
        "people.html", 422 if wrong else 200, link=link, wrong=wrong, given=given or {}, roles=ROLES, hours=LINK_HOURS
    )


def invite(context: PageContext) -> Response:
    """A sign-in link for one person, shown once."""
    form, say = context.request.form, context.words.say
    name, role, partner = (form.get(field, "").strip() for field in ("name", "role", "partner"))
    if not 1 <= len(name) <= 100 or not name.isprintable():
        return people_page(context, wrong=say("Enter who it is for."), given=form)
    if role not in ROLES:
        return people_page(context, wrong=say("Choose a role."), given=form)
    if role == "partner" and not (partner and partner.isprintable() and len(partner) <= 128):
        return people_page(context, wrong=say("Name the partner, as the actions do."), given=form)
    grant = Grant(context.program.id, role, partner if role == "partner" else "")
    return people_page(context, link=context.request.address + create_link(context.hub, name, [grant]))
