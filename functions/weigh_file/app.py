"""Evaluate the simulation of a large file: report a dry run, hold the file, or let it continue."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.intake.large import conclude_simulation, load_delivery
from retour.wiring import hub

logger = Logger(service="weigh_file")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    hub().give_way()
    delivery, ended = conclude_simulation(hub(), load_delivery(hub(), event))
    if ended is not None:
        hub().send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    logger.info("file weighed", delivery=delivery.id, state=ended.state if ended else "goes on")
    return {**event, "ended": ended is not None}
