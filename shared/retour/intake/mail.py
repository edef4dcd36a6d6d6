"""Ingest a stored mail: find its source, authenticate it, and create a delivery for each file.

A mail stays under `mail/` until it is finished and is then moved, so whatever the sweep finds there had no event or was
interrupted. A mail that crashes its worker ends as a refused delivery with a reference.
"""

import hashlib
import logging
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email import policy
from email.parser import BytesHeaderParser
from functools import partial
from typing import TYPE_CHECKING

from retour.channels import mail
from retour.connection_test import mail as trial
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.times import format_instant, parse_instant, truncate_to_milliseconds
from retour.files.mail_parts import Attachment
from retour.intake.batch import ARRIVED, IGNORED, REFUSED, Batch, report_of
from retour.intake.encrypted_files import is_proved_by_signature
from retour.intake.ingest import announce_file
from retour.intake.processing import refuse_as_unprocessable
from retour.intake.uploads import to_business_clock
from retour.setup.credentials import record_use
from retour.store.errors import is_transient

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

MAIL_PREFIX = "mail/"
MORE_MAILS_CODE = "MAILS_NOT_LISTED"
SES_SETUP_OBJECT = "AMAZON_SES_SETUP_NOTIFICATION"
"""A file SES creates in a new folder; not a mail."""
RECEIVED_FOR = re.compile(r"\bfor\s+<?([^\s<>;]+@[^\s<>;]+)>?", re.IGNORECASE)
DMARC_VERDICT = re.compile(r"\bdmarc\s*=\s*(\w+)", re.IGNORECASE)
UNREAD_LISTED_PER_DAY = 20
"""Unauthenticated mails listed per sender and day. The next one is listed with a note that there are more."""
VERDICTS = {"pass": "PASS", "fail": "FAIL", "none": "GRAY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Facts about a mail from our receiver: `id` is its own id of the mail, `at` a real-clock time."""

    id: str
    recipients: Sequence[str]
    sender: str
    at: datetime
    dmarc: str | None = None
    virus: str | None = None


def ingest_mail(hub: "Hub", envelope: Envelope) -> int:
    """Create a delivery for each file of a stored mail and move the mail away; returns the number of files.

    A missing mail was ingested before. Transient errors are raised and leave the mail in place.
    """
    try:
        raw = hub.inbox.read(MAIL_PREFIX + envelope.id)
    except KeyError:
        return 0
    at, files = claim_receipt_time(hub, envelope), 0
    for program, source in addressed_sources(hub, envelope.recipients):
        try:
            files += ingest_for_source(hub, program, source, raw, envelope, at)
        except Exception as error:
            if is_transient(error):
                raise
            reference = secrets.token_hex(5)
            about = {"program": program.id, "source": source.name, "mail": envelope.id, "reference": reference}
            logger.exception("mail could not be handled", extra=about)
            refuse_mail(hub, program, source, raw, at, reference)
    hub.inbox.copy(MAIL_PREFIX + envelope.id, f"raw/{MAIL_PREFIX}{envelope.id}")
    hub.inbox.delete(MAIL_PREFIX + envelope.id)
    return files


def claim_receipt_time(hub: "Hub", envelope: Envelope) -> datetime:
    """The mail's receipt time on the business clock, fixed by the first worker."""
    notes, mark = hub.state("", "mail"), f"mail#{envelope.id}"
    at = to_business_clock(hub, truncate_to_milliseconds(envelope.at))
    if notes.claim(mark, {"at": format_instant(at)}):
        return at
    return parse_instant((notes.get(mark) or {"at": format_instant(at)})["at"])


def addressed_sources(hub: "Hub", recipients: Sequence[str]) -> Iterator[tuple[Program, Source]]:
    """The sources whose address with a valid token is an envelope recipient, each once."""
    seen = set()
    for recipient in recipients:
        address = mail.parse_address(recipient, hub.settings.mail_domain)
        program = hub.program(address.program) if address else None
        source = program.sources.get(address.source) if address and program else None
        if not (address and program and source and source.channel is Channel.EMAIL):
            logger.info("mail dropped: no source has this address")
        elif not mail.has_live_token(address.token, hub.secret(program.id, source.name).get("tokens", ())):
            logger.info("mail dropped: the token is not live", extra={"program": program.id, "source": source.name})
        elif (program.id, source.name) not in seen:
            seen.add((program.id, source.name))
            record_use(hub, program.id, source.name, "tokens", address.token)
            yield program, source


def ingest_for_source(
    hub: "Hub", program: Program, source: Source, raw: bytes, envelope: Envelope, at: datetime
) -> int:
    """Ingest a mail for one source. Returns the number of deliveries."""
    about = {"program": program.id, "source": source.name}
    verdict = mail.screen_mail(
        raw,
        source,
        envelope_sender=envelope.sender,
        domain=hub.settings.mail_domain,
        dmarc=envelope.dmarc,
        virus=envelope.virus,
        signed=partial(is_proved_by_signature, hub, program, source, envelope.id),
    )
    if trial.record_mail(hub, program, source, verdict):
        logger.info("mail of a trial seen", extra=about)
        return 0
    whole = (Attachment("mail.eml", raw),)
    match verdict:
        case mail.DroppedMail(why):
            logger.info("mail dropped", extra={**about, "why": why})
            return 0
        case mail.UnreadMail(sender, why, is_nothing):
            if room := listing_quota_left(hub, program, source, sender, envelope.id, at):
                list_unread_mail(
                    hub, program, source, raw, at, sender, why if room > 1 else MORE_MAILS_CODE, is_nothing and room > 1
                )
            return 0
        case mail.RejectedMail(_, found):
            return create_deliveries(hub, program, source, replace(found, files=whole), at)
        case mail.HeldMail(found, why, told_once):
            if told_once and (room := listing_quota_left(hub, program, source, found.sender, envelope.id, at)) <= 1:
                if room:
                    list_unread_mail(hub, program, source, raw, at, found.sender, MORE_MAILS_CODE)
                return 0
            return create_deliveries(hub, program, source, replace(found, files=found.files or whole), at, why)
    return create_deliveries(hub, program, source, verdict, at)


def create_deliveries(
    hub: "Hub", program: Program, source: Source, mail_read: mail.AcceptedMail, at: datetime, held: str = ""
) -> int:
    """Create a delivery per file. The mail is answered once, when all of them are done."""
    deliveries = [build_delivery(program, source, mail_read, file, at, held) for file in mail_read.files]
    together = " ".join(delivery.id for delivery in deliveries)
    for delivery, file in zip(deliveries, mail_read.files, strict=True):
        if len(deliveries) > 1 and delivery.reply:
            delivery = replace(delivery, reply={**delivery.reply, "together": together})
        create_delivery(hub, delivery, file)
    return len(deliveries)


def build_delivery(
    program: Program, source: Source, mail_read: mail.AcceptedMail, file: Attachment, at: datetime, held: str
) -> Delivery:
    to = {"to": mail_read.sender, "message_id": mail_read.message_id, "subject": mail_read.subject}
    facts = {"ignored": "\n".join(mail_read.ignored)[:1000], "charset": file.charset}
    delivery = Delivery.create(
        file.content,
        received_at=at,
        program=program.id,
        channel=Channel.EMAIL,
        source=source.name,
        kind=DeliveryKind.FILE,
        identity=f"{mail_read.message_id} {hashlib.sha256(file.content).hexdigest()}",
        name=file.name,
        sender=mail_read.sender,
        held=held,
        facts={name: fact for name, fact in facts.items() if fact},
        reply={} if mail_read.automatic else to,
    )
    return replace(delivery, body_key=f"email/{program.id}/{source.name}/{delivery.id}/{file.name}")


def create_delivery(hub: "Hub", delivery: Delivery, file: Attachment) -> None:
    """Write a file's header, then put the file into the inbox, from where it is processed like any other."""
    known = hub.deliveries(delivery.program).get(delivery.id)
    if known is not None and known.state != ARRIVED:
        return
    announce_file(hub, delivery)
    hub.inbox.put(delivery.body_key, file.content)
    about = {"program": delivery.program, "source": delivery.source, "delivery": delivery.id, "size": delivery.size}
    logger.info("file taken from mail", extra=about)


def refuse_mail(hub: "Hub", program: Program, source: Source, raw: bytes, at: datetime, reference: str) -> None:
    """Store a mail that crashes its worker as a refused delivery. There is no address to reply to."""
    refuse_as_unprocessable(hub, store_whole_mail(hub, program, source, raw, at, ""), reference)


def list_unread_mail(
    hub: "Hub",
    program: Program,
    source: Source,
    raw: bytes,
    at: datetime,
    sender: str,
    why: str,
    is_nothing: bool = False,
) -> None:
    """Store and list a mail that claims an allowed sender but is not read, with the reason."""
    delivery = store_whole_mail(hub, program, source, raw, at, sender)
    state = IGNORED if is_nothing else REFUSED
    details = {"sender": sender, "most": str(UNREAD_LISTED_PER_DAY)}
    batch = Batch(delivery=delivery, state=state, code=why, details=details)
    hub.deliveries(program.id).close(delivery, report_of(batch), state)
    about = {"program": program.id, "source": source.name, "delivery": delivery.id, "code": why}
    logger.info("mail listed unread", extra=about)


def store_whole_mail(hub: "Hub", program: Program, source: Source, raw: bytes, at: datetime, sender: str) -> Delivery:
    nobody = mail.AcceptedMail(sender, f"<{hashlib.sha256(raw).hexdigest()}>", "", (), automatic=True)
    delivery = build_delivery(program, source, nobody, Attachment("mail.eml", raw), at, "")
    delivery = replace(delivery, body_key=f"raw/{program.id}/{delivery.id}")
    hub.inbox.put(delivery.body_key, raw)
    return hub.deliveries(program.id).put(delivery, None, ARRIVED, {})


def listing_quota_left(hub: "Hub", program: Program, source: Source, sender: str, mail_id: str, at: datetime) -> int:
    """How many more unauthenticated mails of a sender are listed today, including this one. Idempotent per mail.

    1 means that this one is listed with the note that there are more; 0, that it is not listed.
    """
    notes = hub.state(program.id, source.name)
    digest = hashlib.blake2b(sender.lower().encode(), digest_size=8).hexdigest()
    key = f"doubted#{at:%Y%m%d}#{digest}"
    ids: list[str] = (notes.get(key) or {}).get("mails", [])
    if mail_id not in ids:
        if len(ids) > UNREAD_LISTED_PER_DAY:
            return 0
        ids.append(mail_id)
        notes.put(key, {"mails": ids})
    return UNREAD_LISTED_PER_DAY + 1 - ids.index(mail_id)


# Mails without an event


def read_envelope(hub: "Hub", id_: str) -> Envelope:
    """The envelope from the headers added by our receiver, above the sender's. Raises KeyError if the mail is gone."""
    head = BytesHeaderParser(policy=policy.compat32).parsebytes(hub.inbox.read(MAIL_PREFIX + id_))
    received, own = 0, dict[str, str]()
    for name, value in head.raw_items():
        received += name.lower() == "received"
        if received > 1:
            break
        own.setdefault(name.lower(), str(value))
    told = RECEIVED_FOR.findall(own.get("received", ""))
    named = [str(value) for name in ("to", "cc", "delivered-to") for value in head.get_all(name, [])]
    verdict = DMARC_VERDICT.search(own.get("authentication-results", ""))
    return Envelope(
        id=id_,
        recipients=[*told, *mail.ANY_ADDRESS.findall(" ".join(named))],
        sender=own.get("return-path", "").strip(),
        at=hub.inbox.stored_at(MAIL_PREFIX + id_),
        dmarc=VERDICTS.get(verdict[1].lower(), "PROCESSING_FAILED") if verdict else "PROCESSING_FAILED",
        virus=own.get("x-ses-virus-verdict", "PROCESSING_FAILED").strip().upper(),
    )


def sweep_mails(hub: "Hub", before: datetime) -> Counter[str]:
    """Ingest mails stored before a real-clock time and not finished: `mails` were, `mails_left` remain."""
    counts = Counter[str]()
    for key in list(hub.inbox.keys(MAIL_PREFIX)):
        id_ = key.removeprefix(MAIL_PREFIX)
        try:
            if id_ == SES_SETUP_OBJECT:
                hub.inbox.delete(key)
            elif hub.inbox.stored_at(key) < before:
                ingest_mail(hub, read_envelope(hub, id_))
                counts["mails"] += 1
        except KeyError:
            continue
        except Exception:
            logger.exception("mail stays for the next sweep", extra={"mail": id_})
            counts["mails_left"] += 1
    return counts
