"""The API: every route below /v1 except the webhooks of shops and Salesforce."""

from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

from retour.api import (
    actions,
    acts,
    authorization,
    batches,
    billing,
    corrections,
    funding,
    keys,
    maintenance,
    modifications,
    named_lists,
    payments,
    programs,
    rates,
    refold,
    sources,
    terms,
)
from retour.api.calls import Call, answer_once, authenticate, normalize_path, parse_call, refuse_control_characters
from retour.api.openapi import allowed_methods, no_route, reject_undocumented
from retour.api.problem import HttpError, accepted_language, problem_answer
from retour.api.quota import quota_refusal
from retour.api.time_limit import answer_in_time
from retour.api.unavailable import answer_503_when_unavailable
from retour.commands.batches import Decision
from retour.context import Context
from retour.domain.program import Program
from retour.errors import RequestError
from retour.intake.batch import ARRIVED
from retour.operations.doctor import run_checks
from retour.operations.replay import rebuild_delivery
from retour.replies import downloads
from retour.store.programs import Principal
from retour.views import journal, statements
from retour.views import keys as views_keys
from retour.views import named_lists as views_lists
from retour.views import programs as views_programs
from retour.views.payees import list_accounts, list_treatments
from retour.views.payments import payment_batch
from retour.views.schemas import BatchAnswerDocument
from retour.wiring import Hub, hub

logger = Logger(service="api")
app = APIGatewayHttpResolver()
PUBLIC_PATHS = ("/healthz", "/openapi.json", "/v1/program.schema.json")
CORS_HEADERS = {"access-control-allow-origin": "*"}
Answer = tuple[Any, int]


@logger.inject_lambda_context
@answer_503_when_unavailable(logger)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if "replay" in event:
        batch = rebuild_delivery(hub() if event.get("outward", True) else quiet_hub(), event["replay"])
        return {"state": batch.state if batch else "done"}
    call = parse_call(event)
    with hub().programs.cache_reads():
        answer = quota_refusal(call) or answer_in_time(call, context, lambda: resolve(event, context))
    logger.info("call answered", method=call.method, status=answer["statusCode"])
    return answer


@cache
def quiet_hub() -> Hub:
    """A hub for a rebuild, which sends nothing."""
    return replace(hub(), settings=replace(hub().settings, outward=False))


def resolve(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Route a call; HEAD is GET without the body."""
    http = event["requestContext"]["http"]
    plain = {**event, "rawPath": normalize_path(event["rawPath"])}
    if http["method"].upper() != "HEAD":
        return app.resolve(plain, context)
    shown = {**plain, "requestContext": {**event["requestContext"], "http": {**http, "method": "GET"}}}
    return {**app.resolve(shown, context), "body": "", "isBase64Encoded": False}


# Authentication, parsing and idempotency


def authenticate_call(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[Any]:
    call = parse_call(app.current_event.raw_event)
    app.context["call"] = call
    refuse_control_characters(call)
    if call.method == "OPTIONS":
        return options_response(call)
    if call.path not in PUBLIC_PATHS and not call.path.startswith("/v1/"):
        raise no_route(call)
    if call.path not in PUBLIC_PATHS:
        app.context["principal"] = authenticate(hub(), call)
        authorization.refuse_foreign_program(current_principal(), call.path)
    reject_undocumented(call)
    return next_middleware(app)


def apply_idempotency_key(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[Any]:
    """Honour the Idempotency-Key on every POST."""
    call: Call = app.context["call"]
    if call.method != "POST" or call.path in PUBLIC_PATHS:
        return next_middleware(app)

    def answer() -> tuple[int, Any]:
        given = next_middleware(app)
        return given.status_code, given.body

    status, document = answer_once(
        hub().kept_state(*authorization.idempotency_scope(call, app.context["principal"])), call, answer
    )
    return Response(status, "application/json", document)


app.use([authenticate_call, apply_idempotency_key])


def problem_response(why: RequestError) -> Response[str]:
    """An error in the program's language, or in one the caller accepts if no program was opened."""
    answer = problem_answer(why, app.context.get("language") or accepted_language(current_call().headers))
    headers = dict(answer["headers"])
    return Response(answer["statusCode"], headers.pop("content-type"), answer["body"], headers)


def no_such_path(_error: NotFoundError) -> Response[str]:
    raise no_route(current_call())


app.exception_handler(RequestError)(problem_response)
app.not_found(no_such_path)


def options_response(call: Call) -> Response[str]:
    """The response to OPTIONS. Other origins may read public paths only."""
    allowed = ", ".join((*allowed_methods(call.path), "OPTIONS"))
    if not allowed_methods(call.path):
        raise no_route(call)
    if call.path not in PUBLIC_PATHS and "access-control-request-method" in call.headers:
        raise HttpError("CORS_NOT_OFFERED", headers={"allow": allowed})
    return Response(204, None, "", {"allow": allowed, **(CORS_HEADERS if call.path in PUBLIC_PATHS else {})})


def current_call() -> Call:
    return app.context["call"]  # type: ignore[no-any-return]


def current_principal() -> Principal:
    return app.context["principal"]  # type: ignore[no-any-return]


def open_program(program: str) -> Program:
    found = authorization.find_program(hub(), current_principal(), program)
    app.context["language"] = found.language
    return found


def open_context(program: str) -> Context[Hub]:
    """What a command is performed in."""
    opened = open_program(program)
    return Context(ports=hub(), program=opened, caller=current_principal(), key=current_call().key)


# Public


@app.get("/healthz")
def healthz() -> Answer:
    return {"status": "ok"}, 200


@app.get("/openapi.json")
def openapi() -> Response[str]:
    return public_file("api/openapi.json", "application/json")


@app.get("/v1/program.schema.json")
def program_schema() -> Response[str]:
    return public_file("setup/program.schema.json", "application/schema+json")


def public_file(name: str, media_type: str) -> Response[str]:
    return Response(200, media_type, files("retour").joinpath(name).read_text("utf-8"), {**CORS_HEADERS})


# Programs and their sources


@app.get("/v1/programs")
def list_programs() -> Answer:
    return views_programs.list_programs(hub(), current_principal()), 200


@app.get("/v1/programs/<program>")
def show_program(program: str) -> Answer:
    return views_programs.get_program(hub(), open_program(program)), 200


@app.put("/v1/programs/<program>")
def apply_program(program: str) -> Answer:
    if known := authorization.known_program(hub(), current_principal(), program):
        app.context["language"] = known.language
    applied = programs.apply_program(hub(), current_call(), current_principal(), program)
    logger.info("program applied", program=program, version=applied["version"], changed=applied["changed"])
    return applied, 201 if "api_key" in applied else 200


@app.post("/v1/programs/<program>/quote")
def quote(program: str) -> Answer:
    return terms.quote_order(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/funding/check")
def check_funding(program: str) -> Answer:
    return funding.check_contract(hub(), current_call(), open_program(program)), 200


@app.post("/v1/programs/<program>/funding/check")
def check_funding_of(program: str) -> Answer:
    return funding.check(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/billing-groups")
def list_billing_groups(program: str) -> Answer:
    return statements.billing_groups(hub(), open_program(program)), 200


@app.post("/v1/programs/<program>/billing-groups")
def list_billing_groups_of(program: str) -> Answer:
    return billing.billing_groups_of(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/statements")
def list_statements(program: str) -> Answer:
    return billing.list_statements(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/statements/<statement>")
def show_statement(program: str, statement: str) -> Answer:
    return statements.statement(hub(), open_program(program), statement), 200


@app.get("/v1/programs/<program>/statements/<statement>/csv")
def statement_lines(program: str, statement: str) -> Response[str]:
    name, text = statements.statement_csv(hub(), open_program(program), statement)
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return Response(200, "text/csv; charset=utf-8", text, {**headers, "cache-control": "no-store"})


@app.get("/v1/programs/<program>/payments")
def list_payments(program: str) -> Answer:
    return payments.list_payments(hub(), current_call(), open_program(program)), 200


@app.post("/v1/programs/<program>/payments/propose")
def propose_payments(program: str) -> Answer:
    answer = payments.propose_batch(open_context(program), current_call())
    return answer, 200 if current_call().is_dry_run else 201


@app.get("/v1/programs/<program>/payments/<payment>")
def show_payments(program: str, payment: str) -> Answer:
    return payment_batch(hub(), open_program(program), payment), 200


@app.post("/v1/programs/<program>/payments/<payment>/approve")
def approve_payments(program: str, payment: str) -> Answer:
    return payments.approve_batch(open_context(program), current_call(), payment), 200


@app.get("/v1/programs/<program>/payments/<payment>/export")
def export_payments(program: str, payment: str) -> Response[bytes]:
    found = payments.export_batch(open_context(program), current_call(), payment)
    headers = {"content-disposition": f'attachment; filename="{found.name}"', "x-content-type-options": "nosniff"}
    return Response(200, found.media_type, found.body, {**headers, "cache-control": "no-store"})


@app.post("/v1/programs/<program>/payments/<payment>/confirm")
def confirm_payments(program: str, payment: str) -> Answer:
    return payments.confirm_batch(open_context(program), current_call(), payment), 200


@app.get("/v1/programs/<program>/journal")
def show_journal(program: str) -> Answer:
    call = current_call()
    query = call.query
    return journal.journal(
        hub(), open_program(program), call.limit(), query.get("cursor", ""), query.get("account", "")
    ), 200


@app.get("/v1/programs/<program>/verify")
def verify_money(program: str) -> Answer:
    return journal.verification(hub(), open_program(program)), 200


@app.get("/v1/programs/<program>/payout-accounts")
def list_payout_accounts(program: str) -> Answer:
    return list_accounts(hub(), open_program(program)), 200


@app.post("/v1/programs/<program>/payout-accounts")
def put_payout_account(program: str) -> Answer:
    return payments.put_account(open_context(program), current_call()), 200


@app.get("/v1/programs/<program>/tax-treatments")
def list_tax_treatments(program: str) -> Answer:
    return list_treatments(hub(), open_program(program)), 200


@app.post("/v1/programs/<program>/tax-treatments")
def put_tax_treatment(program: str) -> Answer:
    return payments.put_treatment(open_context(program), current_call()), 200


@app.post("/v1/programs/<program>/rates")
def send_rates(program: str) -> Answer:
    return rates.send_rates(open_context(program), current_call()), 200


@app.get("/v1/programs/<program>/rates")
def list_rates(program: str) -> Answer:
    return rates.list_rates(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/contracts/<contract>/locks")
def list_locks(program: str, contract: str) -> Answer:
    return terms.lock_calendar(hub(), current_call(), open_program(program), contract), 200


@app.get("/v1/programs/<program>/lists")
def list_lists(program: str) -> Answer:
    return views_lists.list_named_lists(hub(), open_program(program)), 200


@app.get("/v1/programs/<program>/lists/<name>")
def show_list(program: str, name: str) -> Response[str]:
    return Response(200, "text/plain; charset=utf-8", views_lists.entries_text(hub(), open_program(program), name))


@app.put("/v1/programs/<program>/lists/<name>")
def put_list(program: str, name: str) -> Answer:
    applied = named_lists.put_list(open_context(program), current_call(), name)
    logger.info("list uploaded", program=program, list=name, entries=applied["entries"], changed=applied["changed"])
    return applied, 200


@app.get("/v1/programs/<program>/keys")
def list_keys(program: str) -> Answer:
    return views_keys.list_keys(hub(), open_program(program)), 200


@app.post("/v1/programs/<program>/keys")
def create_key(program: str) -> Answer:
    return keys.create_key(open_context(program), current_call()), 201


@app.post("/v1/programs/<program>/keys/<key>/revoke")
def revoke_key(program: str, key: str) -> Answer:
    return keys.revoke_key(open_context(program), key), 200


@app.get("/v1/programs/<program>/sources/<source>")
def show_source(program: str, source: str) -> Answer:
    return sources.get_source(hub(), open_program(program), source), 200


@app.post("/v1/programs/<program>/sources/<source>/pull")
def pull(program: str, source: str) -> Answer:
    return sources.request_pull(open_context(program), source), 202


@app.post("/v1/programs/<program>/sources/<source>/test")
def test_source(program: str, source: str) -> Answer:
    return sources.try_connection(open_context(program), source), 200


@app.post("/v1/programs/<program>/sources/<source>/check")
def check_file(program: str, source: str) -> Answer:
    return sources.check_file(open_context(program), current_call(), source), 200


@app.put("/v1/programs/<program>/sources/<source>/secret")
def set_secret(program: str, source: str) -> Answer:
    return keys.set_secret(open_context(program), current_call(), source), 200


@app.get("/v1/programs/<program>/sources/<source>/secrets")
def list_secrets(program: str, source: str) -> Answer:
    return keys.list_source_secrets(hub(), open_program(program), source), 200


@app.post("/v1/programs/<program>/sources/<source>/secrets/<what>/rotate")
def rotate_secret(program: str, source: str, what: str) -> Answer:
    return keys.rotate_secret(open_context(program), source, what), 201


@app.post("/v1/programs/<program>/sources/<source>/secrets/<what>/<secret>/revoke")
def revoke_secret(program: str, source: str, what: str, secret: str) -> Answer:
    return keys.revoke_secret(open_context(program), source, what, secret), 200


@app.post("/v1/programs/<program>/sources/<source>/openpgp")
def make_openpgp_key(program: str, source: str) -> Answer:
    return keys.create_openpgp_key(open_context(program), source), 201


def with_accepted_status(answer: BatchAnswerDocument) -> Answer:
    """202 for deliveries that are processed later."""
    return answer, 202 if answer["state"] == ARRIVED else 200


# Modifications


@app.post("/v1/programs/<program>/modifications")
def send_modifications(program: str) -> Answer:
    return with_accepted_status(modifications.send_modifications(open_context(program), current_call()))


@app.get("/v1/programs/<program>/modifications")
def list_modifications(program: str) -> Answer:
    return modifications.list_modifications(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/modifications/<modification>")
def show_modification(program: str, modification: str) -> Answer:
    return modifications.get_modification(hub(), open_program(program), modification), 200


@app.post("/v1/programs/<program>/modifications/<modification>/<act>")
def settle_modification(program: str, modification: str, act: str) -> Answer:
    return acts.act_on_record(open_context(program), current_call(), modification, act), 200


@app.post("/v1/programs/<program>/files")
def send_file(program: str) -> Answer:
    answer = modifications.send_file(open_context(program), current_call())
    return answer, 202 if answer["batch"] else 200


@app.post("/v1/programs/<program>/uploads")
def prepare_upload(program: str) -> Answer:
    return modifications.prepare_upload(open_context(program), current_call()), 201


# Actions


@app.post("/v1/programs/<program>/actions")
def report_actions(program: str) -> Answer:
    return with_accepted_status(actions.report_actions(open_context(program), current_call()))


@app.get("/v1/programs/<program>/actions")
def list_actions(program: str) -> Answer:
    return actions.list_actions(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/actions/<action>")
def show_action(program: str, action: str) -> Answer:
    return actions.get_action(hub(), current_call(), open_program(program), action), 200


@app.post("/v1/programs/<program>/actions/acts")
def act_on_actions(program: str) -> Answer:
    return acts.act_on_actions(open_context(program), current_call()), 200


@app.post("/v1/programs/<program>/actions/<action>/<act>")
def act_on_action(program: str, action: str, act: str) -> Answer:
    return acts.act_on_action(open_context(program), current_call(), action, act), 200


@app.post("/v1/programs/<program>/refold")
def refold_program(program: str) -> Answer:
    return refold.refold_program(open_context(program), current_call()), 200


# Deliveries


@app.get("/v1/programs/<program>/batches")
def list_batches(program: str) -> Answer:
    return batches.list_batches(hub(), current_call(), open_program(program)), 200


@app.get("/v1/programs/<program>/batches/<batch>")
def show_batch(program: str, batch: str) -> Answer:
    return batches.get_batch(hub(), open_program(program), batch), 200


@app.get("/v1/programs/<program>/batches/<batch>/raw")
def raw_batch(program: str, batch: str) -> Response[bytes]:
    return file_response(downloads.download_raw(hub(), open_program(program), batch))


@app.get("/v1/programs/<program>/batches/<batch>/result")
def result_of_batch(program: str, batch: str) -> Response[bytes]:
    return file_response(downloads.download_result(hub(), open_program(program), batch))


@app.get("/v1/programs/<program>/batches/<batch>/rejected")
def rejected_of_batch(program: str, batch: str) -> Response[bytes]:
    return file_response(downloads.download_rejected(hub(), open_program(program), batch))


def file_response(found: downloads.Download) -> Response[bytes]:
    """A file as a download, never displayed by a browser. Large ones redirect to a pre-signed URL."""
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    if found.url:
        return Response(307, None, b"", {**headers, "location": found.url})
    headers["content-disposition"] = f"attachment; filename*=UTF-8''{found.quoted_name}"
    headers["content-type"] = found.media_type
    return Response(200, None, found.body, headers)


@app.post("/v1/programs/<program>/batches/<batch>/release")
def release_batch(program: str, batch: str) -> Answer:
    return batches.resolve_held_batch(open_context(program), current_call(), batch, Decision.RELEASE), 200


@app.post("/v1/programs/<program>/batches/<batch>/discard")
def discard_batch(program: str, batch: str) -> Answer:
    return batches.resolve_held_batch(open_context(program), current_call(), batch, Decision.DISCARD), 200


@app.post("/v1/programs/<program>/batches/<batch>/undo")
def undo_batch(program: str, batch: str) -> Answer:
    return acts.undo_batch(open_context(program), current_call(), batch), 200


@app.post("/v1/programs/<program>/batches/<batch>/corrections")
def correct_batch(program: str, batch: str) -> Answer:
    return corrections.correct(open_context(program), current_call(), batch), 200


@app.post("/v1/programs/<program>/batches/<batch>/replay")
def replay_batch(program: str, batch: str) -> Answer:
    return batches.replay_batch(open_context(program), batch), 200


# Operations


@app.post("/v1/programs/<program>/forget")
def forget(program: str) -> Answer:
    done = maintenance.forget(open_context(program), current_call())
    logger.info("bodies forgotten", program=program, bodies=done["bodies"])
    return done, 200


@app.post("/v1/redrive")
def redrive() -> Answer:
    return maintenance.redrive(hub(), current_principal()), 200


@app.get("/v1/doctor")
def doctor() -> Answer:
    return run_checks(hub(), current_principal()), 200
