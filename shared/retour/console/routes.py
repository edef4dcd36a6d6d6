"""Routes: the view of each URL, the permission it needs, and error pages."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from retour.availability import RETRY_SECONDS, SECONDS, TimeLimitError, is_unavailable, time_limit
from retour.console import (
    actions,
    audit,
    calendar_feed,
    deliveries,
    delivery,
    inbox,
    money,
    my_account,
    my_statements,
    oidc,
    partner,
    partners,
    people,
    portal,
    program_counts,
    row_correction,
    search,
    send_file,
    sessions,
    setup,
    today,
)
from retour.console.page_context import STATIC, AbortError, PageContext, static_names
from retour.console.request import Request, Response, gateway_response, html_response, parse_request, redirect
from retour.console.words import Words, language_of
from retour.domain.program import PROGRAM_ID
from retour.errors import RequestError
from retour.wiring import Hub

logger = logging.getLogger(__name__)
View = Callable[[PageContext], Response]
FORM_MAX = 64 * 1024
NO_HUB = cast(Hub, None)
"""Used for pages that need no hub."""
UPLOADS_MAX = 5 * 1024 * 1024
TYPES = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Route:
    """`needs` is the permission required in the path's program; empty for public pages."""

    method: str
    pattern: re.Pattern[str]
    view: View
    needs: str = ""


def route(method: str, path: str, view: View, needs: str = "") -> Route:
    names = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return Route(method, re.compile(re.sub(r"\{(\w+):rest\}", r"(?P<\1>.+)", names)), view, needs)


PROGRAM = "/console/{program}"
ROUTES = (
    route("GET", "/console/sign-in", sessions.sign_in),
    route("POST", "/console/sign-in", sessions.come_in),
    route("POST", "/console/login", sessions.log_in),
    route("GET", "/console/callback", sessions.callback),
    route("POST", "/console/sign-out", sessions.sign_out),
    route("POST", "/console/preferences", sessions.preferences),
    route("GET", "/console/keys", sessions.keys_page),
    route("GET", f"{PROGRAM}/today", today.today_page, "see"),
    route("GET", f"{PROGRAM}/inbox", inbox.index, "see"),
    route("POST", f"{PROGRAM}/inbox", inbox.decide_held_record, "decide"),
    route("GET", f"{PROGRAM}/search", search.search, "see"),
    route("GET", f"{PROGRAM}/deliveries", deliveries.index, "see"),
    route("POST", f"{PROGRAM}/deliveries-bulk", deliveries.bulk_decision, "decide"),
    route("GET", f"{PROGRAM}/deliveries/{{batch}}", delivery.show, "see"),
    route("GET", f"{PROGRAM}/deliveries/{{batch}}/(?P<what>raw|result|rejected)", delivery.download_file, "see"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/(?P<what>release|discard|replay)", delivery.decide, "decide"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/undo", delivery.undo, "act"),
    route("GET", f"{PROGRAM}/deliveries/{{batch}}/row", row_correction.row_page, "decide"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/row", row_correction.send_correction, "decide"),
    route("POST", f"{PROGRAM}/deliveries/{{batch}}/mend", row_correction.replace_value, "decide"),
    route("GET", f"{PROGRAM}/actions", actions.action_list.index, "see"),
    route("GET", f"{PROGRAM}/actions.csv", actions.action_list.export, "see"),
    route("POST", f"{PROGRAM}/actions-bulk", actions.bulk.bulk_act, "act"),
    route("POST", f"{PROGRAM}/action/preview", actions.act_form.preview_block, "act"),
    route("POST", f"{PROGRAM}/action/decide", actions.act_form.decide, "act"),
    route("GET", f"{PROGRAM}/action", actions.detail.show, "see"),
    route("GET", f"{PROGRAM}/modification", actions.record.show, "see"),
    route("POST", f"{PROGRAM}/modification", actions.record.decide, "act"),
    route("POST", f"{PROGRAM}/count", program_counts.recount, "decide"),
    route("GET", f"{PROGRAM}/partners", partners.index, "see"),
    route("GET", f"{PROGRAM}/partner", partner.show, "see"),
    route("GET", f"{PROGRAM}/setup/audit", audit.index, "see"),
    route("GET", f"{PROGRAM}/setup/audit.csv", audit.export, "see"),
    route("GET", f"{PROGRAM}/deliveries.csv", deliveries.export, "see"),
    route("GET", f"{PROGRAM}/money/funding", money.funding.index, "see"),
    route("GET", f"{PROGRAM}/money/statements", money.statements.index, "see"),
    route("GET", f"{PROGRAM}/money/statements/{{statement}}", money.statements.show, "see"),
    route("GET", f"{PROGRAM}/money/statements/{{statement}}/csv", money.statements.hand_out, "see"),
    route("GET", f"{PROGRAM}/money/payments", money.payments.index, "see"),
    route("POST", f"{PROGRAM}/money/payments", money.payments.propose, "pay"),
    route("GET", f"{PROGRAM}/money/payments/{{payment}}", money.payments.show, "see"),
    route("POST", f"{PROGRAM}/money/payments/{{payment}}/approve", money.payments.approve, "pay"),
    route("POST", f"{PROGRAM}/money/payments/{{payment}}/export", money.payments.hand_out, "pay"),
    route("POST", f"{PROGRAM}/money/payments/{{payment}}/confirm", money.payments.confirm, "pay"),
    route("GET", f"{PROGRAM}/money/journal", money.journal.index, "see"),
    route("GET", f"{PROGRAM}/money/payees", money.payees.index, "see"),
    route("POST", f"{PROGRAM}/money/payees", money.payees.keep, "pay"),
    route("GET", f"{PROGRAM}/send", send_file.upload_form, "send"),
    route("POST", f"{PROGRAM}/send", send_file.take_upload, "send"),
    route("POST", f"{PROGRAM}/send/address", send_file.upload_address, "send"),
    route("GET", f"{PROGRAM}/dry-runs/{{run}}", send_file.dry_run_page, "send"),
    route("POST", f"{PROGRAM}/dry-runs/{{run}}", send_file.apply_dry_run, "send"),
    route("GET", f"{PROGRAM}/setup", setup.channels.index, "see"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}", setup.channels.source_page, "see"),
    route("GET", f"{PROGRAM}/setup/event-types/{{type}}/channels", setup.channels.event_type_page, "see"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/switch", setup.channels.switch_source, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/test", setup.connection_test.try_connection, "set up"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}/trial", setup.connection_test.test_block, "see"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}/edit", setup.source_form.edit_page, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/edit", setup.source_form.save, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/secret", setup.keys.set_secret, "set up"),
    route("GET", f"{PROGRAM}/setup/new-source", setup.source_form.new_page, "set up"),
    route("POST", f"{PROGRAM}/setup/new-source", setup.source_form.save, "set up"),
    route("GET", f"{PROGRAM}/setup/keys", setup.keys.index, "set up"),
    route("POST", f"{PROGRAM}/setup/keys", setup.keys.create, "set up"),
    route("POST", f"{PROGRAM}/setup/keys/rotate", setup.keys.rotate, "set up"),
    route("POST", f"{PROGRAM}/setup/keys/revoke", setup.keys.revoke, "set up"),
    route("GET", f"{PROGRAM}/setup/sources/{{source}}/mapping", setup.mapping.start_page, "set up"),
    route("POST", f"{PROGRAM}/setup/sources/{{source}}/mapping", setup.mapping.edit, "set up"),
    route("GET", f"{PROGRAM}/setup/versions/{{version}}", setup.versions.version_page, "see"),
    route("GET", f"{PROGRAM}/setup/program", setup.program.edit, "set up"),
    route("POST", f"{PROGRAM}/setup/program", setup.program.save, "set up"),
    route("GET", f"{PROGRAM}/setup/event-types", setup.events.index, "see"),
    route("GET", f"{PROGRAM}/setup/contracts", setup.contract.contracts_page, "see"),
    route("GET", f"{PROGRAM}/setup/contracts/{{contract}}", setup.terms.start_page, "set up"),
    route("POST", f"{PROGRAM}/setup/contracts/{{contract}}", setup.terms.edit, "set up"),
    route("GET", f"{PROGRAM}/setup/lock", setup.calendar.lock_page, "see"),
    route("GET", f"{PROGRAM}/setup/people", setup.access.people_page, "set up"),
    route("POST", f"{PROGRAM}/setup/people", setup.access.invite, "set up"),
    route("POST", f"{PROGRAM}/setup/people/end", setup.access.end_access, "set up"),
    route("GET", "/my/credit", portal.credit_page),
    route("GET", "/my/credit.csv", portal.credit_csv),
    route("GET", "/my/changes", portal.changes_page),
    route("GET", "/my/order", portal.order_page),
    route("GET", "/my/statements", my_statements.index),
    route("GET", "/my/statement", my_statements.show),
    route("GET", "/my/statement.csv", my_statements.lines),
    route("GET", "/my/account", my_account.index),
    route("POST", "/my/account", my_account.keep),
    route("GET", "/my/calendar", calendar_feed.page),
    route("POST", "/my/calendar", calendar_feed.renew_address),
    route("GET", r"/my/calendar/(?P<token>[\w-]{20,80})\.ics", calendar_feed.calendar_file),
)

UPLOAD_VIEWS = (send_file.take_upload, setup.mapping.edit, money.payments.confirm)
DOORS = (sessions.come_in, sessions.log_in)
"""Forms available before login."""


def answer(hub: Hub, event: Mapping[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
    """Respond to an event of the HTTP API, within so many seconds."""
    request = parse_request(event)
    answered = gateway_response(request, respond(hub, request, seconds), oidc.login_origin(hub))
    return {**answered, "body": "", "isBase64Encoded": False} if request.method == "HEAD" else answered


def respond(hub: Hub, request: Request, seconds: float = SECONDS) -> Response:
    if request.path.startswith("/static/"):
        return static_file(request)
    visit = PageContext(hub, request, words_for(hub, request))
    try:
        with time_limit(seconds):
            return dispatch(visit)
    except AbortError as stop:
        return stop.response
    except RequestError as refused:
        return visit.refusal(refused)
    except TimeLimitError:
        logger.error("page ended after %d seconds, reference %s", seconds, visit.reference)
        said = visit.words.count(
            "This page was not ready within %(number)s second. What you sent may have been carried out: look before "
            "you send it again.",
            "This page was not ready within %(number)s seconds. What you sent may have been carried out: look before "
            "you send it again.",
            int(seconds),
        )
        return unavailable(visit, said)
    except Exception as error:
        return failure(visit, error)


def failure(visit: PageContext, error: Exception) -> Response:
    """An error page with a reference that finds the log line."""
    logger.exception("page failed, reference %s", visit.reference)
    if is_unavailable(error):
        return unavailable(visit, visit.words.say("The store does not answer at the moment. Nothing was changed."))
    said = visit.words.say("Something went wrong on our side. Nothing you sent before is lost.")
    return visit.problem(500, said, visit.reference)


def unavailable(visit: PageContext, said: str) -> Response:
    shown = visit.problem(503, said, visit.reference)
    return replace(shown, headers={**shown.headers, "retry-after": str(RETRY_SECONDS)})


def answer_failure(event: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The same if not even the clients could be created."""
    request = parse_request(event)
    language = language_of(request.cookies.get("retour_language"), request.headers.get("accept-language", ""))
    visit = PageContext(NO_HUB, request, Words(language, "UTC", datetime.now(UTC)))
    return gateway_response(request, failure(visit, error))


def words_for(hub: Hub, request: Request, usual: str = "en", zone: str = "UTC") -> Words:
    language = language_of(request.cookies.get("retour_language"), request.headers.get("accept-language", ""), usual)
    return Words(language, zone, hub.now())


def dispatch(context: PageContext) -> Response:
    request, hub = context.request, context.hub
    person = people.person_of(hub, request.cookies)
    context = replace(context, person=person)
    if request.path in ("/", "/console", "/console/", "/my", "/my/"):
        return home_page(context)
    allowed = []
    for one in ROUTES:
        found = one.pattern.fullmatch(request.path)
        if found is None:
            continue
        allowed.append(one.method)
        if one.method == ("GET" if request.method == "HEAD" else request.method):
            return run_view(replace(context, part=found.groupdict()), one)
    if allowed:
        return context.problem(405, context.words.say("This address does not take such a request."))
    program = re.fullmatch(r"/console/([^/]+)/?", request.path)
    if program and request.method != "POST":
        return redirect(f"/console/{program[1]}/today")
    raise context.not_found()


def run_view(context: PageContext, one: Route) -> Response:
    """Run a view after checking permissions."""
    request, person = context.request, context.person
    program_id = context.part.get("program")
    if (
        person is None
        and (program_id or request.path.startswith("/my/"))
        and one.view is not calendar_feed.calendar_file
    ):
        return sessions.ask_to_sign_in(context)
    if program_id is not None:
        context = with_program(context, program_id)
        if not context.may("see"):
            raise context.not_found()
        context.require(one.needs)
    if request.method == "HEAD" and one.view is sessions.callback:
        return Response(200, b"")
    if request.method == "POST" and one.view not in DOORS:
        most = UPLOADS_MAX if one.view in UPLOAD_VIEWS else FORM_MAX * 4
        if len(request.body) > most:
            raise AbortError(context.problem(413, context.words.say("What you sent is too large for this page.")))
        if person is None:
            return sessions.ask_to_sign_in(context)
        context.check_csrf()
    return one.view(context)


def with_program(context: PageContext, program_id: str) -> PageContext:
    """The context with a program. Foreign and missing ones are not distinguished."""
    person = context.signed_in_person
    known = PROGRAM_ID.fullmatch(program_id) and any(grant.opens(program_id) for grant in person.grants)
    program = context.hub.programs.get(program_id) if known else None
    if program is None:
        raise context.not_found()
    words = words_for(context.hub, context.request, program.language, program.time_zone)
    return replace(context, opened=program, words=words)


def home_page(context: PageContext) -> Response:
    person = context.person
    if person is None:
        return redirect("/console/sign-in")
    if context.programs and not context.request.path.startswith("/my"):
        return redirect(f"/console/{context.programs[0]}/today")
    if person.own:
        return redirect("/my/credit")
    return context.render("no_programs.html")


def static_file(request: Request) -> Response:
    name = request.path.removeprefix("/static/")
    found = next((plain for plain, hashed in static_names().items() if hashed == name), None)
    if found is None:
        return html_response("Not found", 404)
    path = STATIC / found
    headers = {
        "content-type": TYPES[path.suffix] + "; charset=utf-8",
        "cache-control": "public, max-age=31536000, immutable",
        "vary": "Accept-Encoding",
    }
    return Response(200, path.read_bytes(), headers)
