"""A sender's webhook: authenticate it by its signature, store it, ingest it, answer at once."""

import json
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from retour.api.calls import Call, parse_call, refuse_control_characters
from retour.api.openapi import reject_unknown_query
from retour.api.problem import HttpError, accepted_language, problem_answer
from retour.api.quota import quota_refusal
from retour.api.time_limit import answer_in_time
from retour.api.unavailable import answer_503_when_unavailable
from retour.channels.webhook import WebhookAdapter, is_ping, is_test_call, sends_hints, source_adapter
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import PROGRAM_ID, Program, Source
from retour.errors import InvalidRequestError, RequestError, excerpt
from retour.intake.ingest import ingest
from retour.intake.webhook_proof import find_proof
from retour.setup.credentials import record_use
from retour.views.documents import answer_document
from retour.wiring import hub

BODY_MAX = 1024 * 1024
logger = Logger(service="webhook")


@logger.inject_lambda_context
@answer_503_when_unavailable(logger)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    call = parse_call(event)
    with hub().programs.cache_reads():
        beyond = quota_refusal(call)
        return beyond or answer_in_time(call, context, lambda: answer_call(call, event.get("pathParameters") or {}))


def answer_call(call: Call, named: Mapping[str, str]) -> dict[str, Any]:
    """Answer a webhook. Rejected callers get the same response whether or not program and source exist."""
    try:
        refuse_control_characters(call)
        if len(call.body) > BODY_MAX:
            raise InvalidRequestError("BODY_TOO_LARGE", "hook", size=str(len(call.body)), most=str(BODY_MAX))
        if is_ping(call.body):  # Answered at every URL, so as not to reveal which exist.
            return ok_response(
                {"state": "ignored", "explanation": "A trial of the address. What is signed is taken in."}
            )
        program, source, secret = authenticate(call, find_source(named))
    except RequestError as refused:
        return problem_answer(refused, accepted_language(call.headers))
    try:
        reject_unknown_query(call, [])
    except RequestError as refused:
        return problem_answer(refused, program.language)
    return ingest_webhook(call, program, source, secret)


def ingest_webhook(call: Call, program: Program, source: Source, secret: str) -> dict[str, Any]:
    if is_test_call(call.body):
        return ok_response({"state": "ignored", "explanation": "This address works, and the signature is believed."})
    batch = ingest(hub(), build_delivery(call, program, source, source_adapter(source)), call.body)
    if sends_hints(source):
        from retour.sync.shops import request_read_back

        request_read_back(hub(), program, source, call.body)
    if secret:
        record_use(hub(), program.id, source.name, "signing", secret)
    logger.info("webhook taken in", batch=batch.delivery.id, state=batch.state, counts=batch.counts)
    return ok_response(answer_document(batch, program.language))


def authenticate(call: Call, found: tuple[Program, Source] | None) -> tuple[Program, Source, str]:
    """With the live secret that signed these bytes; empty where a key of the sender's own did."""
    if found is not None:
        program, source = found
        secret = find_proof(hub(), program, source, call.body, call.headers)
        if secret is not None:
            return program, source, secret
        logger.warning("webhook not believed", program=program.id, source=source.name)
    if call.may_be_altered:
        raise InvalidRequestError("BYTES_NOT_KEPT", type=excerpt(call.media_type))
    raise HttpError("SIGNATURE_INVALID")


def find_source(named: Mapping[str, str]) -> tuple[Program, Source] | None:
    program_id = named.get("program", "")
    program = hub().program(program_id) if PROGRAM_ID.fullmatch(program_id) else None
    source = program.sources.get(named.get("source", "")) if program else None
    return (program, source) if program and source and source.channel is Channel.API else None


def build_delivery(call: Call, program: Program, source: Source, sender: WebhookAdapter) -> Delivery:
    return Delivery.create(
        call.body,
        received_at=hub().now(),
        program=program.id,
        channel=Channel.API,
        source=source.name,
        kind=DeliveryKind.HOOK,
        identity=sender.identity(call.body, call.headers),
        sender=source.kind or "standard",
        facts=sender.facts(call.headers),
    )


def ok_response(document: Mapping[str, Any]) -> dict[str, Any]:
    """The response to every authenticated webhook: 200, since senders disable endpoints that reject deliveries."""
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(document, ensure_ascii=False),
    }
