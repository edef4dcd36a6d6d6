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
    # The embedded AWS would tell a failed batch without end and nothing else; there the sweep finds what is left.
    if lost and not hub().settings.is_local:
        raise RuntimeError(f"{len(lost)} orders neither folded nor parked")


def touched_orders(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Program and home of each order with news, once, in the order of the news; other items of the table are no news.

    A record and a report lie with their order (`A#`), or beside an action id that no order has yet (`I#`).
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
    """A stream must not stop at one order: what cannot be folded now goes to the queue of its own.

    False where even that failed: the batch is told again, the other orders of it are done by then.
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
