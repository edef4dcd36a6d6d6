"""BigCommerce's webhooks are hints: the order is read back, and what of it is new is taken in as a delivery.

What a source keeps: `order#<number>`, the digest of the order as it was taken in last.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retour.channels.bigcommerce import READ, order_hinted
from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.times import text
from retour.intake.batch import Batch
from retour.intake.receive import receive
from retour.remote import RemoteError

if TYPE_CHECKING:
    from retour.wiring import Hub

KIND = "bigcommerce"


def is_read_back(source: Source) -> bool:
    return source.kind == KIND and bool(source.options.get("store_hash"))


def hint(hub: "Hub", program: Program, source: Source, body: bytes) -> bool:
    """Have the order read that a webhook speaks of; whether it speaks of one."""
    number = order_hinted(body) if is_read_back(source) else None
    if number is None:
        return False
    hub.send("writebacks", {"program": program.id, "source": source.name, "order": number})
    return True


def errand(hub: "Hub", message: Mapping[str, Any]) -> dict[str, Any]:
    """One message of the queue: an order to read."""
    told = {"program": message["program"], "source": message["source"]}
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    if program is None or source is None or not is_read_back(source) or not source.enabled:
        return told | {"dropped": "the source is gone"}
    batch = read_back(hub, program, source, str(message["order"]))
    return told | {"changed": len(batch.results) if batch else 0}


def read_back(hub: "Hub", program: Program, source: Source, number: str) -> Batch | None:
    """Read an order as it is now and take it in; None where it says what it said before, or is not there."""
    from retour.remote.bigcommerce import read_order

    token = hub.secret(program.id, source.name).get("access_token")
    if not token:
        raise RemoteError("SHOP_NOT_SET_UP", lasting=True, source=source.name, missing="access_token")
    found = read_order(hub, source.options["store_hash"], token, number)
    if found is None:
        return None
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    state = hub.state(program.id, source.name)
    if (state.get(f"order#{number}") or {}).get("digest") == digest:
        return None
    body = json.dumps({READ: text(hub.now()), **found}, ensure_ascii=False).encode()
    batch = receive(hub, delivery_of(hub, program, source, f"{number}.{digest}", body), body)
    state.put(f"order#{number}", {"digest": digest})
    return batch


def delivery_of(hub: "Hub", program: Program, source: Source, identity: str, body: bytes) -> Delivery:
    received_at = hub.now()
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
        sender=KIND,
    )
