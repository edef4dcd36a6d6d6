"""A sample file carried in a page's form, so that nothing is stored."""

import base64
import binascii
import zlib
from dataclasses import dataclass

from retour.console.deliveries import recent_headers
from retour.console.page_context import PageContext
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Source
from retour.files import names
from retour.files.sniff import sniff
from retour.files.text import SNIFF_BYTES
from retour.store.deliveries import DeliveryHeader
from retour.views.deliveries import load_raw_body

LINES_MAX = 400
"""Lines kept of a text; more would not be read."""
PACKED_CHARS_MAX = 60_000
"""Characters of a packed sample in a form."""
BODY_MAX = 4 * 1024 * 1024
DAYS = 60


@dataclass(frozen=True)
class SampleFile:
    """A sample file. `delivery` is its origin, or `packed` has an uploaded file."""

    name: str
    body: bytes
    delivery: str = ""
    packed: str = ""


def sample_from_form(context: PageContext, source: str) -> SampleFile | str:
    """The sample in a form, an error message, or empty."""
    form, say = context.request.form, context.words.say
    upload = context.request.uploads.get("file")
    if upload is not None and upload.name:
        return pack_upload(context, upload.name, upload.body)
    if packed := form.get("sample", ""):
        body = unpack(packed)
        return SampleFile(form.get("name", "sample"), body, packed=packed) if body else say("Choose the sample again.")
    if form.get("delivery"):
        header = context.reader.deliveries.get(form["delivery"])
        if header is None or header.delivery.source != source or header.delivery.kind is not DeliveryKind.FILE:
            return say("This file is not kept any more.")
        return sample_from_delivery(context, header) or say(
            "This file is not kept any more, or too large to look at here."
        )
    return say("Choose a file that is not empty.") if context.request.uploads else ""


def pack_upload(context: PageContext, name: str, body: bytes) -> SampleFile | str:
    """An uploaded file packed for the form; of a text only the first lines."""
    say = context.words.say
    if not body:
        return say("Choose a file that is not empty.")
    body = first_lines(body)
    packed = base64.urlsafe_b64encode(zlib.compress(body, 9)).decode()
    if len(packed) > PACKED_CHARS_MAX:
        return say("The sample is too large to work with here; save one with its first rows only.")
    return SampleFile(names.safe_name(name), body, packed=packed)


def first_lines(body: bytes) -> bytes:
    """A long text up to a line that ends outside quotes; other content unchanged."""
    if sniff(body[:SNIFF_BYTES]) != "TEXT":
        return body
    at, quotes = 0, 0
    for number in range(1, 2 * LINES_MAX):
        end = body.find(b"\n", at) + 1
        if not end:
            return body
        line, at = body[at:end], end
        quotes += len(line) - len(line.replace(b'"', b""))
        if number >= LINES_MAX and quotes % 2 == 0:
            return body[:at]
    return body


def unpack(packed: str) -> bytes:
    """Unpack a sample, within the size limit."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(base64.urlsafe_b64decode(packed.encode()), BODY_MAX)
    except (binascii.Error, ValueError, zlib.error):
        return b""
    return body if unpacker.eof else b""


def newest_file(context: PageContext, source: str) -> DeliveryHeader | None:
    """The newest file of a source."""
    return next(
        (
            one
            for one in recent_headers(context, DAYS)
            if one.delivery.source == source and one.delivery.kind is DeliveryKind.FILE
        ),
        None,
    )


def sample_from_delivery(context: PageContext, header: DeliveryHeader) -> SampleFile | None:
    if header.delivery.size > BODY_MAX or header.delivery.facts.get("layout"):
        return None
    body = load_raw_body(context.reader, header)
    return SampleFile(header.delivery.name, first_lines(body), delivery=header.delivery.id) if body else None


def as_delivery(context: PageContext, source: Source, sample: SampleFile) -> Delivery:
    """The delivery a sample would be."""
    return Delivery.create(
        sample.body,
        received_at=context.hub.now(),
        program=context.program.id,
        channel=source.channel,
        source=source.name,
        kind=DeliveryKind.FILE,
        name=sample.name,
        sender=context.signed_in_person.name,
    )
