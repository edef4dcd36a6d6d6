"""The ledger's stream: fold every order with records that were inserted but not folded yet."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.posting.refold import refold_order
from retour.wiring import Hub, hub

logger = Logger(service="apply")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    orders = touched_orders(event["Records"])
    with hub().programs.cache_reads():
        lost = [order for order in orders if not fold_or_park(hub(), *order)]
    logger.info("orders folded", orders=len(orders) - len(lost))
    # The embedded AWS would retry a failed batch forever and block all others; there the sweep takes over.
    if lost and not hub().settings.is_local:
        raise RuntimeError(f"{len(lost)} orders neither folded nor parked")


def touched_orders(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Program and home of each changed order, once, in order. Other items of the table are ignored.

    Records and reports are stored under their order (`A#`), or under an action id without an order (`I#`).
    """
    found = []
    for record in records:
        key = record.get("dynamodb", {}).get("Keys", {}).get("PK", {}).get("S", "")
        kind, _, rest = key.partition("#")
        program, between, home = rest.partition("#")
        if kind in ("A", "I") and between:
            found.append((program, home if kind == "A" else f"@{home}"))
    return list(dict.fromkeys(found))


def fold_or_park(h: Hub, program: str, home: str) -> bool:
    """Fold an order; on failure queue it as parked, so that the stream does not stop.

    False if even that failed: the batch is retried, which costs little for orders already folded.
    """
    try:
        for modification in refold_order(h, program, home):
            logger.error("received in time, came after final", program=program, modification=modification)
    except Exception:
        logger.exception("order parked", program=program)
        try:
            h.send("parked", {"program": program, "home": home})
        except Exception:
            logger.exception("order neither folded nor parked", program=program)
            return False
    return True
