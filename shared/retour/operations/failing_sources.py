"""Merchants' servers that cannot be polled: listed once, until a poll succeeds."""

import logging
from typing import TYPE_CHECKING

from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant
from retour.polling.report import PollReport
from retour.remote import RemoteError
from retour.sentences import sentence

if TYPE_CHECKING:
    from retour.wiring import Hub

FAILING = "failing"
"""Kind of case for a failing source, and key of the note of since when and why it fails."""

logger = logging.getLogger(__name__)


def list_failing_source(hub: "Hub", program: Program, source: Source, report: PollReport) -> None:
    """List a source whose poll failed, with the server's message; remove it after a successful poll."""
    note_failing(hub, program, source, report.first_error)


def note_failing(hub: "Hub", program: Program, source: Source, error: RemoteError | None) -> None:
    """List a source that cannot be reached, with the error; remove it if `error` is None."""
    notes, deliveries = hub.state(program.id, source.name), hub.deliveries(program.id)
    noted = notes.get(FAILING)
    if error is None:
        if noted:
            deliveries.forget(FAILING, parse_instant(noted["since"]), source.name)
            notes.delete(FAILING)
        return
    said = sentence(error.code, error.details, program.language)
    if noted and (noted["code"], noted["words"]) == (error.code, said):
        return
    since = parse_instant(noted["since"]) if noted else hub.now()
    doc = {"source": source.name, "code": error.code, "words": said}
    deliveries.remind(FAILING, since, source.name, doc)
    notes.put(FAILING, {"since": format_instant(since), "code": error.code, "words": said})
    about = {"program": program.id, "source": source.name, "code": error.code, "said": error.sentence}
    logger.error("a source cannot be visited", extra=about)
