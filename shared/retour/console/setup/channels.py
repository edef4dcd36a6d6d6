"""The channels that news comes in by: which are open for an event type, and each source with its switch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.api import admission, programs
from retour.channels.subscriptions import subscriptions
from retour.console.deliveries import line_of, since
from retour.console.request import Response, to
from retour.console.setup import versions
from retour.console.setup.trial import Tested, tested
from retour.console.visit import Visit
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.setup import credentials
from retour.store.deliveries import Header

DAYS = 60
CARDS = (Channel.API, Channel.SFTP, Channel.PULL, Channel.EMAIL, Channel.SALESFORCE)
"""All five may be open at once."""


@dataclass(frozen=True)
class Feed:
    """A source as a card shows it."""

    source: Source
    access: Mapping[str, str]
    last: Header | None
    test: Tested


@dataclass(frozen=True)
class Card:
    """One channel for one event type, with the sources that bring records of it; it is on when one of them is."""

    channel: Channel
    feeds: Sequence[Feed]

    @property
    def on(self) -> bool:
        return any(feed.source.enabled for feed in self.feeds)


def declared(visit: Visit) -> list[Source]:
    """The sources of the newest version; a program remembers those of older ones as well."""
    names = versions.in_force(visit).document.get("sources", {})
    return [source for name, source in visit.program.sources.items() if name in names]


def newest_by_source(visit: Visit) -> Mapping[str, Header]:
    found: dict[str, Header] = {}
    for header in since(visit, DAYS):
        found.setdefault(header.delivery.source, header)
    return found


def feeds(visit: Visit) -> list[Feed]:
    latest = newest_by_source(visit)
    return [
        Feed(one, credentials.access(visit.hub, visit.program, one), latest.get(one.name), tested(visit, one))
        for one in declared(visit)
    ]


def cards(found: Sequence[Feed], event_type: str) -> list[Card]:
    """A source that names no event type brings records of any."""
    mine = [feed for feed in found if feed.source.event_type in (None, event_type)]
    return [Card(channel, [feed for feed in mine if feed.source.channel is channel]) for channel in CARDS]


# Pages


def index(visit: Visit) -> Response:
    found = feeds(visit)
    types = {name: cards(found, name) for name in visit.program.event_types}
    return visit.render(
        "setup.html", feeds=found, types=types, versions=visit.hub.programs.versions(visit.program.id, most=10)
    )


def processing(visit: Visit) -> Response:
    """Returns processing of one event type: the five channels, each with its sources."""
    event_type = visit.part["type"]
    if event_type not in visit.program.event_types:
        raise visit.not_found()
    return visit.render("channels.html", event_type=event_type, cards=cards(feeds(visit), event_type))


def source(visit: Visit) -> Response:
    found = admission.source_of(visit.program, visit.part["source"])
    last = [one for one in since(visit, DAYS) if one.delivery.source == found.name][:10]
    return visit.render(
        "source.html",
        source=found,
        access=credentials.access(visit.hub, visit.program, found),
        test=tested(visit, found),
        needs_secret=needs_secret(visit, found),
        subscribe=subscriptions(found),
        items=[line_of(visit, one) for one in last],
        visit_report=visit.hub.state(visit.program.id, found.name).get("last-visit"),
    )


def needs_secret(visit: Visit, found: Source) -> bool:
    """Whether the source cannot work before somebody hands over what others made."""
    held = visit.hub.secret(visit.program.id, found.name)
    return found.channel is Channel.PULL and not (held.get("password") or held.get("private_key"))


def switch(visit: Visit) -> Response:
    """On or off, as the program's next version: what comes meanwhile is kept, refused, and can be read again."""
    name = visit.part["source"]
    found = admission.source_of(visit.program, name)
    wanted: dict[str, Any] = {**versions.in_force(visit).document}
    body = {key: value for key, value in wanted["sources"][name].items() if key != "enabled"}
    if found.enabled:
        body["enabled"] = False
    text = versions.with_document(visit, {**wanted, "sources": {**wanted["sources"], name: body}})
    answer = programs.apply_program(visit.hub, versions.put(visit, text), visit.principal, visit.program.id)
    if answer.get("credentials"):
        return visit.render("credentials.html", credentials=answer["credentials"], back=back(visit, name))
    return to(back(visit, name))


def back(visit: Visit, source: str) -> str:
    """To the set-up page that a form was sent from; else to the source's own."""
    asked = visit.request.form.get("back", "")
    base = f"{visit.base}/setup"
    return asked if asked.startswith(f"{base}/") and asked.isascii() else f"{base}/sources/{source}"
