"""A mail arrived for a source: authenticate it and put its files into the inbox, where they are read."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.times import parse_instant
from retour.intake.mail import Envelope, ingest_mail
from retour.wiring import hub

logger = Logger(service="inbound_email")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    for record in event["Records"]:
        envelope = envelope_from_ses(record["ses"]["mail"], record["ses"]["receipt"])
        logger.info("mail taken", mail=envelope.id, files=ingest_mail(hub(), envelope))


def envelope_from_ses(arrived: dict[str, Any], receipt: dict[str, Any]) -> Envelope:
    """The envelope from an SES event."""
    return Envelope(
        id=arrived["messageId"],
        recipients=receipt["recipients"],
        sender=arrived.get("source") or "",
        at=parse_instant(arrived["timestamp"]),
        dmarc=receipt.get("dmarcVerdict", {}).get("status"),
        virus=receipt.get("virusVerdict", {}).get("status"),
    )
