"""Event types: parent, lock, codes, and the sources that report them."""

from collections.abc import Sequence
from dataclasses import dataclass

from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.console.setup import contract
from retour.domain.contracts.contract import Contract
from retour.domain.program import EventType, Source


@dataclass(frozen=True)
class TrackedEventType:
    """An event type and what the rest of the program says of it; `cascades` are the contracts of its parent's type."""

    event: EventType
    contracts: Sequence[Contract]
    sources: Sequence[Source]
    children: Sequence[str]
    cascades: Sequence[Contract]


def index(context: PageContext) -> Response:
    program, every = context.program, contract.current_contracts(context)
    declared = context.hub.programs.newest_version(program.id).document.get("sources", {})
    sources = [source for name, source in program.sources.items() if name in declared]
    tracked = [
        TrackedEventType(
            event,
            [one for one in every if one.event_type == event.name],
            [one for one in sources if one.event_type in (None, event.name)],
            [other.name for other in program.event_types.values() if other.parent == event.name],
            [one for one in every if one.event_type == event.parent],
        )
        for event in program.event_types.values()
    ]
    return context.render("events.html", tracked=tracked)
