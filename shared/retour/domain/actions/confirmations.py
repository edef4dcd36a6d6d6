"""Two sources that report the same return (spec 4): a confirming source counts only what it states beyond the other.

What the confirming source says counts only as far as it exceeds what the other says, and that as said of the whole
order. So it does not matter which of the two speaks first, nor how they cut their returns into records.
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
    """All that a source told which confirms `others`; a record without subject is one of its own."""

    others: frozenset[str]
    subjects: Mapping[SubjectKey, Subject] = field(default_factory=dict)

    def statements(self, wholes: Collection[SubjectKey]) -> list[Statement]:
        """What it says, sums left out of which the parts were told."""
        return [subject.statement for key, subject in self.subjects.items() if key not in wholes]


@dataclass(frozen=True, slots=True)
class ConfirmationSums:
    """What a confirming source and those it confirms say in all, in minor units."""

    source: str
    others: frozenset[str]
    said: int
    by_others: int


def confirmed_sources(record: Modification) -> frozenset[str]:
    """The sources whose returns a record tells of as well; none for what takes nothing back."""
    if not isinstance(record.change, SUBJECT_CHANGES):
        return frozenset()
    return frozenset(name for name, policy in record.doubles.items() if policy == CONFIRMS)


def with_confirmation(
    confirming: Mapping[str, ConfirmingSource],
    record: Modification,
    subject_record: SubjectRecord,
    undone: Collection[str],
) -> Mapping[str, ConfirmingSource]:
    """With one record more of a source that confirms others."""
    before = confirming.get(record.source, ConfirmingSource(frozenset()))
    key = record.subject_key or ("", claim_name(record))
    subject = with_record(before.subjects.get(key, Subject()), subject_record, undone)
    others = before.others | confirmed_sources(record)
    return {**confirming, record.source: ConfirmingSource(others, {**before.subjects, key: subject})}


def claim_name(record: Modification) -> str:
    """A total that is set replaces the one set before on the same target; anything else stands for itself."""
    if isinstance(record.change, SetTotal | SetQuantity):
        return f"{record.sku or ''}/{record.line or ''}"
    return record.id


def with_version(record: Modification) -> Modification:
    """The record with a version: its receipt, where it speaks of no subject."""
    if record.version is not None:
        return record
    return replace(record, version=receipt_version(record.received_at, record.provenance.delivery))


def amount_taken(action: Action, statements: Iterable[Statement]) -> int:
    """What statements take of the sale by themselves."""
    return action.amount - sum(rest.amount for rest in balances_after(action, balances_as_sold(action), statements))


def confirmation_sums(
    action: Action,
    confirming: Mapping[str, ConfirmingSource],
    subjects: Iterable[Subject],
    taken: Mapping[str, int],
    wholes: Collection[SubjectKey],
) -> list[ConfirmationSums]:
    """For each confirming source what it says and what the others say. `taken`: without subject, by source."""
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
    """What confirming sources say beyond the others, as said of the whole order."""
    whole = tuple(range(len(action.lines)))
    return [(Claim(whole, one.said - one.by_others),) for one in sums if one.said > one.by_others]
