"""Maintenance of the installation: resume parked work, report findings."""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice

from retour.api.calls import Call
from retour.api.keys import require_admin
from retour.api.problem import ProblemError
from retour.api.sources import HEADERS_SCAN_MAX, source_problems
from retour.connection_test.steps import ConnectionTest
from retour.domain.money import to_text
from retour.domain.program import Program, Source
from retour.domain.times import format_instant
from retour.intake.batch import HELD
from retour.intake.uploads import NO_HASH
from retour.normalise import order_key
from retour.operations import redrive as operations
from retour.operations import retention
from retour.operations.refold import find_differences, has_nothing_to_refold
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub

logger = logging.getLogger(__name__)

FORGET_FIELDS = ("order_id", "customer", "day")
CUSTOMER_MIN, CUSTOMER_MAX = 4, 200
DAY = re.compile(r"\d{8}", re.ASCII)
REDRIVE_SECONDS = 20.0
"""Of the thirty that a call has."""
RULES_CHECK_SECONDS = 2.0
"""For what older rules booked, of each program where that is not done with."""
OVERDUE_AFTER = timedelta(hours=1)
"""So long a worker never needs."""


def redrive(hub: Hub, principal: Principal) -> Document:
    """Dead letters go back, what was set aside is folded, what was left open is read, as much as one call has time for.

    What cannot be handled keeps nothing else from its turn. What lies in a place of arrival and has no delivery yet is
    looked for soon after, by whoever sweeps.
    """
    end = time.monotonic() + REDRIVE_SECONDS

    def has_time() -> bool:
        return time.monotonic() < end

    counts, steps = Counter[str](), list[Callable[[], Counter[str]]]()
    if principal.is_admin:
        steps += [lambda: operations.redrive_dead_letters(hub), lambda: operations.refold_parked(hub, has_time)]
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        steps.append(partial(operations.resume_open_files, hub, name, has_time))
    for step in steps:
        try:
            counts += step()
        except Exception:
            logger.exception("a part of the redrive was not done")
            counts["failed"] += 1
    swept = hub.request_sweep() if principal.is_admin else False
    moved = {"parked": counts["parked"], "files": counts["files"]}
    moved |= {queue: counts[queue] for queue in ("answers", "pulls", "writebacks") if counts[queue]}
    return {
        "redriven": sum(moved.values()),
        "moved": moved,
        "failed": counts["failed"],
        "left": counts["left"],
        "sweep": swept,
    }


def forget(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """End every body that speaks of an order, or those of a day that names a customer; `next`: where to go on."""
    require_admin(principal)
    given = call.document(*FORGET_FIELDS)
    order, customer, day = (str(given.get(name) or "").strip() for name in FORGET_FIELDS)
    if (
        bool(order) == bool(customer)
        or len(customer.encode()) > CUSTOMER_MAX
        or (customer and len(customer) < CUSTOMER_MIN)
    ):
        raise ProblemError("FORGET_WHOM", least=str(CUSTOMER_MIN))
    if order:
        ended = retention.forget_order(hub, program, order_key(order, program.order_key))
        return {"bodies": ended, "next": None}
    today = f"{hub.now():%Y%m%d}"
    ended, on = retention.forget_customer(hub, program, customer, day if DAY.fullmatch(day) else today)
    return {"bodies": ended, "next": on}


def run_checks(hub: Hub, principal: Principal) -> Document:
    """What is well and what is not, each with what to do about it."""
    checks: list[Document] = []
    if principal.is_admin:
        checks += [queue_check(name, depth) for name, depth in hub.queue_depths().items()]
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        opened = hub.programs.get(name)
        if opened is not None:
            checks += program_checks(hub, opened)
    return {"now": format_instant(hub.now()), "checks": checks}


def queue_check(name: str, depth: int) -> Document:
    if name == "parked" and depth:
        return check_document(f"queue {name}", "warning", f"{depth} orders could not be folded", "retour redrive")
    if name.endswith("_dead") and depth:
        return check_document(
            f"queue {name}", "warning", f"{depth} messages were given up after their tries", "retour redrive"
        )
    return check_document(f"queue {name}", "ok", f"{depth} waiting")


def program_checks(hub: Hub, program: Program) -> Iterator[Document]:
    deliveries = hub.deliveries(program.id)
    waiting = list(islice(deliveries.open_with_state(), HEADERS_SCAN_MAX))
    late = [
        one.id
        for one, state in waiting
        if state != HELD and one.sha256 != NO_HASH and one.received_at < hub.now() - OVERDUE_AFTER
    ]
    if late:
        detail = f"{len(late)} left open for more than an hour: {', '.join(late[:3])}"
        yield check_document(f"{program.id}: deliveries", "warning", detail, "retour redrive")
    else:
        yield check_document(f"{program.id}: deliveries", "ok", f"{count(waiting)} open")
    yield rules_check(hub, program)
    for kind, fix in FIX_BY_KIND.items():
        until = hub.now() if kind == "differing" else None
        listed = list(islice(deliveries.due(kind, until), HEADERS_SCAN_MAX))
        if listed:
            first = ", ".join(subject for subject, _ in listed[:3])
            state = "ok" if kind == "waiting" else "warning"
            yield check_document(f"{program.id}: {kind}", state, f"{count(listed)}: {first}", fix)
    for source_ in program.sources.values():
        yield from source_checks(hub, program, source_)


def count(looked_at: Sequence[object]) -> str:
    """How many there are, as far as was looked."""
    return f"{len(looked_at)} or more" if len(looked_at) == HEADERS_SCAN_MAX else str(len(looked_at))


def rules_check(hub: Hub, program: Program) -> Document:
    """What today's rules would make of open actions that older ones booked, in money."""
    name = f"{program.id}: older rules"
    if has_nothing_to_refold(hub, program):
        return check_document(name, "ok", "every open action is of today's rules")
    end = time.monotonic() + RULES_CHECK_SECONDS
    looked = find_differences(hub, program, lambda: time.monotonic() < end)
    has_nothing_to_refold(hub, program, looked)
    so_far = "" if looked.next is None else ", as far as there was time to look"
    if not looked.differences:
        return check_document(name, "ok", f"no open action would come to another standing today{so_far}")
    more = sum(one.payout for one in looked.differences if one.payout > 0)
    less = sum(one.payout for one in looked.differences if one.payout < 0)
    first = ", ".join(one.action.id for one in looked.differences[:3])
    money = f"payouts by {to_text(more, program.currency)} and {to_text(less, program.currency)} {program.currency}"
    detail = f"{len(looked.differences)} open actions would come to another standing, {money}{so_far}: {first}"
    return check_document(name, "warning", detail, f"retour refold --dry-run --program {program.id}")


def source_checks(hub: Hub, program: Program, source_: Source) -> Iterator[Document]:
    """What is missing, what the last visit said, and where the last test of the connection stopped."""
    name, wrong = f"{program.id}: source {source_.name}", [*source_problems(hub, program, source_)]
    again = f"retour program test {source_.name} --program {program.id}"
    for detail in wrong:
        visited = detail.startswith("the last visit")
        yield check_document(
            name,
            "failed" if visited else "warning",
            detail,
            f"retour pull --program {program.id}" if visited else again,
        )
    trial = ConnectionTest.load(hub.state(program.id, source_.name))
    told: Document = trial.document(program.language, hub.now()) if trial else {"steps": [], "state": "never"}
    stopped = {"failed": "failed", "warned": "warning"}
    steps = [one for one in told["steps"] if one["state"] in stopped and one["explanation"] not in wrong]
    yield from (
        check_document(name, stopped[one["state"]], f"{one['what']}: {one['explanation']}", again) for one in steps
    )
    if not wrong and not steps:
        tested = f"tested {told['started_at']}, all {len(told['steps'])} steps" if told["state"] == "passed" else ""
        yield check_document(name, "ok", f"{source_.channel.value}; {tested or 'never tested to the end'}")


FIX_BY_KIND = {
    "held": "retour release ID, or retour discard ID",
    "orphan": "Their parents were reversed after these had locked: settle each with a make-good.",
    "child": "Their parents were reversed: look whether these should be, too (retour act reverse ID).",
    "waiting": "Report the actions; what waits is applied by itself.",
    "failing": "Mend what the server says of the last visit, then retour pull.",
    "silent": "Ask the sender why nothing came.",
    "status": "Declare them under `statuses:` of their source: reverse, take_back, nothing or keep.",
    "differing": "Their sources tell different sums of the same returns: ask the one that is wrong to correct it.",
    "rate": "Send the rates of the day after: retour rates FILE.",
}


def check_document(name: str, state: str, detail: str, fix: str = "") -> Document:
    return {"name": name, "state": state, "detail": detail, "fix": fix}
