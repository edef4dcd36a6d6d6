"""Which view answers which address, who may see it, and what becomes of what goes wrong."""

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from retour.api.calls import PROGRAM_ID, Refused
from retour.console import (
    actions,
    counted,
    deliveries,
    delivery,
    feed,
    inbox,
    money,
    my_statements,
    oidc,
    partners,
    people,
    portal,
    rows,
    send,
    setup,
    signing,
    today,
)
from retour.console.request import Request, Response, answer_of, page, request_of, to
from retour.console.visit import STATIC, Stop, Visit, static_names
from retour.console.words import Words, language_of
from retour.wiring import Hub

logger = logging.getLogger(__name__)
View = Callable[[Visit], Response]
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
FORM_MAX = 64 * 1024
UPLOADS_MAX = 5 * 1024 * 1024
TYPES = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Route:
    """`needs`: what a role must allow in the program of the path; empty for pages that anybody may ask for."""

    method: str
    pattern: re.Pattern[str]
    view: View
    needs: str = ""


def route(method: str, path: str, view: View, needs: str = "") -> Route:
    names = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return Route(method, re.compile(re.sub(r"\{(\w+):rest\}", r"(?P<\1>.+)", names)), view, needs)


PROGRAM = "/console/{program}"
ROUTES = (
    route("GET", "/console/sign-in", signing.sign_in),
    route("GET", "/console/login", signing.log_in),
    route("GET", "/console/callback", signing.callback),
    route("POST", "/console/sign-out", signing.sign_out),
    route("POST", "/console/preferences", signing.preferences),
    route("GET", "/console/keys", signing.keys),
    route("GET", f"{PROGRAM}/today", today.today, "see"),
    route("GET", f"{PROGRAM}/inbox", inbox.index, "see"),
    route("POST", f"{PROGRAM}/inbox", inbox.settle, "decide"),
    route("GET", f"{PROGRAM}/search", today.search, "see"),
    route("GET", f"{PROGRAM}/deliveries", deliveries.index, "see"),
    route("POST", f"{PROGRAM}/deliveries-bulk", deliveries.bulk, "decide"),
    route("GET", f"{PROGRAM}/deliveries/{{batch}}", delivery.show, "see"),
    route("GET", f"{PROGRAM}/deliveries/{{batch}}/(?P<what>raw|result|rejected)", delivery.hand_out, "see"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/(?P<what>release|discard|replay)", delivery.settle, "decide"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/undo", delivery.undo, "act"),
    route("GET", f"{PROGRAM}/deliveries/{{batch}}/row", rows.row, "decide"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/row", rows.send, "decide"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/mend", rows.mend, "decide"),
    route("GET", f"{PROGRAM}/actions", actions.listed.index, "see"),
    route("GET", f"{PROGRAM}/actions.csv", actions.listed.export, "see"),
    route("POST", f"{PROGRAM}/actions-bulk", actions.many.bulk, "act"),
    route("POST", f"{PROGRAM}/action/preview", actions.acting.preview, "act"),
    route("POST", f"{PROGRAM}/action/decide", actions.acting.decide, "act"),
    route("GET", f"{PROGRAM}/action", actions.one.show, "see"),
    route("GET", f"{PROGRAM}/modification", actions.record.show, "see"),
    route("POST", f"{PROGRAM}/modification", actions.record.settle, "act"),
    route("POST", f"{PROGRAM}/count", counted.refresh, "decide"),
    route("GET", f"{PROGRAM}/partners", partners.index, "see"),
    route("GET", f"{PROGRAM}/money/funding", money.funding.index, "see"),
    route("GET", f"{PROGRAM}/money/statements", money.statements.index, "see"),
    route("GET", f"{PROGRAM}/money/statements/{{statement}}", money.statements.show, "see"),
    route("GET", f"{PROGRAM}/money/statements/{{statement}}/csv", money.statements.hand_out, "see"),
    route("GET", f"{PROGRAM}/send", send.form, "send"),
    route("POST", f"{PROGRAM}/send", send.take, "send"),
    route("POST", f"{PROGRAM}/send/address", send.address, "send"),
    route("GET", f"{PROGRAM}/dry-runs/{{run}}", send.dry_run, "send"),
    route("POST", f"{PROGRAM}/dry-runs/{{run}}", send.apply, "send"),
    route("GET", f"{PROGRAM}/setup", setup.channels.index, "see"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}", setup.channels.source, "see"),
    route("GET", f"{PROGRAM}/setup/event-types/{{type}}/channels", setup.channels.processing, "see"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/switch", setup.channels.switch, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/test", setup.trial.test, "set up"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}/trial", setup.trial.block, "see"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}/edit", setup.source_form.edit, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/edit", setup.source_form.save, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/secret", setup.keys.hand_over, "set up"),
    route("GET", f"{PROGRAM}/setup/new-source", setup.source_form.new, "set up"),
    route("POST", f"{PROGRAM}/setup/new-source", setup.source_form.save, "set up"),
    route("GET", f"{PROGRAM}/setup/keys", setup.keys.index, "set up"),
    route("POST", f"{PROGRAM}/setup/keys", setup.keys.create, "set up"),
    route("POST", f"{PROGRAM}/setup/keys/rotate", setup.keys.rotate, "set up"),
    route("POST", f"{PROGRAM}/setup/keys/revoke", setup.keys.revoke, "set up"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}/mapping", setup.mapping.start, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/mapping", setup.mapping.edit, "set up"),
    route("GET", f"{PROGRAM}/setup/versions/{{version}}", setup.versions.version, "see"),
    route("GET", f"{PROGRAM}/setup/program", setup.program.edit, "set up"),
    route("POST", f"{PROGRAM}/setup/program", setup.program.save, "set up"),
    route("GET", f"{PROGRAM}/setup/event-types", setup.events.index, "see"),
    route("GET", f"{PROGRAM}/setup/contracts", setup.contract.contracts, "see"),
    route("GET", f"{PROGRAM}/setup/contracts/{{contract}}", setup.terms.start, "set up"),
    route("POST", f"{PROGRAM}/setup/contracts/{{contract}}", setup.terms.edit, "set up"),
    route("GET", f"{PROGRAM}/setup/lock", setup.calendar.lock, "see"),
    route("GET", f"{PROGRAM}/setup/people", setup.access.people_page, "set up"),
    route("POST", f"{PROGRAM}/setup/people", setup.access.invite, "set up"),
    route("GET", "/my/credit", portal.credit),
    route("GET", "/my/credit.csv", portal.credit_csv),
    route("GET", "/my/changes", portal.changes),
    route("GET", "/my/order", portal.order),
    route("GET", "/my/statements", my_statements.index),
    route("GET", "/my/statement", my_statements.show),
    route("GET", "/my/statement.csv", my_statements.lines),
    route("GET", "/my/calendar", feed.page),
    route("POST", "/my/calendar", feed.renew),
    route("GET", r"/my/calendar/(?P<token>[\w-]{20,80})\.ics", feed.calendar),
)

TAKING_FILES = (send.take, setup.mapping.edit)


def answer(hub: Hub, event: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one event of the HTTP API."""
    request = request_of(event)
    if request.method == "HEAD":
        found = respond(hub, replace(request, method="GET"))
        return {**answer_of(request, found, oidc.origin(hub)), "body": "", "isBase64Encoded": False}
    return answer_of(request, respond(hub, request), oidc.origin(hub))


def respond(hub: Hub, request: Request) -> Response:
    if request.path.startswith("/static/"):
        return static(request)
    visit = Visit(hub, request, words_for(hub, request))
    try:
        return routed(visit)
    except Stop as stop:
        return stop.response
    except Refused as refused:
        status = refused.status
        return visit.not_found().response if status == 404 else visit.problem(status, visit.told(refused))
    except Exception:
        reference = "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(2))
        logger.exception("page failed, reference %s", reference)
        said = visit.words.say("This did not work, and the fault is ours. Nothing you sent before is lost.")
        return visit.problem(500, said, reference)


def words_for(hub: Hub, request: Request, usual: str = "en", zone: str = "UTC") -> Words:
    language = language_of(request.cookies.get("retour_language"), request.headers.get("accept-language", ""), usual)
    return Words(language, zone, hub.now())


def routed(visit: Visit) -> Response:
    request, hub = visit.request, visit.hub
    person = people.person_of(hub, request.cookies)
    visit = replace(visit, person=person)
    if request.path in ("/", "/console", "/console/", "/my", "/my/"):
        return home(visit)
    allowed = []
    for one in ROUTES:
        found = one.pattern.fullmatch(request.path)
        if found is None:
            continue
        allowed.append(one.method)
        if one.method == request.method:
            return opened(replace(visit, part=found.groupdict()), one)
    if allowed:
        return visit.problem(405, visit.words.say("This address does not take such a request."))
    program = re.fullmatch(r"/console/([^/]+)/?", request.path)
    if program and request.method == "GET":
        return to(f"/console/{program[1]}/today")
    raise visit.not_found()


def opened(visit: Visit, one: Route) -> Response:
    """The view, once it is sure that this person may have it of this program."""
    request, person = visit.request, visit.person
    program_id = visit.part.get("program")
    if person is None and (program_id or request.path.startswith("/my/")) and one.view is not feed.calendar:
        return signing.ask(visit)
    if program_id is not None:
        visit = with_program(visit, program_id)
        if not visit.may("see"):
            raise visit.not_found()
        visit.needs(one.needs)
    if request.method == "POST":
        most = UPLOADS_MAX if one.view in TAKING_FILES else FORM_MAX * 4
        if len(request.body) > most:
            raise Stop(visit.problem(413, visit.words.say("What you sent is too large for this page.")))
        if person is None:
            return signing.ask(visit)
        visit.believed()
    return one.view(visit)


def with_program(visit: Visit, program_id: str) -> Visit:
    """A foreign program and a missing one look the same."""
    person = visit.someone
    known = PROGRAM_ID.fullmatch(program_id) and any(grant.opens(program_id) for grant in person.grants)
    program = visit.hub.programs.get(program_id) if known else None
    if program is None:
        raise visit.not_found()
    words = words_for(visit.hub, visit.request, program.language, program.time_zone)
    return replace(visit, opened=program, words=words)


def home(visit: Visit) -> Response:
    person = visit.person
    if person is None:
        return to("/console/sign-in")
    if visit.programs and not visit.request.path.startswith("/my"):
        return to(f"/console/{visit.programs[0]}/today")
    if person.own:
        return to("/my/credit")
    return visit.render("empty_house.html")


def static(request: Request) -> Response:
    name = request.path.removeprefix("/static/")
    found = next((plain for plain, hashed in static_names().items() if hashed == name), None)
    if found is None:
        return page("Not found", 404)
    path = STATIC / found
    headers = {
        "content-type": TYPES[path.suffix] + "; charset=utf-8",
        "cache-control": "public, max-age=31536000, immutable",
        "vary": "Accept-Encoding",
    }
    return Response(200, path.read_bytes(), headers)
