"""Messages of the `pulls` queue: poll a server, or leave an answer there."""

from collections.abc import Callable, Mapping
from typing import Any

from retour.domain.delivery import Channel, Delivery
from retour.domain.program import Program, Source
from retour.polling.answers import leave_answer
from retour.polling.environment import PollEnvironment
from retour.polling.poll import poll_server
from retour.polling.report import PollReport


class PollFailedError(Exception):
    """A scheduled poll failed: retry, and raise an alarm if retries do not help."""


def handle_message(
    hub: PollEnvironment,
    announce: Callable[[Any, Delivery], None],
    message: Mapping[str, Any],
    tell: "Callable[[Program, Source, PollReport], None]" = lambda *_: None,
) -> dict[str, Any]:
    """Handle a message of the `pulls` queue: poll a server, or upload a reply file. Returns what to log.

    `tell` is called with each poll's report. A failed poll is retried, unless a person has to act first.
    """
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    about = {"program": message["program"], "source": message["source"]}
    if program is None or source is None or source.channel is not Channel.PULL:
        return {**about, "dropped": "there is no such source any more"}
    if "put" in message:
        return {**about, "not_left": leave_answer(hub, program.id, source, **message["put"])}
    if not source.enabled:
        return {**about, "dropped": "the source is switched off"}
    if not hub.settings.outward:
        raise PollFailedError("nothing leaves the house now")
    asked = message.get("visit", "")
    report = poll_server(hub, announce, program, source, asked=asked, look=message.get("look", 1))
    tell(program, source, report)
    if report.failed and not asked and not report.is_lasting:
        raise PollFailedError(report.errors[0]["code"])
    return {**about, "seen": report.seen, "fetched": len(report.fetched), "failed": report.failed}
