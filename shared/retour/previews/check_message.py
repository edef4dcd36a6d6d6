"""Read a webhook message as its source would, record by record. Nothing is written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from retour.channels.webhook import source_adapter
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.domain.senders import STANDARD, sender_of
from retour.normalise import Normaliser
from retour.previews.check import row_documents
from retour.previews.sample import Document, coded_sentence
from retour.sentences import join_names, sentence


def takes_messages(source: Source) -> bool:
    """Whether a source's samples are messages of its sender, rather than files."""
    return source.channel is Channel.API and source.kind not in ("", STANDARD)


def check_message(program: Program, source: Source, delivery: Delivery, body: bytes) -> Document:
    """Read a message as if it were signed and without its headers."""
    sender, language = source_adapter(source), program.language
    read = sender.rows(body, {}, source)
    document: Document = {"name": delivery.name, "source": source.name, "written": False}
    if isinstance(read, Refusal):
        explanation = sentence(read.code, read.details, language)
        return {**document, "state": "refused", "code": read.code, "explanation": explanation}
    rows: Sequence[Row | Unreadable] = () if isinstance(read, Ignored | OrderNames) else read
    reads = list(Normaliser(program, source, replace(delivery, kind=DeliveryKind.HOOK)).modifications(rows))
    refused = Counter(isinstance(one, Unreadable) for _, one in reads)[True]
    warnings = []
    if isinstance(read, Ignored):
        warnings.append(coded_sentence("CHECK_MESSAGE_IGNORED", language, why=read.why))
    if isinstance(read, OrderNames):
        told = {"order": read.order or "–", "names": join_names(read.names)}
        warnings.append(coded_sentence("CHECK_MESSAGE_NAMES", language, **told))
    if statuses := sender.undeclared_statuses(body, {}, source):
        warnings.append(coded_sentence("CHECK_STATUS_UNDECLARED", language, statuses=join_names(statuses)))
    return {
        **document,
        "state": "readable",
        "layout": {"id": source.kind, "title": sender_of(source.kind).title, "means": ""},
        "encoding": "utf-8",
        "delimiter": "",
        "columns": [],
        "values": {},
        "decimals": [],
        "dates": [],
        "counts": {"rows": len(reads), "readable": len(reads) - refused, "refused": refused},
        "sampled": False,
        "skipped": {},
        "rows": row_documents(reads, program),
        "warnings": warnings,
        "readings": [],
    }
