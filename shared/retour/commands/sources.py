"""Operations on a source: poll now, test its connection, check a sample."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from retour.commands.delivery import build_delivery
from retour.connection_test.findings import source_problems
from retour.connection_test.runner import start_test
from retour.context import Context
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Source
from retour.errors import InvalidRequestError
from retour.previews.check import check_sample
from retour.previews.check_message import check_message, takes_messages
from retour.sync.run import ask_for_reconcile, reconciler
from retour.views.documents import Document
from retour.views.sources import find_source
from retour.wiring import Hub


@dataclass(frozen=True, slots=True)
class RequestedPull:
    """`visit` is the id of the poll's report; empty if records are read instead."""

    source: str
    asked_at: datetime
    visit: str = ""


def request_pull(context: Context[Hub], name: str) -> RequestedPull:
    """Request a poll. Its report is the source's `last_visit` with this id.

    For sources whose records are read, request a reconcile; its result is `last_reconciled`.
    """
    hub, program = context.ports, context.program
    source = find_source(program, name)
    if reconciler(source) is not None:
        ask_for_reconcile(hub, program, source)
        return RequestedPull(name, context.now())
    source = find_source(program, name, Channel.PULL)
    if not source.enabled:
        raise InvalidRequestError("SOURCE_OFF", source=name)
    visit = secrets.token_hex(8)
    hub.send("pulls", {"program": program.id, "source": source.name, "visit": visit})
    return RequestedPull(name, context.now(), visit)


def try_connection(context: Context[Hub], source: Source) -> list[str]:
    """Try the connection; what is wrong before it was tried. Where another function has to, its steps follow as the
    source's `test`."""
    found = [*source_problems(context.ports, context.program, source)]
    start_test(context.ports, context.program, source, context.caller.name)
    return found


def check_file(context: Context[Hub], source: Source, name: str, body: bytes) -> Document:
    """Read a file or message as the source would, row by row. Nothing is written."""
    delivery = build_delivery(context, body, source.name, DeliveryKind.FILE, name=name)
    if takes_messages(source):
        return check_message(context.program, source, delivery, body)
    return check_sample(context.ports, context.program, source, delivery, body)
