"""A file landed in the inbox: it is stored as a delivery, its rows are taken in, and its answer is asked for."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.delivery import Channel, Delivery
from retour.domain.times import instant
from retour.intake.arrival import NO_HASH, complete, on_our_clock
from retour.intake.attempt import handle
from retour.intake.batch import ARRIVED
from retour.intake.drop import PLACE, drops_at, let_go, note_partial
from retour.wiring import hub

LONGEST_UPLOAD = timedelta(hours=1)
"""Of which a server says when it ended and not when it began."""

logger = Logger(service="file_drop")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    failed = None
    for delivery in arrived(event):
        try:
            batch = handle(hub(), delivery)
            logger.info("file handled", delivery=delivery.id, state=batch.state, code=batch.code, rows=batch.counts)
        except Exception as error:
            logger.exception("file stays open", delivery=delivery.id)
            failed = error
            if delivery.channel is Channel.SFTP:
                let_go(hub(), delivery)
    if failed is not None:
        raise failed


def arrived(event: dict[str, Any]) -> Iterator[Delivery]:
    """The stored deliveries that an event is about: told by the object, or by the server it was uploaded to."""
    detail = event["detail"]
    key = str(detail["object"]["key"]) if "object" in detail else path_of(detail)
    if not key.startswith(f"{PLACE}/"):
        yield from announced(event)
    elif "PARTIAL" in str(detail.get("failure-code", "")):
        end = instant(detail.get("end-timestamp") or event["time"])
        start = instant(detail["start-timestamp"]) if "start-timestamp" in detail else end - LONGEST_UPLOAD
        if not note_partial(hub(), key, start, end):
            logger.error("an upload was read before the server said that it broke off", key=key)
    else:
        yield from drops_at(hub(), key, told_whole="object" not in detail)


def path_of(detail: dict[str, Any]) -> str:
    """The key of the object that a server's event is about, where it lies now."""
    path = detail.get("renamed-file-path") or detail.get("file-path") or ""
    return str(path).lstrip("/").partition("/")[2]


def announced(event: dict[str, Any]) -> Iterator[Delivery]:
    """The delivery that said before that this object would come; it stands in the key."""
    found = event["detail"].get("object", {"key": ""})
    _, program, _, id, *_ = [*str(found["key"]).split("/"), "", "", ""]
    header = hub().deliveries(program).get(id)
    if header is None:
        logger.warning("file without a delivery left alone", key=found["key"])
    elif header.state == ARRIVED and header.delivery.sha256 == NO_HASH:
        at = on_our_clock(hub(), instant(event["time"]))
        yield complete(hub(), header.delivery, at, found["size"], found.get("version-id", ""))
    else:
        yield header.delivery
