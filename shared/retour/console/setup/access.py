"""People and their access: sessions, unused links, and how to end them."""

from collections.abc import Mapping

from retour.console import people
from retour.console.page_context import PageContext
from retour.console.people import LINK_HOURS, ROLES, Grant, create_link
from retour.console.request import Response, redirect
from retour.console.sessions import sign_out


def people_page(
    context: PageContext, link: str = "", wrong: str = "", given: Mapping[str, str] | None = None
) -> Response:
    hub, program, person = context.hub, context.program.id, context.signed_in_person
    return context.render(
        "people.html",
        422 if wrong else 200,
        link=link,
        wrong=wrong,
        given=given or {},
        roles=ROLES,
        hours=LINK_HOURS,
        sessions=people.open_sessions(hub, program),
        links=people.unused_links(hub, program),
        may_end=lambda grants: people.may_end(person, grants),
    )


def invite(context: PageContext) -> Response:
    """Create a login link for a person, shown once."""
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


def end_access(context: PageContext) -> Response:
    """End a session or an unused link at once."""
    key = context.request.form.get("key", "")
    if key == context.signed_in_person.key:
        return sign_out(context)
    if not people.end_access(context.hub, context.signed_in_person, context.program.id, key):
        said = context.words.say("It has ended already, or it opens programs that you do not set up.")
        return context.problem(409, said)
    return redirect(f"{context.base}/setup/people?ended=1")
