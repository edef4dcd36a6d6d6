"""One bucket of a large file: its rows are recorded, the orders they name folded, their outcomes kept."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.intake.large import delivery_of, take_bucket
from retour.wiring import hub

logger = Logger(service="take_rows")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    delivery = delivery_of(hub(), event)
    counts = take_bucket(hub(), delivery, event)
    logger.info("rows taken in", delivery=delivery.id, bucket=event["bucket"], counts=counts)
