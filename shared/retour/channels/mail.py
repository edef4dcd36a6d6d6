"""A mail to a source's own address: whether it is believed, which files it brings, and the answer to it.

Nothing a sender writes can prove who they are. The verdict is read from the one header that our receiver put on top.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from functools import cache
from importlib.resources import files

from retour.domain.program import Source
from retour.files import names
from retour.files.sniff import sniff
from retour.files.text import HEAD

RECEIVERS = ("amazonses.com", "retour.local")
DEPTH = 10
PARTS = 200
FILES = 20
LISTED = 20

ADDRESS = re.compile(r"([a-z][a-z0-9-]{1,30})\.([a-z0-9_-]{1,64})\.([a-z0-9]{16,64})(?:\+[^@]*)?@(.+)")
ONE = r'([^<>\s@"(),;:\\]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)'
NAMED_FROM = re.compile(rf'\s*(?:"(?:[^"\\]|\\.)*"|[^"<>,;:()\\])*<{ONE}>\s*')
BARE_FROM = re.compile(rf"\s*{ONE}\s*(?:\([^()]*\)\s*)?")
COMMENT = re.compile(r"\([^()]*\)")
DMARC_PASS = re.compile(r"\s*dmarc\s*=\s*pass\s.*?\bheader\.from\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE | re.DOTALL)
BARE_NAME = re.compile(r"(?:file)?name=(?![\"'*])([^;\"\r\n]*)", re.IGNORECASE)

SIGNATURES = frozenset(
    f"application/{kind}"
    for kind in ("pkcs7-signature", "x-pkcs7-signature", "pgp-signature", "pgp-encrypted", "pgp-keys")
)
BODIES = frozenset(("text/plain", "text/html", "text/enriched"))
NO_FILES = frozenset(("PNG", "JPEG", "GIF", "HTML", "PGP"))


@dataclass(frozen=True, slots=True)
class Address:
    program: str
    source: str
    token: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as it was attached; its name is only for people."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mail and its files. `automatic`: a program sent it, so it gets no answer; `ignored`: parts not read."""

    sender: str
    message_id: str
    subject: str
    files: tuple[Attachment, ...]
    automatic: bool = False
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A mail from an allowed sender that nothing proves to be theirs; its source keeps it for a person."""

    mail: Accepted


@dataclass(frozen=True, slots=True)
class Rejected:
    """A believed mail that brings no file to read; the sender is told."""

    code: str
    mail: Accepted


@dataclass(frozen=True, slots=True)
class Quiet:
    """A mail that is dropped and counted: answering it would feed a loop or tell a stranger something."""

    why: str


def address(recipient: str, domain: str) -> Address | None:
    """The source a recipient of the envelope belongs to, or None for any other address. A `+label` is put up with."""
    found = ADDRESS.fullmatch(recipient.strip().strip("<>").lower())
    return Address(found[1], found[2], found[3]) if found and found[4] == domain.lower() else None


def is_token(token: str, tokens: Sequence[str]) -> bool:
    """Whether an address bears one of a source's live tokens; each comparison takes the same time, right or wrong."""
    return any(hmac.compare_digest(token.encode(), str(live).lower().encode()) for live in tokens)


def screen(
    raw: bytes,
    source: Source,
    *,
    envelope_sender: str,
    domain: str,
    dmarc: str | None = None,
    virus: str | None = None,
    receivers: Sequence[str] = RECEIVERS,
    signed: Callable[[Attachment], bool] = lambda _file: False,
) -> Accepted | Held | Rejected | Quiet:
    """What to do with a mail to a source. Never raises, whatever the mail looks like.

    `dmarc` and `virus` are the receiver's verdicts where it tells them beside the mail; they can only take belief away.
    `signed` says whether a registered key signed a file, which proves it whatever its mail looks like; it is asked
    only where DMARC did not prove the mail, and only if the source has signers.
    """
    head = BytesHeaderParser(policy=policy.default).parsebytes(raw)
    headers = Headers(head)
    sender = _from(headers)
    if sender is None:
        return Quiet("the From is not exactly one address")
    if virus not in (None, "PASS"):
        return Quiet("the virus scan did not pass")
    if why := _loop(headers, head, sender, envelope_sender, domain):
        return Quiet(why)
    if sender.lower() not in {str(allowed).lower() for allowed in source.options.get("allow_from", ())}:
        return Quiet("the From is not on the source's list")
    believed = dmarc in (None, "PASS") and dmarc_passed(headers, sender.rpartition("@")[2], receivers)
    provable = believed or bool(source.options.get("signers"))
    if not provable and not source.options.get("accept_unauthenticated", False):
        return Quiet("DMARC did not pass")
    try:
        found, ignored, excess = _files(message_from_bytes(raw, policy=policy.default))
    except RecursionError:
        found, ignored, excess = [], 0, True
    taken = Accepted(
        sender=sender,
        message_id=headers.text("message-id").strip()[:250] or f"<{hashlib.sha256(raw).hexdigest()}>",
        subject=headers.text("subject")[:200],
        files=tuple(found),
        automatic=_automatic(headers),
        ignored=ignored,
    )
    if excess or not found:
        return Rejected("MAIL_WITHOUT_FILE", taken) if believed else Quiet("nothing to hold")
    if believed or (provable and all(map(signed, found))):
        return taken
    return Held(taken) if source.options.get("accept_unauthenticated", False) else Quiet("DMARC did not pass")


class Headers:
    """The headers of a mail from top to bottom, as they came, without the folding."""

    def __init__(self, mail: Message) -> None:
        self.items = [(name.lower(), re.sub(r"\r?\n(?=[ \t])", "", str(value))) for name, value in mail.raw_items()]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.items if key == name]

    def text(self, name: str) -> str:
        """The first of a name as a person reads it: encoded words decoded, nothing that could begin a new header."""
        value = next(iter(self.all(name)), "")
        with suppress(HeaderParseError, LookupError, ValueError):
            value = str(make_header(decode_header(value)))
        return "".join(sign for sign in value if sign.isprintable())


def _from(headers: Headers) -> str | None:
    named = headers.all("from")
    if len(named) != 1:
        return None
    found = NAMED_FROM.fullmatch(named[0]) or BARE_FROM.fullmatch(named[0])
    return found[1] if found and found[1].isprintable() else None


def dmarc_passed(headers: Headers, domain: str, receivers: Sequence[str]) -> bool:
    """Whether our receiver found that the mail is from the domain of its From.

    Only the topmost Authentication-Results counts, only above the second Received, only signed by a receiver of ours.
    """
    received = 0
    for name, value in headers.items:
        received += name == "received"
        if received > 1:
            return False
        if name == "authentication-results":
            before = None
            while before != value:
                before, value = value, COMMENT.sub(" ", value)
            server, *verdicts = value.split(";")
            passed = [found[1] for verdict in verdicts if (found := DMARC_PASS.match(verdict))]
            signed = server.split()[:1]
            return bool(signed) and signed[0].lower() in receivers and [d.lower() for d in passed] == [domain.lower()]
    return False


def _loop(headers: Headers, mail: Message, sender: str, envelope_sender: str, domain: str) -> str:
    """Why answering or even reading this mail could go in circles, or nothing."""
    submitted = [value.split(";")[0].strip().lower() for value in headers.all("auto-submitted")]
    if not envelope_sender.strip("<> ") or "<>" in (value.strip() for value in headers.all("return-path")[:1]):
        return "an empty envelope sender: a bounce"
    if any(value not in ("no", "auto-generated") for value in submitted):
        return "an automatic reply"
    if mail.get_content_type() == "multipart/report":
        return "a report about another mail"
    if any(value.strip().lower() in ("auto_reply", "junk") for value in headers.all("precedence")):
        return "an automatic reply"
    if sender.rpartition("@")[2].lower() == domain.lower():
        return "a mail from our own domain"
    return ""


def _automatic(headers: Headers) -> bool:
    """Whether a program sent the mail: its file is taken, and nobody is there to read an answer."""
    return bool(
        any(not value.strip().lower().startswith("no") for value in headers.all("auto-submitted"))
        or any(value.strip().lower() in ("bulk", "list") for value in headers.all("precedence"))
        or headers.all("x-auto-response-suppress")
        or headers.all("list-id")
    )


def _files(mail: Message) -> tuple[list[Attachment], int, bool]:
    """The files of a mail, wherever they hang; the count of parts that are none; whether it is built beyond measure."""
    found: list[Attachment] = []
    ignored = 0
    for count, (depth, part) in enumerate(_leaves(mail), 1):
        if count > PARTS or depth > DEPTH:
            return found, ignored, True
        attachment = _attachment(part, len(found) + 1)
        if attachment is None or attachment.sha256 in {other.sha256 for other in found}:
            ignored += 1
        else:
            found.append(attachment)
    return found, ignored, len(found) > FILES


def _leaves(mail: Message) -> Iterator[tuple[int, Message]]:
    """Every part that holds content, with its depth; forwarded mails are gone into."""
    waiting: list[tuple[int, Message]] = [(0, mail)]
    while waiting:
        depth, part = waiting.pop()
        inner = part.get_payload()
        if isinstance(inner, list) and depth <= DEPTH:
            waiting.extend((depth + 1, child) for child in reversed(inner) if isinstance(child, Message))
        else:
            yield depth, part


def _attachment(part: Message, number: int) -> Attachment | None:
    """A part as a file, or None for what is the text, the looks or the signature of a mail. Its content decides."""
    declared = part.get_content_type()
    if declared in SIGNATURES:
        return None
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content.strip():
        return None
    name = file_name(part)
    attached = (part.get_content_disposition() or "").lower() == "attachment"
    if declared in BODIES and not name and not attached:
        return None
    kind = sniff(content[:HEAD])
    if kind in NO_FILES or content.lstrip()[:15].upper().startswith((b"BEGIN:VCALENDAR", b"BEGIN:VCARD")):
        return None
    if names.skipped(name):
        return None
    ending = {"TEXT": ".csv", "ZIP": ".zip", "GZIP": ".gz"}.get(kind, "")
    return Attachment(names.safe(name) if name else f"attachment-{number}{ending}", content)


def file_name(part: Message) -> str:
    """The name of an attachment as its sender meant it, or nothing.

    The two readings of the standard library fail on different mails: the strict one where a name is an encoded word
    without quotes or has blanks without quotes, the lenient one elsewhere. The strict one is asked first.
    """
    raw = {name.lower(): str(value) for name, value in part.raw_items()}
    for header in ("content-disposition", "content-type"):
        if (bare := BARE_NAME.search(raw.get(header, ""))) and " " in bare[1].strip() and "=?" not in bare[1]:
            return bare[1].strip()
    try:
        strict = part.get_filename() or ""
    except (HeaderParseError, LookupError, ValueError, IndexError, AttributeError, TypeError):
        strict = ""
    if strict and not _suspicious(strict):
        return strict
    lenient = Message(policy=policy.compat32)
    for header in ("content-disposition", "content-type"):
        if header in raw:
            lenient[header] = raw[header]
    try:
        found = lenient.get_filename() or ""
        decoded = str(make_header(decode_header(found))) if "=?" in found else found
    except (HeaderParseError, LookupError, ValueError, IndexError, TypeError):
        decoded = ""
    return decoded if decoded and not _suspicious(decoded) else strict or decoded


def _suspicious(name: str) -> bool:
    return "=?" in name or "\ufffd" in name or not name.isprintable()


@cache
def _texts() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(files("retour.channels").joinpath("mail.json").read_text("utf-8"))
    return found


def reply(
    *,
    language: str,
    program: str,
    sender: str,
    to: Mapping[str, str],
    name: str,
    delivery: str,
    at: datetime,
    counts: Mapping[str, int],
    again: str = "",
    refusal: str = "",
    held: bool = False,
    lines: Sequence[tuple[str, str, str]] = (),
    rejected: tuple[str, bytes] | None = None,
) -> bytes:
    """The answer to a mail's file: how many rows became what, why the first refused ones were, and those to correct.

    `to` is the delivery's `reply`; `refusal` the sentence of a file not taken in as a whole, or `held`; `lines` are
    place, column and sentence of refused rows; `again` names a second answer to the same delivery. Amounts, payouts
    and partners are not told by mail.
    """

    def say(key: str, **parts: str) -> str:
        texts = _texts()[key]
        return texts.get(language, texts["en"]).format(**parts)

    text = [say("arrived", program=program, name=name), ""]
    if refusal:
        text += [say("kept" if held else "unread", sentence=refusal), ""]
    if counts:
        figures = [("rows", sum(counts.values())), *((key, counts[key]) for key in _texts() if counts.get(key))]
        text += [*(f"{number:>9}  {say(key)}" for key, number in figures), ""]
    if lines:
        text += [
            say("cell" if column else "line", place=place, column=_line(column), sentence=sentence)
            for place, column, sentence in lines[:LISTED]
        ]
        more = counts.get("refused", len(lines)) - len(lines[:LISTED])
        text += [*([say("more", count=str(more))] if more > 0 else []), ""]
    if rejected:
        text += [say("attached", name=rejected[0]), ""]
    text.append(say("delivery", delivery=delivery))

    mail = EmailMessage(policy=policy.SMTP)
    subject = re.sub(r"^(\s*(re|aw|antw|sv|rép)\s*:)+\s*", "", to.get("subject", ""), flags=re.IGNORECASE)
    mail["From"] = sender
    mail["To"] = to["to"]
    mail["Subject"] = say("subject", subject=_line(subject) or name)
    mail["Date"] = at
    mail["Message-ID"] = (
        f"<{'.'.join(filter(None, (delivery, again)))}@{sender.rpartition('@')[2].strip('> ') or 'retour'}>"
    )
    mail["Auto-Submitted"] = "auto-replied"
    if message_id := _line(to.get("message_id", "")):
        mail["In-Reply-To"] = message_id
        mail["References"] = message_id
    mail.set_content("\n".join(text) + "\n")
    if rejected:
        mail.add_attachment(rejected[1], maintype="application", subtype="octet-stream", filename=rejected[0])
    return mail.as_bytes()


def _line(text: str) -> str:
    """One line of text for a header."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
