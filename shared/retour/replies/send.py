"""Send the reply to a delivery: beside the upload, in the result folder, or by mail (spec 7)."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.row import Refusal
from retour.files import names
from retour.files.result_files import ResultFormat, rejected_rows, result_csv
from retour.files.sniff import sniff
from retour.files.text import SNIFF_BYTES
from retour.intake import action_reports
from retour.intake.batch import ANSWER_KEY, ARRIVED, DONE, HELD, ROWS_LISTED_MAX, WORKING, ignored_attachments
from retour.intake.repeated_file import earlier_delivery
from retour.intake.sftp_uploads import answer_folder, answer_metadata
from retour.posting.rows import to_result
from retour.replies import callback
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.bulk import batched
from retour.store.deliveries import DeliveryHeader
from retour.store.inbox import PieceStream
from retour.sync.salesforce import outcome_fields as salesforce_news
from retour.views import documents
from retour.views.ledger_reader import LedgerReader

if TYPE_CHECKING:
    from retour.channels.mail import FileSummary, RepeatedRows
    from retour.wiring import Hub

REFUSED_LINES_MAX = 20
REPEATED_LISTED_MAX = 5
WORKBOOK_SUFFIX = re.compile(r"\.(xls[xmb]?|ods|html?)$", re.IGNORECASE)
LOOKUP_WORKERS = 8
WRITEBACKS_PER_MESSAGE = 200
"""Salesforce records per write-back message."""
ATTACHMENT_BYTES_MAX = 5 << 20
"""Maximum size of the rejected file in a mail, before encoding. Larger ones are downloaded from the hub."""


@dataclass(frozen=True, slots=True)
class ReplyFile:
    """A file of a reply: its name, and its key in the inbox."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ReplyFiles:
    """The result file, and the rejected file if any rows were refused."""

    result: ReplyFile
    rejected: ReplyFile | None = None

    @property
    def files(self) -> Sequence[ReplyFile]:
        return (self.result, self.rejected) if self.rejected else (self.result,)


def send_reply(hub: "Hub", message: Mapping[str, Any]) -> str:
    """Send the reply requested by a queue message. Returns where it went.

    Idempotent: after a crash files are overwritten, and a mail is not sent twice.
    """
    program = hub.program(message["program"])
    header = hub.deliveries(message["program"]).get(message["delivery"])
    if program is None or header is None:
        raise LookupError(message["delivery"])
    source = program.source(header.delivery.source, header.delivery.channel)
    if message["what"] == "settled":
        listed = message.get("listed")
        named = json.loads(hub.inbox.read(listed)) if listed else message["modifications"]
        return send_second_reply(hub, program, source, header, named)
    if header.delivery.kind is not DeliveryKind.FILE or header.state in (ARRIVED, WORKING):
        return ""
    answer = write_reply_files(hub, program, source, header)
    refused = (one for one in outcomes.load_outcomes(hub.inbox, header.delivery) if one.outcome is Outcome.REFUSED)
    counts = header.report.get("counts", {})
    left = leave_reply(hub, program, source, header, counts, islice(refused, REFUSED_LINES_MAX), answer, again="")
    told = replace(header, report={**header.report, ANSWER_KEY: left})
    hub.deliveries(program.id).close(told.delivery, told.report, told.state)
    callback.post_callback(
        hub, program, source, told, list(islice(outcomes.load_outcomes(hub.inbox, header.delivery), ROWS_LISTED_MAX))
    )
    outcomes.mark_answered(hub.inbox, header.delivery, header.state)
    return left


def send_second_reply(
    hub: "Hub", program: Program, source: Source, header: DeliveryHeader, modifications: Sequence[str]
) -> str:
    """Send the second answer: records that waited for their action and are settled now."""
    reader = LedgerReader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())
    with ThreadPoolExecutor(LOOKUP_WORKERS) as pool:
        found = list(pool.map(reader.modification, modifications))
    results = [to_result(one[0], one[1], None, program) for one in found if one]
    if header.delivery.channel is Channel.SALESFORCE:
        for some in batched(results, WRITEBACKS_PER_MESSAGE):
            news = [{"id": result.reference, **salesforce_news(result, program.language)} for result in some]
            hub.send("writebacks", {"program": program.id, "source": header.delivery.source, "records": news})
        return "Salesforce"
    callback.post_callback(hub, program, source, header, results, again=modifications[0])
    if header.delivery.kind is not DeliveryKind.FILE:
        return ""
    name = f"settled_{modifications[0].rpartition('~')[2]}_{header.delivery.name}"
    say = partial(sentence, language=program.language)
    answer = ReplyFiles(ReplyFile(names.result_name(name), outcomes.results_folder(header.delivery) + name))
    hub.inbox.put_pieces(answer.result.key, result_csv(results, say, payouts=False))
    refused = (one for one in results if one.outcome is Outcome.REFUSED)
    counts = documents.count_outcomes(results)
    return leave_reply(
        hub, program, source, header, counts, islice(refused, REFUSED_LINES_MAX), answer, again=modifications[0]
    )


def write_reply_files(hub: "Hub", program: Program, source: Source, header: DeliveryHeader) -> ReplyFiles:
    """Write a delivery's reply files beside its outcomes, streaming, for all channels."""
    delivery = header.delivery
    folder = outcomes.results_folder(delivery)
    say = partial(sentence, language=program.language)
    kept = outcomes.load_outcomes(hub.inbox, delivery)
    first = next(kept, None) or whole_file_result(header)
    answer = ReplyFiles(ReplyFile(names.result_name(names.safe_name(delivery.name)), folder + "result.csv"))
    payouts = delivery.channel is Channel.API
    writing = result_format(hub, source, delivery)
    hub.inbox.put_pieces(answer.result.key, result_csv(chain([first], kept), say, payouts, writing))
    if not header.report.get("counts", {}).get(Outcome.REFUSED):
        return answer
    rejected = ReplyFile(rejected_file_name(hub, delivery), folder + "rejected")
    hub.inbox.put_pieces(rejected.key, refused_rows(hub, source, delivery, outcomes.load_outcomes(hub.inbox, delivery)))
    return replace(answer, rejected=rejected)


def result_format(hub: "Hub", source: Source, delivery: Delivery) -> ResultFormat:
    """The file's delimiter and decimal mark, and which values its sender may see: in mails, no payouts."""
    from retour.intake.encrypted_files import open_delivery

    mark = str(source.mapping.get("decimal") or ".")
    amounts = delivery.channel is not Channel.EMAIL
    if content_kind(hub, delivery) == "TEXT":
        opened = open_delivery(hub, delivery, source, PieceStream(hub.inbox.pieces(delivery.body_key, SNIFF_BYTES)))
        if not isinstance(opened, Refusal) and opened.delimiter:
            return ResultFormat(opened.delimiter, opened.mark or mark, amounts)
    return ResultFormat(";" if mark == "," else ",", mark, amounts)


def rejected_file_name(hub: "Hub", delivery: Delivery) -> str:
    """The name of the rejected file. Rows of workbooks and web pages are returned as .xlsx, text as text."""
    name = names.rejected_name(names.safe_name(delivery.name))
    stem = WORKBOOK_SUFFIX.sub("", name)
    match content_kind(hub, delivery):
        case "XLS" | "XLSX" | "ODS" | "HTML":
            return f"{stem}.xlsx"
        case "TEXT" if stem != name:
            return f"{stem}.csv"
    return name


def content_kind(hub: "Hub", delivery: Delivery) -> str:
    """The type of a delivery's file by its first bytes."""
    return sniff(next(hub.inbox.pieces(delivery.body_key, SNIFF_BYTES), b""))


def whole_file_result(header: DeliveryHeader) -> Result:
    """The single result of a file that could not be read at all."""
    outcome = Outcome.HELD if header.state == HELD else Outcome.REFUSED
    report = header.report
    return Result(place="", outcome=outcome, code=report.get("code", ""), details=report.get("details", {}))


def refused_rows(hub: "Hub", source: Source, delivery: Delivery, results: Iterable[Result]) -> Iterator[bytes]:
    """The refused rows of a file, read again in parallel with its outcomes."""
    from retour.intake.encrypted_files import open_delivery

    if action_reports.is_json(delivery):
        places = {one.place for one in results if one.outcome is Outcome.REFUSED}
        return iter([action_reports.refused_as_json(hub.inbox.read(delivery.body_key), places)])
    opened = open_delivery(hub, delivery, source, PieceStream(hub.inbox.pieces(delivery.body_key)))
    return iter(()) if isinstance(opened, Refusal) else rejected_rows(opened, results)


def leave_reply(
    hub: "Hub",
    program: Program,
    source: Source,
    header: DeliveryHeader,
    counts: Mapping[str, int],
    refused: Iterable[Result],
    answer: ReplyFiles,
    again: str,
) -> str:
    """Leave a reply where senders of this channel look for it. `again` identifies a second answer."""
    match header.delivery.channel:
        case Channel.SFTP:
            return leave_beside_upload(hub, header.delivery, answer)
        case Channel.PULL if source.options.get("result_folder"):
            return leave_in_result_folder(hub, header.delivery, source, answer)
        case Channel.EMAIL:
            return send_by_mail(hub, program, header, counts, refused, answer, again)
    return f"/v1/programs/{program.id}/batches/{header.delivery.id}/result"


def leave_beside_upload(hub: "Hub", delivery: Delivery, answer: ReplyFiles) -> str:
    """Leave a reply in the folder of the upload, marked as ours."""
    folder = answer_folder(delivery)
    for file in answer.files:
        hub.inbox.copy(file.key, f"{folder}/{file.name}", metadata=answer_metadata(file.name))
    return f"{folder}/{answer.result.name}"


def leave_in_result_folder(hub: "Hub", delivery: Delivery, source: Source, answer: ReplyFiles) -> str:
    """Queue a reply for the polling function, which has the credentials; its bytes stay in the inbox."""
    about = {"program": delivery.program, "source": delivery.source}
    kept = outcomes.results_folder(delivery)
    for file in answer.files:
        hub.inbox.copy(file.key, kept + file.name)
        hub.send("pulls", {**about, "put": {"name": file.name, "key": kept + file.name}})
    return f"{source.options['result_folder'].rstrip('/')}/{answer.result.name}"


def send_by_mail(
    hub: "Hub",
    program: Program,
    header: DeliveryHeader,
    counts: Mapping[str, int],
    refused: Iterable[Result],
    answer: ReplyFiles,
    again: str,
) -> str:
    """Send one reply to a mail, once all its files are processed."""
    from retour.channels import mail

    delivery = header.delivery
    if delivery.held in (mail.HELD_UNPROVEN, mail.HELD_UNCHECKED) and header.state != DONE:
        return ""  # An unauthenticated mail has no reply address until a person releases it.
    to = delivery.reply.get("to", "")
    together = [] if again else delivery.reply.get("together", "").split()
    sent = hub.state(program.id, delivery.source)
    mark = f"answered#{min(together, default=delivery.id)}#{again}"
    if not to or sent.get(mark) is not None:
        return f"mail to {to}" if to else ""
    others = [hub.deliveries(program.id).get(id) for id in together if id != delivery.id]
    if any(other is None or other.state in (ARRIVED, WORKING) for other in others):
        return ""
    summary = file_summary(hub, program, header, counts, refused, answer)
    # A second answer is about what waited; what came twice was told in the first.
    files = [replace(summary, repeated=(), same_as="") if again else summary]
    files += [finished_file_summary(hub, program, other) for other in others if other is not None]
    raw = mail.compose_reply(
        *files,
        language=program.language,
        program=program.name,
        sender=hub.settings.mail_from,
        to=delivery.reply,
        again=again.rpartition("~")[2],
        at=hub.now(),
    )
    hub.send_mail(raw, hub.settings.mail_from, [to])
    sent.put(mark, {"at": hub.now().isoformat()})
    return f"mail to {to}"


def file_summary(
    hub: "Hub",
    program: Program,
    header: DeliveryHeader,
    counts: Mapping[str, int],
    refused: Iterable[Result],
    answer: ReplyFiles,
) -> "FileSummary":
    """A mail's summary of one file."""
    from retour.channels.mail import FileSummary

    report = header.report
    return FileSummary(
        name=header.delivery.name,
        delivery=header.delivery.id,
        counts=counts,
        refusal=sentence(report.get("code", ""), report.get("details", {}), program.language),
        held=header.state == HELD,
        lines=[
            (result.place, result.column, sentence(result.code, result.details, program.language)) for result in refused
        ],
        rejected=rejected_attachment(hub, header.delivery, answer),
        skipped={**ignored_attachments(header.delivery), **report.get("skipped", {})},
        repeated=repeated_rows(outcomes.load_outcomes(hub.inbox, header.delivery)),
        same_as=report.get("same_as", ""),
        zone=program.time_zone,
    )


def repeated_rows(results: Iterable[Result]) -> "list[RepeatedRows]":
    """What a file brought that came before, by the delivery that brought it; of very many the largest shares."""
    from retour.channels.mail import RepeatedRows

    counts: dict[str, Counter[str]] = {}
    held: Counter[str] = Counter()
    for one in results:
        if not (first := earlier_delivery(one)):
            continue
        told = counts.setdefault(first, Counter())
        if one.first:
            told[one.first.outcome.value] += 1
        else:
            held[first] += 1
    found = [RepeatedRows(first, dict(told), held[first]) for first, told in counts.items()]
    return sorted(found, key=lambda rows: -sum(rows.counts.values()) - rows.held)[:REPEATED_LISTED_MAX]


def finished_file_summary(hub: "Hub", program: Program, header: DeliveryHeader) -> "FileSummary":
    """The summary of another, already processed file of the mail."""
    source = program.source(header.delivery.source, header.delivery.channel)
    answer = write_reply_files(hub, program, source, header)
    refused = (one for one in outcomes.load_outcomes(hub.inbox, header.delivery) if one.outcome is Outcome.REFUSED)
    return file_summary(
        hub, program, header, header.report.get("counts", {}), islice(refused, REFUSED_LINES_MAX), answer
    )


def rejected_attachment(hub: "Hub", delivery: Delivery, answer: ReplyFiles) -> tuple[str, bytes] | None:
    """The rejected file as an attachment, unless it is empty, too large for a mail, or came encrypted.

    Rows of an encrypted file are not returned in plain text.
    """
    if answer.rejected is None or content_kind(hub, delivery) == "OPENPGP":
        return None
    if hub.inbox.size(answer.rejected.key) > ATTACHMENT_BYTES_MAX:
        return None
    return answer.rejected.name, hub.inbox.read(answer.rejected.key)
