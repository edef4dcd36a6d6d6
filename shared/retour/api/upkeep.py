"""What the installation itself needs: parked work taken up again, and findings."""

import logging
from collections.abc import Iterator
from itertools import islice

from retour.api.documents import Document
from retour.api.sources import LOOKED_AT, troubles
from retour.connection_test.steps import Trial
from retour.domain.delivery import Delivery, Kind
from retour.domain.program import Program, Source
from retour.domain.times import text
from retour.intake import arrival
from retour.intake.batch import ARRIVED, WORKING
from retour.intake.large import go_on
from retour.intake.receive import receive
from retour.posting.refold import fold_again
from retour.store.programs import Principal
from retour.wiring import Hub

logger = logging.getLogger(__name__)
REDRIVEN_MAX = 20


def redrive(hub: Hub, principal: Principal) -> Document:
    """What was set aside is folded, and files whose news was lost are read, as many as one call has time for."""
    folded, failed = fold_parked(hub) if principal.is_admin else (0, 0)
    taken = 0
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        for delivery in islice(hub.deliveries(name).open(), REDRIVEN_MAX - taken):
            taken += taken_up(hub, delivery)
    return {"redriven": folded + taken, "moved": {"parked": folded, "files": taken}, "failed": failed}


def fold_parked(hub: Hub) -> tuple[int, int]:
    """How many parked orders are folded now, and how many still cannot be: those stay parked."""
    folded = failed = 0
    for order, receipt in hub.received("parked", REDRIVEN_MAX):
        try:
            fold_again(hub, order["program"], order["home"])
        except Exception:
            logger.exception("order stays parked", extra={"program": order["program"]})
            failed += 1
        else:
            hub.done("parked", receipt)
            folded += 1
    return folded, failed


def taken_up(hub: Hub, delivery: Delivery) -> bool:
    """Whether an open delivery whose bytes are there was taken in now, or a large one sees to it that it goes on.

    A held one waits for its person.
    """
    header = hub.deliveries(delivery.program).get(delivery.id)
    if header is None or header.state not in (ARRIVED, WORKING) or delivery.kind is not Kind.FILE:
        return False
    try:
        hub.inbox.size(delivery.body_key)
    except KeyError:
        return False
    if header.state == WORKING:
        batch = go_on(hub, header.delivery)
    else:
        batch = receive(hub, arrival.lying_there(hub, header.delivery), None)
    if batch.state != WORKING:
        hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    return True


def findings(hub: Hub, principal: Principal) -> Document:
    """What is well and what is not, each with what to do about it."""
    checks: list[Document] = []
    if principal.is_admin:
        checks += [queue_check(name, depth) for name, depth in hub.queue_depths().items()]
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        opened = hub.programs.get(name)
        if opened is not None:
            checks += program_checks(hub, opened)
    return {"now": text(hub.now()), "checks": checks}


def queue_check(name: str, depth: int) -> Document:
    if name == "parked" and depth:
        return check(f"queue {name}", "warning", f"{depth} orders could not be folded", "retour redrive")
    return check(f"queue {name}", "ok", f"{depth} waiting")


def program_checks(hub: Hub, opened: Program) -> Iterator[Document]:
    deliveries = hub.deliveries(opened.id)
    waiting = [delivery.id for delivery in islice(deliveries.open(), LOOKED_AT)]
    yield check(f"{opened.id}: deliveries", "ok", f"{len(waiting)} open")
    for kind, fix in ATTENTION.items():
        listed = list(islice(deliveries.due(kind), LOOKED_AT))
        if listed:
            first = ", ".join(subject for subject, _ in listed[:3])
            state = "ok" if kind == "waiting" else "warning"
            yield check(f"{opened.id}: {kind}", state, f"{len(listed)}: {first}", fix)
    for source_ in opened.sources.values():
        yield from source_checks(hub, opened, source_)


def source_checks(hub: Hub, opened: Program, source_: Source) -> Iterator[Document]:
    """What is missing, what the last visit said, and where the last test of the connection stopped."""
    name, wrong = f"{opened.id}: source {source_.name}", [*troubles(hub, opened, source_)]
    again = f"retour program test {source_.name} --program {opened.id}"
    for detail in wrong:
        visited = detail.startswith("the last visit")
        yield check(
            name, "failed" if visited else "warning", detail, f"retour pull --program {opened.id}" if visited else again
        )
    trial = Trial.kept(hub.state(opened.id, source_.name))
    told: Document = trial.document(opened.language, hub.now()) if trial else {"steps": [], "state": "never"}
    stopped = {"failed": "failed", "warned": "warning"}
    steps = [one for one in told["steps"] if one["state"] in stopped and one["explanation"] not in wrong]
    yield from (check(name, stopped[one["state"]], f"{one['what']}: {one['explanation']}", again) for one in steps)
    if not wrong and not steps:
        tested = f"tested {told['started_at']}, all {len(told['steps'])} steps" if told["state"] == "passed" else ""
        yield check(name, "ok", f"{source_.channel.value}; {tested or 'never tested to the end'}")


ATTENTION = {
    "held": "retour release ID, or retour discard ID",
    "orphan": "Their parents were reversed after these had locked: settle each with a make-good.",
    "child": "Their parents were reversed: look whether these should be, too (retour act reverse ID).",
    "waiting": "Report the actions; what waits is applied by itself.",
    "silent": "Ask the sender why nothing came.",
}


def check(name: str, state: str, detail: str, fix: str = "") -> Document:
    return {"name": name, "state": state, "detail": detail, "fix": fix}
