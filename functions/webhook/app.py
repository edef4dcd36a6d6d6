"""A sender's webhook: believed by its signature over the exact bytes, stored, taken in, answered at once."""

import json
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from retour.api.calls import PROGRAM_ID, Call, Refused, call_of, refuse_odd_path
from retour.api.described import know_words
from retour.api.documents import answer_document
from retour.api.problem import accepted_language, shown
from retour.api.quota import refusal_beyond_quota
from retour.api.time_limit import answered_in_time
from retour.api.unavailable import ask_again_when_unavailable
from retour.channels.webhook import Hooks, hooks, is_ping, is_trial
from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.intake.receive import receive
from retour.setup.credentials import used
from retour.wiring import hub

BODY_MAX = 1024 * 1024
logger = Logger(service="webhook")


@logger.inject_lambda_context
@ask_again_when_unavailable(logger)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    call = call_of(event)
    with hub().programs.one_call():
        beyond = refusal_beyond_quota(call)
        return beyond or answered_in_time(call, context, lambda: answered(call, event.get("pathParameters") or {}))


def answered(call: Call, named: Mapping[str, str]) -> dict[str, Any]:
    """Who is not believed hears the same whether there is such a program and source or not."""
    try:
        refuse_odd_path(call)
        if len(call.body) > BODY_MAX:
            raise Refused("BODY_TOO_LARGE", "hook", size=str(len(call.body)), most=str(BODY_MAX))
        if is_ping("woocommerce", call.body):  # Answered at every address, so that nobody learns which there are.
            return answer({"state": "ignored", "explanation": "A trial of the address. What is signed is taken in."})
        program, source, secret = believed(call, source_of(named))
    except Refused as refused:
        return refused.answer(accepted_language(call.headers))
    try:
        know_words(call, [])
    except Refused as refused:
        return refused.answer(program.language)
    return taken_in(call, program, source, secret)


def taken_in(call: Call, program: Program, source: Source, secret: str) -> dict[str, Any]:
    if is_trial(call.body):
        return answer({"state": "ignored", "explanation": "This address works, and the signature is believed."})
    batch = receive(hub(), delivery_of(call, program, source, hooks(source.kind)), call.body)
    if source.options.get("store_hash"):
        from retour.sync.shops import hint

        hint(hub(), program, source, call.body)
    used(hub(), program.id, source.name, "signing", secret)
    logger.info("webhook taken in", batch=batch.delivery.id, state=batch.state, counts=batch.counts)
    return answer(answer_document(batch, program.language))


def believed(call: Call, found: tuple[Program, Source] | None) -> tuple[Program, Source, str]:
    """With the live secret that signed these bytes. One that was made a moment ago is looked for once more."""
    if found is not None:
        program, source = found
        for read in (hub().secret, hub().secret_again):
            for secret in read(program.id, source.name).get("signing", ()):
                if hooks(source.kind).verify(call.body, call.headers, [secret], hub().real_now()):
                    return program, source, secret
        logger.warning("webhook not believed", program=program.id, source=source.name)
    if call.may_be_altered:
        raise Refused("BYTES_NOT_KEPT", type=shown(call.media_type))
    raise Refused("SIGNATURE_INVALID")


def source_of(named: Mapping[str, str]) -> tuple[Program, Source] | None:
    program_id = named.get("program", "")
    program = hub().program(program_id) if PROGRAM_ID.fullmatch(program_id) else None
    source = program.sources.get(named.get("source", "")) if program else None
    return (program, source) if program and source and source.channel is Channel.API else None


def delivery_of(call: Call, program: Program, source: Source, sender: Hooks) -> Delivery:
    received_at, identity = hub().now(), sender.identity(call.body, call.headers)
    return Delivery(
        id=delivery_id(received_at, program.id, source.name, identity),
        program=program.id,
        channel=Channel.API,
        source=source.name,
        kind=Kind.HOOK,
        identity=identity,
        received_at=received_at,
        sha256=call.sha256,
        size=len(call.body),
        sender=source.kind or "standard",
        facts=sender.facts(call.headers),
    )


def answer(document: Mapping[str, Any]) -> dict[str, Any]:
    """Always 200: senders give up on an address that refuses a delivery for what one record of it says."""
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(document, ensure_ascii=False),
    }
