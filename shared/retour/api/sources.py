"""A source of a program: its state, and the operations on it."""

from itertools import islice

from retour.api.calls import Call
from retour.commands import sources
from retour.commands.files import FILE_MAX, safe_file_name
from retour.connection_test.steps import ConnectionTest
from retour.context import Context
from retour.domain.delivery import Channel
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.intake import encrypted_files
from retour.setup.credentials import access_info
from retour.store.deliveries import DeliveryHeader
from retour.sync.run import RECONCILED, reconciler
from retour.views import paging
from retour.views.documents import Document
from retour.views.keys import openpgp_public_half
from retour.views.paging import ListPosition, day_bounds
from retour.views.sources import find_source
from retour.wiring import Hub

HEADERS_SCAN_MAX = 50


def get_source(hub: Hub, program: Program, name: str) -> Document:
    """A source's settings, access data and last delivery."""
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
    """The receipt time of the newest delivery; None if there was none for long."""
    today, first = day_bounds(hub, program)
    for seen in islice(paging.scan_headers(hub.deliveries(program.id), ListPosition(today), first), HEADERS_SCAN_MAX):
        if isinstance(seen, DeliveryHeader) and seen.delivery.source == name:
            return format_instant(seen.delivery.received_at)
    return None


def request_pull(context: Context[Hub], name: str) -> Document:
    asked = sources.request_pull(context, name)
    state = {"state": "visiting", "visit": asked.visit} if asked.visit else {"state": "reading"}
    return {"source": name, **state, "asked_at": format_instant(asked.asked_at)}


def try_connection(context: Context[Hub], name: str) -> Document:
    findings = sources.try_connection(context, find_source(context.program, name))
    return {**get_source(context.ports, context.program, name), "ready": not findings, "findings": findings}


def last_test(hub: Hub, program: Program, name: str) -> Document | None:
    """The last connection test by steps."""
    trial = ConnectionTest.load(hub.state(program.id, name))
    return trial.document(program.language, hub.now()) if trial else None


def check_file(context: Context[Hub], call: Call, name: str) -> Document:
    source, file_name = find_source(context.program, name), safe_file_name(call.query.get("name", ""))
    return sources.check_file(context, source, file_name, call.read_body(FILE_MAX))
