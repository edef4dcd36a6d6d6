"""A mail came to the address of a source: if it is believed, its files go into the inbox, where they are read."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger

from retour.channels import mail
from retour.channels.attachments import Attachment
from retour.connection_test import mail as trial
from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.times import instant
from retour.intake.batch import ARRIVED
from retour.intake.opening import proved_by_signature
from retour.intake.receive import announce
from retour.setup.credentials import used
from retour.wiring import hub

logger = Logger(service="inbound_email")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    for record in event["Records"]:
        arrived, receipt = record["ses"]["mail"], record["ses"]["receipt"]
        for program, source in addressed(receipt["recipients"]):
            raw = hub().inbox.read(f"mail/{arrived['messageId']}")
            verdict = screened(raw, program, source, arrived, receipt)
            if trial.seen(hub(), program, source, verdict):
                logger.info("mail of a trial seen", program=program.id, source=source.name)
                continue
            match verdict:
                case mail.Quiet(why):
                    logger.info("mail dropped", program=program.id, source=source.name, why=why)
                case mail.Rejected(_, found):
                    whole = Attachment("mail.eml", raw)
                    deliver_all(program, source, replace(found, files=(whole,)), received_at(arrived), "")
                case mail.Held(found):
                    deliver_all(program, source, found, received_at(arrived), "UNAUTHENTICATED")
                case mail.Accepted() as found:
                    deliver_all(program, source, found, received_at(arrived), "")


def addressed(recipients: list[str]) -> Iterator[tuple[Program, Source]]:
    """The sources whose address and live token stand in the envelope, each once."""
    seen = set()
    for recipient in recipients:
        address = mail.address(recipient, hub().mail_domain)
        program = hub().program(address.program) if address else None
        source = program.sources.get(address.source) if address and program else None
        if not (address and program and source and source.channel is Channel.EMAIL):
            logger.info("mail dropped", why="no source has this address")
        elif not mail.is_token(address.token, hub().secret(program.id, source.name).get("tokens", ())):
            logger.info("mail dropped", program=program.id, source=source.name, why="the token is not live")
        elif (program.id, source.name) not in seen:
            seen.add((program.id, source.name))
            used(hub(), program.id, source.name, "tokens", address.token)
            yield program, source


def screened(
    raw: bytes, program: Program, source: Source, arrived: Mapping[str, Any], receipt: Mapping[str, Any]
) -> mail.Accepted | mail.Held | mail.Rejected | mail.Quiet:
    return mail.screen(
        raw,
        source,
        envelope_sender=arrived.get("source") or "",
        domain=hub().mail_domain,
        dmarc=receipt.get("dmarcVerdict", {}).get("status"),
        virus=receipt.get("virusVerdict", {}).get("status"),
        signed=partial(proved_by_signature, hub(), program, source, arrived["messageId"]),
    )


def received_at(arrived: Mapping[str, Any]) -> datetime:
    """When SES took the mail, on the business clock: whole seconds away, so that it is the same each time."""
    offset = timedelta(seconds=round((hub().now() - hub().real_now()).total_seconds()))
    return instant(arrived["timestamp"]) + offset


def deliver_all(program: Program, source: Source, found: mail.Accepted, at: datetime, held: str) -> None:
    """Each file of a mail is a delivery; the mail is answered once, when all of them are done."""
    deliveries = [delivery_of(program, source, found, file, at, held) for file in found.files]
    together = " ".join(delivery.id for delivery in deliveries)
    for delivery, file in zip(deliveries, found.files, strict=True):
        if len(deliveries) > 1 and delivery.reply:
            delivery = replace(delivery, reply={**delivery.reply, "together": together})
        deliver(delivery, file)


def delivery_of(
    program: Program, source: Source, found: mail.Accepted, file: Attachment, at: datetime, held: str
) -> Delivery:
    sha256 = hashlib.sha256(file.content).hexdigest()
    identity = f"{found.message_id} {sha256}"
    id = delivery_id(at, program.id, source.name, identity)
    to = {"to": found.sender, "message_id": found.message_id, "subject": found.subject}
    facts = {"ignored": "\n".join(found.ignored)[:1000], "charset": file.charset}
    return Delivery(
        id=id,
        program=program.id,
        channel=Channel.EMAIL,
        source=source.name,
        kind=Kind.FILE,
        identity=identity,
        received_at=at,
        sha256=sha256,
        size=len(file.content),
        name=file.name,
        sender=found.sender,
        held=held,
        body_key=f"email/{program.id}/{source.name}/{id}/{file.name}",
        facts={name: fact for name, fact in facts.items() if fact},
        reply={} if found.automatic else to,
    )


def deliver(delivery: Delivery, file: Attachment) -> None:
    """Announce a file, then put it into the inbox: from there it goes the way of every file."""
    known = hub().deliveries(delivery.program).get(delivery.id)
    if known is not None and known.state != ARRIVED:
        return
    announce(hub(), delivery)
    hub().inbox.put(delivery.body_key, file.content)
    program, source = delivery.program, delivery.source
    logger.info("file taken from mail", delivery=delivery.id, program=program, source=source, size=delivery.size)
