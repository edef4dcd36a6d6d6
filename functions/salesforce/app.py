"""Salesforce says that records may have changed (Outbound Message, change event of Event Relay): read them back."""

import base64
from typing import Any

from aws_lambda_powertools import Logger

from retour.api.problem import problem
from retour.api.unavailable import ask_again_when_unavailable
from retour.channels.salesforce import ACK, Push, change_event, outbound_message, same_id
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, Refusal
from retour.remote import RemoteError
from retour.salesforce_sync import genuine, hinted, keep_unread, told_of
from retour.wiring import hub

BODY_MAX = 2_000_000
logger = Logger()


@logger.inject_lambda_context
@ask_again_when_unavailable(logger)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any] | None:
    if "detail-type" in event:
        relayed(event)
        return None
    return outbound(event)


def outbound(event: dict[str, Any]) -> dict[str, Any]:
    """One acknowledgement covers the whole message: what we cannot use must not make all of it come again for a day."""
    path = event["pathParameters"]
    found = genuine(hub(), path["program"], path["source"], path["token"])
    if found is None:
        return problem(401, "NOT_GENUINE", "The address is not one of ours", "Copy the source's address again.")
    program, source = found
    body = body_of(event)
    if len(body) > BODY_MAX:
        return problem(413, "BODY_TOO_LARGE", "The message is too large", f"At most {BODY_MAX:,} bytes are taken.")
    push = outbound_message(body)
    if isinstance(push, Refusal):
        batch = keep_unread(hub(), program, source, body)
        logger.warning("message kept unread", delivery=batch.delivery.id, why=push.details["why"])
        return acknowledged()
    if not same_id(push.org, source.options["org_id"]):
        logger.warning("message of another organisation refused", program=program.id, source=source.name)
        detail = f"This source is for {source.options['org_id']}. A copied sandbox needs a source of its own."
        return problem(401, "OTHER_ORGANISATION", "The message comes from another organisation", detail)
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
        batches = hinted(hub(), program, source, push.records)
    except RemoteError as error:
        logger.warning("records not read back", program=program.id, source=source.name, code=error.code, why=str(error))
    else:
        changed = sum(len(batch.results) for batch in batches)
        logger.info("records read back", program=program.id, source=source.name, changed=changed)


def acknowledged() -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"content-type": "text/xml; charset=utf-8"}, "body": ACK}


def body_of(event: dict[str, Any]) -> bytes:
    body: str = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
