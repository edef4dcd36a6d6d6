"""What became of a delivery, told where its sender looks: beside the upload, in the result folder, by mail (spec 7)."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from retour.api import documents
from retour.api.reading import Reader
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Delivery, Kind
from retour.domain.program import Program, Source
from retour.domain.row import Refusal
from retour.files import names
from retour.files.answers import Writing, given_back, result_csv
from retour.files.sniff import sniff
from retour.files.text import HEAD
from retour.intake import report
from retour.intake.batch import ARRIVED, DONE, HELD, LISTED, WORKING, ignored
from retour.intake.drop import answers_beside, mark
from retour.posting.rows import told
from retour.replies import callback
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.bulk import batched
from retour.store.deliveries import Header
from retour.store.inbox import Stream
from retour.sync.salesforce import news as salesforce_news

if TYPE_CHECKING:
    from retour.channels.mail import Told
    from retour.wiring import Hub

LINES_TOLD = 20
WORKBOOKS = re.compile(r"\.(xls[xmb]?|ods|html?)$", re.IGNORECASE)
LOOKED_UP_AT_ONCE = 8
NEWS_TOGETHER = 200
"""Salesforce records of which one message on the queue tells."""
ATTACHED_MAX = 5 << 20
"""What a mail can carry of refused rows, written out for its way; more are fetched from the hub."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an answer: its name, and where its bytes lie in the inbox."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Every row's outcome, and (if any) the refused rows in the layout they came in."""

    result: File
    rejected: File | None = None

    @property
    def files(self) -> Sequence[File]:
        return (self.result, self.rejected) if self.rejected else (self.result,)


def tell(hub: "Hub", message: Mapping[str, Any]) -> str:
    """Answer a delivery as its message on the queue asks; returns where the answer was left.

    Told again after a crash, files are written over and a mail that was sent is not sent again.
    """
    program = hub.program(message["program"])
    header = hub.deliveries(message["program"]).get(message["delivery"])
    if program is None or header is None:
        raise LookupError(message["delivery"])
    source = program.source(header.delivery.source, header.delivery.channel)
    if message["what"] == "settled":
        listed = message.get("listed")
        named = json.loads(hub.inbox.read(listed)) if listed else message["modifications"]
        return tell_settled(hub, program, source, header, named)
    if header.delivery.kind is not Kind.FILE or header.state in (ARRIVED, WORKING):
        return ""
    answer = written(hub, program, source, header)
    refused = (one for one in outcomes.kept(hub.inbox, header.delivery) if one.outcome is Outcome.REFUSED)
    counts = header.report.get("counts", {})
    left = leave(hub, program, source, header, counts, islice(refused, LINES_TOLD), answer, again="")
    hub.inbox.put(outcomes.folder(header.delivery) + outcomes.TOLD, left.encode())
    told = replace(header, report={**header.report, "answer": left})
    hub.deliveries(program.id).close(told.delivery, told.report, told.state)
    callback.tell(hub, program, source, told, list(islice(outcomes.kept(hub.inbox, header.delivery), LISTED)))
    return left


def tell_settled(hub: "Hub", program: Program, source: Source, header: Header, modifications: Sequence[str]) -> str:
    """The second answer: records that waited for their action and were settled now."""
    reader = Reader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())
    with ThreadPoolExecutor(LOOKED_UP_AT_ONCE) as pool:
        found = list(pool.map(reader.modification, modifications))
    results = [told(one[0], one[1], None, program) for one in found if one]
    if header.delivery.channel is Channel.SALESFORCE:
        for some in batched(results, NEWS_TOGETHER):
            news = [{"id": result.reference, **salesforce_news(result, program.language)} for result in some]
            hub.send("writebacks", {"program": program.id, "source": header.delivery.source, "records": news})
        return "Salesforce"
    callback.tell(hub, program, source, header, results, again=modifications[0])
    if header.delivery.kind is not Kind.FILE:
        return ""
    name = f"settled_{modifications[0].rpartition('~')[2]}_{header.delivery.name}"
    say = partial(sentence, language=program.language)
    answer = Answer(File(names.result(name), outcomes.folder(header.delivery) + name))
    hub.inbox.put_pieces(answer.result.key, result_csv(results, say, payouts=False))
    refused = (one for one in results if one.outcome is Outcome.REFUSED)
    counts = documents.count(results)
    return leave(hub, program, source, header, counts, islice(refused, LINES_TOLD), answer, again=modifications[0])


def written(hub: "Hub", program: Program, source: Source, header: Header) -> Answer:
    """The answer's files, kept beside the outcomes whatever the channel; a piece at a time, however many rows."""
    delivery = header.delivery
    folder = outcomes.folder(delivery)
    say = partial(sentence, language=program.language)
    kept = outcomes.kept(hub.inbox, delivery)
    first = next(kept, None) or whole(header)
    answer = Answer(File(names.result(names.safe(delivery.name)), folder + "result.csv"))
    payouts = delivery.channel is Channel.API
    writing = writing_of(hub, source, delivery)
    hub.inbox.put_pieces(answer.result.key, result_csv(chain([first], kept), say, payouts, writing))
    if not header.report.get("counts", {}).get(Outcome.REFUSED):
        return answer
    rejected = File(rejected_name(hub, delivery), folder + "rejected")
    hub.inbox.put_pieces(rejected.key, refused_rows(hub, source, delivery, outcomes.kept(hub.inbox, delivery)))
    return replace(answer, rejected=rejected)


def writing_of(hub: "Hub", source: Source, delivery: Delivery) -> Writing:
    """The delimiter and the decimal mark of a file, and what its sender may see: by mail, nothing of the sales."""
    from retour.intake.opening import open_delivery

    mark = str(source.mapping.get("decimal") or ".")
    amounts = delivery.channel is not Channel.EMAIL
    if kind(hub, delivery) == "TEXT":
        opened = open_delivery(hub, delivery, source, Stream(hub.inbox.pieces(delivery.body_key, HEAD)))
        if not isinstance(opened, Refusal) and opened.delimiter:
            return Writing(opened.delimiter, opened.mark or mark, amounts)
    return Writing(";" if mark == "," else ",", mark, amounts)


def rejected_name(hub: "Hub", delivery: Delivery) -> str:
    """Named for what it is: rows of workbooks and pages go back in a workbook of today, those of texts as text."""
    name = names.rejected(names.safe(delivery.name))
    stem = WORKBOOKS.sub("", name)
    match kind(hub, delivery):
        case "XLS" | "XLSX" | "ODS" | "HTML":
            return f"{stem}.xlsx"
        case "TEXT" if stem != name:
            return f"{stem}.csv"
    return name


def kind(hub: "Hub", delivery: Delivery) -> str:
    """What the file of a delivery is, by its first bytes."""
    return sniff(next(hub.inbox.pieces(delivery.body_key, HEAD), b""))


def whole(header: Header) -> Result:
    """A file of which nothing was read: one line that says so."""
    outcome = Outcome.HELD if header.state == HELD else Outcome.REFUSED
    report = header.report
    return Result(place="", outcome=outcome, code=report.get("code", ""), details=report.get("details", {}))


def refused_rows(hub: "Hub", source: Source, delivery: Delivery, results: Iterable[Result]) -> Iterator[bytes]:
    """The refused rows of a file, read once more beside the outcomes of all its rows."""
    from retour.intake.opening import open_delivery

    if report.is_json(delivery):
        places = {one.place for one in results if one.outcome is Outcome.REFUSED}
        return iter([report.refused_from_json(hub.inbox.read(delivery.body_key), places)])
    opened = open_delivery(hub, delivery, source, Stream(hub.inbox.pieces(delivery.body_key)))
    return iter(()) if isinstance(opened, Refusal) else given_back(opened, results)


def leave(
    hub: "Hub",
    program: Program,
    source: Source,
    header: Header,
    counts: Mapping[str, int],
    refused: Iterable[Result],
    answer: Answer,
    again: str,
) -> str:
    """Put the answer where this channel's senders look; `again` names a second answer, which is another."""
    match header.delivery.channel:
        case Channel.SFTP:
            return beside(hub, header.delivery, answer)
        case Channel.PULL if source.options.get("result_folder"):
            return in_result_folder(hub, header.delivery, source, answer)
        case Channel.EMAIL:
            return by_mail(hub, program, header, counts, refused, answer, again)
    return f"/v1/programs/{program.id}/batches/{header.delivery.id}/result"


def beside(hub: "Hub", delivery: Delivery, answer: Answer) -> str:
    """Where the upload lay, so that whoever uses folders finds it there; marked as ours."""
    folder = answers_beside(delivery)
    for file in answer.files:
        hub.inbox.copy(file.key, f"{folder}/{file.name}", metadata=mark(file.name))
    return f"{folder}/{answer.result.name}"


def in_result_folder(hub: "Hub", delivery: Delivery, source: Source, answer: Answer) -> str:
    """The visiting function has the means to write there; it finds the bytes where they are kept."""
    about = {"program": delivery.program, "source": delivery.source}
    kept = outcomes.folder(delivery)
    for file in answer.files:
        hub.inbox.copy(file.key, kept + file.name)
        hub.send("pulls", {**about, "put": {"name": file.name, "key": kept + file.name}})
    return f"{source.options['result_folder'].rstrip('/')}/{answer.result.name}"


def by_mail(
    hub: "Hub",
    program: Program,
    header: Header,
    counts: Mapping[str, int],
    refused: Iterable[Result],
    answer: Answer,
    again: str,
) -> str:
    """One answer to a mail, however many files it brought: told when the last of them is done."""
    from retour.channels import mail

    delivery = header.delivery
    if delivery.held in (mail.UNPROVEN, mail.UNCHECKED) and header.state != DONE:
        return ""  # Nobody knows whose mail it is, until a person lets it go on.
    to = delivery.reply.get("to", "")
    together = [] if again else delivery.reply.get("together", "").split()
    sent = hub.state(program.id, delivery.source)
    mark = f"answered#{min(together, default=delivery.id)}#{again}"
    if not to or sent.get(mark) is not None:
        return f"mail to {to}" if to else ""
    others = [hub.deliveries(program.id).get(id) for id in together if id != delivery.id]
    if any(other is None or other.state in (ARRIVED, WORKING) for other in others):
        return ""
    files = [said(hub, program, header, counts, refused, answer)]
    files += [said_of(hub, program, other) for other in others if other is not None]
    raw = mail.reply(
        *files,
        language=program.language,
        program=program.name,
        sender=hub.settings.mail_from,
        to=delivery.reply,
        again=again.rpartition("~")[2],
        at=hub.now(),
    )
    hub.mail(raw, hub.settings.mail_from, [to])
    sent.put(mark, {"at": hub.now().isoformat()})
    return f"mail to {to}"


def said(
    hub: "Hub",
    program: Program,
    header: Header,
    counts: Mapping[str, int],
    refused: Iterable[Result],
    answer: Answer,
) -> "Told":
    """What a mail says of one file."""
    from retour.channels.mail import Told

    report = header.report
    return Told(
        name=header.delivery.name,
        delivery=header.delivery.id,
        counts=counts,
        refusal=sentence(report.get("code", ""), report.get("details", {}), program.language),
        held=header.state == HELD,
        lines=[
            (result.place, result.column, sentence(result.code, result.details, program.language)) for result in refused
        ],
        rejected=attached(hub, header.delivery, answer),
        skipped={**ignored(header.delivery), **report.get("skipped", {})},
    )


def said_of(hub: "Hub", program: Program, header: Header) -> "Told":
    """The same of another file of the mail, which is done already."""
    source = program.source(header.delivery.source, header.delivery.channel)
    answer = written(hub, program, source, header)
    refused = (one for one in outcomes.kept(hub.inbox, header.delivery) if one.outcome is Outcome.REFUSED)
    return said(hub, program, header, header.report.get("counts", {}), islice(refused, LINES_TOLD), answer)


def attached(hub: "Hub", delivery: Delivery, answer: Answer) -> tuple[str, bytes] | None:
    """The refused rows, if there are any and a mail can carry them.

    Those of a file that came encrypted are not sent back for anybody on the way to read.
    """
    if answer.rejected is None or kind(hub, delivery) == "OPENPGP":
        return None
    if hub.inbox.size(answer.rejected.key) > ATTACHED_MAX:
        return None
    return answer.rejected.name, hub.inbox.read(answer.rejected.key)
