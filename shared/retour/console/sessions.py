"""Login by link or login service, logout, and cookies."""

from urllib.parse import quote, unquote

from retour.console import oidc
from retour.console.page_context import THEMES, PageContext
from retour.console.people import (
    COOKIE,
    SESSION_HOURS,
    LinkUsed,
    SignInLink,
    create_session,
    end_session,
    find_link,
    redeem_link,
)
from retour.console.request import Response, cookie, redirect
from retour.languages import languages

YEAR = 365 * 86400
ROWS = ("comfortable", "compact")
BACK_COOKIE = "retour_back"
"""The page requested before the login, for links opened in other tabs."""
BACK_SECONDS = 900
BACK_CHARS_MAX = 1_500


def sign_in(context: PageContext) -> Response:
    """The login page. Opening a link does not use it, since programs preview links too."""
    token = context.request.query.get("token")
    if token is None:
        return sign_in_page(context)
    found = find_link(context.hub, token)
    if isinstance(found, SignInLink):
        return sign_in_page(context, link=found, token=token)
    return refuse_link(context, found)


def come_in(context: PageContext) -> Response:
    """Use a login link, by a form of ours."""
    context.check_origin()
    browser = context.request.headers.get("user-agent", "")
    found = redeem_link(context.hub, context.request.form.get("token", ""), browser)
    return start_session(context, found) if isinstance(found, str) else refuse_link(context, found)


def refuse_link(context: PageContext, found: LinkUsed | None) -> Response:
    say = context.words.say
    if found:
        at = f"{context.words.time(found.at)} {context.words.zone}"
        said = say("This link was used at %(time)s. Run “retour up” for a new one, or ask who gave it to you.", time=at)
    else:
        said = say("This link is not valid, or no longer. Run “retour up” for a new one, or ask who gave it to you.")
    return sign_in_page(context, 403, said)


def start_session(context: PageContext, session: str, path: str = "") -> Response:
    """Start a session and redirect to the page originally requested."""
    request = context.request
    return redirect(
        path or wanted_page(context),
        cookie(COOKIE, session, request, SESSION_HOURS * 3600),
        cookie(BACK_COOKIE, "", request, 0),
    )


def wanted_page(context: PageContext) -> str:
    """The page requested before the login."""
    query = context.request.query
    return local_path(query.get("back") or unquote(context.request.cookies.get(BACK_COOKIE, "")))


def sign_in_page(
    context: PageContext,
    status: int = 200,
    said: str = "",
    kept: bool = False,
    link: SignInLink | None = None,
    token: str = "",
) -> Response:
    return context.render(
        "door.html",
        status,
        said=said,
        cloud=oidc.provider(context.hub) is not None,
        back=wanted_page(context),
        kept=kept,
        link=link,
        token=token,
    )


def ask_to_sign_in(context: PageContext) -> Response:
    """Require login. A submitted form is not processed; the browser keeps it and returns to it."""
    if context.request.method != "POST":
        path = quote(context.here(), safe="")
        kept = cookie(BACK_COOKIE, path, context.request, BACK_SECONDS) if len(path) <= BACK_CHARS_MAX else ""
        return redirect(f"/console/sign-in?back={path}", *([kept] if kept else []))
    say = context.words.say
    said = say("Your session is over. Sign in again in another tab, then go back in this one: what you typed is kept.")
    return sign_in_page(context, 401, said, kept=True)


def sign_out(context: PageContext) -> Response:
    end_session(context.hub, context.signed_in_person)
    return redirect("/console/sign-in", cookie(COOKIE, "", context.request, 0))


def preferences(context: PageContext) -> Response:
    """Language, colours, density and keys of this browser."""
    form, request = context.request.form, context.request
    cookies = []
    if form.get("language") in languages():
        cookies.append(cookie("retour_language", form["language"], request, YEAR))
    if form.get("theme") in THEMES:
        cookies.append(cookie("retour_theme", form["theme"], request, YEAR))
    if form.get("rows") in ROWS:
        cookies.append(cookie("retour_rows", form["rows"], request, YEAR))
    if form.get("keys") in ("on", "off"):
        cookies.append(cookie("retour_keys", form["keys"], request, YEAR))
    return redirect(local_path(form.get("back", "")), *cookies)


def keys_page(context: PageContext) -> Response:
    """The keyboard shortcuts, and how to turn them off."""
    return context.render("keys_page.html") if context.person else ask_to_sign_in(context)


def local_path(path: str) -> str:
    """A path on our own origin only."""
    ours = path.startswith(("/console/", "/my/")) and not path.startswith("//") and path.isprintable()
    return path if ours and "\\" not in path else "/console"


# Login service


def log_in(context: PageContext) -> Response:
    context.check_origin()
    back = local_path(context.request.form.get("back", ""))
    started = oidc.start_login(context.hub, context.request.address, back)
    if started is None:
        return sign_in_page(
            context, 404, context.words.say("This installation has no sign-in service; use a sign-in link.")
        )
    return redirect(started.address, cookie(oidc.COOKIE, started.browser, context.request, oidc.MINUTES * 60))


def callback(context: PageContext) -> Response:
    """Return from the login service: the only GET that starts a session, as the protocol requires."""
    query = context.request.query
    found = oidc.finish_login(context.hub, context.request.address, query, context.request.cookies.get(oidc.COOKIE, ""))
    if isinstance(found, oidc.LoginFailure):
        say = context.words.say
        said = (
            say("You are signed in, but nothing was opened to you yet. Ask an administrator.")
            if found.why == "nothing opened"
            else say("Signing in did not work; start again. Nothing was changed.")
        )
        return sign_in_page(context, 403, said)
    browser = context.request.headers.get("user-agent", "")
    session = create_session(context.hub, found.name, found.grants, browser)
    answer = start_session(context, session, found.back)
    return Response(answer.status, b"", answer.headers, (*answer.cookies, cookie(oidc.COOKIE, "", context.request, 0)))
