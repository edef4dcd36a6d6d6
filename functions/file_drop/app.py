"""A file landed in the inbox: store it as a delivery, ingest its rows, and queue its reply."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.delivery import Channel, Delivery
from retour.domain.times import parse_instant
from retour.intake.batch import ARRIVED
from retour.intake.processing import process_delivery
from retour.intake.sftp_uploads import SFTP_PREFIX, abandon_upload, note_partial, store_uploads
from retour.intake.uploads import NO_HASH, complete_upload, to_business_clock
from retour.wiring import hub

LONGEST_UPLOAD = timedelta(hours=1)
"""Maximum duration of an upload whose start the server does not report."""

logger = Logger(service="file_drop")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    failed = None
    for delivery in chain.from_iterable(map(deliveries_of_event, events_of(event))):
        try:
            batch = process_delivery(hub(), delivery)
            logger.info("file handled", delivery=delivery.id, state=batch.state, code=batch.code, rows=batch.counts)
        except Exception as error:
            logger.exception("file stays open", delivery=delivery.id)
            failed = error
            if delivery.channel is Channel.SFTP:
                abandon_upload(hub(), delivery)
    if failed is not None:
        raise failed


def events_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The event itself, or those that waited on a queue, as they do on one machine (infra/local/deploy.py)."""
    return [json.loads(record["body"]) for record in event["Records"]] if "Records" in event else [event]


def deliveries_of_event(event: dict[str, Any]) -> Iterator[Delivery]:
    """The stored deliveries of an event, which comes from S3 or from the SFTP server."""
    detail = event["detail"]
    key = str(detail["object"]["key"]) if "object" in detail else object_key(detail)
    if not key.startswith(f"{SFTP_PREFIX}/"):
        yield from announced_delivery(event)
    elif "PARTIAL" in str(detail.get("failure-code", "")):
        told_at = detail.get("end-timestamp") or event.get("time")
        end = parse_instant(told_at) if told_at else hub().real_now()
        start = parse_instant(detail["start-timestamp"]) if "start-timestamp" in detail else end - LONGEST_UPLOAD
        if not note_partial(hub(), key, start, end):
            logger.error("an upload was read before the server said that it broke off", key=key)
    else:
        yield from store_uploads(hub(), key, is_known_whole="object" not in detail)


def object_key(detail: dict[str, Any]) -> str:
    """The current key of the object in an SFTP server's event."""
    path = detail.get("renamed-file-path") or detail.get("file-path") or ""
    return str(path).lstrip("/").partition("/")[2]


def announced_delivery(event: dict[str, Any]) -> Iterator[Delivery]:
    """The delivery that announced this object; its id is in the key."""
    found = event["detail"].get("object", {"key": ""})
    _, program, _, id, *_ = [*str(found["key"]).split("/"), "", "", ""]
    header = hub().deliveries(program).get(id)
    if header is None:
        logger.warning("file without a delivery left alone", key=found["key"])
    elif header.state == ARRIVED and header.delivery.sha256 == NO_HASH:
        key = str(found["key"])
        put_at = parse_instant(event["time"]) if "time" in event else hub().inbox.stored_at(key)
        size = int(found["size"]) if "size" in found else hub().inbox.size(key)
        at = to_business_clock(hub(), put_at)
        yield complete_upload(hub(), header.delivery, at, size, found.get("version-id", ""))
    else:
        yield header.delivery
