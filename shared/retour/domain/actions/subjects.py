"""Versioned statements about subjects (refunds, disputes, orders), of which the newest counts (spec 4).

A statement is what is taken back because of its subject in total. The order of arrival does not matter.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from retour.domain.actions.lines import NOTHING, Claim, Statement, merge_claims
from retour.domain.actions.modification import Modification, Version, digest

FoldPosition = tuple[datetime, datetime, int, str]
"""A record's position in the fold (`state.fold_position`)."""
SubjectKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """A record of a subject: its version, its claims, and the contract version it was decided under."""

    record: str
    content: str
    version: Version
    delivery: str
    claims: tuple[Claim, ...]
    place: FoldPosition
    contract: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Pricing:
    """The contract version that priced something, and the position of the record it priced."""

    contract: int
    place: FoldPosition | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """All records of a subject and what counts of them.

    `statement` counts now; `said` is the newest version's statement, which a person may have left out. `restored` is
    the version that a restore left out.
    """

    told: tuple[SubjectRecord, ...] = ()
    statement: Statement = NOTHING
    said: Statement = NOTHING
    priced: Pricing | None = None
    restored: Version | None = None

    @property
    def source(self) -> str:
        return self.told[-1].source if self.told else ""

    @property
    def newest(self) -> Version | None:
        return max((told.version for told in self.told), default=None)


def with_record(subject: Subject, subject_record: SubjectRecord, undone: Collection[str]) -> Subject:
    """The subject with one more record."""
    newest = subject.newest
    if subject_record.record not in undone and (newest is None or newest < subject_record.version):
        # The usual case of a newer version needs no re-evaluation of the older ones.
        said = merge_claims(subject_record.claims)
        later = replace(subject, told=(*subject.told, subject_record), said=said)
        if said == subject.said:
            return later
        return replace(
            later, statement=said, priced=Pricing(subject_record.contract, subject_record.place) if said else None
        )
    return evaluate(replace(subject, told=(*subject.told, subject_record)), undone)


def without_newest(subject: Subject, undone: Collection[str]) -> Subject:
    """The subject after a restore: it takes nothing until its statement changes."""
    return evaluate(replace(subject, restored=subject.newest), undone)


def evaluate(subject: Subject, undone: Collection[str]) -> Subject:
    """The statement that counts: the newest version's, unless a person left it or an equal predecessor out.

    Consecutive equal versions count as one. If it was undone, the version before counts; if restored, nothing does.
    """
    statement, priced, said = NOTHING, None, NOTHING
    before: tuple[Statement, Pricing | None] = (NOTHING, None)
    for version, group in groupby(sorted(subject.told, key=by_version), key=lambda told: told.version):
        records = list(group)
        says = statement_of(records)
        if says != said:
            before = (statement, priced)
            first = min(records, key=lambda told: told.place)
            statement, priced = says, Pricing(first.contract, first.place) if says else None
        if any(told.record in undone for told in records):
            statement, priced = before
        if version == subject.restored:
            statement, priced = NOTHING, None
            before = (NOTHING, None)
        said = says
    return replace(subject, statement=statement, priced=priced, said=said)


def by_version(subject_record: SubjectRecord) -> tuple[Version, FoldPosition]:
    return subject_record.version, subject_record.place


def statement_of(records: Iterable[SubjectRecord]) -> Statement:
    """The statement of one version: the records of one delivery summed per target.

    If two deliveries differ on a target in the same version, the one that takes more counts.
    """
    told = sorted(records, key=lambda one: one.delivery)
    of_target: dict[tuple[int, ...], tuple[tuple[int, int, str], Claim]] = {}
    for _, group in groupby(told, key=lambda one: one.delivery):
        of_delivery = list(group)
        contents = digest(*sorted(one.content for one in of_delivery))
        for claim in merge_claims(claim for one in of_delivery for claim in one.claims):
            strength = (claim.amount, claim.units + claim.counted, contents)
            if claim.target not in of_target or of_target[claim.target][0] < strength:
                of_target[claim.target] = (strength, claim)
    return merge_claims(claim for _, claim in of_target.values())


def has_newer(subject: Subject | None, record: Modification) -> bool:
    """Whether a newer version of the record's subject is known."""
    newest = subject.newest if subject else None
    return newest is not None and record.version is not None and record.version < newest


def repeats(subject: Subject, record: Modification, claims: tuple[Claim, ...]) -> bool:
    """Whether another delivery stated the same version with the same content on the same target.

    Rows of one delivery add up, so the second equal row repeats only a second one of another delivery.
    """
    alike = [
        told
        for told in subject.told
        if told.version == record.version and told.content == record.content and told.claims == claims
    ]
    mine = sum(told.delivery == record.provenance.delivery for told in alike)
    others: dict[str, int] = {}
    for told in alike:
        if told.delivery != record.provenance.delivery:
            others[told.delivery] = others.get(told.delivery, 0) + 1
    return max(others.values(), default=0) > mine


def newest_pricing(prices: Iterable[Pricing | None], otherwise: Pricing) -> Pricing:
    """The contract version that prices the lines: of the newest record that still counts."""
    placed = [price for price in prices if price is not None and price.place is not None]
    if otherwise.place is not None:
        placed.append(otherwise)
    return max(placed, key=lambda price: price.place or (), default=otherwise)


Subjects = Mapping[SubjectKey, Subject]
