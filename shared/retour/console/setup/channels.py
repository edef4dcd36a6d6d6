"""The channels of an event type, and each source with its switch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.channels.subscriptions import subscriptions
from retour.commands import programs
from retour.console.deliveries import delivery_line, recent_headers
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.console.setup import versions
from retour.console.setup.connection_test import TestStatus, load_test_status
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.setup import credentials
from retour.store.deliveries import DeliveryHeader
from retour.views.sources import find_source

DAYS = 60
CARDS = (Channel.API, Channel.SFTP, Channel.PULL, Channel.EMAIL, Channel.SALESFORCE)
"""All five may be open at once."""


@dataclass(frozen=True)
class SourceCard:
    """A source on its card."""

    source: Source
    access: Mapping[str, str]
    last: DeliveryHeader | None
    test: TestStatus


@dataclass(frozen=True)
class ChannelCard:
    """A channel of an event type with its sources. It is on if any of them is."""

    channel: Channel
    feeds: Sequence[SourceCard]

    @property
    def on(self) -> bool:
        return any(feed.source.enabled for feed in self.feeds)


def declared_sources(context: PageContext) -> list[Source]:
    """The sources of the newest version. The program still has those of older ones."""
    names = versions.in_force(context).document.get("sources", {})
    return [source for name, source in context.program.sources.items() if name in names]


def newest_by_source(context: PageContext) -> Mapping[str, DeliveryHeader]:
    found: dict[str, DeliveryHeader] = {}
    for header in recent_headers(context, DAYS):
        found.setdefault(header.delivery.source, header)
    return found


def source_cards(context: PageContext) -> list[SourceCard]:
    latest = newest_by_source(context)
    return [
        SourceCard(
            one,
            credentials.access_info(context.hub, context.program, one),
            latest.get(one.name),
            load_test_status(context, one),
        )
        for one in declared_sources(context)
    ]


def channel_cards(found: Sequence[SourceCard], event_type: str) -> list[ChannelCard]:
    """A source without event type belongs to all."""
    mine = [feed for feed in found if feed.source.event_type in (None, event_type)]
    return [ChannelCard(channel, [feed for feed in mine if feed.source.channel is channel]) for channel in CARDS]


# Pages


def index(context: PageContext) -> Response:
    found = source_cards(context)
    types = {name: channel_cards(found, name) for name in context.program.event_types}
    return context.render(
        "setup.html", feeds=found, types=types, versions=context.hub.programs.versions(context.program.id, most=10)
    )


def event_type_page(context: PageContext) -> Response:
    """An event type's five channels with their sources."""
    event_type = context.part["type"]
    if event_type not in context.program.event_types:
        raise context.not_found()
    return context.render(
        "channels.html", event_type=event_type, cards=channel_cards(source_cards(context), event_type)
    )


def source_page(context: PageContext) -> Response:
    found = find_source(context.program, context.part["source"])
    last = [one for one in recent_headers(context, DAYS) if one.delivery.source == found.name][:10]
    return context.render(
        "source.html",
        source=found,
        access=credentials.access_info(context.hub, context.program, found),
        test=load_test_status(context, found),
        needs_secret=needs_secret(context, found),
        subscribe=subscriptions(found),
        items=[delivery_line(context, one) for one in last],
        visit_report=context.hub.state(context.program.id, found.name).get("last-visit"),
    )


def needs_secret(context: PageContext, found: Source) -> bool:
    """Whether the source needs a secret from elsewhere before it works."""
    held = context.hub.secret(context.program.id, found.name)
    return found.channel is Channel.PULL and not (held.get("password") or held.get("private_key"))


def switch_source(context: PageContext) -> Response:
    """Switch a source on or off by a new version. Deliveries meanwhile are stored, refused, and can be replayed."""
    name = context.part["source"]
    found = find_source(context.program, name)
    wanted: dict[str, Any] = {**versions.in_force(context).document}
    body = {key: value for key, value in wanted["sources"][name].items() if key != "enabled"}
    if found.enabled:
        body["enabled"] = False
    text = versions.with_document(context, {**wanted, "sources": {**wanted["sources"], name: body}})
    answer = programs.apply_program(context.hub, context.principal, versions.apply_command(context, text))
    if answer.get("credentials"):
        return context.render("credentials.html", credentials=answer["credentials"], back=return_url(context, name))
    return redirect(return_url(context, name))


def return_url(context: PageContext, source: str) -> str:
    """The set-up page a form came from; else the source's own."""
    asked = context.request.form.get("back", "")
    base = f"{context.base}/setup"
    return asked if asked.startswith(f"{base}/") and asked.isascii() else f"{base}/sources/{source}"
