"""The ledger's stream: whatever was inserted and not folded yet is folded now."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.posting.refold import fold_again
from retour.wiring import Hub, hub

logger = Logger(service="apply")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    orders = touched(event["Records"])
    for program, home in orders:
        fold_or_park(hub(), program, home)
    logger.info("orders folded", orders=len(orders))


def touched(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Program and home of each order with news, once, in the order of the news."""
    keys = [record["dynamodb"]["Keys"]["PK"]["S"].split("#", 2) for record in records]
    return list(dict.fromkeys((program, rest if kind == "A" else f"@{rest}") for kind, program, rest in keys))


def fold_or_park(h: Hub, program: str, home: str) -> None:
    """A stream must not stop at one order: what cannot be folded now goes to the queue of its own."""
    try:
        for modification in fold_again(h, program, home):
            logger.error("received in time, came after final", program=program, modification=modification)
    except Exception:
        logger.exception("order parked", program=program)
        h.send("parked", {"program": program, "home": home})
