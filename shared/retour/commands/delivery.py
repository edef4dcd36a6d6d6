"""The delivery that a command becomes, before it is carried out: stored first, under who sent it."""

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
    """A delivery of these bytes. A request with a key is that key's, else it is known by what it says."""
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
    """What an act is known by: the key of its request, else something that no other has."""
    return f"{what}#{context.key or secrets.token_hex(16)}"


def as_file(delivery: Delivery, name: str) -> Delivery:
    key = f"api/{delivery.program}/{delivery.source}/{delivery.id}/{name}"
    return replace(delivery, name=name, body_key=key)


def queue_as_file(ports: FilePorts, delivery: Delivery, name: str, body: bytes) -> Batch:
    """A body that nobody waits for: stored in the inbox under a name, where it is read like every other file."""
    filed = as_file(replace(delivery, kind=DeliveryKind.FILE), name)
    announce_file(ports, filed)
    ports.inbox.put(filed.body_key, body)
    return Batch(delivery=filed, state=ARRIVED)


def require_readable(batch: Batch) -> Batch:
    """A batch whose body could be read. One that could not is stored all the same."""
    if batch.state != REFUSED:
        return batch
    entry = batch.code if batch.code in error_catalog() else "UNREADABLE"
    raise InvalidRequestError(batch.code, "record", batch.details, entry=entry)
