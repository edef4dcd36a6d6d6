"""Every quarter of an hour: which visits are owed, who is silent, what has waited long enough; and all is counted."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from retour.domain.program import Program
from retour.intake.arrival import close_missing
from retour.intake.undeclared import close_declared
from retour.money.statements import issue
from retour.operations.retention import end_bodies
from retour.posting.names import expire_names
from retour.posting.waiting import expire_waiting
from retour.schedule.arrivals import count_arrivals
from retour.schedule.due import ask_for_visits, list_silent
from retour.schedule.rates import pull_rates, remind_rates
from retour.schedule.rollup import roll_up
from retour.schedule.turns import Share, turns
from retour.wiring import Hub, hub

RESERVE_SECONDS = 60.0
"""Kept back of the function's time: a piece of a count that was begun is done."""

WORKED_ON = timedelta(minutes=20)
"""So long what came may still have its first worker."""

LEFT_OVER = ("files", "uploads", "redone", "held", "mails")
"""What a sweep finds that no event or worker had ended: none of it, on a good day."""

logger = Logger(service="tick")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> None:
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    if "sweep" in event:
        asked = event["sweep"]
        older_than = timedelta(seconds=float(asked.get("older_than_seconds", 0)))
        sweep_all(end, older_than, thoroughly=bool(asked.get("thoroughly")))
        return
    failed = []
    for program, has_time in turns(hub(), "tick", end):
        if not looked_after(hub(), program, has_time):
            failed.append(program)
    if hub().state("", "tick").claim(f"sweep#{hub().real_now():%Y%m%dT%H}", {}):
        failed += sweep_all(end, WORKED_ON, thoroughly=True)
    if failed:
        raise RuntimeError(f"programs not looked after: {', '.join(sorted(failed))}")


def sweep_all(end: float, older_than: timedelta, *, thoroughly: bool) -> list[str]:
    """Take up what is left anywhere; last, for nobody knows what it does to its worker. The programs it failed for."""
    from retour.intake.mail import sweep_mails
    from retour.operations.redrive import bring_back, clear_events, fold_parked
    from retour.operations.sweep import sweep

    found, failed = bring_back(hub()) + fold_parked(hub()), list[str]()
    found["mails"], found["mails_left"] = sweep_mails(hub(), hub().real_now() - older_than)
    for name, has_time in turns(hub(), "sweep", end):
        try:
            program = hub().program(name)
            if program is not None:
                found += sweep(hub(), program, older_than, has_time, thoroughly=thoroughly)
        except Exception:
            logger.exception("program not swept", program=name)
            failed.append(name)
    if not failed:
        found["events"] = clear_events(hub())
    logger.info("swept", extra=dict(found))
    with single_metric("SweptUp", MetricUnit.Count, sum(found[name] for name in LEFT_OVER), namespace="Retour"):
        return failed


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
    "rates": lambda h, program, _: pull_rates(h, program),
    "rates_missing": lambda h, program, _: remind_rates(h, program),
    "expired": expire_waiting,
    "names": lambda h, program, has_time: expire_names(h, program, has_time),
    "declared": lambda h, program, _: close_declared(h, program),
    "ended": end_bodies,
    "statements": issue,
    "arrivals": count_arrivals,
    "rolled_up": roll_up,
}
"""What is looked at for each program, in this order; each goes on at the next tick where its time was over."""
SHARES = {"expired": 1 / 3, "names": 1 / 3, "statements": 1 / 2, "arrivals": 1 / 2}
"""Of what is left of a program's time; the last has all that the others leave."""
