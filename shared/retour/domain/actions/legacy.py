"""What older releases recorded without subject, and which subject it spoke of (spec 4, Subjects).

Each adapter made references of its own: a refund by its id, a cancelled order by `1057/cancelled`, a won dispute by
`dp_1/won`. As soon as a subject is told by itself, what was recorded of it before is its oldest version, so that
nothing is taken twice; until then it stays what it was.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from retour.domain.actions.modification import (
    LEGACY_VERSION,
    SUBJECT_CHANGES,
    Modification,
    Restore,
    TakeBack,
    Version,
    to_epoch_milliseconds,
)
from retour.domain.delivery import Channel

SubjectKey = tuple[str, str]
ANY_REFERENCE = "*"
"""Stands for whatever the sender called it: where messages tell the whole order, every reference was of it."""
LEGACY_REFERENCES: Mapping[str, Sequence[tuple[str, str]]] = {
    "stripe": (
        (r"(?P<charge>.+)/(?:refunded|\d+|None)", "charge/{charge}"),
        (r"(?P<dispute>.+)/won", "dispute/{dispute}"),
        (r"(?P<id>[^/]+)", "refund/{id}"),
        (r"(?P<id>[^/]+)", "dispute/{id}"),
    ),
    "shopify": ((r"(?P<order>\d+)/cancelled", "order/{order}"), (r"(?P<refund>\d+)", "refund/{refund}")),
    "woocommerce": ((r"(?P<order>\d+)/[^/]+", "order/{order}"), (r"\d+", f"order/{ANY_REFERENCE}")),
    "bigcommerce": ((r"(?P<order>\d+)/.+", "order/{order}"),),
}
"""By kind of sender: a form of reference, and the subject that it spoke of."""


def legacy_subjects(kind: str, reference: str) -> list[str]:
    """What a reference of an older release may have spoken of; for other senders, itself."""
    if kind not in LEGACY_REFERENCES:
        return [reference]
    forms = ((re.fullmatch(form, reference), subject) for form, subject in LEGACY_REFERENCES[kind])
    return [subject.format(**found.groupdict()) for found, subject in forms if found]


def legacy_subject(record: Modification, stated: Collection[SubjectKey]) -> str | None:
    """The subject among those that were told by themselves of which a record without subject spoke; None: of none."""
    if record.subject is not None or record.reference is None:
        return None
    if not isinstance(record.change, (*SUBJECT_CHANGES, Restore)) or record.channel is Channel.CONSOLE:
        return None
    if record.channel is Channel.SALESFORCE:
        candidates = [f"{record.provenance.object.lower()}/{record.reference}"]
    else:
        candidates = legacy_subjects(record.provenance.sender, record.reference)
    own = sorted(subject for namespace, subject in stated if namespace == record.namespace)
    for candidate in candidates:
        before, each, _ = candidate.partition(ANY_REFERENCE)
        if found := next((one for one in own if one == candidate or (each and one.startswith(before))), None):
            return found
    return None


def stated_subjects(records: Iterable[Modification]) -> set[SubjectKey]:
    """The subjects that are told by themselves, and those of which parts are."""
    named = ((record.namespace, name) for record in records for name in (record.subject, record.part_of) if name)
    return set(named)


def with_legacy_subjects(records: Sequence[Modification]) -> list[Modification]:
    """The records, with what older releases recorded of a subject as its oldest versions. What gave something back
    then says that nothing is taken."""
    told = stated_subjects(records)
    if not told:
        return list(records)
    return [
        as_legacy_version(record, subject) if (subject := legacy_subject(record, told)) else record
        for record in records
    ]


def as_legacy_version(record: Modification, subject: str) -> Modification:
    change = TakeBack(Decimal(0)) if isinstance(record.change, Restore) else record.change
    return replace(
        record,
        change=change,
        subject=subject,
        version=Version(LEGACY_VERSION, to_epoch_milliseconds(record.received_at)),
    )


def adopts_legacy(record: Modification, others: Sequence[Modification]) -> bool:
    """Whether a record is the first to tell a subject of which an older release recorded something."""
    newly = stated_subjects([record]) - stated_subjects(others)
    return bool(newly) and any(legacy_subject(other, newly) is not None for other in others)
