"""Statuses that neither a source nor its kind's default table declares: no effect, listed once for review."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from retour.channels import payload
from retour.channels.webhook import source_adapter
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.times import parse_instant

if TYPE_CHECKING:
    from retour.wiring import Hub

STATUS_REMINDER = "status"
"""The kind of case for such a status."""


def undeclared_statuses(delivery: Delivery, body: bytes, source: Source) -> Sequence[str]:
    """The undeclared statuses in a webhook's body. Those of Salesforce are found when its records are read."""
    return (
        source_adapter(source).undeclared_statuses(body, delivery.facts, source)
        if delivery.kind is DeliveryKind.HOOK
        else ()
    )


def list_undeclared(hub: "Hub", program: str, source: Source, statuses: Iterable[str], received_at: datetime) -> None:
    """List undeclared statuses for a person, once per source and value."""
    for status in map(payload.excerpt, statuses):
        state, about = hub.state(program, source.name), {"source": source.name, "status": status}
        if not state.get(f"status#{status}") and state.claim(f"status#{status}", about):
            hub.deliveries(program).remind(STATUS_REMINDER, received_at, f"{source.name}#{status}", about)


def unlist_declared(hub: "Hub", program: Program) -> int:
    """Remove cases whose status is declared by now. Returns how many."""
    deliveries = hub.deliveries(program.id)
    gone = 0
    for subject, about in list(deliveries.due(STATUS_REMINDER)):
        source = program.sources.get(about["source"])
        if source is None or about["status"] in declared_statuses(source):
            deliveries.forget(STATUS_REMINDER, parse_instant(about["deadline"]), subject)
            gone += 1
    return gone


def declared_statuses(source: Source) -> Iterable[str]:
    of_events = [status for event in source.options.get("events", ()) for status in event.get("statuses", ())]
    return {*source.mapping.get("statuses", {}), *source.options.get("statuses", {}), *of_events}
