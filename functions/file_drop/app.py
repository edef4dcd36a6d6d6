"""A file landed in the inbox: it is read, its rows are taken in, and its answer is asked for."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program
from retour.domain.times import instant
from retour.files import names
from retour.files.answers import receipt_text
from retour.intake.arrival import NO_HASH, complete, on_our_clock
from retour.intake.attempt import handle
from retour.intake.batch import ARRIVED
from retour.wiring import NoProgram, hub

logger = Logger(service="file_drop")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> None:
    detail = event["detail"]
    delivery = announced(event) if "object" in detail else uploaded(detail)
    if delivery is None:
        return
    batch = handle(hub(), delivery)
    logger.info("file handled", delivery=delivery.id, state=batch.state, code=batch.code, rows=batch.counts)


def announced(event: dict[str, Any]) -> Delivery | None:
    """The delivery that said before that this object would come; it stands in the key."""
    found = event["detail"]["object"]
    _, program, _, id, *_ = [*str(found["key"]).split("/"), "", "", ""]
    header = hub().deliveries(program).get(id)
    if header is None:
        logger.warning("file without a delivery left alone", key=found["key"])
        return None
    if header.state == ARRIVED and header.delivery.sha256 == NO_HASH:
        at = on_our_clock(hub(), instant(event["time"]))
        return complete(hub(), header.delivery, at, found["size"], found.get("version-id", ""))
    return header.delivery


def uploaded(detail: dict[str, Any]) -> Delivery | None:
    """The delivery of a whole upload by SFTP: its bytes kept where the uploader cannot touch them, its receipt written.

    Its identity is the object in this state, so that the event told twice is one delivery, and the same file uploaded
    again is another. A file that went up under a temporary name is whole when it is renamed.
    """
    renamed = "renamed-file-path" in detail
    key = str(detail["renamed-file-path" if renamed else "file-path"]).lstrip("/").partition("/")[2]
    _, program_id, source, path = key.split("/", 3)
    name = names.safe(path)
    why = names.skipped(path)
    if renamed and names.skipped(detail["original-file-path"]) != "temporary":
        why = why or "taken in under its first name"
    if why:
        logger.info("upload left alone", program=program_id, source=source, why=why)
        return None
    program = hub().program(program_id)
    if program is None:
        raise NoProgram(program_id)
    at = on_our_clock(hub(), instant(detail["end-timestamp"]))
    identity = f"{key}@{detail.get('etag', 'renamed')}"
    id = delivery_id(at, program_id, source, identity)
    if known := hub().deliveries(program_id).get(id):
        return known.delivery
    body_key = f"raw/{program_id}/{id}"
    copied = hub().inbox.copy(key, body_key)
    delivery = Delivery(
        id=id,
        program=program_id,
        channel=Channel.SFTP,
        source=source,
        kind=Kind.FILE,
        identity=identity,
        received_at=at,
        sha256=copied.sha256,
        size=copied.size,
        name=name,
        sender=detail.get("username", ""),
        body_key=body_key,
        reply={"folder": key.rpartition("/")[0], "name": name},
    )
    leave_receipt(program, delivery)
    return delivery


def leave_receipt(program: Program, delivery: Delivery) -> None:
    text = receipt_text(
        program.language, delivery.name, delivery.size, delivery.sha256, delivery.received_at, delivery.id
    )
    hub().inbox.put(f"{delivery.reply['folder']}/{names.receipt(delivery.name)}", text)
