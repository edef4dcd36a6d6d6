"""Mail to a source's address: authenticate it, find its files, and compose the reply.

Nothing a sender writes proves who they are. The verdict is read only from the header that our receiver added.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from functools import cache
from importlib.resources import files
from io import BytesIO

from retour.domain.delivery import receipt_time
from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.domain.times import format_instant
from retour.files import names
from retour.files.mail_parts import (
    Attachment,
    MailFiles,
    declared_type,
    decode_encoded_words,
    header_text,
    mail_files,
)
from retour.files.sniff import NON_TABLES, sniff
from retour.files.text import SNIFF_BYTES
from retour.languages import Texts, language_or_english, with_further_languages
from retour.sentences import localise as localise_detail

RECEIVERS = ("amazonses.com", "retour.local")
NAMES_LISTED_MAX = 20
NOT_READ = {"left_out": "ignored ", "own_answer": "own answer ", "temporary": "temporary file "}
"""How a reply names files that were not read, by kind of skipped line."""

SOURCE_ADDRESS = re.compile(r"([a-z][a-z0-9-]{1,30})\.([a-z0-9_-]{1,64})\.([a-z0-9]{16,64})(?:\+[^@]*)?@(.+)")
ONE_ADDRESS = r'([^<>\s@"(),;:\\]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)'
NAMED_FROM = re.compile(rf'\s*(?:"(?:[^"\\]|\\.)*"|[^"<>,;:()\\])*<{ONE_ADDRESS}>\s*')
BARE_FROM = re.compile(rf"\s*{ONE_ADDRESS}\s*(?:\([^()]*\)\s*)?")
ANY_ADDRESS = re.compile(r"[^\s<>\"(),;:]+@[^\s<>\"(),;:]+")
UNDECIDED_VERDICTS = ("GRAY", "PROCESSING_FAILED")
COMMENT = re.compile(r"\([^()]*\)")
DMARC_PASS = re.compile(r"\s*dmarc\s*=\s*pass\s.*?\bheader\.from\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE | re.DOTALL)


HELD_UNPROVEN, HELD_UNCHECKED, HELD_AUTOMATIC = "UNAUTHENTICATED", "MAIL_UNCHECKED", "MAIL_AUTOMATIC"
"""Why a mail is held: unauthenticated, not checked by our receiver, or probably sent by a program.

Held mails are not answered.
"""
LISTED_UNPROVEN, LISTED_INFECTED = "MAIL_UNPROVEN", "MAIL_INFECTED"
"""Why a mail is only listed: unauthenticated with nothing to release, or infected."""


@dataclass(frozen=True, slots=True)
class Address:
    program: str
    source: str
    token: str


@dataclass(frozen=True, slots=True)
class AcceptedMail:
    """An authenticated mail. `automatic`: sent by a program, not answered; `ignored`: what is not read."""

    sender: str
    message_id: str
    subject: str
    files: tuple[Attachment, ...]
    automatic: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldMail:
    """A mail from an allowed sender that could not be authenticated or checked, held for a person.

    `why` is the code of the reason. `told_once`: of many such mails a day only the first are listed, then once that
    there are more, since anybody can send them.
    """

    mail: AcceptedMail
    why: str = HELD_UNPROVEN
    told_once: bool = False


@dataclass(frozen=True, slots=True)
class UnreadMail:
    """A mail that claims an allowed sender and has nothing to read or release. Listed with its reason, not answered.

    `is_nothing`: nobody has to do anything about it, as with an absence note.
    """

    sender: str
    why: str
    is_nothing: bool = False


@dataclass(frozen=True, slots=True)
class RejectedMail:
    """An authenticated mail without a readable file. Its sender is told."""

    code: str
    mail: AcceptedMail


@dataclass(frozen=True, slots=True)
class DroppedMail:
    """A mail that is only counted, since a reply could loop or inform a stranger."""

    why: str


def parse_address(recipient: str, domain: str) -> Address | None:
    """The source a recipient address belongs to; None for other addresses. A `+label` is ignored."""
    found = SOURCE_ADDRESS.fullmatch(recipient.strip().strip("<>").lower())
    return Address(found[1], found[2], found[3]) if found and found[4] == domain.lower() else None


def has_live_token(token: str, tokens: Sequence[str]) -> bool:
    """Whether an address contains a valid token, compared in constant time."""
    return any(hmac.compare_digest(token.encode(), str(live).lower().encode()) for live in tokens)


def screen_mail(
    raw: bytes,
    source: Source,
    *,
    envelope_sender: str,
    domain: str,
    dmarc: str | None = None,
    virus: str | None = None,
    receivers: Sequence[str] = RECEIVERS,
    signed: Callable[[Attachment], bool] = lambda _file: False,
) -> AcceptedMail | HeldMail | RejectedMail | UnreadMail | DroppedMail:
    """Decide what to do with a mail to a source. Never raises.

    Mails from allowed senders are never dropped: unauthenticated ones are held or listed. Only strangers' mails are
    `DroppedMail`.

    `dmarc` and `virus` are verdicts the receiver gives outside the mail; they can only reject. An undecided verdict
    (`GRAY`, `PROCESSING_FAILED`) holds the mail. `signed` says whether a registered key signed a file, which is
    sufficient proof; it is called only if DMARC fails and the source has signers.
    """
    head = BytesHeaderParser(policy=policy.compat32).parsebytes(raw)
    headers = Headers(head)
    sender = _from_address(headers)
    allowed = {str(address).lower() for address in source.options.get("allow_from", ())}
    if sender is None:
        if not (named := _allowed_from(headers, allowed)):
            return DroppedMail("the From is not exactly one address")
    elif sender.lower() not in allowed:
        return DroppedMail("the From is not on the source's list")
    else:
        named = sender
    if virus == "FAIL":
        return UnreadMail(named, LISTED_INFECTED)
    is_answer = sender is None or bool(_loop_reason(headers, head, named, envelope_sender, domain))
    believed = sender is not None and dmarc in (None, "PASS")
    believed = believed and has_dmarc_pass(headers, named.rpartition("@")[2], receivers)
    unchecked = (dmarc in UNDECIDED_VERDICTS and not believed) or virus not in (None, "PASS")
    found = without_non_tables(mail_files(raw), source)
    taken = AcceptedMail(
        sender=named,
        message_id=headers.text("message-id").strip()[:250] or f"<{hashlib.sha256(raw).hexdigest()}>",
        subject=headers.text("subject")[:200],
        files=() if found.excess else tuple(found.files),
        automatic=is_answer or _is_automatic(headers),
        ignored=tuple(found.ignored),
    )
    has_files = bool(found.files or found.excess)
    if is_answer and sender is not None:
        return (
            HeldMail(taken, HELD_AUTOMATIC, told_once=True)
            if has_files
            else UnreadMail(named, HELD_AUTOMATIC, is_nothing=True)
        )
    if unchecked and virus not in (None, "PASS"):
        return HeldMail(taken, HELD_UNCHECKED)
    if believed:
        return taken if taken.files else RejectedMail("MAIL_WITHOUT_FILE", taken)
    if sender is not None and source.options.get("signers") and taken.files and all(map(signed, taken.files)):
        return taken
    if unchecked:
        return HeldMail(taken, HELD_UNCHECKED)
    if not has_files:
        return UnreadMail(named, LISTED_UNPROVEN)
    return HeldMail(taken, told_once=not source.options.get("accept_unauthenticated", False))


def without_non_tables(found: MailFiles, source: Source) -> MailFiles:
    """The files of a mail without what is no table, where another file is one: a PDF, a disclaimer, a README."""
    foreign = [file for file in found.files if is_non_table(file, source)] if len(found.files) > 1 else []
    if not foreign or len(foreign) == len(found.files):
        return found
    left = [file for file in found.files if file not in foreign]
    return MailFiles(left, [*found.ignored, *(file.name for file in foreign)], found.excess)


def is_non_table(file: Attachment, source: Source) -> bool:
    """Whether a file has no rows by what it is. One that is called like a table is opened by whoever reads it."""
    from retour.files.open import is_no_table, open_file

    kind = sniff(file.content[:SNIFF_BYTES])
    if names.has_table_suffix(file.name) and kind not in NON_TABLES:
        return False
    refusal = open_file(file.name, BytesIO(file.content), source)
    return isinstance(refusal, Refusal) and (kind in NON_TABLES or is_no_table(refusal, file.name))


class Headers:
    """A mail's headers from top to bottom, unfolded."""

    def __init__(self, mail: Message) -> None:
        self.items = [(name.lower(), re.sub(r"\r?\n(?=[ \t])", "", str(value))) for name, value in mail.raw_items()]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.items if key == name]

    def text(self, name: str) -> str:
        """The first header of a name, decoded, without line breaks."""
        value = decode_encoded_words(header_text(next(iter(self.all(name)), "")))
        return "".join(sign for sign in value if sign.isprintable())


def _from_address(headers: Headers) -> str | None:
    named = headers.all("from")
    if len(named) != 1:
        return None
    found = NAMED_FROM.fullmatch(named[0]) or BARE_FROM.fullmatch(named[0])
    return found[1] if found and found[1].isprintable() else None


def _allowed_from(headers: Headers, allowed: Collection[str]) -> str:
    """An allowed address that is only one of several in From; empty if there is none."""
    found = (address.lower() for value in headers.all("from") for address in ANY_ADDRESS.findall(value))
    return next((address for address in found if address in allowed), "")


def has_dmarc_pass(headers: Headers, domain: str, receivers: Sequence[str]) -> bool:
    """Whether our receiver authenticated the From domain.

    Only the topmost Authentication-Results counts, above the second Received, and with an authserv-id of ours.
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


def _loop_reason(headers: Headers, mail: Message, sender: str, envelope_sender: str, domain: str) -> str:
    """Why a reply to this mail could loop, or an empty string."""
    submitted = [value.split(";")[0].strip().lower() for value in headers.all("auto-submitted")]
    if not envelope_sender.strip("<> ") or "<>" in (value.strip() for value in headers.all("return-path")[:1]):
        return "an empty envelope sender: a bounce"
    if any(value not in ("no", "auto-generated") for value in submitted):
        return "an automatic reply"
    if declared_type(mail) == "multipart/report":
        return "a report about another mail"
    if any(value.strip().lower() in ("auto_reply", "junk") for value in headers.all("precedence")):
        return "an automatic reply"
    if sender.rpartition("@")[2].lower() == domain.lower():
        return "a mail from our own domain"
    return ""


def _is_automatic(headers: Headers) -> bool:
    """Whether a program sent the mail: its files are ingested, but no reply is sent."""
    return bool(
        any(not value.strip().lower().startswith("no") for value in headers.all("auto-submitted"))
        or any(value.strip().lower() in ("bulk", "list") for value in headers.all("precedence"))
        or headers.all("x-auto-response-suppress")
        or headers.all("list-id")
    )


@cache
def _texts() -> Texts:
    found: Texts = json.loads(files("retour.channels").joinpath("mail.json").read_text("utf-8"))
    return with_further_languages(found, "mail/")


@dataclass(frozen=True, slots=True)
class RepeatedRows:
    """Rows that an earlier delivery told already: how many of them came to what then, by outcome.

    `held` are those that only look like rows of it.
    """

    delivery: str
    counts: Mapping[str, int]
    held: int = 0


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What an answer says of one file.

    `refusal` is the sentence of a file not taken in as a whole, or `held`; `lines` are place, column and sentence of
    refused rows; `skipped` what is no row, by what it is; `rejected` the refused rows to correct; `repeated` rows that
    came before, and `same_as` the delivery that brought the whole file to the byte; days are told in `zone`.
    """

    name: str
    delivery: str
    counts: Mapping[str, int] = field(default_factory=dict)
    refusal: str = ""
    held: bool = False
    lines: Sequence[tuple[str, str, str]] = ()
    rejected: tuple[str, bytes] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    repeated: Sequence[RepeatedRows] = ()
    same_as: str = ""
    zone: str = "UTC"


def compose_reply(
    *files: FileSummary, language: str, program: str, sender: str, to: Mapping[str, str], at: datetime, again: str = ""
) -> bytes:
    """Compose the reply to a mail: for each file its outcomes, refused rows with reasons, and the rejected file.

    `to` is the delivery's `reply`; `again` marks a second reply. Amounts, payouts and partners are never sent by mail.
    """
    text = [line for told in files for line in reply_lines(told, language, program)]
    mail = EmailMessage(policy=policy.SMTP)
    subject = re.sub(r"^(\s*(re|aw|antw|sv|rép)\s*:)+\s*", "", to.get("subject", ""), flags=re.IGNORECASE)
    mail["From"] = sender
    mail["To"] = to["to"]
    mail["Subject"] = localise("subject", language, subject=_one_line(subject) or files[0].name)
    mail["Date"] = at
    own = ".".join(filter(None, (files[0].delivery, again)))
    mail["Message-ID"] = f"<{own}@{sender.rpartition('@')[2].strip('> ') or 'retour'}>"
    mail["Auto-Submitted"] = "auto-replied"
    if message_id := _one_line(to.get("message_id", "")):
        mail["In-Reply-To"] = message_id
        mail["References"] = message_id
    mail.set_content("\n".join(text) + "\n")
    for name, content in (told.rejected for told in files if told.rejected):
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


def reply_lines(summary: FileSummary, language: str, program: str) -> list[str]:
    text = [localise("arrived", language, program=program, name=summary.name), ""]
    if summary.refusal:
        text += [localise("kept" if summary.held else "unread", language, sentence=summary.refusal), ""]
    if counts := summary.counts:
        text += [*figure_lines({"rows": sum(counts.values()), **counts}, language), ""]
    for rows in summary.repeated:
        text += [*repetition_lines(rows, summary, language, program), ""]
    if summary.lines:
        text += [
            localise("cell" if column else "line", language, place=place, column=_one_line(column), sentence=sentence)
            for place, column, sentence in summary.lines[:NAMES_LISTED_MAX]
        ]
        more = counts.get("refused", len(summary.lines)) - len(summary.lines[:NAMES_LISTED_MAX])
        text += [*([localise("more", language, count=str(more))] if more > 0 else []), ""]
    if summary.rejected:
        text += [localise("attached", language, name=summary.rejected[0]), ""]
    for key, kind in NOT_READ.items():
        if left := [_one_line(what.removeprefix(kind)) for what in summary.skipped if what.startswith(kind)]:
            text += [localise(key, language, names=", ".join(left[:NAMES_LISTED_MAX])), ""]
    return [*text, localise("delivery", language, delivery=summary.delivery)]


def figure_lines(counts: Mapping[str, int], language: str) -> list[str]:
    return [
        f"{format_count(counts[key], language):>9}  {localise(key, language)}" for key in _texts() if counts.get(key)
    ]


def repetition_lines(rows: RepeatedRows, summary: FileSummary, language: str, program: str) -> list[str]:
    """Of rows that came before: when, that they were not counted again, and what became of them the first time."""
    at = format_instant(receipt_time(rows.delivery))
    first = {"received_at": localise_detail("received_at", at, language, summary.zone), "delivery": rows.delivery}
    key = {summary.same_as: "same_file", summary.delivery: "known_here"}.get(rows.delivery, "known_since")
    text = [localise(key, language, **first)] if rows.counts or key == "same_file" else []
    if rows.counts:
        text += [localise("became", language), *figure_lines(rows.counts, language)]
    if rows.held:
        count = format_count(rows.held, language)
        text.append(localise("held_doubles", language, **first, count=count, program=program))
    return text


def format_count(number: int, language: str) -> str:
    """A number formatted for a language."""
    return f"{number:,}".replace(",", language_or_english(language).group)


def localise(key: str, language: str, **parts: str) -> str:
    texts = _texts()[key]
    return texts.get(language, texts["en"]).format(**parts)


def _one_line(text: str) -> str:
    """Text on one line, for a header."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
