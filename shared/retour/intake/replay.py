"""The ledger built anew from what was kept: deliveries, decisions and program documents, in their order."""

import json
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Channel, Delivery, Kind
from retour.domain.program import Program
from retour.domain.times import text
from retour.intake.batch import ARRIVED, DONE, Batch
from retour.intake.decision import decide
from retour.intake.receive import receive
from retour.store.items import delivery_from

if TYPE_CHECKING:
    from retour.setup.program_file import Fault
    from retour.wiring import Hub


def rebuild(hub: "Hub", key: str) -> Batch | None:
    """Take in again what an envelope kept: where only objects survived, the ledger is rebuilt from them, in order."""
    delivery = delivery_from(json.loads(hub.inbox.read(key)))
    deliveries = hub.deliveries(delivery.program)
    if delivery.kind is Kind.PROGRAM:
        record_program(hub, delivery, hub.inbox.read(delivery.body_key), accepted=True)
        return None
    if delivery.kind is Kind.DECISION:
        return decide(hub, delivery, hub.inbox.read(delivery.body_key))
    if delivery.kind is Kind.RATES:
        from retour.intake.rates import take_rates

        return take_rates(hub, delivery, hub.inbox.read(delivery.body_key))
    from retour.intake.arrival import lying_there
    from retour.operations.retention import restore_reading

    if restore_reading(hub, delivery):
        return None
    body: bytes | None
    try:
        delivery = lying_there(hub, delivery)
        body = hub.inbox.read(delivery.body_key)
    except KeyError:
        deliveries.put(delivery, None, ARRIVED, {})
        body = None
    if delivery.channel is Channel.SFTP:
        from retour.intake.drop import recall

        recall(hub, delivery)
    if delivery.channel is Channel.PULL:
        fetched(hub, delivery, body is not None)
    if body is None:
        return None
    if "corrects" in delivery.facts:
        from retour.files import corrected
        from retour.intake.correction import link

        link(hub, delivery, [place for place, _ in corrected.read(BytesIO(body))])
    batch = receive(hub, delivery, None if delivery.kind is Kind.FILE else body)
    if delivery.kind is Kind.SALESFORCE and batch.results:
        from retour.sync.salesforce import remember

        program = hub.program_of(delivery)
        remember(hub, program, program.sources[delivery.source], body, batch.results)
    return batch


def fetched(hub: "Hub", delivery: Delivery, stored: bool) -> None:
    """Remember that a visit fetched this, or was about to, so that the next does not do it again under another id."""
    doc = {
        "delivery": delivery.id,
        "received_at": text(delivery.received_at),
        "name": delivery.name,
        "stored": stored,
    }
    hub.state(delivery.program, delivery.source).put(f"content#{delivery.sha256}", doc)


LIST = "list"
"""The fact that names the list which a delivery of a program's kind brings instead of a document."""


def record_program(
    hub: "Hub", delivery: Delivery, body: bytes, *, accepted: bool = False
) -> "tuple[Program, bool] | list[Fault]":
    """Record a program document, or one of its named lists, as its next version; what is wrong changes nothing and is
    told line by line. `accepted`: it was found right when it came, and is recorded again as it is."""
    from retour.setup import program_file

    if LIST in delivery.facts:
        return record_list(hub, delivery, body)
    text = body.decode("utf-8", "replace")
    document = program_file.accepted(text) if accepted else program_file.read(text)
    if isinstance(document, list):
        return document
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    return hub.programs.apply(document, delivery.received_at, delivery.id)


def record_list(hub: "Hub", delivery: Delivery, body: bytes) -> "tuple[Program, bool] | list[Fault]":
    from retour.setup.list_file import read_list

    found = read_list(body)
    if faults := [one for one in found if not isinstance(one, str)]:
        return faults
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    entries = [str(one) for one in found]
    return hub.programs.put_list(delivery.program, delivery.facts[LIST], entries, delivery.received_at, delivery.id)
