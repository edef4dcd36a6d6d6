"""Poll one folder: fetch new, complete files into the inbox exactly once."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, BinaryIO, cast
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant
from retour.files import names
from retour.files.result_files import receipt_text
from retour.polling.completeness import SeenFile, has_same_size, is_complete, is_unchanged
from retour.polling.environment import PollEnvironment, PollState
from retour.polling.patterns import is_marker, matches_pattern, skip_reason
from retour.polling.report import FILE_BYTES_MAX, PollReport
from retour.polling.slots import expected_file_key
from retour.remote import FileClient, RemoteError, RemoteFile, sanitise_message

SPOOL_BYTES = 8 * 1024 * 1024
POLL_TIME_MAX = timedelta(minutes=13)
DRIPS, DRIPS_SECONDS = 512, 60
"""Minimum bytes per second, for transfers that take longer than this many seconds."""
GROWING_POLLS_MAX = 3
"""Polls during which a file may still be growing. After that its admin is informed."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A fetched file. `stamp` is its modification time in the last listing."""

    size: int
    sha256: str
    stamp: str
    received_at: datetime

    @property
    def key(self) -> str:
        """The key under which the source's state keeps who ingested this content."""
        return f"content#{self.sha256}"


@dataclass(frozen=True, slots=True)
class FolderPoll:
    """A poll in progress: a logged-in server, the inbox and the report."""

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
        """Files to fetch now, oldest first. Files that may be incomplete are kept for the next look."""
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
        """Record that today's expected file was present."""
        expect = self.source.options.get("expect")
        if expect is None:
            return
        today = self.hub.now().astimezone(ZoneInfo(self.source.time_zone)).date()
        mark = expected_file_key(today)
        if matches_pattern(file.name, expect["file"], today) and self.state.get(mark) is None:
            self.state.put(mark, {"name": file.name})

    def skip_growing(self, file: RemoteFile, is_first_look: bool) -> None:
        """Skip a file that may be incomplete, and report one that never comes to rest."""
        self.report.skip(file.name, "growing")
        if not is_first_look:
            return
        mark = self.key("grows", file)
        visits = int((self.state.get(mark) or {}).get("visits", 0)) + 1
        self.state.put(mark, {"visits": visits})
        if visits >= GROWING_POLLS_MAX:
            self.report.fail(RemoteError("NEVER_AT_REST", lasting=True, name=file.name, visits=visits), file.name)

    def fetch_or_report(self, file: RemoteFile) -> None:
        """Fetch a file. An error of a single file does not stop the others."""
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
        """Fetch a file into the inbox exactly once.

        A claim on the content fixes its delivery id. If a worker crashes after the claim, the next poll finds it
        unfulfilled and completes it with the same id, so nothing is lost or duplicated.
        """
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            body = cast(BinaryIO, spool)
            fetched = self.fetch_whole(file, body)
            claimed = self.claim(file, fetched)
            if not claimed["stored"]:
                self.store(self.delivery(fetched, claimed), body)
                self.state.put(fetched.key, {**claimed, "stored": True})
                self.leave_receipt(self.delivery(fetched, claimed), file)
        self.remember_taken(file, fetched, claimed)
        if claimed["stored"]:
            self.report.skip(file.name, "content", delivery=claimed["delivery"])
        else:
            self.report.fetched.append(
                {"name": sanitise_message(file.name), "size": fetched.size, "delivery": claimed["delivery"]}
            )
        self.clear_remote_file(file, fetched.stamp)

    def fetch_whole(self, file: RemoteFile, into: BinaryIO) -> FetchedFile:
        """Fetch a file that is unchanged before and after. Raises RemoteError `CHANGED` otherwise."""
        counted = HashingWriter(into, self.check_time)
        # A listing may show another time than a single request: local time in one, UTC in the other.
        before = self.server.stat(self.folder, file.name)
        self.server.fetch(self.folder, file.name, cast(BinaryIO, counted))
        received_at = self.hub.now()
        after = self.server.stat(self.folder, file.name)
        if not has_same_size(file, before) or (before and after and not is_unchanged(before, after)):
            raise RemoteError("CHANGED", name=file.name)
        return FetchedFile(counted.size, counted.sha256.hexdigest(), (after or before or file).stamp, received_at)

    def claim(self, file: RemoteFile, fetched: FetchedFile) -> dict[str, Any]:
        """The claim on this content: its delivery id and name, and whether it is in the inbox."""
        mine = {
            "delivery": delivery_id(fetched.received_at, self.program.id, self.source.name, fetched.sha256),
            "received_at": format_instant(fetched.received_at),
            "name": names.safe_name(file.name),
            "stored": False,
        }
        return mine if self.state.claim(fetched.key, mine) else self.state.get(fetched.key) or mine

    def store(self, delivery: Delivery, body: BinaryIO) -> None:
        """Put a file into the inbox, unless a crashed poll already did."""
        if self.lies_in_inbox(delivery):
            return
        self.announce(self.hub, delivery)
        body.seek(0)
        self.hub.inbox.put(delivery.body_key, body)

    def remember_taken(self, file: RemoteFile, fetched: FetchedFile, claimed: Mapping[str, Any]) -> None:
        """Record this state of the file, so that no poll fetches it again, and clear its growing note."""
        if file.size is not None or file.stamp:
            taken = {"delivery": claimed["delivery"], "name": file.name, "looked": fetched.stamp}
            self.state.put(self.key("file", file), taken)
        self.state.delete(self.key("look", file))
        self.state.delete(self.key("grows", file))

    def check_time(self) -> None:
        """Stop a transfer that is too slow, since it would delay other sources."""
        if self.hub.real_now() > self.until:
            raise RemoteError("TOO_SLOW", most=POLL_TIME_MAX)

    def delivery(self, fetched: FetchedFile, claimed: Mapping[str, Any]) -> Delivery:
        options, name = self.source.options, claimed["name"]
        folder = options.get("result_folder")
        return Delivery(
            id=claimed["delivery"],
            program=self.program.id,
            channel=Channel.PULL,
            source=self.source.name,
            kind=DeliveryKind.FILE,
            identity=fetched.sha256,
            received_at=parse_instant(claimed["received_at"]),
            sha256=fetched.sha256,
            size=fetched.size,
            name=name,
            sender=f"{options.get('user', '')}@{options['host']}",
            body_key=f"pull/{self.program.id}/{self.source.name}/{claimed['delivery']}/{name}",
            reply={"folder": folder, "name": name} if folder else {},
        )

    def lies_in_inbox(self, delivery: Delivery) -> bool:
        try:
            return self.hub.inbox.size(delivery.body_key) == delivery.size
        except KeyError:
            return False

    def leave_receipt(self, delivery: Delivery, file: RemoteFile) -> None:
        """Upload a receipt to the place where the merchant looks for replies."""
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
        """Delete or move an ingested file if the source says so, provided that it has not changed.

        `looked` is the stamp of the last request for this file; if None, the listing's is used.
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
        """A state key: `file` for this state of the file, `look` for the file in any state."""
        parts = [self.folder, file.name, *([str(file.size), file.stamp] if kind == "file" else [])]
        digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
        return f"{kind}#{digest}"


class HashingWriter:
    """A writer that computes length and SHA-256 and enforces a limit."""

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
