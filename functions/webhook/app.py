"""A sender's webhook: believed by its signature over the exact bytes, stored, taken in, answered at once."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aws_lambda_powertools import Logger

from retour.api.documents import answer_document
from retour.api.problem import problem
from retour.api.unavailable import ask_again_when_unavailable
from retour.channels.webhook import Hooks, hooks, is_ping, is_trial
from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.intake.receive import receive
from retour.setup.credentials import used
from retour.wiring import hub

BODY_MAX = 1024 * 1024
PROGRAM_ID = re.compile(r"[a-z][a-z0-9-]{1,30}")
logger = Logger(service="webhook")


@logger.inject_lambda_context
@ask_again_when_unavailable(logger)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    found = source_of(event)
    if found is None:
        return problem(404, "NOT_FOUND", "Not found", "There is no such program, or it has no such source of webhooks.")
    program, source = found
    body, headers = body_of(event), headers_of(event)
    if len(body) > BODY_MAX:
        detail = f"The body has {len(body)} bytes; a webhook may have {BODY_MAX}. Send more as a file."
        return problem(413, "BODY_TOO_LARGE", "Body too large", detail)
    sender = hooks(source.kind)
    signed_with = believed(sender, body, headers, hub().secret(program.id, source.name).get("signing", ()))
    if signed_with is None:
        if is_ping(source.kind, body):
            return answer({"state": "ignored", "explanation": "The address of this webhook works."})
        logger.warning("webhook not believed", program=program.id, source=source.name)
        return problem(401, "SIGNATURE_INVALID", "Signature invalid", unbelieved(source))
    if is_trial(body):
        return answer({"state": "ignored", "explanation": "This address works, and the signature is believed."})
    batch = receive(hub(), delivery_of(program, source, sender, body, headers), body)
    used(hub(), program.id, source.name, "signing", signed_with)
    logger.info("webhook taken in", batch=batch.delivery.id, state=batch.state, counts=batch.counts)
    return answer(answer_document(batch, program.language))


def believed(sender: Hooks, body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> str | None:
    """The live secret that signed these bytes."""
    now = hub().real_now()
    return next((secret for secret in secrets if sender.verify(body, headers, [secret], now)), None)


def source_of(event: Mapping[str, Any]) -> tuple[Program, Source] | None:
    named = event.get("pathParameters") or {}
    program_id = named.get("program", "")
    program = hub().program(program_id) if PROGRAM_ID.fullmatch(program_id) else None
    source = program.sources.get(named.get("source", "")) if program else None
    return (program, source) if program and source and source.channel is Channel.API else None


def body_of(event: Mapping[str, Any]) -> bytes:
    """The exact bytes that were sent and signed."""
    text = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(text).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def headers_of(event: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def delivery_of(program: Program, source: Source, sender: Hooks, body: bytes, headers: Mapping[str, str]) -> Delivery:
    received_at, identity = hub().now(), sender.identity(body, headers)
    return Delivery(
        id=delivery_id(received_at, program.id, source.name, identity),
        program=program.id,
        channel=Channel.API,
        source=source.name,
        kind=Kind.HOOK,
        identity=identity,
        received_at=received_at,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        sender=source.kind or "standard",
        facts=sender.facts(headers),
    )


def unbelieved(source: Source) -> str:
    return (
        f"No live secret of source {source.name} signed these bytes in the way of {source.kind or 'standard'}, "
        "or the signature is more than five minutes old. Nothing was stored."
    )


def answer(document: Mapping[str, Any]) -> dict[str, Any]:
    """Always 200: senders give up on an address that refuses a delivery for what one record of it says."""
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(document, ensure_ascii=False),
    }
