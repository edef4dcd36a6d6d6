"""The files of a mail, wherever they hang, and what of it is none. Nothing raises, whatever a mail looks like.

Headers are read from their raw text: the standard library's own readings raise on dozens of malformed ones, each with
an error of its own. Content decides what a part is; its declared type and its name prove nothing.
"""

import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message
from email.parser import BytesHeaderParser
from io import BytesIO

from retour.channels import tnef
from retour.domain.program import Source
from retour.files import names
from retour.files.sniff import NON_TABLES, PICTURES, sniff
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

SIGNATURE_TYPES = frozenset(
    f"application/{kind}"
    for kind in ("pkcs7-signature", "x-pkcs7-signature", "pgp-signature", "pgp-encrypted", "pgp-keys")
)
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


def mail_files(raw: bytes, source: Source) -> MailFiles:
    """Every file of a mail to this source. Beside files that are read, what is no table is left out and named."""
    found = MailFiles()
    try:
        mail = message_from_bytes(raw, policy=policy.compat32)
        for count, (depth, part) in enumerate(leaf_parts(mail), 1):
            if count > PARTS_MAX or depth > DEPTH_MAX or len(found.files) > FILES_MAX:
                found.excess = True
                return found
            for attachment in part_attachments(part, len(found.files) + 1, found.ignored):
                if attachment.sha256 in {other.sha256 for other in found.files}:
                    found.ignored.append(attachment.name)
                else:
                    found.files.append(attachment)
    except Exception:
        # The parser itself stumbled (a boundary in a charset that is none): nothing of the mail can be told apart.
        found.excess = True
        return found
    found.excess = len(found.files) > FILES_MAX
    return without_non_tables(found, lambda file: can_open(file, source))


def without_non_tables(found: MailFiles, is_read: Callable[[Attachment], bool]) -> MailFiles:
    """Without what is no table, where another file is one: a PDF, a disclaimer, a README."""
    foreign = [file for file in found.files if is_non_table(file) and not is_read(file)]
    if not foreign or len(foreign) == len(found.files):
        return found
    left = [file for file in found.files if file not in foreign]
    return MailFiles(left, [*found.ignored, *(file.name for file in foreign)], found.excess)


def is_non_table(file: Attachment) -> bool:
    kind = sniff(file.content[:SNIFF_BYTES])
    return kind in NON_TABLES or (kind in ("TEXT", "") and not names.has_table_suffix(file.name))


def can_open(file: Attachment, source: Source) -> bool:
    from retour.files.open import open_file
    from retour.files.opened_file import OpenedFile

    return isinstance(open_file(file.name, BytesIO(file.content), source), OpenedFile)


def leaf_parts(mail: Message) -> Iterator[tuple[int, Message]]:
    """Every part that holds content, with its depth; forwarded mails are gone into, however they are wrapped."""
    waiting: list[tuple[int, Message]] = [(0, mail)]
    while waiting:
        depth, part = waiting.pop()
        inside = inner_parts(part) if depth <= DEPTH_MAX else None
        if inside is None:
            yield depth, part
        else:
            waiting.extend((depth + 1, child) for child in reversed(inside))


def inner_parts(part: Message) -> list[Message] | None:
    """The parts within a part, or None where it is one itself."""
    if part.is_multipart():
        parts = [child for child in part.get_payload() if isinstance(child, Message)]
        wrapped = header(part, "content-transfer-encoding").strip().lower()
        if declared_type(part) == "message/rfc822" and wrapped in ("base64", "quoted-printable") and parts:
            text = parts[0].get_payload()
            unwrapped = Message(policy=policy.compat32)
            unwrapped["Content-Transfer-Encoding"] = wrapped
            unwrapped.set_payload(text if isinstance(text, str) else "")
            return [message_from_bytes(content_of(unwrapped), policy=policy.compat32)]
        return parts
    if declared_type(part) in BODY_TYPES and not is_attached(part):
        return None
    content = content_of(part)
    if sniff(content[:SNIFF_BYTES]) == "MAIL" or file_name(part).lower().endswith(".eml"):
        mail = message_from_bytes(content, policy=policy.compat32)
        return [mail] if mail.keys() else None
    return None


def part_attachments(part: Message, number: int, ignored: list[str]) -> Iterator[Attachment]:
    """A part as a file, or the files that it packs; what is only the looks of a mail goes to `ignored` by its name."""
    declared = declared_type(part)
    content = content_of(part)
    name = file_name(part)
    if declared in SIGNATURE_TYPES or not content.strip():
        if name and declared not in SIGNATURE_TYPES:
            ignored.append(names.safe_name(name))
        return
    if declared in BODY_TYPES and not name and not is_attached(part):
        for encoded in UUENCODED.finditer(content) if b"\nend" in content else ():
            unpacked = decode_uu(encoded[2])
            if unpacked and not names.skip_reason(shown := names.safe_name(encoded[1].decode("utf-8", "replace"))):
                yield Attachment(shown, unpacked)
        return
    kind = sniff(content[:SNIFF_BYTES])
    if kind == "TNEF" and (packed := tnef.unpack_attachments(content)):
        for inside, data in packed:
            shown = names.safe_name(inside) if inside else f"attachment-{number}"
            if sniff(data[:SNIFF_BYTES]) in PICTURES or names.skip_reason(inside):
                ignored.append(shown)
            else:
                yield Attachment(shown, data)
        return
    ending = {"TEXT": ".csv", "ZIP": ".zip", "GZIP": ".gz"}.get(kind, "")
    shown = names.safe_name(name) if name else f"attachment-{number}{ending}"
    looks = kind in ("HTML", "PGP") and not names.has_table_suffix(name)
    if kind in PICTURES or looks or content.lstrip()[:15].upper().startswith(CALENDARS_AND_CONTACTS):
        if name or declared not in BODY_TYPES:
            ignored.append(shown if name else kind or declared)
        return
    if names.skip_reason(name):
        ignored.append(shown)
        return
    charset = CHARSET.search(header(part, "content-type")) if declared.startswith("text/") else None
    yield Attachment(shown, content, charset[1].lower() if charset else "")


def decode_uu(lines: bytes) -> bytes:
    try:
        return b"".join(binascii.a2b_uu(line) for line in lines.splitlines() if line.strip())
    except binascii.Error:
        return b""


def content_of(part: Message) -> bytes:
    """The bytes of a part as they were attached; none where they cannot be had."""
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
