"""What became of a delivery, told where its sender looks: beside the upload, in the result folder, by mail (spec 7)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from retour.answer import callback
from retour.api.views import Reader
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Delivery, Kind
from retour.domain.program import Program, Source
from retour.domain.row import Refusal
from retour.files import names
from retour.files.answers import rejected_again, result_csv
from retour.files.sniff import sniff
from retour.files.text import HEAD
from retour.intake.batch import HELD
from retour.intake.rows import told
from retour.salesforce_sync import news as salesforce_news
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.deliveries import Header

if TYPE_CHECKING:
    from retour.wiring import Hub

LINES_TOLD = 20
TOLD = "told"
"""What lies beside the outcomes once the answer was left: after a power cut it says who need not be told again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The two files a sender gets: every row's outcome, and (if any) the refused rows in the layout they came in."""

    result_name: str
    result: bytes
    rejected_name: str
    rejected: bytes


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
        return tell_settled(hub, program, source, header, message["modifications"])
    if header.delivery.kind is not Kind.FILE:
        return ""
    results = list(outcomes.kept(hub.inbox, header.delivery))
    answer = written(hub, program, source, header, results)
    left = leave(hub, program, source, header, results, answer, again="")
    hub.inbox.put(outcomes.folder(header.delivery) + TOLD, left.encode())
    told = replace(header, report={**header.report, "answer": left})
    hub.deliveries(program.id).close(told.delivery, told.report, told.state)
    callback.tell(hub, program, source, told, results)
    return left


def tell_settled(hub: "Hub", program: Program, source: Source, header: Header, modifications: Sequence[str]) -> str:
    """The second answer: records that waited for their action and were settled now."""
    reader = Reader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())
    found = [order_and_record for id_ in modifications if (order_and_record := reader.modification(id_))]
    results = [told(order, record, None, program) for order, record in found]
    if header.delivery.channel is Channel.SALESFORCE:
        news = [{"id": result.reference, **salesforce_news(result, program.language)} for result in results]
        hub.send("writebacks", {"program": program.id, "source": header.delivery.source, "records": news})
        return "Salesforce"
    callback.tell(hub, program, source, header, results, again=modifications[0])
    if header.delivery.kind is not Kind.FILE:
        return ""
    name = f"settled_{modifications[0].rpartition('~')[2]}_{header.delivery.name}"
    say = partial(sentence, language=program.language)
    answer = Answer(names.result(name), b"".join(result_csv(results, say, payouts=False)), "", b"")
    return leave(hub, program, source, header, results, answer, again=modifications[0])


def written(hub: "Hub", program: Program, source: Source, header: Header, results: Sequence[Result]) -> Answer:
    """The answer's files, kept beside the outcomes whatever the channel."""
    delivery = header.delivery
    name = names.safe(delivery.name)
    say = partial(sentence, language=program.language)
    told = results or [whole(header)]
    answer = Answer(
        names.result(name),
        b"".join(result_csv(told, say, payouts=delivery.channel is Channel.API)),
        names.rejected(re.sub(r"\.(pgp|gpg|asc)$", "", name, flags=re.IGNORECASE)),
        refused_rows(hub, source, delivery, results),
    )
    hub.inbox.put(outcomes.folder(delivery) + "result.csv", answer.result)
    if answer.rejected:
        hub.inbox.put(outcomes.folder(delivery) + "rejected", answer.rejected)
    return answer


def whole(header: Header) -> Result:
    """A file of which nothing was read: one line that says so."""
    outcome = Outcome.HELD if header.state == HELD else Outcome.REFUSED
    report = header.report
    return Result(place="", outcome=outcome, code=report.get("code", ""), details=report.get("details", {}))


def refused_rows(hub: "Hub", source: Source, delivery: Delivery, results: Sequence[Result]) -> bytes:
    from retour.intake.opening import open_delivery

    places = {result.place for result in results if result.outcome is Outcome.REFUSED}
    if not places:
        return b""
    body = hub.inbox.read(delivery.body_key)
    opened = open_delivery(hub, delivery, source, BytesIO(body))
    return b"" if isinstance(opened, Refusal) else b"".join(rejected_again(opened, places))


def leave(
    hub: "Hub",
    program: Program,
    source: Source,
    header: Header,
    results: Sequence[Result],
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
            return by_mail(hub, program, header, results, answer, again)
    return f"/v1/programs/{program.id}/batches/{header.delivery.id}/result"


def beside(hub: "Hub", delivery: Delivery, answer: Answer) -> str:
    folder = f"sftp/{delivery.program}/{delivery.source}/"
    hub.inbox.put(folder + answer.result_name, answer.result)
    if answer.rejected:
        hub.inbox.put(folder + answer.rejected_name, answer.rejected)
    return folder + answer.result_name


def in_result_folder(hub: "Hub", delivery: Delivery, source: Source, answer: Answer) -> str:
    """The visiting function has the means to write there; it finds the bytes where they are kept."""
    about = {"program": delivery.program, "source": delivery.source}
    kept = outcomes.folder(delivery)
    for name, body in ((answer.result_name, answer.result), (answer.rejected_name, answer.rejected)):
        if body:
            hub.inbox.put(kept + name, body)
            hub.send("pulls", {**about, "put": {"name": name, "key": kept + name}})
    return f"{source.options['result_folder'].rstrip('/')}/{answer.result_name}"


def by_mail(hub: "Hub", program: Program, header: Header, results: Sequence[Result], answer: Answer, again: str) -> str:
    from retour.channels import mail

    delivery = header.delivery
    to = delivery.reply.get("to", "")
    sent = hub.state(program.id, delivery.source)
    mark = f"answered#{delivery.id}#{again}"
    if not to or sent.get(mark) is not None:
        return f"mail to {to}" if to else ""
    refused = [result for result in results if result.outcome is Outcome.REFUSED]
    raw = mail.reply(
        language=program.language,
        program=program.name,
        sender=hub.mail_from,
        to=delivery.reply,
        name=delivery.name,
        delivery=delivery.id,
        again=again.rpartition("~")[2],
        at=hub.now(),
        counts=header.report.get("counts", {}) if not again else counted(results),
        refusal=sentence(header.report.get("code", ""), header.report.get("details", {}), program.language),
        held=header.state == HELD,
        lines=[
            (result.place, result.column, sentence(result.code, result.details, program.language))
            for result in refused[:LINES_TOLD]
        ],
        rejected=(answer.rejected_name, answer.rejected) if answer.rejected and not sealed(hub, delivery) else None,
    )
    hub.mail(raw, hub.mail_from, [to])
    sent.put(mark, {"at": hub.now().isoformat()})
    return f"mail to {to}"


def sealed(hub: "Hub", delivery: Delivery) -> bool:
    """Whether a file came encrypted: its rows are not sent back by mail for anybody on the way to read."""
    return sniff(hub.inbox.read(delivery.body_key)[:HEAD]) == "OPENPGP"


def counted(results: Sequence[Result]) -> dict[str, int]:
    return {outcome: sum(r.outcome == outcome for r in results) for outcome in {r.outcome.value for r in results}}
