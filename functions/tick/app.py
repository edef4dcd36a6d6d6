"""Every 15 minutes: start due polls, report silent sources, expire waiting records, count deliveries."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from retour.counting.rollup import roll_up
from retour.domain.program import Program
from retour.intake.undeclared_statuses import unlist_declared
from retour.intake.uploads import refuse_missing_uploads
from retour.money.acts import take_up_open
from retour.money.journal import book
from retour.money.statements import issue
from retour.operations.retention import delete_expired_bodies
from retour.posting.order_names import expire_names
from retour.posting.waiting import expire_waiting
from retour.schedule.due import list_silent_sources, request_polls
from retour.schedule.hourly_counts import count_arrivals
from retour.schedule.rates import pull_rates, remind_missing_rates
from retour.schedule.time_budget import TimeBudget, programs_in_turn
from retour.wiring import Hub, hub

RESERVE_SECONDS = 60.0
"""Time reserved at the end of the function's timeout to finish a piece of a count."""

FIRST_WORKER_TIME = timedelta(minutes=20)
"""Time during which a new delivery may still have its first worker."""

LEFT_OVER_COUNTS = ("files", "uploads", "redone", "held", "answers", "mails")
"""Items a sweep should not find: nothing had finished them."""

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
    for program, has_time in programs_in_turn(hub(), "tick", end):
        if not run_jobs(hub(), program, has_time):
            failed.append(program)
    if hub().state("", "tick").claim(f"sweep#{hub().real_now():%Y%m%dT%H}", {}):
        failed += sweep_all(end, FIRST_WORKER_TIME, thoroughly=True)
    if failed:
        raise RuntimeError(f"programs not looked after: {', '.join(sorted(failed))}")


def sweep_all(end: float, older_than: timedelta, *, thoroughly: bool) -> list[str]:
    """Sweep all programs, last, since a leftover may crash the worker. Returns the programs that failed."""
    from retour.intake.mail import sweep_mails
    from retour.operations.redrive import drop_covered_events, redrive_dead_letters, refold_parked
    from retour.operations.sweep import sweep

    found, failed = Counter[str](), list[str]()
    everywhere: Mapping[str, Callable[[], Counter[str]]] = {
        "dead letters": lambda: redrive_dead_letters(hub()),
        "parked orders": lambda: refold_parked(hub()),
        "mails": lambda: sweep_mails(hub(), hub().real_now() - older_than),
    }
    for place, take_up in everywhere.items():
        try:
            found += take_up()
        except Exception:
            logger.exception("place not swept", place=place)
            failed.append(place)
    for name, has_time in programs_in_turn(hub(), "sweep", end):
        try:
            program = hub().program(name)
            if program is not None:
                found += sweep(hub(), program, older_than, has_time, thoroughly=thoroughly)
        except Exception:
            logger.exception("program not swept", program=name)
            failed.append(name)
    if not failed:
        found["events"] = drop_covered_events(hub())
    logger.info("swept", extra=dict(found))
    with single_metric("SweptUp", MetricUnit.Count, sum(found[name] for name in LEFT_OVER_COUNTS), namespace="Retour"):
        return failed


def run_jobs(h: Hub, program_id: str, has_time: TimeBudget) -> bool:
    """Run every job of one program. A failing job stops neither the other jobs nor the other programs."""
    done: dict[str, Any] = {}
    is_whole = True
    try:
        program = h.program(program_id)
    except Exception:
        logger.exception("program not read", program=program_id)
        return False
    if program is None:
        return True
    for name, duty in JOBS.items():
        try:
            done[name] = duty(h, program, has_time.part(TIME_SHARES.get(name, 1.0)))
        except Exception:
            logger.exception("duty not done", program=program_id, duty=name)
            is_whole = False
    logger.info("clock looked at", extra={"program": program_id, **done})
    return is_whole


JOBS: Mapping[str, Callable[[Hub, Program, Callable[[], bool]], Any]] = {
    "visits": lambda h, program, _: request_polls(h, program),
    "silent": lambda h, program, _: list_silent_sources(h, program),
    "missing": lambda h, program, _: refuse_missing_uploads(h, program),
    "rates": lambda h, program, _: pull_rates(h, program),
    "rates_missing": lambda h, program, _: remind_missing_rates(h, program),
    "expired": expire_waiting,
    "names": lambda h, program, has_time: expire_names(h, program, has_time),
    "declared": lambda h, program, _: unlist_declared(h, program),
    "ended": delete_expired_bodies,
    "money": take_up_open,
    "statements": issue,
    "journal": book,
    "arrivals": count_arrivals,
    "rolled_up": roll_up,
}
"""Jobs per program in order. A job that runs out of time continues at the next tick."""
TIME_SHARES = {"expired": 1 / 3, "names": 1 / 3, "statements": 1 / 2, "arrivals": 1 / 2}
"""Shares of a program's remaining time. The last job gets the rest."""
