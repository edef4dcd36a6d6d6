"""Salesforce announces changed records (Outbound Message, change event of Event Relay): read them back."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.api.calls import Call, parse_call, refuse_control_characters
from retour.api.openapi import reject_unknown_query
from retour.api.problem import HttpError, accepted_language, problem_answer
from retour.api.time_limit import answer_in_time
from retour.api.unavailable import answer_503_when_unavailable
from retour.channels.salesforce import ACK, Push, is_same_id, parse_change_event, parse_outbound_message
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, Refusal
from retour.errors import InvalidRequestError, RequestError
from retour.remote import RemoteError
from retour.sync.salesforce import authenticate, handle_push, is_of_parent, listening_sources, store_unreadable
from retour.wiring import hub

BODY_MAX = 2_000_000
logger = Logger()


@logger.inject_lambda_context
@answer_503_when_unavailable(logger)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    if "detail-type" in event:
        handle_change_event(event)
        return None
    call = parse_call(event)
    return answer_in_time(call, context, lambda: answer_call(call, event["pathParameters"]))


def answer_call(call: Call, path: dict[str, str]) -> dict[str, Any]:
    language = accepted_language(call.headers)
    try:
        refuse_control_characters(call)
        found = authenticate(hub(), path["program"], path["source"], path["token"])
        if found is None:
            raise HttpError("NOT_GENUINE")
        language = found[0].language
        return handle_outbound_message(call, *found)
    except RequestError as refused:
        return problem_answer(refused, language)


def handle_outbound_message(call: Call, program: Program, source: Source) -> dict[str, Any]:
    """Acknowledge the whole message even if parts are unusable: otherwise Salesforce resends all of it for 24 hours."""
    reject_unknown_query(call, [])
    if len(call.body) > BODY_MAX:
        raise InvalidRequestError("BODY_TOO_LARGE", size=str(len(call.body)), most=str(BODY_MAX))
    push = parse_outbound_message(call.body)
    if isinstance(push, Refusal):
        batch = store_unreadable(hub(), program, source, call.body)
        logger.warning("message kept unread", delivery=batch.delivery.id, why=push.details["why"])
        return acknowledgement()
    if not is_same_id(push.org, source.options["org_id"]):
        logger.warning("message of another organisation refused", program=program.id, source=source.name)
        raise HttpError("OTHER_ORGANISATION", org=str(source.options["org_id"]))
    read_back_push(program, source, push)
    return acknowledgement()


def handle_change_event(event: dict[str, Any]) -> None:
    hint = parse_change_event(event)
    if isinstance(hint, Ignored):
        logger.info("change event ignored", why=hint.why)
        return
    for program, source in listening_sources(hub(), hint):
        if isinstance(hint, Push):
            read_back_push(program, source, hint)
        else:
            hub().send("writebacks", {"program": program.id, "source": source.name, "reconcile": True})


def read_back_push(program: Program, source: Source, push: Push) -> None:
    try:
        batches = handle_push(hub(), program, source, push.records, is_of_parent(source, push.object))
    except RemoteError as error:
        logger.warning("records not read back", program=program.id, source=source.name, code=error.code, why=str(error))
    else:
        changed = sum(len(batch.results) for batch in batches)
        logger.info("records read back", program=program.id, source=source.name, changed=changed)


def acknowledgement() -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"content-type": "text/xml; charset=utf-8"}, "body": ACK}
