"""Records without subject by older releases, and the subjects they were about (spec 4, Subjects).

Each adapter had its own references: the refund's id, `1057/cancelled` for a cancelled order, `dp_1/won` for a won
dispute. Once a subject is stated explicitly, such records count as its oldest version, so that nothing is taken twice.
Until then they stay as they were.
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
"""Any reference, for messages about the whole order."""
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
"""By kind of sender: a pattern of references, and the subject it stands for."""


def legacy_subjects(kind: str, reference: str) -> list[str]:
    """The subjects an old reference may stand for; for other senders the reference itself."""
    if kind not in LEGACY_REFERENCES:
        return [reference]
    forms = ((re.fullmatch(form, reference), subject) for form, subject in LEGACY_REFERENCES[kind])
    return [subject.format(**found.groupdict()) for found, subject in forms if found]


def legacy_subject(record: Modification, stated: Collection[SubjectKey]) -> str | None:
    """The explicitly stated subject that a record without subject was about, or None."""
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
    """The subjects stated explicitly, and those of which parts are."""
    named = ((record.namespace, name) for record in records for name in (record.subject, record.part_of) if name)
    return set(named)


def with_legacy_subjects(records: Sequence[Modification]) -> list[Modification]:
    """The records, with those of older releases as oldest versions of their subjects.

    Those that gave something back become statements that nothing is taken.
    """
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
    """Whether a record is the first explicit statement on a subject that an older release recorded."""
    newly = stated_subjects([record]) - stated_subjects(others)
    return bool(newly) and any(legacy_subject(other, newly) is not None for other in others)
