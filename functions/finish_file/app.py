"""The last step of a large file: merge the outcomes in row order, close the delivery, queue the reply."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.intake.large import finish, load_delivery
from retour.wiring import hub

logger = Logger(service="finish_file")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    hub().give_way()
    delivery = load_delivery(hub(), event)
    batch = finish(hub(), delivery)
    hub().send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    logger.info("file taken in", delivery=delivery.id, state=batch.state, counts=batch.counts)
