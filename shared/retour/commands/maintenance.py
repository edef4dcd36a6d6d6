"""Redrive what failed, and forget bodies."""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from retour.commands.keys import require_admin
from retour.context import Context
from retour.errors import InvalidRequestError
from retour.normalise import order_key
from retour.operations import redrive as operations
from retour.operations import retention
from retour.store.programs import Principal
from retour.wiring import Hub

logger = logging.getLogger(__name__)

CUSTOMER_MIN, CUSTOMER_MAX = 4, 200
DAY = re.compile(r"\d{8}", re.ASCII)
REDRIVE_SECONDS = 20.0
"""Of the 30 seconds a call may take."""
QUEUES = ("answers", "pulls", "writebacks")


@dataclass(frozen=True, slots=True)
class Redriven:
    """Numbers of items that continued, `failed` again, or were `left` for later."""

    moved: Mapping[str, int]
    failed: int
    left: int
    sweep: bool


def redrive(hub: Hub, caller: Principal) -> Redriven:
    """Return dead letters, fold parked orders and resume open files, as far as the time allows.

    A failure does not stop the others. A sweep is requested for what arrived without a delivery.
    """
    end = time.monotonic() + REDRIVE_SECONDS

    def has_time() -> bool:
        return time.monotonic() < end

    counts, steps = Counter[str](), list[Callable[[], Counter[str]]]()
    if caller.is_admin:
        steps += [lambda: operations.redrive_dead_letters(hub), lambda: operations.refold_parked(hub, has_time)]
    for name in hub.programs.ids() if caller.is_admin else [caller.program]:
        steps.append(partial(operations.resume_open_files, hub, name, has_time))
    for step in steps:
        try:
            counts += step()
        except Exception:
            logger.exception("a part of the redrive was not done")
            counts["failed"] += 1
    swept = hub.request_sweep() if caller.is_admin else False
    moved = {"parked": counts["parked"], "files": counts["files"]}
    moved |= {queue: counts[queue] for queue in QUEUES if counts[queue]}
    return Redriven(moved, counts["failed"], counts["left"], swept)


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete all bodies about an order, or those of a day (by default today) that name a customer."""

    order_id: str = ""
    customer: str = ""
    day: str = ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """`next` is the day to continue with; None at the end."""

    bodies: int
    next: str | None = None


def forget(context: Context[Hub], asked: Forget) -> Forgotten:
    """Delete bodies. What was read from them stays, with their hashes."""
    require_admin(context.caller)
    hub, program, customer = context.ports, context.program, asked.customer
    too_short, too_long = len(customer) < CUSTOMER_MIN, len(customer.encode()) > CUSTOMER_MAX
    if bool(asked.order_id) == bool(customer) or (customer and (too_short or too_long)):
        raise InvalidRequestError("FORGET_WHOM", least=str(CUSTOMER_MIN))
    if asked.order_id:
        return Forgotten(retention.forget_order(hub, program, order_key(asked.order_id, program.order_key)))
    day = asked.day if DAY.fullmatch(asked.day) else f"{context.now():%Y%m%d}"
    return Forgotten(*retention.forget_customer(hub, program, customer, day))
