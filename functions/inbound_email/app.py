"""A mail came to the address of a source: if it is believed, its files go into the inbox, where they are read."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.times import instant
from retour.intake.mail import Envelope, take_mail
from retour.wiring import hub

logger = Logger(service="inbound_email")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    for record in event["Records"]:
        envelope = told(record["ses"]["mail"], record["ses"]["receipt"])
        logger.info("mail taken", mail=envelope.id, files=take_mail(hub(), envelope))


def told(arrived: dict[str, Any], receipt: dict[str, Any]) -> Envelope:
    """The envelope as SES tells it beside the mail."""
    return Envelope(
        id=arrived["messageId"],
        recipients=receipt["recipients"],
        sender=arrived.get("source") or "",
        at=instant(arrived["timestamp"]),
        dmarc=receipt.get("dmarcVerdict", {}).get("status"),
        virus=receipt.get("virusVerdict", {}).get("status"),
    )
