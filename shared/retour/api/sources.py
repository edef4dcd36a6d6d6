"""A source of a program: its state, and the operations on it."""

import secrets
from collections.abc import Iterator
from itertools import islice

from retour.api.authorization import build_delivery, day_bounds, find_source
from retour.api.calls import FILE_MAX, Call, ProblemError, file_name
from retour.api.keys import openpgp_public_half
from retour.connection_test.runner import missing_requirement, start_test
from retour.connection_test.steps import ConnectionTest
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.times import format_instant
from retour.intake import encrypted_files
from retour.sentences import sentence
from retour.setup.credentials import access_info
from retour.store.deliveries import DeliveryHeader
from retour.store.programs import Principal
from retour.sync.run import RECONCILED, ask_for_reconcile, reconciler
from retour.views import paging
from retour.views.documents import Document
from retour.views.paging import ListPosition
from retour.wiring import Hub

HEADERS_SCAN_MAX = 50


def get_source(hub: Hub, program: Program, name: str) -> Document:
    """How a source is set up and used, and when it was last heard of."""
    found = find_source(program, name)
    visit = hub.state(program.id, name).get("last-visit") if found.channel is Channel.PULL else None
    return {
        "source": name,
        "channel": found.channel.value,
        "kind": found.kind,
        "event_type": found.event_type,
        **access_info(hub, program, found),
        "openpgp": [openpgp_public_half(key) for key in encrypted_files.public_keys(hub, program.id, name)],
        "last_received_at": last_received_at(hub, program, name),
        "last_visit": visit,
        "last_reconciled": hub.state(program.id, name).get(RECONCILED) if reconciler(found) else None,
        "test": last_test(hub, program, name),
    }


def last_received_at(hub: Hub, program: Program, name: str) -> str | None:
    """Of the newest deliveries; None also where a source was silent for longer."""
    today, first = day_bounds(hub, program)
    for seen in islice(paging.scan_headers(hub.deliveries(program.id), ListPosition(today), first), HEADERS_SCAN_MAX):
        if isinstance(seen, DeliveryHeader) and seen.delivery.source == name:
            return format_instant(seen.delivery.received_at)
    return None


def request_pull(hub: Hub, program: Program, name: str) -> Document:
    """Asks for a visit now; its report is the source's `last_visit` of this id.

    Of a sender whose records are read: for a reconcile now, and how it ended is the source's `last_reconciled`.
    """
    if reconciler(find_source(program, name)) is not None:
        ask_for_reconcile(hub, program, find_source(program, name))
        return {"source": name, "state": "reading", "asked_at": format_instant(hub.now())}
    found = find_source(program, name, Channel.PULL)
    if not found.enabled:
        raise ProblemError("SOURCE_OFF", source=name)
    visit = secrets.token_hex(8)
    hub.send("pulls", {"program": program.id, "source": found.name, "visit": visit})
    return {"source": name, "state": "visiting", "visit": visit, "asked_at": format_instant(hub.now())}


def try_connection(hub: Hub, principal: Principal, program: Program, name: str) -> Document:
    """Tries the connection. Where another function has to, its steps follow as the source's `test`."""
    found = find_source(program, name)
    wrong = [*source_problems(hub, program, found)]
    start_test(hub, program, found, principal.name)
    return {**get_source(hub, program, name), "ready": not wrong, "findings": wrong}


def last_test(hub: Hub, program: Program, name: str) -> Document | None:
    """The last trial of the connection, step by step."""
    trial = ConnectionTest.load(hub.state(program.id, name))
    return trial.document(program.language, hub.now()) if trial else None


def source_problems(hub: Hub, program: Program, found: Source) -> Iterator[str]:
    """What is wrong with a source, as far as it can be told without asking the other side."""
    if missing := missing_requirement(hub, program, found):
        yield sentence(missing.code, missing.details, program.language)
    if found.channel is Channel.PULL:
        visit = hub.state(program.id, found.name).get("last-visit") or {}
        if visit.get("state") == "failed":
            yield f"the last visit failed: {visit.get('explanation', '')}"


def check_file(hub: Hub, call: Call, principal: Principal, program: Program, name: str) -> Document:
    """How the source would read a file, or a message of its sender, row by row in words; nothing is written."""
    from retour.setup.check import check_sample
    from retour.setup.check_message import check_message, takes_messages

    found = find_source(program, name)
    delivery = build_delivery(call, hub, principal, program.id, found.name, DeliveryKind.FILE, name=file_name(call))
    if takes_messages(found):
        return check_message(program, found, delivery, call.read_body(FILE_MAX))
    return check_sample(hub, program, found, delivery, call.read_body(FILE_MAX))
