"""A program document, or one of its named lists, recorded as the program's next version."""

from typing import TYPE_CHECKING

from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.intake.batch import DONE

if TYPE_CHECKING:
    from retour.setup.program_file import Fault
    from retour.wiring import Hub

LIST_FACT = "list"
"""The delivery's fact that names the uploaded list, if it contains a list instead of a program document."""


def record_program(
    hub: "Hub", delivery: Delivery, body: bytes, *, accepted: bool = False
) -> "tuple[Program, bool] | list[Fault]":
    """Record a program document, or a named list, as the program's next version; or return its faults.

    `accepted`: the document was valid when it was received and is recorded without validation.
    """
    from retour.setup import program_file

    if LIST_FACT in delivery.facts:
        return record_list(hub, delivery, body)
    text = body.decode("utf-8", "replace")
    document = program_file.parse_recorded(text) if accepted else program_file.parse_program(text)
    if isinstance(document, list):
        return document
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    return hub.programs.apply(document, delivery.received_at, delivery.id)


def record_list(hub: "Hub", delivery: Delivery, body: bytes) -> "tuple[Program, bool] | list[Fault]":
    from retour.setup.list_file import read_list

    found = read_list(body)
    if faults := [one for one in found if not isinstance(one, str)]:
        return faults
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    entries = [str(one) for one in found]
    return hub.programs.put_list(
        delivery.program, delivery.facts[LIST_FACT], entries, delivery.received_at, delivery.id
    )
