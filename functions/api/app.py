"""The API: every route below /v1 but the two where shops and Salesforce call."""

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
    admission,
    batches,
    corrections,
    funding,
    keys,
    lists,
    modifications,
    programs,
    rates,
    refold,
    sources,
    statements,
    terms,
    upkeep,
)
from retour.api.calls import Call, Refused, call_of, once, plain_path, principal_of, refuse_odd_path
from retour.api.described import methods, no_route, understand
from retour.api.problem import accepted_language
from retour.api.quota import refusal_beyond_quota
from retour.api.time_limit import answered_in_time
from retour.api.unavailable import ask_again_when_unavailable
from retour.domain.program import Program
from retour.intake.batch import ARRIVED
from retour.intake.replay import rebuild
from retour.store.programs import Principal
from retour.wiring import Hub, hub

logger = Logger(service="api")
app = APIGatewayHttpResolver()
OPEN = ("/healthz", "/openapi.json", "/v1/program.schema.json")
FOR_PAGES = {"access-control-allow-origin": "*"}
Answer = tuple[Any, int]


@logger.inject_lambda_context
@ask_again_when_unavailable(logger)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if "replay" in event:
        batch = rebuild(hub() if event.get("outward", True) else quiet_hub(), event["replay"])
        return {"state": batch.state if batch else "done"}
    call = call_of(event)
    with hub().programs.one_call():
        answer = refusal_beyond_quota(call) or answered_in_time(call, context, lambda: resolved(event, context))
    logger.info("call answered", method=call.method, status=answer["statusCode"])
    return answer


@cache
def quiet_hub() -> Hub:
    """A hub that rebuilds and tells nobody."""
    return replace(hub(), settings=replace(hub().settings, outward=False))


def resolved(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """HEAD is GET without its body."""
    http = event["requestContext"]["http"]
    plain = {**event, "rawPath": plain_path(event["rawPath"])}
    if http["method"].upper() != "HEAD":
        return app.resolve(plain, context)
    shown = {**plain, "requestContext": {**event["requestContext"], "http": {**http, "method": "GET"}}}
    return {**app.resolve(shown, context), "body": "", "isBase64Encoded": False}


# Who calls, what is understood of the call, and whether it comes for the first time


def admitted(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[Any]:
    call = call_of(app.current_event.raw_event)
    app.context["call"] = call
    refuse_odd_path(call)
    if call.method == "OPTIONS":
        return options(call)
    if call.path not in OPEN and not call.path.startswith("/v1/"):
        raise no_route(call)
    if call.path not in OPEN:
        app.context["principal"] = principal_of(hub(), call)
        admission.refuse_foreign(caller(), call.path)
    understand(call)
    return next_middleware(app)


def not_twice(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[Any]:
    """An Idempotency-Key is honoured on every POST."""
    call: Call = app.context["call"]
    if call.method != "POST" or call.path in OPEN:
        return next_middleware(app)

    def answer() -> tuple[int, Any]:
        given = next_middleware(app)
        return given.status_code, given.body

    status, document = once(hub().kept_state(*admission.keeper(call, app.context["principal"])), call, answer)
    return Response(status, "application/json", document)


app.use([admitted, not_twice])


def refused(why: Refused) -> Response[str]:
    """In the program's language; where no program was opened, in one that the caller accepts."""
    answer = why.answer(app.context.get("language") or accepted_language(called().headers))
    headers = dict(answer["headers"])
    return Response(answer["statusCode"], headers.pop("content-type"), answer["body"], headers)


def no_such_path(_error: NotFoundError) -> Response[str]:
    raise no_route(called())


app.exception_handler(Refused)(refused)
app.not_found(no_such_path)


def options(call: Call) -> Response[str]:
    """What is possible at a path. Web pages of other origins may read what is open to everybody, and nothing else."""
    allowed = ", ".join((*methods(call.path), "OPTIONS"))
    if not methods(call.path):
        raise no_route(call)
    if call.path not in OPEN and "access-control-request-method" in call.headers:
        raise Refused("CORS_NOT_OFFERED", headers={"allow": allowed})
    return Response(204, None, "", {"allow": allowed, **(FOR_PAGES if call.path in OPEN else {})})


def called() -> Call:
    return app.context["call"]  # type: ignore[no-any-return]


def caller() -> Principal:
    return app.context["principal"]  # type: ignore[no-any-return]


def opened(program: str) -> Program:
    found = admission.program_of(hub(), caller(), program)
    app.context["language"] = found.language
    return found


# For everybody


@app.get("/healthz")
def healthz() -> Answer:
    return {"status": "ok"}, 200


@app.get("/openapi.json")
def openapi() -> Response[str]:
    return published("api/openapi.json", "application/json")


@app.get("/v1/program.schema.json")
def program_schema() -> Response[str]:
    return published("setup/program.schema.json", "application/schema+json")


def published(name: str, media_type: str) -> Response[str]:
    return Response(200, media_type, files("retour").joinpath(name).read_text("utf-8"), {**FOR_PAGES})


# Programs and their sources


@app.get("/v1/programs")
def list_programs() -> Answer:
    return programs.programs(hub(), caller()), 200


@app.get("/v1/programs/<program>")
def show_program(program: str) -> Answer:
    return programs.program(hub(), opened(program)), 200


@app.put("/v1/programs/<program>")
def apply_program(program: str) -> Answer:
    if known := admission.known_program(hub(), caller(), program):
        app.context["language"] = known.language
    applied = programs.apply_program(hub(), called(), caller(), program)
    logger.info("program applied", program=program, version=applied["version"], changed=applied["changed"])
    return applied, 201 if "api_key" in applied else 200


@app.post("/v1/programs/<program>/quote")
def quote(program: str) -> Answer:
    return terms.quote(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/funding/check")
def check_funding(program: str) -> Answer:
    return funding.check_contract(hub(), called(), opened(program)), 200


@app.post("/v1/programs/<program>/funding/check")
def check_funding_of(program: str) -> Answer:
    return funding.check(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/billing-groups")
def list_billing_groups(program: str) -> Answer:
    return statements.billing_groups(hub(), opened(program)), 200


@app.post("/v1/programs/<program>/billing-groups")
def list_billing_groups_of(program: str) -> Answer:
    return statements.billing_groups_of(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/statements")
def list_statements(program: str) -> Answer:
    return statements.statements(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/statements/<statement>")
def show_statement(program: str, statement: str) -> Answer:
    return statements.statement(hub(), opened(program), statement), 200


@app.get("/v1/programs/<program>/statements/<statement>/csv")
def statement_lines(program: str, statement: str) -> Response[str]:
    name, text = statements.statement_csv(hub(), opened(program), statement)
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return Response(200, "text/csv; charset=utf-8", text, {**headers, "cache-control": "no-store"})


@app.post("/v1/programs/<program>/rates")
def send_rates(program: str) -> Answer:
    return rates.send(hub(), called(), caller(), opened(program)), 200


@app.get("/v1/programs/<program>/rates")
def list_rates(program: str) -> Answer:
    return rates.shown(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/contracts/<contract>/locks")
def list_locks(program: str, contract: str) -> Answer:
    return terms.locks(hub(), called(), opened(program), contract), 200


@app.get("/v1/programs/<program>/lists")
def list_lists(program: str) -> Answer:
    return lists.listed(hub(), opened(program)), 200


@app.get("/v1/programs/<program>/lists/<name>")
def show_list(program: str, name: str) -> Response[str]:
    return Response(200, "text/plain; charset=utf-8", lists.entries(hub(), opened(program), name))


@app.put("/v1/programs/<program>/lists/<name>")
def put_list(program: str, name: str) -> Answer:
    applied = lists.put_list(hub(), called(), caller(), opened(program), name)
    logger.info("list uploaded", program=program, list=name, entries=applied["entries"], changed=applied["changed"])
    return applied, 200


@app.get("/v1/programs/<program>/keys")
def list_keys(program: str) -> Answer:
    return keys.listed(hub(), opened(program)), 200


@app.post("/v1/programs/<program>/keys")
def create_key(program: str) -> Answer:
    return keys.create(hub(), called(), caller(), opened(program)), 201


@app.post("/v1/programs/<program>/keys/<key>/revoke")
def revoke_key(program: str, key: str) -> Answer:
    return keys.revoke(hub(), caller(), opened(program), key), 200


@app.get("/v1/programs/<program>/sources/<source>")
def show_source(program: str, source: str) -> Answer:
    return sources.source(hub(), opened(program), source), 200


@app.post("/v1/programs/<program>/sources/<source>/pull")
def pull(program: str, source: str) -> Answer:
    return sources.pull(hub(), opened(program), source), 202


@app.post("/v1/programs/<program>/sources/<source>/test")
def test_source(program: str, source: str) -> Answer:
    return sources.test(hub(), caller(), opened(program), source), 200


@app.post("/v1/programs/<program>/sources/<source>/check")
def check_file(program: str, source: str) -> Answer:
    return sources.check_file(hub(), called(), caller(), opened(program), source), 200


@app.put("/v1/programs/<program>/sources/<source>/secret")
def set_secret(program: str, source: str) -> Answer:
    return keys.set_secret(hub(), called(), caller(), opened(program), source), 200


@app.get("/v1/programs/<program>/sources/<source>/secrets")
def list_secrets(program: str, source: str) -> Answer:
    return keys.secrets_of(hub(), opened(program), source), 200


@app.post("/v1/programs/<program>/sources/<source>/secrets/<what>/rotate")
def rotate_secret(program: str, source: str, what: str) -> Answer:
    return keys.rotate_secret(hub(), caller(), opened(program), source, what), 201


@app.post("/v1/programs/<program>/sources/<source>/secrets/<what>/<secret>/revoke")
def revoke_secret(program: str, source: str, what: str, secret: str) -> Answer:
    return keys.revoke_secret(hub(), caller(), opened(program), source, what, secret), 200


@app.post("/v1/programs/<program>/sources/<source>/openpgp")
def make_openpgp_key(program: str, source: str) -> Answer:
    return keys.new_openpgp_key(hub(), caller(), opened(program), source), 201


def accepted(answer: dict[str, Any]) -> Answer:
    """202 for what is stored and read later."""
    return answer, 202 if answer["state"] == ARRIVED else 200


# What came back


@app.post("/v1/programs/<program>/modifications")
def send_modifications(program: str) -> Answer:
    return accepted(modifications.take_modifications(hub(), called(), caller(), opened(program)))


@app.get("/v1/programs/<program>/modifications")
def list_modifications(program: str) -> Answer:
    return modifications.modifications(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/modifications/<modification>")
def show_modification(program: str, modification: str) -> Answer:
    return modifications.modification(hub(), opened(program), modification), 200


@app.post("/v1/programs/<program>/modifications/<modification>/<act>")
def settle_modification(program: str, modification: str, act: str) -> Answer:
    return acts.settle(hub(), called(), caller(), opened(program), modification, act), 200


@app.post("/v1/programs/<program>/files")
def send_file(program: str) -> Answer:
    answer = modifications.take_file(hub(), called(), caller(), opened(program))
    return answer, 202 if answer["batch"] else 200


@app.post("/v1/programs/<program>/uploads")
def prepare_upload(program: str) -> Answer:
    return modifications.upload(hub(), called(), caller(), opened(program)), 201


# What was sold


@app.post("/v1/programs/<program>/actions")
def report_actions(program: str) -> Answer:
    return accepted(actions.take_actions(hub(), called(), caller(), opened(program)))


@app.get("/v1/programs/<program>/actions")
def list_actions(program: str) -> Answer:
    return actions.actions(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/actions/<action>")
def show_action(program: str, action: str) -> Answer:
    return actions.action(hub(), called(), opened(program), action), 200


@app.post("/v1/programs/<program>/actions/acts")
def act_on_actions(program: str) -> Answer:
    return acts.acts(hub(), called(), caller(), opened(program)), 200


@app.post("/v1/programs/<program>/actions/<action>/<act>")
def act_on_action(program: str, action: str, act: str) -> Answer:
    return acts.act(hub(), called(), caller(), opened(program), action, act), 200


@app.post("/v1/programs/<program>/refold")
def refold_program(program: str) -> Answer:
    return refold.refold(hub(), called(), caller(), opened(program)), 200


# Deliveries


@app.get("/v1/programs/<program>/batches")
def list_batches(program: str) -> Answer:
    return batches.batches(hub(), called(), opened(program)), 200


@app.get("/v1/programs/<program>/batches/<batch>")
def show_batch(program: str, batch: str) -> Answer:
    return batches.batch(hub(), opened(program), batch), 200


@app.get("/v1/programs/<program>/batches/<batch>/raw")
def raw_batch(program: str, batch: str) -> Response[bytes]:
    return handed_out(batches.raw(hub(), opened(program), batch))


@app.get("/v1/programs/<program>/batches/<batch>/result")
def result_of_batch(program: str, batch: str) -> Response[bytes]:
    return handed_out(batches.result(hub(), opened(program), batch))


@app.get("/v1/programs/<program>/batches/<batch>/rejected")
def rejected_of_batch(program: str, batch: str) -> Response[bytes]:
    return handed_out(batches.rejected(hub(), opened(program), batch))


def handed_out(found: batches.Bytes) -> Response[bytes]:
    """Bytes for a file of their own, never for a browser to show; too many of them lie at an address for a while."""
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    if found.url:
        return Response(307, None, b"", {**headers, "location": found.url})
    headers["content-disposition"] = f"attachment; filename*=UTF-8''{found.quoted_name}"
    headers["content-type"] = found.media_type
    return Response(200, None, found.body, headers)


@app.post("/v1/programs/<program>/batches/<batch>/release")
def release_batch(program: str, batch: str) -> Answer:
    return batches.settle(hub(), called(), caller(), opened(program), batch, "release"), 200


@app.post("/v1/programs/<program>/batches/<batch>/discard")
def discard_batch(program: str, batch: str) -> Answer:
    return batches.settle(hub(), called(), caller(), opened(program), batch, "discard"), 200


@app.post("/v1/programs/<program>/batches/<batch>/undo")
def undo_batch(program: str, batch: str) -> Answer:
    return acts.undo_batch(hub(), called(), caller(), opened(program), batch), 200


@app.post("/v1/programs/<program>/batches/<batch>/corrections")
def correct_batch(program: str, batch: str) -> Answer:
    return corrections.correct(hub(), called(), caller(), opened(program), batch), 200


@app.post("/v1/programs/<program>/batches/<batch>/replay")
def replay_batch(program: str, batch: str) -> Answer:
    return batches.replay(hub(), opened(program), batch), 200


# Operation


@app.post("/v1/programs/<program>/forget")
def forget(program: str) -> Answer:
    done = upkeep.forget(hub(), called(), caller(), opened(program))
    logger.info("bodies forgotten", program=program, bodies=done["bodies"])
    return done, 200


@app.post("/v1/redrive")
def redrive() -> Answer:
    return upkeep.redrive(hub(), caller()), 200


@app.get("/v1/doctor")
def doctor() -> Answer:
    return upkeep.findings(hub(), caller()), 200
