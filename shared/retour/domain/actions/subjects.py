"""What senders say of a refund, a dispute, an order: statements in versions, of which the newest counts (spec 4).

A statement tells what is taken back of the action because of its subject in total. Arrival decides nothing: whatever
the order in which versions come, the newest one that counts is the same.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from retour.domain.actions.lines import NOTHING, Claim, Statement, merge_claims
from retour.domain.actions.modification import Modification, Version, digest

FoldPosition = tuple[datetime, datetime, int, str]
"""Where a record stands in the order of all (`replay.in_order`)."""
SubjectKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """One record of a subject: its version, what it claims, and the contract version it was decided under."""

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
    """The contract version that priced something, and where the record stands that it priced."""

    contract: int
    place: FoldPosition | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """All that was told of one subject, and what counts of it.

    `statement` counts now; `said` is what its newest version says, which may be left out by a person. `restored` is the
    version that a person's restore left out.
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
    """The subject with one record more."""
    newest = subject.newest
    if subject_record.record not in undone and (newest is None or newest < subject_record.version):
        # The usual case, a newer version, needs no look at all the older ones.
        said = merge_claims(subject_record.claims)
        later = replace(subject, told=(*subject.told, subject_record), said=said)
        if said == subject.said:
            return later
        return replace(
            later, statement=said, priced=Pricing(subject_record.contract, subject_record.place) if said else None
        )
    return evaluate(replace(subject, told=(*subject.told, subject_record)), undone)


def without_newest(subject: Subject, undone: Collection[str]) -> Subject:
    """The subject as a restore leaves it: nothing is taken until it says something else than it says now."""
    return evaluate(replace(subject, restored=subject.newest), undone)


def evaluate(subject: Subject, undone: Collection[str]) -> Subject:
    """What counts: the newest version, unless it or one that said the same before it was left out by a person.

    Versions that say the same in a row are one word. A word that was undone leaves the one before it in force; one that
    was restored leaves nothing.
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
    """What the records of one version say: on each target, those of one delivery together.

    Where two deliveries say different things of one target in the same version, the one that takes more counts.
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
    """Whether a newer version of what the record speaks of is known."""
    newest = subject.newest if subject else None
    return newest is not None and record.version is not None and record.version < newest


def repeats(subject: Subject, record: Modification, claims: tuple[Claim, ...]) -> bool:
    """Whether another delivery told the same version with the same content on the same target before.

    Rows of one delivery add up, so the second such row repeats only the second one of another delivery.
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
    """What prices the lines: the contract version of the newest record that still counts."""
    placed = [price for price in prices if price is not None and price.place is not None]
    if otherwise.place is not None:
        placed.append(otherwise)
    return max(placed, key=lambda price: price.place or (), default=otherwise)


Subjects = Mapping[SubjectKey, Subject]
