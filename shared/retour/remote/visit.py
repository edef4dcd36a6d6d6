"""A visit to a merchant's server: which files are taken, each exactly once, and how an answer is left there.

What has been taken is remembered here and never read from the folder: moving or deleting files is not possible
everywhere, and not ours to do unless the source says so.
"""

import hashlib
import re
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from time import monotonic
from typing import Any, BinaryIO, Protocol, cast
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant
from retour.files import names
from retour.files.result_files import receipt_text
from retour.remote import FileClient, RemoteError, RemoteFile, StepObserver, ignore_step, sanitise_message
from retour.settings import Settings

DEFAULT_TIME = "05:00"
UNCHANGED_FOR = timedelta(seconds=60)
QUIET_FOR = timedelta(minutes=2)
LOOKS_MAX = 10
FILE_BYTES_MAX = 400 * 1024 * 1024
SPOOL_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 20.0
START_FILES_WITHIN = timedelta(minutes=10)
POLL_TIME_MAX = timedelta(minutes=13)
DRIPS, DRIPS_SECONDS = 512, 60
"""Bytes a second, by which a file has to come that is not there after so many seconds."""
LISTED_MAX = 100
MARKERS = (".done", ".ok", ".ctl")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DATE_PLACEHOLDER = re.compile(r"\{((?=[^{}]*(?:yy|MM|dd))[^{}]*)\}")
GROWING_POLLS_MAX = 3
"""Visits at which a file may still be being written; after that its admin is told."""
SKIP_EXPLANATIONS = {
    "pattern": "its name does not match the pattern",
    "ours": "our own answer",
    "temporary": "its name says that it is not whole yet",
    "marker": "only says that another file is whole",
    "name": "its name has a folder or unprintable signs in it",
    "taken": "taken before",
    "content": "the same content was taken before",
    "growing": "perhaps still being written",
    "large": f"larger than {FILE_BYTES_MAX // 1024 // 1024} MB: use the API's upload",
    "later": "left for the next visit",
}


class PollState(Protocol):
    def get(self, key: str) -> dict[str, Any] | None: ...
    def put(self, key: str, doc: Mapping[str, Any]) -> None: ...
    def claim(self, key: str, doc: Mapping[str, Any]) -> bool: ...
    def delete(self, key: str) -> None: ...


class PollInbox(Protocol):
    def put(self, key: str, body: bytes | BinaryIO) -> None: ...
    def read(self, key: str) -> bytes: ...
    def size(self, key: str) -> int: ...


class PollEnvironment(Protocol):
    """What a visit needs of the hub (wiring.py)."""

    @property
    def inbox(self) -> PollInbox: ...
    @property
    def settings(self) -> Settings: ...
    def now(self) -> datetime: ...
    def real_now(self) -> datetime: ...
    def secret(self, program: str, source: str, /) -> Mapping[str, Any]: ...
    def state(self, program: str, source: str, /) -> PollState: ...
    def program(self, program: str, /) -> Program | None: ...
    def send(self, queue: str, message: dict[str, Any], /, delay_seconds: int = 0) -> None: ...


class PollFailedError(Exception):
    """A scheduled poll failed: retry, and raise an alarm if retries do not help."""


def handle_message(
    hub: PollEnvironment,
    announce: Callable[[Any, Delivery], None],
    message: Mapping[str, Any],
    tell: "Callable[[Program, Source, PollReport], None]" = lambda *_: None,
) -> dict[str, Any]:
    """Handle a message of the `pulls` queue: poll a server, or upload a reply file. Returns what to log.

    `tell` hears of each visit's report. One that failed is tried again, unless a person has to do something first.
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


# When, and which


def is_poll_due(source: Source, now: datetime, last: datetime | None) -> bool:
    """Whether a visit of a source is owed: one of its times of day (in its own zone) has come since the last visit.

    A day has each such moment once: one that the clocks skip in spring counts as if they had not been changed yet,
    one that comes twice in autumn counts the first time. A missed one stays owed until the next.
    """
    owed = latest_slot(source, now)
    if owed is None or last is not None:
        return owed is not None and last is not None and last < owed
    zone = ZoneInfo(source.time_zone)
    return owed.astimezone(zone).date() == now.astimezone(zone).date()


def latest_slot(source: Source, now: datetime) -> datetime | None:
    """The last moment up to now at which a visit was to be made; None within a first week without one."""
    zone = ZoneInfo(source.time_zone)
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(8)]
    wanted = source.options.get("weekdays") or WEEKDAYS
    slots = [
        local_moment(day, at, zone)
        for day in days
        if WEEKDAYS[day.weekday()] in wanted
        for at in times_of_day(source.options)
    ]
    return max((slot for slot in slots if slot <= now), default=None)


def times_of_day(options: Mapping[str, Any]) -> list[time]:
    """When a source is visited, and when a file is looked for that is expected by a time."""
    at = options.get("at", DEFAULT_TIME)
    by = [options["expect"]["by"]] if "expect" in options else []
    return sorted({time.fromisoformat(one) for one in [*([at] if isinstance(at, str) else at), *by]})


def local_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as an earlier visit saw it."""

    size: int | None
    stamp: str
    at: datetime


def skip_reason(name: str, pattern: str) -> str:
    """Why a file of this name is none of ours to take; empty when it is."""
    if names.base_name(name) != name or not name.isprintable() or name in (".", ".."):
        return "name"
    if skipped := names.skip_reason(name):
        return skipped
    if not matches_pattern(name, pattern):
        return "pattern"
    return "marker" if name.lower().endswith(MARKERS) else ""


def matches_pattern(name: str, pattern: str, day: date | None = None) -> bool:
    """* for any characters, ? for one, {yyyyMMdd} for a date; nothing else is special, and case does not count.

    The letters of a date are yyyy, yy, MM and dd, with anything between them. With `day` it is that day, else any.
    """
    dates = list(DATE_PLACEHOLDER.finditer(pattern))
    if not dates:
        return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
    if day is not None:
        return matches_pattern(name, DATE_PLACEHOLDER.sub(lambda found: day.strftime(as_strftime(found[1])), pattern))
    plain = DATE_PLACEHOLDER.sub(
        lambda found: re.sub("yyyy|yy|MM|dd", lambda letters: "?" * len(letters[0]), found[1]), pattern
    )
    return matches_pattern(name, plain) and any(has_date_at(name, at, dates[0][1]) for at in range(len(name)))


def has_date_at(name: str, at: int, letters: str) -> bool:
    try:
        datetime.strptime(name[at : at + len(letters)], as_strftime(letters))
    except ValueError:
        return False
    return True


def as_strftime(letters: str) -> str:
    for ours, theirs in (("%", "%%"), ("yyyy", "%Y"), ("yy", "%y"), ("MM", "%m"), ("dd", "%d")):
        letters = letters.replace(ours, theirs)
    return letters


def is_complete(file: RemoteFile, listing: Mapping[str, RemoteFile], before: SeenFile | None, now: datetime) -> bool:
    """Whether a file is surely not being written any more.

    It was last changed two minutes ago, or it is as it was a minute ago or longer, or the merchant says so by a file
    beside it (`orders.csv.done` or `orders.done`) that is not older than it.
    """
    if file.modified is not None and now - file.modified >= QUIET_FOR:
        return True
    if (
        before is not None
        and (before.size, before.stamp) == (file.size, file.stamp)
        and now - before.at >= UNCHANGED_FOR
    ):
        return True
    stem = file.name.rpartition(".")[0] or file.name
    for marker in (listing.get((base + ending).lower()) for base in (file.name, stem) for ending in MARKERS):
        if marker is not None and (not marker.modified or not file.modified or marker.modified >= file.modified):
            return True
    return False


def is_unchanged(one: RemoteFile, other: RemoteFile) -> bool:
    """Whether two looks show the same state, as far as both tell."""
    same_time = one.modified == other.modified if one.modified and other.modified else True
    return same_time and (one.size == other.size or one.size is None or other.size is None)


def has_same_size(listed: RemoteFile, looked: RemoteFile | None) -> bool:
    """Whether a file may be the one that was listed; one that is gone says nothing."""
    return looked is None or None in (listed.size, looked.size) or listed.size == looked.size


# The visit


@dataclass(slots=True)
class PollReport:
    """What a visit found and did, for the admin of the source. No secrets, bounded in size."""

    id: str
    started: datetime
    server: str
    seen: int = 0
    fetched: list[dict[str, Any]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    not_taken: list[dict[str, str]] = field(default_factory=list)
    deleted: int = 0
    moved: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    looks_again: bool = False
    finished: datetime | None = None
    first_error: RemoteError | None = None

    @property
    def failed(self) -> bool:
        return bool(self.errors)

    @property
    def is_lasting(self) -> bool:
        """Whether nothing that went wrong can go better before a person did something."""
        return self.failed and all(error["lasting"] for error in self.errors)

    def skip(self, name: str, why: str, **more: str) -> None:
        self.skipped[why] += 1
        if len(self.not_taken) < LISTED_MAX:
            self.not_taken.append(
                {"name": sanitise_message(name), "why": why, "explanation": SKIP_EXPLANATIONS[why], **more}
            )

    def fail(self, error: RemoteError, name: str = "") -> None:
        if len(self.errors) < LISTED_MAX:
            about = {"name": sanitise_message(name)} if name else {}
            self.errors.append({"code": error.code, "words": error.sentence, "lasting": error.lasting, **about})
        self.first_error = self.first_error or error

    def explanation(self) -> str:
        """The visit in a sentence or two."""
        parts = [f"{files_text(len(self.fetched))} fetched"]
        parts += [f"{number} skipped ({SKIP_EXPLANATIONS[why]})" for why, number in sorted(self.skipped.items())]
        parts += [f"{self.deleted} deleted there"] if self.deleted else []
        parts += [f"{self.moved} moved there"] if self.moved else []
        said = f"{files_text(self.seen)} seen, {', '.join(parts)}."
        if self.looks_again:
            said += " What is perhaps still being written is looked at again in a minute."
        if self.errors:
            said = f"{self.errors[0]['words']} {said if self.seen else ''}".strip()
        return said

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": "failed" if self.failed else "done",
            "explanation": self.explanation(),
            "started": format_instant(self.started),
            "finished": format_instant(self.finished or self.started),
            "server": self.server,
            "seen": self.seen,
            "fetched": self.fetched[:LISTED_MAX],
            "skipped": dict(self.skipped),
            "not_taken": self.not_taken,
            "deleted": self.deleted,
            "moved": self.moved,
            "errors": self.errors,
            "looks_again": self.looks_again,
        }


def files_text(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


def open_server(
    options: Mapping[str, Any], secret: Mapping[str, Any], allow_private: bool, watch: StepObserver = ignore_step
) -> FileClient:
    """The merchant's server, logged in. The library of the one protocol that is spoken is loaded, no other."""
    if options["protocol"] == "sftp":
        from retour.remote import sftp

        return sftp.connect(options, secret, timeout=TIMEOUT_SECONDS, allow_private=allow_private, watch=watch)
    from retour.remote import ftp

    return ftp.connect(options, secret, timeout=TIMEOUT_SECONDS, allow_private=allow_private, watch=watch)


ServerOpener = Callable[[Mapping[str, Any], Mapping[str, Any], bool], FileClient]


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
    """Takes every new, whole file of the source's folder into the inbox, the oldest first, and reports.

    `asked` names the visit for whoever waits for its report; `look` counts the looks at files still being written.
    Receipts go by the business clock, the age of files by the real one: the merchant's server knows no other.
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


def folders(options: Mapping[str, Any]) -> list[str]:
    """Where the merchant leaves its files; where the login lands, if nothing is said."""
    one = [options["folder"]] if "folder" in options else []
    return [*one, *options.get("folders", ())] or [""]


def poll_folder(poll: "FolderPoll", started: datetime, *, is_first_look: bool) -> None:
    """One folder of a visit; a folder that is not there keeps no other back."""
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
    """The file that was to be there by now and of which no visit of its day has seen anything."""
    expect = source.options.get("expect")
    if expect is None:
        return None
    zone, now = ZoneInfo(source.time_zone), hub.now()
    today = now.astimezone(zone).date()
    by = local_moment(today, time.fromisoformat(expect["by"]), zone)
    wanted = source.options.get("weekdays") or WEEKDAYS
    if now < by or WEEKDAYS[today.weekday()] not in wanted or state.get(f"expected-file#{today}") is not None:
        return None
    return RemoteError("FILE_EXPECTED", lasting=True, name=fill_date(expect["file"], today), by=expect["by"])


def fill_date(pattern: str, day: date) -> str:
    """A pattern with its date filled in, as a person reads it."""
    return DATE_PLACEHOLDER.sub(lambda found: day.strftime(as_strftime(found[1])), pattern)


@dataclass(frozen=True, slots=True)
class FolderPoll:
    """One visit under way: a server logged in, and what it finds going into the inbox and the report."""

    hub: PollEnvironment
    announce: Callable[[Any, Delivery], None]
    program: Program
    source: Source
    server: FileClient
    state: PollState
    report: PollReport
    until: datetime
    folder: str = ""

    def files_to_fetch(self, is_first_look: bool = True) -> Iterator[RemoteFile]:
        """The files to fetch now, oldest first. What is perhaps still being written is noted for the next look."""
        pattern = self.source.options.get("pattern", "*")
        files = self.server.files(self.folder, lambda name: not skip_reason(name, pattern) or is_marker(name))
        now = self.hub.real_now()
        self.report.seen += len(files)
        listing = {file.name.lower(): file for file in files}
        for file in sorted(files, key=lambda file: (file.modified or now, file.name)):
            self.note_expected(file)
            if why := skip_reason(file.name, pattern):
                self.report.skip(file.name, why)
            elif file.size is not None and file.size > FILE_BYTES_MAX:
                self.report.skip(file.name, "large")
            elif (taken := self.state.get(self.key("file", file))) is not None:
                self.report.skip(file.name, "taken", delivery=taken["delivery"])
                self.clear_remote_file(file, taken.get("looked"))
            else:
                looked = self.state.get(self.key("look", file))
                before = SeenFile(looked["size"], looked["stamp"], parse_instant(looked["at"])) if looked else None
                if is_complete(file, listing, before, now):
                    yield file
                else:
                    if before is None or (before.size, before.stamp) != (file.size, file.stamp):
                        seen = {"size": file.size, "stamp": file.stamp, "at": format_instant(now)}
                        self.state.put(self.key("look", file), seen)
                    self.skip_growing(file, is_first_look)

    def note_expected(self, file: RemoteFile) -> None:
        """Remember that the file of today which the source expects was there."""
        expect = self.source.options.get("expect")
        if expect is None:
            return
        today = self.hub.now().astimezone(ZoneInfo(self.source.time_zone)).date()
        mark = f"expected-file#{today}"
        if matches_pattern(file.name, expect["file"], today) and self.state.get(mark) is None:
            self.state.put(mark, {"name": file.name})

    def skip_growing(self, file: RemoteFile, is_first_look: bool) -> None:
        """Leave a file for the next look; one that no visit finds at rest is told."""
        self.report.skip(file.name, "growing")
        if not is_first_look:
            return
        mark = self.key("grows", file)
        visits = int((self.state.get(mark) or {}).get("visits", 0)) + 1
        self.state.put(mark, {"visits": visits})
        if visits >= GROWING_POLLS_MAX:
            self.report.fail(RemoteError("NEVER_AT_REST", lasting=True, name=file.name, visits=visits), file.name)

    def fetch_or_report(self, file: RemoteFile) -> None:
        """Fetches one file; what is wrong with it alone does not keep the others back."""
        try:
            self.fetch_into_inbox(file)
        except RemoteError as error:
            if error.code == "CHANGED":
                self.skip_growing(file, is_first_look=True)
            elif error.code == "TOO_LARGE":
                self.report.skip(file.name, "large")
            elif error.code in ("REFUSED", "INCOMPLETE"):
                self.report.fail(error, file.name)
            else:
                raise

    def fetch_into_inbox(self, file: RemoteFile) -> None:
        """Into the inbox, exactly once, whatever happens in between.

        The claim on the content says under which id it goes in. Whoever dies after it is followed by a visit that
        finds the claim not fulfilled and does the rest under the same id, so nothing is lost and nothing is doubled.
        """
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            counted = HashingWriter(cast(BinaryIO, spool), self.check_time)
            # A listing may tell another time than a look does, in UTC the one, in its own zone the other.
            before = self.server.stat(self.folder, file.name)
            self.server.fetch(self.folder, file.name, cast(BinaryIO, counted))
            received = self.hub.now()
            after = self.server.stat(self.folder, file.name)
            if not has_same_size(file, before) or (before and after and not is_unchanged(before, after)):
                raise RemoteError("CHANGED", name=file.name)
            looked = (after or before or file).stamp
            delivery = self.delivery(file, counted.sha256.hexdigest(), counted.size, received)
            claim = f"content#{delivery.sha256}"
            mine: dict[str, Any] = {
                "delivery": delivery.id,
                "received_at": format_instant(received),
                "name": delivery.name,
                "stored": False,
            }
            if not self.state.claim(claim, mine):
                mine = self.state.get(claim) or mine
            fresh = not mine["stored"]
            if fresh:
                delivery = self.delivery(
                    file, delivery.sha256, delivery.size, parse_instant(mine["received_at"]), mine["name"]
                )
                if not self.lies_in_inbox(delivery):
                    self.announce(self.hub, delivery)
                    spool.seek(0)
                    self.hub.inbox.put(delivery.body_key, cast(BinaryIO, spool))
                self.state.put(claim, {**mine, "stored": True})
                self.leave_receipt(delivery, file)
        if file.size is not None or file.stamp:
            taken = {"delivery": mine["delivery"], "name": file.name, "looked": looked}
            self.state.put(self.key("file", file), taken)
        self.state.delete(self.key("look", file))
        self.state.delete(self.key("grows", file))
        if fresh:
            self.report.fetched.append(
                {"name": sanitise_message(file.name), "size": delivery.size, "delivery": delivery.id}
            )
        else:
            self.report.skip(file.name, "content", delivery=mine["delivery"])
        self.clear_remote_file(file, looked)

    def check_time(self) -> None:
        """A server that only drips must not keep the visits of others waiting."""
        if self.hub.real_now() > self.until:
            raise RemoteError("TOO_SLOW", most=POLL_TIME_MAX)

    def delivery(self, file: RemoteFile, digest: str, size: int, received: datetime, name: str = "") -> Delivery:
        key = delivery_id(received, self.program.id, self.source.name, digest)
        name = name or names.safe_name(file.name)
        folder = self.source.options.get("result_folder")
        return Delivery(
            id=key,
            program=self.program.id,
            channel=Channel.PULL,
            source=self.source.name,
            kind=DeliveryKind.FILE,
            identity=digest,
            received_at=received,
            sha256=digest,
            size=size,
            name=name,
            sender=f"{self.source.options.get('user', '')}@{self.source.options['host']}",
            body_key=f"pull/{self.program.id}/{self.source.name}/{key}/{name}",
            reply={"folder": folder, "name": name} if folder else {},
        )

    def lies_in_inbox(self, delivery: Delivery) -> bool:
        try:
            return self.hub.inbox.size(delivery.body_key) == delivery.size
        except KeyError:
            return False

    def leave_receipt(self, delivery: Delivery, file: RemoteFile) -> None:
        """Tells the merchant, where answers are looked for, that the file has arrived."""
        if not delivery.reply:
            return
        body = receipt_text(
            self.program.language,
            delivery.name,
            delivery.size,
            delivery.sha256,
            delivery.received_at,
            delivery.id,
        )
        try:
            self.server.put(delivery.reply["folder"], names.receipt_name(delivery.name), body)
        except RemoteError as error:
            self.report.fail(error, file.name)

    def clear_remote_file(self, file: RemoteFile, looked: str | None) -> None:
        """Deletes or moves a file that the inbox has, if the source says so and it is still the one we took.

        `looked`: the stamp of our last look at it; None where nobody knows, then the listing has to do.
        """
        options = self.source.options
        to = options.get("move_to")
        if (options.get("delete") is not True and not to) or not self.hub.settings.outward:
            return
        try:
            now = self.server.stat(self.folder, file.name)
            still = now is not None and has_same_size(file, now) and now.stamp == looked
            if now is None or not (still if looked is not None else is_unchanged(file, now)):
                return
            if to:
                self.server.move(self.folder, file.name, str(to))
                self.report.moved += 1
            else:
                self.server.delete(self.folder, file.name)
                self.report.deleted += 1
        except RemoteError as error:
            self.report.fail(error, file.name)

    def key(self, kind: str, file: RemoteFile) -> str:
        """`file` names this very state of the file, `look` the file whatever its state."""
        parts = [self.folder, file.name, *([str(file.size), file.stamp] if kind == "file" else [])]
        digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
        return f"{kind}#{digest}"


class HashingWriter:
    """Writes through, with length and SHA-256 of all that was written, and an end to it."""

    def __init__(self, into: BinaryIO, in_time: Callable[[], None]) -> None:
        self.into = into
        self.in_time = in_time
        self.began = monotonic()
        self.size = 0
        self.sha256 = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.in_time()
        self.size += len(block)
        seconds = monotonic() - self.began
        if seconds > DRIPS_SECONDS and self.size < seconds * DRIPS:
            raise RemoteError("TOO_SLOW", most=f"{seconds:.0f} s")
        if self.size > FILE_BYTES_MAX:
            raise RemoteError("TOO_LARGE", most=FILE_BYTES_MAX // 1024 // 1024)
        self.sha256.update(block)
        return self.into.write(block)


def is_marker(name: str) -> bool:
    return name.lower().endswith(MARKERS)


def server_url(options: Mapping[str, Any]) -> str:
    port = f":{options['port']}" if "port" in options else ""
    return f"{options['protocol']}://{options['host']}{port}/{', '.join(folders(options)).lstrip('/')}"


# The way back


def leave_answer(
    hub: PollEnvironment, program: str, source: Source, name: str, key: str, *, open_server: ServerOpener = open_server
) -> str:
    """Leaves an answer that lies in the inbox in the source's result folder; returns why not, or nothing.

    Nothing leaves the house while it is being rebuilt. RemoteError when the server does not let us.
    """
    folder = source.options.get("result_folder")
    if not folder:
        return "the source has no result_folder"
    if not hub.settings.outward:
        return "nothing leaves the house now"
    body = hub.inbox.read(key)
    server = open_server(source.options, hub.secret(program, source.name), hub.settings.allow_private_hosts)
    try:
        server.put(folder, name, body)
    finally:
        server.close()
    # Where answers are left in the folder that is visited, our own file of refused rows must not come in as new.
    ours = {"delivery": "", "received_at": format_instant(hub.now()), "name": name, "stored": True}
    hub.state(program, source.name).claim(f"content#{hashlib.sha256(body).hexdigest()}", ours)
    return ""
