"""Which terms hold when: the versions of the contracts, and the documents that name them (spec 6, Terms over time)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, overload

from retour.domain.calendar import local_day
from retour.domain.contracts.contract import Contract, Span, contract_of, is_within
from retour.domain.contracts.named_list import Entries, named_list


def terms_at(
    contracts: Sequence[Contract], event_type: str, partner: str, moment: datetime, day: date | None = None
) -> Contract | None:
    """The terms for a partner at a moment; None where there are none.

    `contracts` are all versions, oldest first. The document in force says which names exist; of each name decides the
    version recorded last of those that are valid, and when that one has ended, the name has no terms. One that names
    the partner goes before one for a group and that before one for all; then the later start, then the name.
    `day`: the day to be valid on, where it is not the moment's own, as the event's at the report.
    """
    decided: set[str] = set()
    found: list[Contract] = []
    days: dict[str, date] = {}
    names: frozenset[str] | None = None
    if isinstance(contracts, Versions):
        names = contracts.names_at(moment)
        newest_first = contracts.newest_first(moment)
    else:
        newest_first = reversed(contracts)
    for one in newest_first:
        if one.name in decided or one.recorded_at > moment:
            continue
        today = day or days.get(one.time_zone) or days.setdefault(one.time_zone, local_day(moment, one.time_zone))
        if one.valid_from > today:
            continue
        decided.add(one.name)
        if one.is_named_at(moment) and not one.has_ended(today) and one.covers(event_type, partner):
            found.append(one)
        if names is not None and decided >= names:
            break
    return min(found, key=lambda one: (one.reach(partner) or 0, -one.valid_from.toordinal(), one.name), default=None)


@dataclass(frozen=True, eq=False)
class Versions(Sequence[Contract]):
    """All contract versions of a program, oldest first, each read only when it is looked at.

    `read` gives a version by its number; told that those before it will be wanted as well, it may read them at once.
    `spans` are what the documents said of the names up to `recorded_at`, when the newest of them was recorded. From
    then on the `live` versions of each name decide, newest first: one that is valid, and those announced since.
    """

    total: int
    spans: "Spans"
    recorded_at: datetime
    live: Mapping[str, tuple[int, ...]]
    event_types: frozenset[str]
    read: Callable[[int, bool], Contract]

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, place: int) -> Contract: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Contract, ...]: ...
    def __getitem__(self, place: int | slice) -> Contract | tuple[Contract, ...]:
        if isinstance(place, slice):
            return tuple(self._version(at, True) for at in range(self.total)[place])
        return self._version(range(self.total)[place], False)

    def __iter__(self) -> Iterator[Contract]:
        return iter(tuple(reversed(self))[::-1])

    def __reversed__(self) -> Iterator[Contract]:
        return (self._version(at, True) for at in range(self.total - 1, -1, -1))

    def names_at(self, moment: datetime) -> frozenset[str]:
        """The names that have terms at a moment."""
        return frozenset(name for name, spans in self.spans.items() if is_within(spans, moment))

    def newest_first(self, moment: datetime) -> Iterator[Contract]:
        """All that may decide at a moment: for one after `recorded_at` those that most probably do go first."""
        names = self.names_at(moment) if moment >= self.recorded_at else ()
        first = sorted({number for name in names for number in self.live.get(name, ())}, reverse=True)
        yield from (self[number - 1] for number in first)
        yield from (one for one in reversed(self) if one.number not in first)

    def _version(self, place: int, all_before: bool) -> Contract:
        found = self.read(place + 1, all_before)
        return replace(found, named=self.spans[found.name])


def live_versions(contracts: Sequence[Contract], recorded_at: datetime) -> dict[str, tuple[int, ...]]:
    """By name the numbers of the versions that decide from a moment on, newest first: up to the first that is valid."""
    live: dict[str, tuple[int, ...]] = {}
    valid: set[str] = set()
    for one in reversed(contracts):
        if one.name not in valid:
            live[one.name] = (*live.get(one.name, ()), one.number)
        if one.valid_from <= local_day(recorded_at, one.time_zone):
            valid.add(one.name)
    return live


def event_types_of(contracts: Sequence[Contract]) -> frozenset[str]:
    """The event types for which there ever were terms."""
    if isinstance(contracts, Versions):
        return contracts.event_types
    return frozenset(one.event_type for one in contracts)


def terms_at_report(
    contracts: Sequence[Contract], event_type: str, partner: str, event_time: datetime, reported_at: datetime
) -> Contract | None:
    """The terms by the event's local day, among what was recorded by the report."""
    if not contracts:
        return None
    return terms_at(contracts, event_type, partner, reported_at, local_day(event_time, contracts[-1].time_zone))


def with_versions_of(
    document: Mapping[str, Any],
    known: Sequence[Contract],
    recorded_at: datetime,
    lists: Mapping[str, Entries] | None = None,
) -> tuple[Contract, ...]:
    """All contract versions after this program document is recorded: the known ones, then those it adds or changes.

    `lists` are those that were uploaded by then; a list that the document writes out goes before them.
    """
    written = {name: named_list(entries) for name, entries in document.get("lists", {}).items()}
    versions = list(known)
    for name, body in document["contracts"].items():
        earlier = [c for c in versions if c.name == name]
        terms = contract_of(
            name,
            body,
            time_zone=document["time_zone"],
            currency=document["currency"],
            recorded_at=recorded_at,
            number=len(versions) + 1,
            version=len(earlier) + 1,
            groups=document.get("groups"),
            lists={**(lists or {}), **written},
        )
        if not earlier or not earlier[-1].says_the_same(terms):
            versions.append(terms)
    spans = spans_after(spans_of(known), document["contracts"], recorded_at)
    return with_spans(versions, spans)


Spans = Mapping[str, tuple[Span, ...]]
"""By contract name: from when until when the document in force named it."""


def spans_of(contracts: Iterable[Contract]) -> Spans:
    if isinstance(contracts, Versions):
        return contracts.spans
    return {one.name: one.named for one in contracts}


def with_spans(contracts: Iterable[Contract], spans: Spans) -> tuple[Contract, ...]:
    """The contracts, each with what the documents said about its name."""
    return tuple(replace(one, named=spans[one.name]) for one in contracts)


def spans_after(before: Spans, names: Iterable[str], recorded_at: datetime) -> Spans:
    """What the documents say after one more is recorded, which names these contracts."""
    present = set(names)
    after: dict[str, tuple[Span, ...]] = {}
    for name in dict.fromkeys([*before, *present]):
        *ended, last = before.get(name) or ((recorded_at, recorded_at),)
        begun, end = last
        if name in present and end is not None:
            after[name] = (*before.get(name, ()), (recorded_at, None))
        elif name not in present and end is None:
            after[name] = (*ended, (begun, recorded_at))
        else:
            after[name] = before[name]
    return after
