"""One bucket of a large file: record its rows, fold their orders, store the outcomes; or simulate them."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.intake.large import ingest_bucket, load_delivery, simulate_bucket
from retour.wiring import hub

logger = Logger(service="take_rows")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    hub().give_way()
    item = event.get("rehearse", event)
    delivery = load_delivery(hub(), item)
    if item is event:
        counts = ingest_bucket(hub(), delivery, item)
        logger.info("rows taken in", delivery=delivery.id, bucket=item["bucket"], counts=counts)
    else:
        counts = simulate_bucket(hub(), delivery, item)
        logger.info("rows rehearsed", delivery=delivery.id, bucket=item["bucket"], counts=counts)
