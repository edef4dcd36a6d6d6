"""Sources that report the same returns as others (spec 4, `confirms`).

Of a confirming source only the excess over the other sources counts, as a statement about the whole order. The result
depends neither on the order of arrival nor on how each source splits its returns into records.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from retour.domain.actions.action import Action
from retour.domain.actions.lines import Claim, Statement, balances_after, balances_as_sold
from retour.domain.actions.modification import SUBJECT_CHANGES, Modification, SetQuantity, SetTotal, receipt_version
from retour.domain.actions.subjects import Subject, SubjectKey, SubjectRecord, with_record

CONFIRMS = "confirms"


@dataclass(frozen=True, slots=True)
class ConfirmingSource:
    """Everything stated by a source that confirms `others`. A record without subject counts as a subject of its own."""

    others: frozenset[str]
    subjects: Mapping[SubjectKey, Subject] = field(default_factory=dict)

    def statements(self, wholes: Collection[SubjectKey]) -> list[Statement]:
        """Its statements, without sums whose parts are known."""
        return [subject.statement for key, subject in self.subjects.items() if key not in wholes]


@dataclass(frozen=True, slots=True)
class ConfirmationSums:
    """The totals stated by a confirming source and by the sources it confirms, in minor units."""

    source: str
    others: frozenset[str]
    said: int
    by_others: int


def confirmed_sources(record: Modification) -> frozenset[str]:
    """The sources whose returns a record reports as well; empty if it takes nothing back."""
    if not isinstance(record.change, SUBJECT_CHANGES):
        return frozenset()
    return frozenset(name for name, policy in record.doubles.items() if policy == CONFIRMS)


def with_confirmation(
    confirming: Mapping[str, ConfirmingSource],
    record: Modification,
    subject_record: SubjectRecord,
    undone: Collection[str],
) -> Mapping[str, ConfirmingSource]:
    """Add a record of a confirming source."""
    before = confirming.get(record.source, ConfirmingSource(frozenset()))
    key = record.subject_key or ("", claim_name(record))
    subject = with_record(before.subjects.get(key, Subject()), subject_record, undone)
    others = before.others | confirmed_sources(record)
    return {**confirming, record.source: ConfirmingSource(others, {**before.subjects, key: subject})}


def claim_name(record: Modification) -> str:
    """The key of a record without subject: set totals of one target replace each other, all others are separate."""
    if isinstance(record.change, SetTotal | SetQuantity):
        return f"{record.sku or ''}/{record.line or ''}"
    return record.id


def with_version(record: Modification) -> Modification:
    """The record with a version; without one, its receipt."""
    if record.version is not None:
        return record
    return replace(record, version=receipt_version(record.received_at, record.provenance.delivery))


def amount_taken(action: Action, statements: Iterable[Statement]) -> int:
    """The part of the sale taken back by statements alone."""
    return action.amount - sum(rest.amount for rest in balances_after(action, balances_as_sold(action), statements))


def confirmation_sums(
    action: Action,
    confirming: Mapping[str, ConfirmingSource],
    subjects: Iterable[Subject],
    taken: Mapping[str, int],
    wholes: Collection[SubjectKey],
) -> list[ConfirmationSums]:
    """The sums of each confirming source and of those it confirms. `taken`: amounts without subject, by source."""
    told = list(subjects)
    return [
        ConfirmationSums(
            source=source,
            others=one.others,
            said=amount_taken(action, one.statements(wholes)),
            by_others=amount_taken(action, [subject.statement for subject in told if subject.source in one.others])
            + sum(taken.get(other, 0) for other in one.others),
        )
        for source, one in sorted(confirming.items())
    ]


def excess_statements(action: Action, sums: Iterable[ConfirmationSums]) -> list[Statement]:
    """The excess of each confirming source over the others, as a statement about the whole order."""
    whole = tuple(range(len(action.lines)))
    return [(Claim(whole, one.said - one.by_others),) for one in sums if one.said > one.by_others]
