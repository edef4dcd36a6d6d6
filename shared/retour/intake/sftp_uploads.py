"""SFTP uploads: find a sender's files and ingest each version of them.

Events are only hints that a key changed. The bucket decides: every version of an object that was not ingested is an
upload, even if it was overwritten, renamed or deleted since. Events may therefore be late, repeated, reordered or
missing. The identity of an upload is its key and version (spec 4).
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant
from retour.files import names
from retour.files.result_files import receipt_text
from retour.intake.batch import ARRIVED, IGNORED, Batch, report_of
from retour.intake.uploads import refuse_delivery, to_business_clock
from retour.store.errors import is_transient
from retour.store.inbox import ObjectVersion

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

SFTP_PREFIX = "sftp"
ANSWER_METADATA = "retour-answer"
"""Metadata of files we leave for a sender: the name we gave them. SFTP clients cannot set it."""
TAKEN_IN_TAG = "retour-delivery"
"""Tag of an upload that stays where it is: the delivery that ingested it."""
RENAME_WINDOW = timedelta(minutes=2)
TEMPORARY_NAME_TIMEOUT = timedelta(minutes=10)
"""A file that keeps a temporary name for this long is ingested under that name."""
WORKER_TIME_MAX = timedelta(minutes=16)
"""How long a worker may process an upload, which is the function's timeout."""
LONG_AGO = "2000-01-01T00:00:00Z"
LOOKS_MAX, LOOK_SECONDS = 3, 1.0
"""Retries and pause while waiting for the server's report of a broken connection or a finished rename."""


def parse_upload_key(key: str) -> tuple[str, str, str] | None:
    """Program, source and path of an object in a sender's folder; None for other keys."""
    parts = key.split("/", 3)
    return (parts[1], parts[2], parts[3]) if len(parts) == 4 and parts[0] == SFTP_PREFIX and parts[3] else None


def source_at(hub: "Hub", key: str) -> tuple[Program, Source] | None:
    """The program and SFTP source of a key; None if there is no such source."""
    place = parse_upload_key(key)
    program = hub.program(place[0]) if place else None
    source = program.sources.get(place[1]) if place and program else None
    return (program, source) if program and source and source.channel is Channel.SFTP else None


def store_uploads(
    hub: "Hub", key: str, *, is_known_whole: bool = False, patience: timedelta = WORKER_TIME_MAX
) -> Iterator[Delivery]:
    """Store each upload to a key that was not ingested before, and yield its delivery, oldest first.

    An upload claimed by another worker is skipped for `patience` and retried afterwards if it is unfinished.
    `is_known_whole`: the server confirmed that the upload is complete.
    """
    found = source_at(hub, key)
    if found is None or key.endswith("/"):
        return
    history = sorted((one for one in hub.inbox.versions(key) if one.key == key), key=lambda one: one.at)
    for version in history:
        if version.removed:
            continue
        try:
            delivery = store_upload(hub, *found, version, is_known_whole, patience)
        except Exception as error:
            with suppress(Exception):
                free_claim(hub, *found, version)
            if is_transient(error):
                raise
            logger.exception("upload could not be stored", extra={"key": key, "version": version.id})
            continue
        if delivery is not None:
            yield delivery


def store_upload(
    hub: "Hub", program: Program, source: Source, version: ObjectVersion, is_known_whole: bool, patience: timedelta
) -> Delivery | None:
    """Store an upload as a delivery with its receipt. None if it is no upload, or done or claimed elsewhere."""
    if is_own_answer(hub, version):
        return None
    claimed = hub.state(program.id, source.name).get(claim_key(version))
    if claimed and hub.real_now() - parse_instant(claimed.get("at") or claimed["received_at"]) < patience:
        return None
    known = hub.deliveries(program.id).get(claimed["delivery"]) if claimed else None
    if known is not None:
        return known.delivery if known.state == ARRIVED else None
    name = names.base_name(version.key)
    if names.may_be_renamed(name) and not has_kept_its_name(hub, version):
        return None
    if (origin := rename_origin(hub, program, source, version)) is not None:
        hub.state(program.id, source.name).claim(claim_key(version), origin)
        return None
    delivery, is_mine = claim_upload(hub, program, source, version)
    if not is_mine and not claimed:  # Another worker claimed it first.
        return None
    if names.skip_reason(name) == "temporary":
        ignore_temporary(hub, delivery, version)
        return None
    if not is_known_whole and is_partial(hub, program, source, version):
        refuse_partial(hub, delivery, version)
        return None
    try:
        copied = hub.inbox.copy(version.key, delivery.body_key, version.id)
    except KeyError:  # Another worker has just ingested and moved it.
        return None
    remember_content(hub, program, source, version, delivery)
    delivery = replace(delivery, sha256=copied.sha256, size=copied.size)
    delivery = hub.deliveries(program.id).put(delivery, None, ARRIVED, {})
    leave_receipt(hub, program, delivery)
    if source.options.get("keep") is True:
        with suppress(KeyError):  # The sender deleted it meanwhile.
            hub.inbox.tag(version.key, version.id, {TAKEN_IN_TAG: delivery.id})
    return delivery


def remember_upload(hub: "Hub", delivery: Delivery) -> None:
    """Save which delivery an upload became, where only S3 survived a crash."""
    mine = {"delivery": delivery.id, "received_at": format_instant(delivery.received_at), "at": LONG_AGO}
    hub.state(delivery.program, delivery.source).put(f"upload#{digest_of(delivery.identity)}", mine)


def claim_key(version: ObjectVersion) -> str:
    return f"upload#{digest_of(f'{version.key}@{version.id}')}"


def digest_of(identity: str) -> str:
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


def claim_upload(hub: "Hub", program: Program, source: Source, version: ObjectVersion) -> tuple[Delivery, bool]:
    """Claim an upload. Returns its delivery and whether this worker was the first.

    The first worker fixes the delivery id and receipt time; all others use them. S3 times are whole seconds, so later
    versions of the same key get later receipt times.
    """
    notes = hub.state(program.id, source.name)
    at = min(to_business_clock(hub, version.at), hub.now())
    before = notes.get(last := f"last-upload#{version.key}")
    if (
        before
        and at <= (previous := parse_instant(before["received_at"]))
        and version.at >= parse_instant(before["at"])
    ):
        at = previous + timedelta(milliseconds=1)
    identity = f"{version.key}@{version.id}"
    mine = {"delivery": delivery_id(at, program.id, source.name, identity), "received_at": format_instant(at)}
    mine["at"] = format_instant(hub.real_now())
    is_mine = notes.claim(claim_key(version), mine)
    if is_mine:
        notes.put(last, {"received_at": format_instant(at), "at": format_instant(version.at)})
    else:
        mine = notes.get(claim_key(version)) or mine
    name = names.safe_name(version.key)
    delivery = Delivery(
        id=mine["delivery"],
        program=program.id,
        channel=Channel.SFTP,
        source=source.name,
        kind=DeliveryKind.FILE,
        identity=identity,
        received_at=parse_instant(mine["received_at"]),
        sha256="",
        size=version.size,
        name=name,
        sender=f"{program.id}.{source.name}",
        body_key=f"raw/{program.id}/{mine['delivery']}",
        reply={"folder": version.key.rpartition("/")[0], "name": name},
    )
    return delivery, is_mine


def free_claim(hub: "Hub", program: Program, source: Source, version: ObjectVersion) -> None:
    notes = hub.state(program.id, source.name)
    if claimed := notes.get(claim_key(version)):
        notes.put(claim_key(version), claimed | {"at": LONG_AGO})


def abandon_upload(hub: "Hub", delivery: Delivery) -> None:
    """Release a claim, so that another worker can take over."""
    remember_upload(hub, delivery)


def is_own_answer(hub: "Hub", version: ObjectVersion) -> bool:
    """Whether we wrote this file as a reply. Its name alone proves nothing, since senders choose their names freely."""
    name = names.base_name(version.key)
    if not name.startswith(names.ANSWER_PREFIXES):
        return False
    try:
        return (
            hub.inbox.metadata(version.key, version.id).get(ANSWER_METADATA) == answer_metadata(name)[ANSWER_METADATA]
        )
    except KeyError:
        return False


def answer_metadata(name: str) -> dict[str, str]:
    """The metadata of a file we leave for a sender. It no longer matches after a rename."""
    return {ANSWER_METADATA: quote(name, safe="")}


def has_kept_its_name(hub: "Hub", version: ObjectVersion) -> bool:
    return hub.real_now() - version.at >= TEMPORARY_NAME_TIMEOUT and not is_replaced(hub, version)


def is_replaced(hub: "Hub", version: ObjectVersion) -> bool:
    """Whether the sender deleted or overwrote a version."""
    history = [one for one in hub.inbox.versions(version.key) if one.key == version.key]
    return any(one.at >= version.at and one.id != version.id for one in history)


# Renames: S3 has none, so a server copies and deletes


def remember_content(hub: "Hub", program: Program, source: Source, version: ObjectVersion, delivery: Delivery) -> None:
    doc = {
        "key": version.key,
        "at": format_instant(version.at),
        "delivery": delivery.id,
        "received_at": format_instant(delivery.received_at),
    }
    hub.state(program.id, source.name).put(content_key(version), doc)


def content_key(version: ObjectVersion) -> str:
    return f"drop#{version.etag}#{version.size}"


def rename_origin(hub: "Hub", program: Program, source: Source, version: ObjectVersion) -> dict[str, str] | None:
    """The ingested upload that was renamed to this object, or that this object was renamed to; None if there is none.

    In a rename, the old object is deleted right after the new one was written. A new upload can have the same bytes,
    but its sender would not delete the old file at the same time.
    """
    known = hub.state(program.id, source.name).get(content_key(version))
    if known is None or known["key"] == version.key:
        return None
    first, second = sorted([(parse_instant(known["at"]), known["key"]), (version.at, version.key)])
    for look in range(LOOKS_MAX):
        history = [one for one in hub.inbox.versions(first[1]) if one.key == first[1]]
        removed = [one.at for one in history if one.removed and one.at >= second[0] - timedelta(seconds=1)]
        if removed and min(removed) - second[0] <= RENAME_WINDOW:
            return {name: known[name] for name in ("delivery", "received_at")} | {"at": LONG_AGO}
        if removed or hub.real_now() - second[0] > RENAME_WINDOW:
            return None
        if look < LOOKS_MAX - 1:
            time.sleep(LOOK_SECONDS)
    return None


# Interrupted uploads, and temporary names


def note_partial(hub: "Hub", key: str, start: datetime, end: datetime) -> bool:
    """Record that a connection ended while this file was open, so that its content is incomplete.

    False if it was already ingested.
    """
    found = source_at(hub, key)
    if found is None:
        return True
    program, source = found
    noted = {"start": format_instant(start), "end": format_instant(end)}
    hub.state(program.id, source.name).put(f"partial#{key}", noted)
    in_time = True
    for version in [one for one in hub.inbox.versions(key) if one.key == key and not one.removed]:
        if not is_within(version, noted) or is_own_answer(hub, version):
            continue
        delivery, _ = claim_upload(hub, program, source, version)
        known = hub.deliveries(program.id).get(delivery.id)
        if known is None or known.state == ARRIVED:
            refuse_partial(hub, delivery, version)
        elif known.report.get("code") != "PARTIAL_UPLOAD":
            in_time = False
    return in_time


def is_partial(hub: "Hub", program: Program, source: Source, version: ObjectVersion) -> bool:
    """Whether the server reported the upload as incomplete. In the cloud, its report may follow the S3 event."""
    notes = hub.state(program.id, source.name)
    for look in range(1 if hub.settings.is_local or hub.real_now() - version.at > RENAME_WINDOW else LOOKS_MAX):
        if look:
            time.sleep(LOOK_SECONDS)
        if (noted := notes.get(f"partial#{version.key}")) is not None and is_within(version, noted):
            return True
    return False


def is_within(version: ObjectVersion, noted: dict[str, str]) -> bool:
    slack = timedelta(seconds=5)
    start, end = parse_instant(noted["start"]), parse_instant(noted["end"])
    return start - slack <= version.at <= end + slack


def refuse_partial(hub: "Hub", delivery: Delivery, version: ObjectVersion) -> None:
    try:
        hub.inbox.copy(version.key, delivery.body_key, version.id)
    except KeyError:
        return
    hub.deliveries(delivery.program).put(delivery, None, ARRIVED, {})
    refuse_delivery(hub, delivery, "PARTIAL_UPLOAD", {"name": delivery.name})
    hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})


def ignore_temporary(hub: "Hub", delivery: Delivery, version: ObjectVersion) -> None:
    """List a file with a temporary name that was not renamed. It is read only after a rename."""
    batch = Batch(delivery=delivery, state=IGNORED, details={"why": "its name says that it is not whole yet"})
    hub.inbox.copy(version.key, delivery.body_key, version.id)
    hub.deliveries(delivery.program).close(delivery, report_of(batch), IGNORED)


# Replies beside an upload


def leave_receipt(hub: "Hub", program: Program, delivery: Delivery) -> None:
    text = receipt_text(
        program.language, delivery.name, delivery.size, delivery.sha256, delivery.received_at, delivery.id
    )
    name = names.receipt_name(delivery.name)
    hub.inbox.put(f"{delivery.reply['folder']}/{name}", text, answer_metadata(name))


def answer_folder(delivery: Delivery) -> str:
    """The folder of an upload, in which the sender looks for replies."""
    return str(delivery.reply.get("folder") or f"{SFTP_PREFIX}/{delivery.program}/{delivery.source}")
