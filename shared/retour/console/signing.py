"""The door: signing in by a one-time link or by the sign-in service, signing out, and what a browser remembers."""

from urllib.parse import quote

from retour.console import oidc
from retour.console.people import COOKIE, SESSION_HOURS, Used, enter, leave, new_session
from retour.console.request import Response, cookie, to
from retour.console.visit import THEMES, Visit
from retour.console.words import LANGUAGES

YEAR = 365 * 86400


def sign_in(visit: Visit) -> Response:
    token = visit.request.query.get("token")
    if token is None:
        return door(visit)
    found = enter(visit.hub, token)
    if isinstance(found, str):
        return signed_in(visit, found)
    say = visit.words.say
    if isinstance(found, Used):
        at = f"{visit.words.time(found.at)} {visit.words.zone}"
        said = say("This link was used at %(time)s. Run “retour up” for a new one, or ask who gave it to you.", time=at)
    else:
        said = say("This link is not valid, or no longer. Run “retour up” for a new one, or ask who gave it to you.")
    return door(visit, 403, said)


def signed_in(visit: Visit, session: str, path: str = "/console") -> Response:
    return to(path, cookie(COOKIE, session, visit.request, SESSION_HOURS * 3600))


def door(visit: Visit, status: int = 200, said: str = "", kept: bool = False) -> Response:
    back = visit.request.query.get("back", "")
    return visit.render(
        "door.html", status, said=said, cloud=oidc.provider(visit.hub) is not None, back=back, kept=kept
    )


def ask(visit: Visit) -> Response:
    """Sign in first. Nothing that was sent is done; the browser keeps the form, and goes back to it."""
    if visit.request.method == "GET":
        path = visit.here()
        return to(f"/console/sign-in?back={quote(path, safe='')}")
    say = visit.words.say
    said = say("Your session is over. Sign in again in another tab, then go back in this one: what you typed is kept.")
    return door(visit, 401, said, kept=True)


def sign_out(visit: Visit) -> Response:
    leave(visit.hub, visit.someone)
    return to("/console/sign-in", cookie(COOKIE, "", visit.request, 0))


def preferences(visit: Visit) -> Response:
    """Language, colours and keys of this browser."""
    form, request = visit.request.form, visit.request
    cookies = []
    if form.get("language") in LANGUAGES:
        cookies.append(cookie("retour_language", form["language"], request, YEAR))
    if form.get("theme") in THEMES:
        cookies.append(cookie("retour_theme", form["theme"], request, YEAR))
    if form.get("keys") in ("on", "off"):
        cookies.append(cookie("retour_keys", form["keys"], request, YEAR))
    return to(local(form.get("back", "")), *cookies)


def keys(visit: Visit) -> Response:
    """What single keys do, and how to turn them off."""
    return visit.render("keys_page.html") if visit.person else ask(visit)


def local(path: str) -> str:
    """Only ever to an address of ours."""
    ours = path.startswith(("/console/", "/my/")) and not path.startswith("//") and path.isprintable()
    return path if ours and "\\" not in path else "/console"


# The sign-in service


def log_in(visit: Visit) -> Response:
    started = oidc.start(visit.hub, visit.request.address, local(visit.request.query.get("back", "")))
    if started is None:
        return door(visit, 404, visit.words.say("This installation has no sign-in service; use a sign-in link."))
    return to(started.address, cookie(oidc.COOKIE, started.browser, visit.request, oidc.MINUTES * 60))


def callback(visit: Visit) -> Response:
    query = visit.request.query
    found = oidc.finish(visit.hub, visit.request.address, query, visit.request.cookies.get(oidc.COOKIE, ""))
    if isinstance(found, oidc.Failed):
        say = visit.words.say
        said = (
            say("You are signed in, but nothing was opened to you yet. Ask an administrator.")
            if found.why == "nothing opened"
            else say("Signing in did not work; start again. Nothing was changed.")
        )
        return door(visit, 403, said)
    session = new_session(visit.hub, found.name, found.grants)
    answer = signed_in(visit, session, found.back)
    return Response(answer.status, b"", answer.headers, (*answer.cookies, cookie(oidc.COOKIE, "", visit.request, 0)))
