"""Rebuild the ledger from stored deliveries, decisions and program versions, in their original order."""

import json
from io import BytesIO
from typing import TYPE_CHECKING

from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.times import format_instant
from retour.intake.batch import ARRIVED, Batch
from retour.intake.decision import carry_out_decision
from retour.intake.ingest import ingest
from retour.intake.programs import record_program
from retour.store.items import delivery_from

if TYPE_CHECKING:
    from retour.wiring import Hub


def rebuild_delivery(hub: "Hub", key: str) -> Batch | None:
    """Ingest again a delivery from its envelope, where only S3 survived and the ledger is rebuilt in order."""
    delivery = delivery_from(json.loads(hub.inbox.read(key)))
    deliveries = hub.deliveries(delivery.program)
    if delivery.kind is DeliveryKind.PROGRAM:
        record_program(hub, delivery, hub.inbox.read(delivery.body_key), accepted=True)
        return None
    if delivery.kind is DeliveryKind.DECISION:
        return carry_out_decision(hub, delivery, hub.inbox.read(delivery.body_key))
    if delivery.kind is DeliveryKind.RATES:
        from retour.intake.rates import ingest_rates

        return ingest_rates(hub, delivery, hub.inbox.read(delivery.body_key))
    if delivery.kind is DeliveryKind.MONEY:
        from retour.money.acts import perform

        perform(hub, delivery, hub.inbox.read(delivery.body_key))
        return None
    from retour.intake.uploads import complete_if_arrived
    from retour.operations.retention import restore_reading

    if restore_reading(hub, delivery):
        return None
    body: bytes | None
    try:
        delivery = complete_if_arrived(hub, delivery)
        body = hub.inbox.read(delivery.body_key)
    except KeyError:
        deliveries.put(delivery, None, ARRIVED, {})
        body = None
    if delivery.channel is Channel.SFTP:
        from retour.intake.sftp_uploads import remember_upload

        remember_upload(hub, delivery)
    if delivery.channel is Channel.PULL:
        remember_fetched(hub, delivery, body is not None)
    if body is None:
        return None
    if "corrects" in delivery.facts:
        from retour.files import corrected
        from retour.intake.correction import link_correction

        link_correction(hub, delivery, [place for place, _ in corrected.parse_rows(BytesIO(body))])
    batch = ingest(hub, delivery, None if delivery.kind is DeliveryKind.FILE else body)
    if delivery.kind is DeliveryKind.SALESFORCE and batch.results:
        from retour.sync.salesforce import save_delivered

        program = hub.program_of(delivery)
        save_delivered(hub, program, program.sources[delivery.source], body, batch.results)
    return batch


def remember_fetched(hub: "Hub", delivery: Delivery, stored: bool) -> None:
    """Record that a poll fetched this file, or was about to, so that the next one does not fetch it again."""
    doc = {
        "delivery": delivery.id,
        "received_at": format_instant(delivery.received_at),
        "name": delivery.name,
        "stored": stored,
    }
    hub.state(delivery.program, delivery.source).put(f"content#{delivery.sha256}", doc)
