"""Run the sync of each kind of sender: by schedule, by a queue message, or on request."""

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
"""How the last reconcile of a source ended, and when."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """How the records of one kind of sender are read.

    `is_read`: whether a source lets us; `is_due`: whether the clock owes it a reconcile; `errand`: any other message of
    the queue carried out, and what to log of it.
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
"""By the kind of a source, or its channel where that is all there is to say."""


def reconciler(source: Source | None) -> Reconciler | None:
    """Who reads the records of a source; None where nobody can, or may."""
    found = RECONCILERS.get(source.kind or source.channel.value) if source else None
    return found if found and source and found.is_read(source) else None


def due_sources(hub: "Hub") -> list[tuple[Program, Source]]:
    """The sources that the clock owes a reconcile now."""
    programs = [program for each in hub.programs.ids() if (program := hub.program(each))]
    return [
        (program, source)
        for program in programs
        for source in program.sources.values()
        if (found := reconciler(source)) and found.is_due(hub, program, source)
    ]


def reconcile(hub: "Hub", program: Program, source: Source, time_left: TimeLeft) -> Reconciled:
    """Take in what changed at a source's sender since the last time, and note how that ended."""
    found = reconciler(source)
    assert found is not None, source.name
    ended = found.reconcile(hub, program, source, time_left)
    hub.state(program.id, source.name).put(RECONCILED, {"at": format_instant(hub.now()), **asdict(ended)})
    return ended


def handle_message(hub: "Hub", message: Mapping[str, Any], time_left: TimeLeft) -> dict[str, Any]:
    """One message of the queue carried out. Tells what to log."""
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
    """Have a source's sender looked through now, whatever the clock owes it."""
    hub.send("writebacks", {"program": program.id, "source": source.name, "reconcile": True})
