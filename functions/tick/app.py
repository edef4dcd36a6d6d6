"""Every quarter of an hour: which visits are owed, who is silent, what has waited long enough."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.clock.due import ask_for_visits, list_silent
from retour.clock.rollup import roll_up
from retour.intake.arrival import close_missing
from retour.intake.waiting import expire_waiting
from retour.wiring import Hub, hub

logger = Logger(service="tick")


@logger.inject_lambda_context
def handler(_event: dict[str, Any], _context: Any) -> None:
    failed = [program for program in hub().programs.ids() if not asked(hub(), program)]
    if failed:
        raise RuntimeError(f"programs not looked after: {', '.join(failed)}")


def asked(h: Hub, program_id: str) -> bool:
    """One program's trouble keeps no other from its turn."""
    try:
        program = h.program(program_id)
        if program is not None:
            visits, expired, silent = ask_for_visits(h, program), expire_waiting(h, program), list_silent(h, program)
            missing, whole = close_missing(h, program), roll_up(h, program)
            logger.info(
                "clock looked at",
                program=program_id,
                visits=visits,
                expired=expired,
                silent=silent,
                missing=missing,
                rolled_up=whole,
            )
    except Exception:
        logger.exception("program not looked after", program=program_id)
        return False
    return True
