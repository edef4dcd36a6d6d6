"""The SMTP server of the local hub, in place of SES receiving.

It accepts mail for addresses of the form `<program>.<source>.<token>@<mail domain>`, without revealing whether they
exist. An accepted mail is stored with the headers SES would add, and the same event is sent to the mail function until
it succeeds.

There is no SPF or DKIM on loopback, so `dmarc=pass` means that the domains of envelope sender and From are equal:
DMARC's alignment without its proof.
"""

import asyncio
import json
import logging
import re
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import format_datetime, getaddresses
from pathlib import Path
from socket import socket
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from local.data_folder import write_atomically

SIZE_LIMIT = 40 * 1024 * 1024
RECEIVER = "retour.local"
LOCAL_PART = re.compile(
    r"[a-z][a-z0-9-]{1,30}\.[a-z][a-z0-9_-]{0,30}\.[a-z0-9]{16,}(\+[^@]*)?", re.ASCII | re.IGNORECASE
)
NO_SUCH_ADDRESS = "550 5.1.1 No mailbox of this form here"
ACCEPTED = "250 2.0.0 Taken as {}"
TRY_LATER = "451 4.3.0 Could not be stored just now, please send it again"
ATTEMPTS = 5
CONCURRENT_READS = 4

log = logging.getLogger("retour.local.smtp")


@dataclass(frozen=True)
class Mail:
    """A message as received."""

    id: str
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    peer: str
    helo: str
    received_at: datetime


def is_source_address(address: str, domain: str) -> bool:
    local, _, host = address.rpartition("@")
    return host.lower() == domain.lower() and LOCAL_PART.fullmatch(local) is not None


def dmarc_alignment(mail: Mail) -> tuple[bool, str]:
    """Whether the domains of envelope sender and From are equal, and the From domain."""
    named = BytesHeaderParser().parsebytes(mail.raw).get_all("from", [])
    addresses = getaddresses([str(value) for value in named])
    if len(named) != 1 or len(addresses) != 1:
        return False, "invalid"
    domain = header_safe(addresses[0][1].rpartition("@")[2].lower())
    return bool(domain) and domain == mail.sender.rpartition("@")[2].lower(), domain or "invalid"


def with_ses_headers(mail: Mail) -> bytes:
    """The message below our own headers. Its own headers of the same names stay further down and are ignored."""
    passed, domain = dmarc_alignment(mail)
    verdict = "pass" if passed else "fail"
    headers = [
        f"Return-Path: <{header_safe(mail.sender)}>",
        f"Received: from {header_safe(mail.helo) or 'unknown'} ([{mail.peer}]) by {RECEIVER} with SMTP id {mail.id}",
        f" for {header_safe(mail.recipients[0])}; {format_datetime(mail.received_at)}",
        "X-SES-Spam-Verdict: PASS",
        "X-SES-Virus-Verdict: PASS",
        f"Authentication-Results: {RECEIVER}; spf=none smtp.mailfrom={header_safe(mail.sender) or '<>'};",
        f" dkim=none; dmarc={verdict} header.from={domain}",
    ]
    return "".join(f"{line}\r\n" for line in headers).encode("utf-8", "replace") + mail.raw


def ses_event(mail: Mail) -> dict[str, Any]:
    """The SES event for a mail."""
    passed, _ = dmarc_alignment(mail)
    message = BytesHeaderParser().parsebytes(with_ses_headers(mail))
    at = mail.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "Records": [
            {
                "eventSource": "aws:ses",
                "eventVersion": "1.0",
                "ses": {
                    "mail": {
                        "timestamp": at,
                        "source": mail.sender,
                        "messageId": mail.id,
                        "destination": list(mail.recipients),
                        "headersTruncated": False,
                        "headers": [{"name": name, "value": str(value)} for name, value in message.items()],
                        "commonHeaders": dict(common_headers(message, mail.sender)),
                    },
                    "receipt": {
                        "timestamp": at,
                        "processingTimeMillis": 1,
                        "recipients": list(mail.recipients),
                        "spamVerdict": {"status": "PASS"},
                        "virusVerdict": {"status": "PASS"},
                        "spfVerdict": {"status": "GRAY"},
                        "dkimVerdict": {"status": "GRAY"},
                        "dmarcVerdict": {"status": "PASS" if passed else "FAIL"},
                        **({} if passed else {"dmarcPolicy": "none"}),
                        "action": {"type": "Lambda", "invocationType": "Event", "functionArn": ""},
                    },
                },
            }
        ]
    }


def common_headers(message: Message, sender: str) -> Iterator[tuple[str, Any]]:
    yield "returnPath", sender
    for key, name in (("from", "from"), ("to", "to"), ("cc", "cc"), ("replyTo", "reply-to")):
        if values := message.get_all(name):
            yield key, [str(value) for value in values]
    for key, name in (("date", "date"), ("messageId", "message-id"), ("subject", "subject")):
        if name in message:
            yield key, str(message[name])


def header_safe(text: str) -> str:
    """Text safe for a header: it cannot end ours or add another."""
    return "".join(sign for sign in text if sign.isprintable() and sign not in "<>;()")


class Listener(SMTP):
    """Accepts lines longer than the standard's 998 characters, as SES does and mail programs send."""

    line_length_limit = 1024 * 1024


@dataclass(frozen=True)
class Reception:
    """The responses to RCPT and DATA."""

    domain: str
    take: Callable[[Mail], Awaitable[None]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not is_source_address(address, self.domain):
            return NO_SUCH_ADDRESS
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        mail = Mail(
            id=secrets.token_hex(20),
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            raw=content(envelope),
            peer=str(session.peer[0]) if session.peer else "",
            helo=session.host_name or "",
            received_at=datetime.now(UTC),
        )
        try:
            await self.take(mail)
        except Exception:
            log.exception("a mail could not be stored")
            return TRY_LATER
        return ACCEPTED.format(mail.id)


@dataclass(frozen=True)
class Outbox:
    """Stores every mail the embedded AWS sends, for any address."""

    folder: Path

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}"
        kept = {
            "from": envelope.mail_from or "",
            "to": list(envelope.rcpt_tos),
            "raw": content(envelope).decode("utf-8", "surrogateescape"),
        }
        await asyncio.to_thread(write_atomically, self.folder / f"{name}.json", json.dumps(kept))
        return ACCEPTED.format(name)


def content(envelope: Envelope) -> bytes:
    said = envelope.content or b""
    return said.encode() if isinstance(said, str) else said


def sent_mails(folder: Path) -> list[dict[str, Any]]:
    """All sent mails in readable form, oldest first."""
    return [mail_document(path.stem, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def mail_document(name: str, kept: dict[str, Any]) -> dict[str, Any]:
    raw = str(kept["raw"])
    message = message_from_bytes(raw.encode("utf-8", "surrogateescape"))
    parts = [part for part in message.walk() if not part.is_multipart()]
    texts = [part for part in parts if part.get_content_type() == "text/plain" and not part.get_filename()]
    files = [part for part in parts if part.get_filename()]
    return {
        "id": name,
        "at": datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC).isoformat(),
        "from": kept["from"],
        "to": kept["to"],
        "subject": str(make_header(decode_header(message.get("subject", "")))),
        "text": "\n".join(decode_part(part).replace("\r\n", "\n") for part in texts),
        "attachments": [part.get_filename() for part in files],
        "files": [
            {"name": part.get_filename(), "type": part.get_content_type(), "text": decode_part(part)} for part in files
        ],
        "raw": raw,
    }


def decode_part(part: Message) -> str:
    body = part.get_payload(decode=True)
    if not isinstance(body, bytes):
        return ""
    try:
        return body.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


class MailQueue:
    """Passes accepted mails to the mail function.

    Each is kept in a small file until it was processed, so that neither a failure nor a kill loses one.
    """

    def __init__(self, waiting: Path, store: Callable[[str, bytes], None], read: Callable[[dict[str, Any]], None]):
        self.waiting, self.store, self.read = waiting, store, read
        self.slots = asyncio.Semaphore(CONCURRENT_READS)
        self.tasks: set[asyncio.Task[None]] = set()

    async def accept(self, mail: Mail) -> None:
        """Store a mail durably and process it soon after."""
        path = self.waiting / f"{mail.id}.json"
        await asyncio.to_thread(self.store, mail.id, with_ses_headers(mail))
        await asyncio.to_thread(write_atomically, path, json.dumps(ses_event(mail)))
        self.start_reading(path)

    def resume(self) -> None:
        """Process mails left by an earlier run."""
        for path in sorted(self.waiting.glob("*.json"), key=lambda path: path.stat().st_mtime):
            self.start_reading(path)

    def start_reading(self, path: Path) -> None:
        task = asyncio.create_task(self.read_with_retries(path))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def read_with_retries(self, path: Path) -> None:
        for attempt in range(ATTEMPTS):
            async with self.slots:
                try:
                    await asyncio.to_thread(self.read, json.loads(path.read_text()))
                except Exception as error:
                    log.warning("mail %s could not be read yet: %s", path.stem, error)
                else:
                    path.unlink()
                    return
            await asyncio.sleep(2**attempt)
        log.error("mail %s was given up after %d attempts; it is tried again at the next start", path.stem, ATTEMPTS)

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def listen(listening: socket, handler: Reception | Outbox, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    """Serve SMTP until closed, with STARTTLS if a certificate is given."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Listener(
            handler,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname=RECEIVER,
            ident="Retour",
            tls_context=tls,
            loop=loop,
        ),
        sock=listening,
    )
