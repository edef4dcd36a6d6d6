"""Every quarter of an hour: which visits are owed, who is silent, what has waited long enough; and all is counted."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.program import Program
from retour.intake.arrival import close_missing
from retour.posting.waiting import expire_waiting
from retour.schedule.arrivals import count_arrivals
from retour.schedule.due import ask_for_visits, list_silent
from retour.schedule.rollup import roll_up
from retour.schedule.turns import share
from retour.wiring import Hub, hub

RESERVE_SECONDS = 60.0
"""Kept back of the function's time: a piece of a count that was begun is done."""

logger = Logger(service="tick")


@logger.inject_lambda_context
def handler(_event: dict[str, Any], context: Any) -> None:
    programs = hub().programs.ids()
    failed = {program for program in programs if not looked_after(hub(), program, due)}
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    for n, program in enumerate(programs):
        if not looked_after(hub(), program, partial(counted, has_time=share(end, len(programs) - n))):
            failed.add(program)
    if failed:
        raise RuntimeError(f"programs not looked after: {', '.join(sorted(failed))}")


def looked_after(h: Hub, program_id: str, look: Callable[[Hub, Program], Mapping[str, Any]]) -> bool:
    """One program's trouble keeps no other from its turn."""
    try:
        program = h.program(program_id)
        if program is not None:
            logger.info("clock looked at", extra={"program": program_id, **look(h, program)})
    except Exception:
        logger.exception("program not looked after", program=program_id)
        return False
    return True


def due(h: Hub, program: Program) -> Mapping[str, Any]:
    visits, expired, silent = ask_for_visits(h, program), expire_waiting(h, program), list_silent(h, program)
    return {"visits": visits, "expired": expired, "silent": silent, "missing": close_missing(h, program)}


def counted(h: Hub, program: Program, has_time: Callable[[], bool]) -> Mapping[str, Any]:
    return {"arrivals": count_arrivals(h, program, has_time), "rolled_up": roll_up(h, program, has_time)}
