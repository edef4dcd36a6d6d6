"""A sample file on its way through a page's forms: it travels in the form itself, so nothing of it is kept here."""

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass

from retour.api import batches
from retour.console.deliveries import since
from retour.console.visit import Visit
from retour.domain.delivery import Delivery, Kind, delivery_id
from retour.domain.program import Source
from retour.files import names
from retour.files.sniff import sniff
from retour.files.text import HEAD
from retour.store.deliveries import Header

LINES = 400
"""Of a text; more would not be looked at."""
CARRIED_MAX = 60_000
"""Signs of a packed sample in a form."""
BODY_MAX = 4 * 1024 * 1024
DAYS = 60


@dataclass(frozen=True)
class Chosen:
    """A sample by its name: `delivery` is the one it was taken from, `packed` carries a file that somebody chose."""

    name: str
    body: bytes
    delivery: str = ""
    packed: str = ""


def chosen(visit: Visit, source: str) -> Chosen | str:
    """The sample a form brings; or what is wrong with it, in words; empty where it brings none."""
    form, say = visit.request.form, visit.words.say
    upload = visit.request.uploads.get("file")
    if upload is not None and upload.name:
        return carried(visit, upload.name, upload.body)
    if packed := form.get("sample", ""):
        body = unpacked(packed)
        return Chosen(form.get("name", "sample"), body, packed=packed) if body else say("Choose the sample again.")
    if form.get("delivery"):
        header = visit.reader.deliveries.get(form["delivery"])
        if header is None or header.delivery.source != source or header.delivery.kind is not Kind.FILE:
            return say("This file is not kept any more.")
        return of_delivery(visit, header) or say("This file is not kept any more, or too large to look at here.")
    return say("Choose a file that is not empty.") if visit.request.uploads else ""


def carried(visit: Visit, name: str, body: bytes) -> Chosen | str:
    """An uploaded file, a text by its first lines, packed to travel in the form."""
    say = visit.words.say
    if not body:
        return say("Choose a file that is not empty.")
    body = first_lines(body)
    packed = base64.urlsafe_b64encode(zlib.compress(body, 9)).decode()
    if len(packed) > CARRIED_MAX:
        return say("The sample is too large to work with here; save one with its first rows only.")
    return Chosen(names.safe(name), body, packed=packed)


def first_lines(body: bytes) -> bytes:
    """A long text up to a line that ends outside of quotes; anything else as it is."""
    if sniff(body[:HEAD]) != "TEXT":
        return body
    at, quotes = 0, 0
    for number in range(1, 2 * LINES):
        end = body.find(b"\n", at) + 1
        if not end:
            return body
        line, at = body[at:end], end
        quotes += len(line) - len(line.replace(b'"', b""))
        if number >= LINES and quotes % 2 == 0:
            return body[:at]
    return body


def unpacked(packed: str) -> bytes:
    """Never more than any sample may be, whatever a form says."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(base64.urlsafe_b64decode(packed.encode()), BODY_MAX)
    except (binascii.Error, ValueError, zlib.error):
        return b""
    return body if unpacker.eof else b""


def newest(visit: Visit, source: str) -> Header | None:
    """The newest file that came from a source."""
    return next(
        (one for one in since(visit, DAYS) if one.delivery.source == source and one.delivery.kind is Kind.FILE), None
    )


def of_delivery(visit: Visit, header: Header) -> Chosen | None:
    if header.delivery.size > BODY_MAX or header.delivery.facts.get("layout"):
        return None
    body = batches.arrived(visit.reader, header)
    return Chosen(header.delivery.name, first_lines(body), delivery=header.delivery.id) if body else None


def as_sent(visit: Visit, source: Source, sample: Chosen) -> Delivery:
    """The delivery that a sample would be, had its source sent it."""
    now, digest = visit.hub.now(), hashlib.sha256(sample.body).hexdigest()
    return Delivery(
        id=delivery_id(now, visit.program.id, source.name, digest),
        program=visit.program.id,
        channel=source.channel,
        source=source.name,
        kind=Kind.FILE,
        identity=digest,
        received_at=now,
        sha256=digest,
        size=len(sample.body),
        name=sample.name,
        sender=visit.someone.name,
    )
