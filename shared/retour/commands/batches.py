"""Decide on a held delivery, or replay a delivery."""

import json
from dataclasses import replace
from enum import StrEnum

from retour.commands.delivery import CONSOLE_SOURCE, build_delivery
from retour.context import Context
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, DeliveryKind
from retour.domain.program import Program
from retour.errors import ConflictError, InvalidRequestError
from retour.intake.batch import HELD, REFUSED, Batch
from retour.intake.decision import carry_out_decision
from retour.intake.dry_run import dry_run_delivery
from retour.intake.file import process_file
from retour.intake.ingest import ingest
from retour.store.deliveries import DeliveryHeader
from retour.views.deliveries import find_header, load_raw_body
from retour.views.ledger_reader import build_reader
from retour.wiring import Hub

PREVIEW_BYTES_MAX = 4 * 1024 * 1024
NOTE_CHARS_MAX = 500


class Decision(StrEnum):
    """A person's decision on a held delivery."""

    RELEASE = "release"
    DISCARD = "discard"


def find_held(hub: Hub, program: Program, delivery_id: str) -> DeliveryHeader:
    header = find_header(build_reader(hub, program), delivery_id)
    if header.state != HELD:
        raise ConflictError("NOT_HELD", "batch", state=header.state)
    return header


def resolve_held_batch(context: Context[Hub], delivery_id: str, decision: Decision, note: str = "") -> DeliveryHeader:
    """Carry out a decision on a held delivery, which is stored as a delivery too. Returns the new header."""
    hub, header = context.ports, find_held(context.ports, context.program, delivery_id)
    asked = {"delivery": header.delivery.id, "decision": decision.value, "note": note[:NOTE_CHARS_MAX]}
    body = json.dumps(asked).encode()
    identity = f"{decision}#{header.delivery.id}"
    delivery = build_delivery(context, body, CONSOLE_SOURCE, DeliveryKind.DECISION, identity)
    carry_out_decision(hub, delivery, body)
    return answered(context, delivery_id)


def preview_decision(context: Context[Hub], delivery_id: str, decision: Decision) -> Batch:
    """Simulate a decision on a held delivery."""
    hub, delivery = context.ports, find_held(context.ports, context.program, delivery_id).delivery
    if decision is Decision.DISCARD:
        return Batch(delivery=delivery, state=REFUSED, code="DISCARDED")
    if delivery.size > PREVIEW_BYTES_MAX:
        raise InvalidRequestError("BODY_TOO_LARGE", "rehearsed", size=str(delivery.size), most=str(PREVIEW_BYTES_MAX))
    batch = dry_run_delivery(hub, delivery, hub.inbox.read(delivery.body_key), context.now())
    # Thresholds that held it do not apply to its release.
    return replace(batch, preview={**batch.preview, "warnings": []}) if batch.preview else batch


def replay_batch(context: Context[Hub], delivery_id: str) -> DeliveryHeader:
    """Read the stored body again. Recorded rows stay, and missing ones are added."""
    hub = context.ports
    reader = build_reader(hub, context.program)
    header = find_header(reader, delivery_id)
    require_replayable(header)
    body = load_raw_body(reader, header)
    if body is None:
        raise ConflictError("NOT_ARRIVED")
    if header.delivery.kind is not DeliveryKind.FILE:
        ingest(hub, header.delivery, body)
        return find_header(reader, delivery_id)
    process_file(hub, header.delivery, body)
    return answered(context, delivery_id)


def require_replayable(header: DeliveryHeader) -> None:
    if header.delivery.kind in KINDS_WITHOUT_RECORDS or header.state == HELD:
        raise ConflictError("NOT_REPLAYABLE", "kind")
    if header.delivery.is_dry_run:
        raise ConflictError("NOT_REPLAYABLE", "dry_run")


def answered(context: Context[Hub], delivery_id: str) -> DeliveryHeader:
    """The current header, after requesting a reply to the sender."""
    context.ports.send("answers", {"program": context.program.id, "delivery": delivery_id, "what": "batch"})
    return find_header(build_reader(context.ports, context.program), delivery_id)
