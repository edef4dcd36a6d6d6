"""Every 15 minutes: make final what is past its lock and has no earlier delivery still in progress."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger

from retour.schedule.locking import finalise_due
from retour.schedule.time_budget import TimeBudget, programs_in_turn
from retour.wiring import Hub, hub

RESERVE_SECONDS = 30.0
"""Time reserved at the end of the function's timeout to finish what was started."""

logger = Logger(service="lock")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> None:
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    named = [(event["program"], TimeBudget(end))] if "program" in event else programs_in_turn(hub(), "lock", end)
    failed = [program for program, has_time in named if not lock_program(hub(), program, has_time)]
    if failed:
        raise RuntimeError(f"programs not locked: {', '.join(failed)}")


def lock_program(h: Hub, program_id: str, has_time: Callable[[], bool]) -> bool:
    """Finalise one program. An error does not stop the others."""
    try:
        program = h.program(program_id)
        counts = finalise_due(h, program, has_time) if program is not None else Counter[str]()
        logger.info("locks looked at", extra={"program": program_id, **counts})
    except Exception:
        logger.exception("program not locked", program=program_id)
        return False
    return not counts.get("failed")
