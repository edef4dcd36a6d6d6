"""The delivery of a command, stored before it is carried out."""

import secrets
from dataclasses import replace
from typing import Any

from retour.context import Context
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.errors import InvalidRequestError, error_catalog
from retour.intake.batch import ARRIVED, REFUSED, Batch
from retour.intake.ingest import announce_file
from retour.ports import Clock, FilePorts

CONSOLE_SOURCE = "console"
ACTIONS_SOURCE = "actions"


def build_delivery(
    context: Context[Clock], body: bytes, source: str, kind: DeliveryKind, identity: str = "", **more: Any
) -> Delivery:
    """Create the delivery of a body, identified by the request's key or the body."""
    return Delivery.create(
        body,
        received_at=context.now(),
        program=context.program.id,
        channel=Channel.CONSOLE if source == CONSOLE_SOURCE else Channel.API,
        source=source,
        kind=kind,
        identity=identity or (f"{kind}#{context.key}" if context.key else ""),
        sender=context.caller.name,
        **more,
    )


def identity_of(context: Context[Clock], what: str) -> str:
    """The identity of an act: the request's key, or a unique one."""
    return f"{what}#{context.key or secrets.token_hex(16)}"


def as_file(delivery: Delivery, name: str) -> Delivery:
    key = f"api/{delivery.program}/{delivery.source}/{delivery.id}/{name}"
    return replace(delivery, name=name, body_key=key)


def queue_as_file(ports: FilePorts, delivery: Delivery, name: str, body: bytes) -> Batch:
    """Store a body in the inbox, to be processed like any file."""
    filed = as_file(replace(delivery, kind=DeliveryKind.FILE), name)
    announce_file(ports, filed)
    ports.inbox.put(filed.body_key, body)
    return Batch(delivery=filed, state=ARRIVED)


def require_readable(batch: Batch) -> Batch:
    """Raise if the body could not be read. It is stored all the same."""
    if batch.state != REFUSED:
        return batch
    entry = batch.code if batch.code in error_catalog() else "UNREADABLE"
    raise InvalidRequestError(batch.code, "record", batch.details, entry=entry)
