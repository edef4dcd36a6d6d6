"""Every quarter of an hour: which visits are owed, who is silent, what has waited long enough; and all is counted."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.program import Program
from retour.intake.arrival import close_missing
from retour.posting.waiting import expire_waiting
from retour.schedule.arrivals import count_arrivals
from retour.schedule.due import ask_for_visits, list_silent
from retour.schedule.rollup import roll_up
from retour.schedule.turns import Share, turns
from retour.wiring import Hub, hub

RESERVE_SECONDS = 60.0
"""Kept back of the function's time: a piece of a count that was begun is done."""

logger = Logger(service="tick")


@logger.inject_lambda_context
def handler(_event: dict[str, Any], context: Any) -> None:
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    failed = []
    for program, has_time in turns(hub(), "tick", end):
        if not looked_after(hub(), program, has_time):
            failed.append(program)
    if failed:
        raise RuntimeError(f"programs not looked after: {', '.join(sorted(failed))}")


def looked_after(h: Hub, program_id: str, has_time: Share) -> bool:
    """One program's trouble keeps no other from its turn, and one duty's trouble no other duty."""
    done: dict[str, Any] = {}
    is_whole = True
    try:
        program = h.program(program_id)
    except Exception:
        logger.exception("program not read", program=program_id)
        return False
    if program is None:
        return True
    for name, duty in DUTIES.items():
        try:
            done[name] = duty(h, program, has_time.part(SHARES.get(name, 1.0)))
        except Exception:
            logger.exception("duty not done", program=program_id, duty=name)
            is_whole = False
    logger.info("clock looked at", extra={"program": program_id, **done})
    return is_whole


DUTIES: Mapping[str, Callable[[Hub, Program, Callable[[], bool]], Any]] = {
    "visits": lambda h, program, _: ask_for_visits(h, program),
    "silent": lambda h, program, _: list_silent(h, program),
    "missing": lambda h, program, _: close_missing(h, program),
    "expired": expire_waiting,
    "arrivals": count_arrivals,
    "rolled_up": roll_up,
}
"""What is looked at for each program, in this order; each goes on at the next tick where its time was over."""
SHARES = {"expired": 1 / 3, "arrivals": 1 / 2}
"""Of what is left of a program's time; the last has all that the others leave."""
