"""A source of a program: what is known of it, and what can be asked of it."""

import secrets
from collections.abc import Iterator
from itertools import islice

from retour.api import paging
from retour.api.admission import days, delivery_of, source_of
from retour.api.calls import FILE_MAX, Call, Refused, file_name
from retour.api.documents import Document
from retour.api.keys import told_key
from retour.api.paging import Place
from retour.connection_test.run import begin, lacking
from retour.connection_test.steps import Trial
from retour.domain.delivery import Channel, Kind
from retour.domain.program import Program, Source
from retour.domain.times import text
from retour.intake import opening
from retour.sentences import sentence
from retour.setup.credentials import access
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.sync.run import RECONCILED, ask_for_reconcile, reconciler
from retour.wiring import Hub

LOOKED_AT = 50


def source(hub: Hub, opened: Program, name: str) -> Document:
    """How a source is set up and used, and when it was last heard of."""
    found = source_of(opened, name)
    visit = hub.state(opened.id, name).get("last-visit") if found.channel is Channel.PULL else None
    return {
        "source": name,
        "channel": found.channel.value,
        "kind": found.kind,
        "event_type": found.event_type,
        **access(hub, opened, found),
        "openpgp": [told_key(key) for key in opening.public_keys(hub, opened.id, name)],
        "last_received_at": last_received(hub, opened, name),
        "last_visit": visit,
        "last_reconciled": hub.state(opened.id, name).get(RECONCILED) if reconciler(found) else None,
        "test": tested(hub, opened, name),
    }


def last_received(hub: Hub, opened: Program, name: str) -> str | None:
    """Of the newest deliveries; None also where a source was silent for longer."""
    today, first = days(hub, opened)
    for seen in islice(paging.headers(hub.deliveries(opened.id), Place(today), first), LOOKED_AT):
        if isinstance(seen, Header) and seen.delivery.source == name:
            return text(seen.delivery.received_at)
    return None


def pull(hub: Hub, opened: Program, name: str) -> Document:
    """Asks for a visit now; its report is the source's `last_visit` of this id.

    Of a sender whose records are read: for a reconcile now, and how it ended is the source's `last_reconciled`.
    """
    if reconciler(source_of(opened, name)) is not None:
        ask_for_reconcile(hub, opened, source_of(opened, name))
        return {"source": name, "state": "reading", "asked_at": text(hub.now())}
    found = source_of(opened, name, Channel.PULL)
    if not found.enabled:
        raise Refused("SOURCE_OFF", source=name)
    visit = secrets.token_hex(8)
    hub.send("pulls", {"program": opened.id, "source": found.name, "visit": visit})
    return {"source": name, "state": "visiting", "visit": visit, "asked_at": text(hub.now())}


def test(hub: Hub, principal: Principal, opened: Program, name: str) -> Document:
    """Tries the connection. Where another function has to, its steps follow as the source's `test`."""
    found = source_of(opened, name)
    wrong = [*troubles(hub, opened, found)]
    begin(hub, opened, found, principal.name)
    return {**source(hub, opened, name), "ready": not wrong, "findings": wrong}


def tested(hub: Hub, opened: Program, name: str) -> Document | None:
    """The last trial of the connection, step by step."""
    trial = Trial.kept(hub.state(opened.id, name))
    return trial.document(opened.language, hub.now()) if trial else None


def troubles(hub: Hub, opened: Program, found: Source) -> Iterator[str]:
    """What is wrong with a source, as far as it can be told without asking the other side."""
    if missing := lacking(hub, opened, found):
        yield sentence(missing.code, missing.details, opened.language)
    if found.channel is Channel.PULL:
        visit = hub.state(opened.id, found.name).get("last-visit") or {}
        if visit.get("state") == "failed":
            yield f"the last visit failed: {visit.get('explanation', '')}"


def check_file(hub: Hub, call: Call, principal: Principal, opened: Program, name: str) -> Document:
    """How the source would read a file, row by row in words; nothing is written."""
    from retour.setup.check import check as checked

    found = source_of(opened, name)
    delivery = delivery_of(call, hub, principal, opened.id, found.name, Kind.FILE, name=file_name(call))
    return checked(hub, opened, found, delivery, call.within(FILE_MAX))
