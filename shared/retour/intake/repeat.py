"""A file that was sent before, byte by byte, and so changed nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.program import Program

if TYPE_CHECKING:
    from retour.wiring import Hub


def same_file(hub: "Hub", program: Program, delivery: Delivery, counts: Mapping[str, int], first: Result | None) -> str:
    """The delivery that brought the same bytes before, where every row of this one is a repeat; empty: there is none.

    One row is enough to find it, since each names the record that it repeats.
    """
    if set(counts) != {Outcome.DUPLICATE} or first is None or not first.modification:
        return ""
    home, _, id_ = first.modification.rpartition("~")
    record = hub.ledger(program).order(home).record(id_)
    header = hub.deliveries(program.id).get(record.provenance.delivery) if record else None
    if header is None or header.delivery.id == delivery.id or header.delivery.sha256 != delivery.sha256:
        return ""
    return header.delivery.id
