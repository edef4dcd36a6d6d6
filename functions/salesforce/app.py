"""Salesforce says that records may have changed (Outbound Message, change event of Event Relay): read them back."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.api.calls import Call, Refused, call_of, refuse_odd_path
from retour.api.described import know_words
from retour.api.problem import accepted_language
from retour.api.time_limit import answered_in_time
from retour.api.unavailable import ask_again_when_unavailable
from retour.channels.salesforce import ACK, Push, change_event, outbound_message, same_id
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, Refusal
from retour.remote import RemoteError
from retour.sync.salesforce import genuine, hinted, is_of_parent, keep_unread, told_of
from retour.wiring import hub

BODY_MAX = 2_000_000
logger = Logger()


@logger.inject_lambda_context
@ask_again_when_unavailable(logger)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    if "detail-type" in event:
        relayed(event)
        return None
    call = call_of(event)
    return answered_in_time(call, context, lambda: answered(call, event["pathParameters"]))


def answered(call: Call, path: dict[str, str]) -> dict[str, Any]:
    language = accepted_language(call.headers)
    try:
        refuse_odd_path(call)
        found = genuine(hub(), path["program"], path["source"], path["token"])
        if found is None:
            raise Refused("NOT_GENUINE")
        language = found[0].language
        return outbound(call, *found)
    except Refused as refused:
        return refused.answer(language)


def outbound(call: Call, program: Program, source: Source) -> dict[str, Any]:
    """One acknowledgement covers the whole message: what we cannot use must not make all of it come again for a day."""
    know_words(call, [])
    if len(call.body) > BODY_MAX:
        raise Refused("BODY_TOO_LARGE", size=str(len(call.body)), most=str(BODY_MAX))
    push = outbound_message(call.body)
    if isinstance(push, Refusal):
        batch = keep_unread(hub(), program, source, call.body)
        logger.warning("message kept unread", delivery=batch.delivery.id, why=push.details["why"])
        return acknowledged()
    if not same_id(push.org, source.options["org_id"]):
        logger.warning("message of another organisation refused", program=program.id, source=source.name)
        raise Refused("OTHER_ORGANISATION", org=str(source.options["org_id"]))
    look(program, source, push)
    return acknowledged()


def relayed(event: dict[str, Any]) -> None:
    hint = change_event(event)
    if isinstance(hint, Ignored):
        logger.info("change event ignored", why=hint.why)
        return
    for program, source in told_of(hub(), hint):
        if isinstance(hint, Push):
            look(program, source, hint)
        else:
            hub().send("writebacks", {"program": program.id, "source": source.name, "reconcile": True})


def look(program: Program, source: Source, push: Push) -> None:
    try:
        batches = hinted(hub(), program, source, push.records, is_of_parent(source, push.object))
    except RemoteError as error:
        logger.warning("records not read back", program=program.id, source=source.name, code=error.code, why=str(error))
    else:
        changed = sum(len(batch.results) for batch in batches)
        logger.info("records read back", program=program.id, source=source.name, changed=changed)


def acknowledged() -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"content-type": "text/xml; charset=utf-8"}, "body": ACK}
