"""Read a large file once, from first to last, and split its rows into buckets by order."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.intake.large import load_delivery, split_into_buckets
from retour.wiring import hub

logger = Logger(service="split_file")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    hub().give_way()
    delivery = load_delivery(hub(), event)
    work = split_into_buckets(hub(), delivery)
    logger.info("file split", delivery=delivery.id, size=delivery.size, buckets=len(work.items()))
    return {**event, "inbox": hub().inbox.bucket, "manifest": work.manifest}
