"""Run reconciles and read-backs by kind of sender: scheduled, queued, or on request."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from retour.domain.program import Program, Source
from retour.domain.senders import senders
from retour.domain.times import format_instant
from retour.sync import Reconciled, salesforce, shops

if TYPE_CHECKING:
    from retour.wiring import Hub

TimeLeft = Callable[[], bool]
RECONCILED = "reconciled"
"""State key with the result and time of a source's last reconcile."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """How records of one kind of sender are read.

    `is_read`: whether a source allows it; `is_due`: whether a scheduled reconcile is due; `errand`: handles any other
    message of the queue and returns what to log.
    """

    is_read: Callable[[Source], bool]
    is_due: Callable[["Hub", Program, Source], bool]
    reconcile: Callable[["Hub", Program, Source, TimeLeft], Reconciled]
    errand: Callable[["Hub", Mapping[str, Any]], dict[str, Any]]


SHOP = Reconciler(shops.is_read, shops.is_due, shops.reconcile, shops.handle_message)
RECONCILERS: Mapping[str, Reconciler] = {
    "salesforce": Reconciler(salesforce.is_read, lambda *_: True, salesforce.reconcile, salesforce.handle_message),
    **{kind: SHOP for kind, sender in senders().items() if sender.read_back},
}
"""By the source's kind, or by its channel."""


def reconciler(source: Source | None) -> Reconciler | None:
    """The reconciler of a source; None if its records cannot be read."""
    found = RECONCILERS.get(source.kind or source.channel.value) if source else None
    return found if found and source and found.is_read(source) else None


def due_sources(hub: "Hub") -> list[tuple[Program, Source]]:
    """The sources whose scheduled reconcile is due."""
    programs = [program for each in hub.programs.ids() if (program := hub.program(each))]
    return [
        (program, source)
        for program in programs
        for source in program.sources.values()
        if (found := reconciler(source)) and found.is_due(hub, program, source)
    ]


def reconcile(hub: "Hub", program: Program, source: Source, time_left: TimeLeft) -> Reconciled:
    """Ingest what changed at a sender since the last reconcile, and save the result."""
    found = reconciler(source)
    assert found is not None, source.name
    ended = found.reconcile(hub, program, source, time_left)
    hub.state(program.id, source.name).put(RECONCILED, {"at": format_instant(hub.now()), **asdict(ended)})
    return ended


def handle_message(hub: "Hub", message: Mapping[str, Any], time_left: TimeLeft) -> dict[str, Any]:
    """Handle a message of the queue. Returns what to log."""
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    named = {"program": message["program"], "source": message["source"]}
    found = RECONCILERS.get(source.kind or source.channel.value) if source else None
    if program is None or source is None or found is None:
        return named | {"dropped": "the source is gone"}
    if "reconcile" not in message:
        return named | found.errand(hub, message)
    if not found.is_read(source):
        return named | {"dropped": "the source is switched off"}
    return named | asdict(reconcile(hub, program, source, time_left))


def ask_for_reconcile(hub: "Hub", program: Program, source: Source) -> None:
    """Request a reconcile now, whether or not it is due."""
    hub.send("writebacks", {"program": program.id, "source": source.name, "reconcile": True})
