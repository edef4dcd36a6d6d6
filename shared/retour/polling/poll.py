"""Poll a merchant's server: all folders of a source, with a report."""

import secrets
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.polling.environment import PollEnvironment, PollState
from retour.polling.folder import POLL_TIME_MAX, FolderPoll
from retour.polling.patterns import fill_date
from retour.polling.report import PollReport
from retour.polling.server import ServerOpener, folders, open_server, server_url
from retour.polling.slots import expected_file_key, is_polled_on, local_moment
from retour.remote import RemoteError, sanitise_message

LOOKS_MAX = 10
START_FILES_WITHIN = timedelta(minutes=10)


def poll_server(
    hub: PollEnvironment,
    announce: Callable[[Any, Delivery], None],
    program: Program,
    source: Source,
    *,
    asked: str = "",
    look: int = 1,
    open_server: ServerOpener = open_server,
) -> PollReport:
    """Fetch all new, complete files of a source's folders into the inbox, oldest first, and return a report.

    `asked` identifies the poll to a caller waiting for its report; `look` counts the looks at growing files. Receipts
    use the business clock; the age of files the real one, which is the merchant's.
    """
    state = hub.state(program.id, source.name)
    options = source.options
    report = PollReport(asked or secrets.token_hex(8), hub.now(), server_url(options))
    started = hub.real_now()
    try:
        server = open_server(options, hub.secret(program.id, source.name), hub.settings.allow_private_hosts)
        try:
            for folder in folders(options):
                poll = FolderPoll(
                    hub, announce, program, source, server, state, report, started + POLL_TIME_MAX, folder
                )
                poll_folder(poll, started, is_first_look=look == 1)
        finally:
            server.close()
    except RemoteError as error:
        report.fail(error)
    except (OSError, EOFError) as error:
        said = sanitise_message(error) or type(error).__name__
        report.fail(RemoteError("CONNECTION_BROKEN", doing="visit", said=said))
    if (missing := missing_expected_file(hub, state, source)) is not None:
        report.fail(missing)
    report.looks_again |= bool(report.skipped["growing"]) and look < LOOKS_MAX
    report.finished = hub.now()
    state.put("last-visit", report.document())
    if report.looks_again:
        hub.send("pulls", {"program": program.id, "source": source.name, "look": look + 1}, delay_seconds=60)
    return report


def poll_folder(poll: "FolderPoll", started: datetime, *, is_first_look: bool) -> None:
    """Poll one folder. A missing folder does not stop the others."""
    try:
        for file in poll.files_to_fetch(is_first_look):
            if poll.hub.real_now() - started > START_FILES_WITHIN:
                poll.report.skip(file.name, "later")
                poll.report.looks_again = True
            else:
                poll.fetch_or_report(file)
    except RemoteError as error:
        if error.code not in ("FOLDER_NOT_FOUND", "FOLDER_TOO_FULL"):
            raise
        poll.report.fail(error)


def missing_expected_file(hub: PollEnvironment, state: PollState, source: Source) -> RemoteError | None:
    """The error for a file that is overdue and was not seen by any poll of its day."""
    expect = source.options.get("expect")
    if expect is None:
        return None
    zone, now = ZoneInfo(source.time_zone), hub.now()
    today = now.astimezone(zone).date()
    by = local_moment(today, time.fromisoformat(expect["by"]), zone)
    if now < by or not is_polled_on(source, today) or state.get(expected_file_key(today)) is not None:
        return None
    return RemoteError("FILE_EXPECTED", lasting=True, name=fill_date(expect["file"], today), by=expect["by"])
