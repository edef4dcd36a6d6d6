"""Look at an installation and its programs: what is well and what is not, each with what to do about it."""

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

from retour.connection_test.findings import source_problems
from retour.connection_test.steps import ConnectionTest
from retour.domain.money import to_text
from retour.domain.program import Program, Source
from retour.domain.times import format_instant
from retour.intake.batch import HELD
from retour.intake.uploads import NO_HASH
from retour.operations.refold import find_differences, has_nothing_to_refold
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub

HEADERS_SCAN_MAX = 50
RULES_CHECK_SECONDS = 2.0
"""For what older rules booked, of each program where that is not done with."""
OVERDUE_AFTER = timedelta(hours=1)
"""So long a worker never needs."""


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
