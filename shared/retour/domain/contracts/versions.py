"""Which terms are in force at a time: contract versions, and the documents that name them (spec 6, Terms over time)."""

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
    """The terms for a partner at a time, or None.

    `contracts` are all versions, oldest first. The document in force decides which names exist. Of each name, the
    version recorded last among the valid ones decides; if it has ended, the name has no terms. A contract that names
    the partner wins over one for a group and that over one for all; then the later start, then the name. `day` is the
    day of validity if it is not the day of `moment`, such as the event day at the report.
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
    """All contract versions of a program, oldest first, loaded on access.

    `read` returns a version by number; its second argument says that earlier ones will be needed too. `spans` are the
    time spans of each name up to `recorded_at`, the newest document. After that only the `live` versions of each name
    matter, newest first: the valid one and those announced since.
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
        """The names with terms at a time."""
        return frozenset(name for name, spans in self.spans.items() if is_within(spans, moment))

    def newest_first(self, moment: datetime) -> Iterator[Contract]:
        """The versions that may decide at a time, newest first; after `recorded_at`, only the live ones."""
        names = self.names_at(moment) if moment >= self.recorded_at else ()
        first = sorted({number for name in names for number in self.live.get(name, ())}, reverse=True)
        yield from (self[number - 1] for number in first)
        yield from (one for one in reversed(self) if one.number not in first)

    def _version(self, place: int, all_before: bool) -> Contract:
        found = self.read(place + 1, all_before)
        return replace(found, named=self.spans[found.name])


def live_versions(contracts: Sequence[Contract], recorded_at: datetime) -> dict[str, tuple[int, ...]]:
    """By name, the numbers of the versions that matter from a time on: newest first, up to the first valid one."""
    live: dict[str, tuple[int, ...]] = {}
    valid: set[str] = set()
    for one in reversed(contracts):
        if one.name not in valid:
            live[one.name] = (*live.get(one.name, ()), one.number)
        if one.valid_from <= local_day(recorded_at, one.time_zone):
            valid.add(one.name)
    return live


def event_types_of(contracts: Sequence[Contract]) -> frozenset[str]:
    """The event types that have ever had terms."""
    if isinstance(contracts, Versions):
        return contracts.event_types
    return frozenset(one.event_type for one in contracts)


def terms_at_report(
    contracts: Sequence[Contract], event_type: str, partner: str, event_time: datetime, reported_at: datetime
) -> Contract | None:
    """The terms by the event's local day, among those recorded by the report."""
    if not contracts:
        return None
    return terms_at(contracts, event_type, partner, reported_at, local_day(event_time, contracts[-1].time_zone))


def with_versions_of(
    document: Mapping[str, Any],
    known: Sequence[Contract],
    recorded_at: datetime,
    lists: Mapping[str, Entries] | None = None,
) -> tuple[Contract, ...]:
    """All contract versions after this document is recorded: known ones, then new or changed ones.

    `lists` are the uploaded lists. A list in the document takes precedence.
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
"""By contract name: the spans in which the document in force named it."""


def spans_of(contracts: Iterable[Contract]) -> Spans:
    if isinstance(contracts, Versions):
        return contracts.spans
    return {one.name: one.named for one in contracts}


def with_spans(contracts: Iterable[Contract], spans: Spans) -> tuple[Contract, ...]:
    """The contracts with the spans of their names."""
    return tuple(replace(one, named=spans[one.name]) for one in contracts)


def spans_after(before: Spans, names: Iterable[str], recorded_at: datetime) -> Spans:
    """The spans after one more document, which names these contracts."""
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
