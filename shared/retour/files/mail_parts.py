"""The files of a mail, wherever they hang, and what of it is none. Nothing raises, whatever a mail looks like.

Headers are read from their raw text: the standard library's own readings raise on dozens of malformed ones, each with
an error of its own. Content decides what a part is; its declared type and its name prove nothing.
"""

import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message
from email.parser import BytesHeaderParser
from itertools import pairwise

from retour.files import names, tnef
from retour.files.sniff import BYTE_ORDER_MARKS, PICTURES, sniff
from retour.files.text import SNIFF_BYTES

DEPTH_MAX = 10
PARTS_MAX = 200
FILES_MAX = 20

ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?\s]{0,500})\?=")
ENCODED_WORDS = re.compile(rf"(?:{ENCODED_WORD.pattern}\s*(?==\?))*{ENCODED_WORD.pattern}")
BARE_NAME = re.compile(r"(?:file)?name=(?![\"'*])([^;\"\r\n]*)", re.IGNORECASE)
CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
CONTENT_TYPE = re.compile(r"\s*([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)\s*(?:;|$)")
UUENCODED = re.compile(
    rb"^begin [0-7]{3,4} ([^\r\n]{1,255})\r?\n((?:[\x20-\x60]{0,62}\r?\n)+?)`?\r?\n?end\b", re.MULTILINE
)
UUENCODED_BASE64 = re.compile(
    rb"^begin-base64 [0-7]{3,4} ([^\r\n]{1,255})\r?\n((?:[A-Za-z0-9+/=]{1,80}\r?\n)+?)====", re.MULTILINE
)
MAILBOX_LINE = re.compile(rb"^From [^\r\n]{1,300}\r?\n(?=[A-Za-z][\w-]{0,60}:)", re.MULTILINE)
FORWARDED_TYPE = re.compile(rb"^(content-type:[ \t]*)message/(?:rfc822|global|news)\b", re.MULTILINE | re.IGNORECASE)
ENCODING = re.compile(
    rb"^content-transfer-encoding:\s*(?:base64|quoted-printable|x-uuencode|uuencode|x-uue)\b",
    re.MULTILINE | re.IGNORECASE,
)
ENCODED_MAIL = "application/x-encoded-mail"
HEADERS_BYTES = 2_000
"""How far the headers of a part may lie apart."""

SIGNATURE_TYPES = frozenset(
    f"application/{kind}"
    for kind in ("pkcs7-signature", "x-pkcs7-signature", "pgp-signature", "pgp-encrypted", "pgp-keys")
)
SIGNATURE_SUFFIXES = (".p7s", ".sig")
LOOKS = PICTURES | {"AppleDouble"}
BODY_TYPES = frozenset(("text/plain", "text/html", "text/enriched"))
CALENDARS_AND_CONTACTS = (b"BEGIN:VCALENDAR", b"BEGIN:VCARD")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as it was attached; its name is only for people. `charset` is what its part declares its text to be in."""

    name: str
    content: bytes
    charset: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True)
class MailFiles:
    """The files of a mail; the names of what is none; whether the mail is built beyond measure."""

    files: list[Attachment] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    excess: bool = False


def mail_files(raw: bytes) -> MailFiles:
    """Every file of a mail, or of a mailbox, each content once."""
    found = MailFiles()
    seen = set()
    try:
        for count, (depth, part) in enumerate(leaf_parts(raw), 1):
            if count > PARTS_MAX or depth > DEPTH_MAX or len(found.files) > FILES_MAX:
                found.excess = True
                return found
            attachment = part_attachment(part, len(found.files) + 1, found.ignored)
            if attachment is None:
                continue
            if attachment.sha256 in seen:
                found.ignored.append(attachment.name)
            else:
                found.files.append(attachment)
            seen.add(attachment.sha256)
    except Exception:
        # The parser itself stumbled (a boundary in a charset that is none): nothing of the mail can be told apart.
        found.excess = True
        return found
    found.excess = len(found.files) > FILES_MAX
    return found


class PackedFile(Message):
    """A file that a part packs in a way of its own (winmail.dat, uuencode), as the part it would be by itself."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(policy=policy.compat32)
        self["Content-Type"] = "application/octet-stream"
        self.name, self.content = name, content


def leaf_parts(raw: bytes) -> Iterator[tuple[int, Message]]:
    """Every part that holds content, with its depth; forwarded mails are gone into, however they are wrapped."""
    waiting: list[tuple[int, Message]] = [(0, mail) for mail in reversed(saved_mails(raw))]
    while waiting:
        depth, part = waiting.pop()
        inside = inner_parts(part) if depth <= DEPTH_MAX else None
        if inside is None:
            yield depth, part
        else:
            waiting.extend((depth + 1, child) for child in reversed(inside))


def inner_parts(part: Message) -> Sequence[Message] | None:
    """The parts within a part, or None where it is one itself."""
    if part.is_multipart():
        return [child for child in part.get_payload() if isinstance(child, Message)]
    is_body = declared_type(part) in BODY_TYPES and not is_attached(part)
    content = content_of(part)
    kind = sniff(content[:SNIFF_BYTES])
    is_mail = declared_type(part) == ENCODED_MAIL or file_name(part).lower().endswith((".eml", ".mbox"))
    if not is_body and (kind == "MAIL" or is_mail):
        return [mail for mail in saved_mails(content) if mail.keys()] or None
    if kind == "TNEF":
        return [PackedFile(name, data) for name, data in tnef.unpack_attachments(content)] or None
    if declared_type(part) in BODY_TYPES and not names.has_table_suffix(file_name(part)):
        return [PackedFile(name, data) for name, data in uuencoded_files(content)] or None
    return None


def saved_mails(content: bytes) -> list[Message]:
    """The mail that was saved as these bytes, or all those of a mailbox."""
    content = content.removeprefix(BYTE_ORDER_MARKS[0]).lstrip(b"\r\n")
    starts = [found.start() for found in MAILBOX_LINE.finditer(content)] if content.startswith(b"From ") else []
    bounds = pairwise([*starts[:PARTS_MAX], len(content)]) if starts else [(0, len(content))]
    return [message_from_bytes(name_encoded_mails(content[start:end]), policy=policy.compat32) for start, end in bounds]


def name_encoded_mails(raw: bytes) -> bytes:
    """The same with forwarded mails that are encoded declared as files, which the parser leaves as they are.

    It would take their encoded lines for the headers of a mail.
    """

    def rename(found: re.Match[bytes]) -> bytes:
        before = raw[max(found.start() - HEADERS_BYTES, 0) : found.start()].replace(b"\r", b"").rpartition(b"\n\n")[2]
        after = raw[found.end() : found.end() + HEADERS_BYTES].replace(b"\r", b"").partition(b"\n\n")[0]
        return found[1] + ENCODED_MAIL.encode() if ENCODING.search(before + b"\n" + after) else found[0]

    return FORWARDED_TYPE.sub(rename, raw)


def uuencoded_files(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file that stands in a text in one of the two ways of uuencode."""
    if b"begin" not in text:
        return
    for way, decode in ((UUENCODED, decode_uu), (UUENCODED_BASE64, decode_base64)):
        for found in way.finditer(text):
            if content := decode(found[2]):
                yield found[1].decode("utf-8", "replace"), content


def part_attachment(part: Message, number: int, ignored: list[str]) -> Attachment | None:
    """A part as a file; what is only the looks of a mail goes to `ignored` by its name."""
    declared = declared_type(part)
    content = content_of(part)
    name = file_name(part)
    if declared in SIGNATURE_TYPES or name.lower().endswith(SIGNATURE_SUFFIXES):
        return None
    if not content.strip():
        ignored.extend([names.safe_name(name)] if name else [])
        return None
    if declared in BODY_TYPES and not name and not is_attached(part):
        return None
    kind = sniff(content[:SNIFF_BYTES])
    ending = {"TEXT": ".csv", "ZIP": ".zip", "GZIP": ".gz"}.get(kind, "")
    shown = names.safe_name(name) if name else f"attachment-{number}{ending}"
    looks = kind in LOOKS or (kind in ("HTML", "PGP") and not names.has_table_suffix(name))
    if looks or content.lstrip()[:15].upper().startswith(CALENDARS_AND_CONTACTS):
        if name or declared not in BODY_TYPES:
            ignored.append(shown if name else kind or declared)
        return None
    if names.skip_reason(name) or names.is_system_file(name):
        ignored.append(shown)
        return None
    charset = CHARSET.search(header(part, "content-type")) if declared.startswith("text/") else None
    return Attachment(shown, content, charset[1].lower() if charset else "")


def decode_uu(lines: bytes) -> bytes:
    try:
        return b"".join(binascii.a2b_uu(line) for line in lines.splitlines() if line.strip())
    except binascii.Error:
        return b""


def decode_base64(lines: bytes) -> bytes:
    try:
        return binascii.a2b_base64(lines)
    except binascii.Error:
        return b""


def content_of(part: Message) -> bytes:
    """The bytes of a part as they were attached; none where they cannot be had."""
    if isinstance(part, PackedFile):
        return part.content
    try:
        content = part.get_payload(decode=True)
    except Exception:
        # An encoding of its own making, in any of its headers.
        return b""
    return content if isinstance(content, bytes) else b""


# Headers


def header(part: Message, name: str) -> str:
    """The first header of a name, unfolded, as text; empty where there is none."""
    for key, value in part.raw_items():
        if key.lower() == name:
            return header_text(re.sub(r"\r?\n(?=[ \t])", "", str(value)))
    return ""


def header_text(value: str) -> str:
    """A raw header whose bytes beyond ASCII are UTF-8, or else each a sign of its own."""
    if value.isascii():
        return value
    data = value.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def declared_type(part: Message) -> str:
    found = CONTENT_TYPE.match(header(part, "content-type"))
    return found[1].lower() if found else "text/plain"


def is_attached(part: Message) -> bool:
    return header(part, "content-disposition").partition(";")[0].strip().lower() == "attachment"


def decode_encoded_words(value: str) -> str:
    """A header as a person reads it: encoded words decoded, where they can be."""
    return ENCODED_WORDS.sub(lambda found: join_encoded_words(list(ENCODED_WORD.findall(found[0]))), value)


def join_encoded_words(parts: Sequence[tuple[str, str, str]]) -> str:
    """Decode adjacent encoded words; a multi-byte character may be split between two words of the same charset."""
    text, data, before = "", b"", ""
    for charset, way, content in parts:
        if data and charset.lower() != before:
            text, data = text + decode_charset(data, before), b""
        before = charset.lower()
        data += decode_word(content, way)
    return text + decode_charset(data, before)


def decode_word(content: str, encoding: str) -> bytes:
    if encoding in "bB":
        try:
            return binascii.a2b_base64(content.encode("ascii", "ignore") + b"==")
        except binascii.Error:
            return b""
    return binascii.a2b_qp(content.encode("utf-8", "replace"), header=True)


def decode_charset(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset, "replace")
    except (LookupError, ValueError):
        # No charset, or one (idna, a codec of bytes) that does not decode like others.
        return data.decode("utf-8", "replace")


def file_name(part: Message) -> str:
    """The name of an attachment as its sender meant it, or nothing.

    The two readings of the standard library fail on different mails: the strict one where a name is an encoded word
    without quotes or has blanks without quotes, the lenient one elsewhere. The strict one is asked first.
    """
    if isinstance(part, PackedFile):
        return part.name
    raw = {name: header(part, name) for name in ("content-disposition", "content-type")}
    for value in raw.values():
        if (bare := BARE_NAME.search(value)) and " " in bare[1].strip() and "=?" not in bare[1]:
            return bare[1].strip()
    lines = "".join(f"{name}: {value}\n" for name, value in raw.items() if value).encode("utf-8", "replace")
    strict = parse_file_name(lines, policy.default)
    if strict and not _is_suspicious(strict):
        return strict
    lenient = decode_encoded_words(parse_file_name(lines, policy.compat32))
    return lenient if lenient and not _is_suspicious(lenient) else printable_text(strict or lenient)


def parse_file_name(lines: bytes, parser_policy: "policy.Policy[Message]") -> str:
    try:
        return header_text(str(BytesHeaderParser(policy=parser_policy).parsebytes(lines + b"\n").get_filename() or ""))
    except Exception:
        # Charsets that are none, parts without a number, and whatever else a header may hold.
        return ""


def printable_text(name: str) -> str:
    return "".join(sign for sign in name if sign.isprintable() and sign != "\ufffd")


def _is_suspicious(name: str) -> bool:
    return "=?" in name or "\ufffd" in name or not name.isprintable()
