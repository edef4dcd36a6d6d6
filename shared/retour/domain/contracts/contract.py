"""Contracts in immutable versions: who is paid what, and when actions lock (spec 6)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from retour.domain.actions.action import Action
from retour.domain.calendar import local_day
from retour.domain.contracts.conditions import Sale, condition_values
from retour.domain.contracts.lock import LockRule
from retour.domain.contracts.lock_terms import RankedLock, locks_of
from retour.domain.contracts.named_list import Entries
from retour.domain.contracts.pay import LineAmounts, cap_amounts, in_program_currency
from retour.domain.contracts.rule import Rule, rule_of


class TermsBasis(StrEnum):
    """Which version prices a change: in force at the change (as at impact.com), or when the action happened."""

    AT_MODIFICATION = "at_modification"
    AT_ACTION = "at_action"


class CascadePolicy(StrEnum):
    """What a parent's reversal does to its children."""

    CASCADE = "cascade"
    WARN = "warn"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LinePayout:
    """The commission of one line in minor units of the program's currency, and the rank of its rule (0: none)."""

    amount: int
    rule: int


SCOPE_KEYS = ("partners", "groups", "valid_from", "valid_until")
"""Keys of a contract about its scope, not its terms."""

Span = tuple[datetime, datetime | None]
"""A time span. None means that it has no end yet."""


def is_within(spans: Iterable[Span], moment: datetime) -> bool:
    return any(begun <= moment and (end is None or moment < end) for begun, end in spans)


@dataclass(frozen=True, slots=True)
class RulePayout:
    """The commission of one rule: the positions of its lines and their amounts. `uncapped` is the sum before a cap."""

    rank: int
    lines: tuple[int, ...]
    amounts: tuple[int, ...]
    uncapped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of the terms for an event type, for the named partners and groups, or for all if none is named.

    `number` counts all contract versions of the program from 1 and is what the ledger books; `version` counts within
    the name. `body` is the terms as written; with the members of its `groups` and its `lists` a version is complete.
    `named`: when the program document in force named the contract. `valid_until` is the last day of the terms.
    """

    number: int
    name: str
    version: int
    recorded_at: datetime
    time_zone: str
    currency: str
    body: Mapping[str, Any]
    event_type: str
    partners: frozenset[str]
    valid_from: date
    rules: tuple[Rule, ...]
    locks: tuple[RankedLock, ...]
    basis: TermsBasis
    cascade: CascadePolicy
    named: tuple[Span, ...]
    valid_until: date | None = None
    for_groups: frozenset[str] = frozenset()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lists: Mapping[str, Entries] = field(default_factory=dict)

    # Scope

    def covers(self, event_type: str, partner: str) -> bool:
        return self.event_type == event_type and self.reach(partner) is not None

    def reach(self, partner: str) -> int | None:
        """The rank by which the terms cover a partner: 0 by name, 1 by group, 2 as one of all; None if they do not."""
        if partner in self.partners:
            return 0
        if any(partner in self.groups[group] for group in self.for_groups):
            return 1
        return None if self.partners or self.for_groups else 2

    @property
    def members(self) -> frozenset[str]:
        """The partners covered by name or group; empty if all are covered."""
        return self.partners.union(*(self.groups[group] for group in self.for_groups))

    @property
    def is_for_all(self) -> bool:
        return not self.partners and not self.for_groups

    def is_named_at(self, moment: datetime) -> bool:
        """Whether the document in force at a time has a contract of this name."""
        return is_within(self.named, moment)

    def has_ended(self, day: date) -> bool:
        return self.valid_until is not None and self.valid_until < day

    # Lock

    @property
    def lock(self) -> LockRule:
        """The lock rule if no special condition holds."""
        return self.locks[-1].rule

    def lock_for(self, action: Action) -> LockRule:
        """The lock rule for an action, by its report, so that it never changes."""
        if len(self.locks) == 1:
            return self.lock
        sale = self.sale(action)
        return next((one.rule for one in self.locks if one.holds(sale)), self.lock)

    # Payout

    def line_payouts(self, action: Action, rests: LineAmounts) -> tuple[LinePayout, ...]:
        """The commission of each line for its remaining (amount, quantity), by the first rule that applies."""
        paid = [LinePayout(0, 0)] * len(action.lines)
        for share in self.rule_payouts(action, rests):
            for i, amount in zip(share.lines, share.amounts, strict=True):
                paid[i] = LinePayout(amount, share.rank)
        return tuple(paid)

    def rule_payouts(self, action: Action, rests: LineAmounts) -> list[RulePayout]:
        """The same by rule, in order of rank, without lines that no rule pays."""
        ranks = self.ranks(action)
        found = []
        for rank in sorted({rank for rank in ranks if rank}):
            rule, places = self.rules[rank - 1], tuple(i for i, own in enumerate(ranks) if own == rank)
            amounts = rule.pay.amounts_for([rests[i] for i in places], action, self.currency)
            found.append(RulePayout(rank, places, tuple(cap_amounts(amounts, rule.at_most)), sum(amounts)))
        return found

    def ranks(self, action: Action) -> list[int]:
        """The rank of the first rule that applies to each line; 0 if none does."""
        if self.rules[0].is_for_everything:
            return [1] * len(action.lines)
        sale, ranked = self.sale(action), list(enumerate(self.rules, 1))
        return [next((rank for rank, rule in ranked if rule.holds(sale, line)), 0) for line in action.lines]

    def sale(self, action: Action) -> Sale:
        groups = frozenset(name for name, members in self.groups.items() if action.partner in members)
        value = in_program_currency(action.amount, action, self.currency)
        return Sale(action, local_day(action.event_time, self.time_zone), value, groups)

    def says_the_same(self, other: "Contract") -> bool:
        """Whether both are the same terms for the same partners and days, ignoring their version."""
        return (self.body, self.groups) == (other.body, other.groups) and self.does_the_same(other)

    def does_the_same(self, other: "Contract") -> bool:
        """Whether both have the same effect for partners they cover, ignoring scope and dates."""
        return self._does() == other._does()

    def _does(self) -> tuple[Any, ...]:
        body = {key: said for key, said in self.body.items() if key not in SCOPE_KEYS}
        asked = {name: self.groups[name] for name in self.groups if name not in self.for_groups}
        lists = {name: entries.sha256 for name, entries in self.lists.items()}
        return self.name, self.time_zone, self.currency, body, asked, lists


def contract_of(
    name: str,
    body: Mapping[str, Any],
    *,
    time_zone: str,
    currency: str,
    recorded_at: datetime,
    number: int = 0,
    version: int = 0,
    named: tuple[Span, ...] = (),
    groups: Mapping[str, Iterable[str]] | None = None,
    lists: Mapping[str, Entries] | None = None,
) -> Contract:
    """Create a contract from a document that is valid by the program's schema.

    `groups` and `lists` are all those of the program; the contract keeps those it refers to.
    """
    groups_named, lists_named = referenced_names(body)
    own_lists = {one: lists[one] for one in sorted(lists_named)} if lists else {}
    return Contract(
        number=number,
        name=name,
        version=version,
        recorded_at=recorded_at,
        time_zone=time_zone,
        currency=currency,
        body=body,
        event_type=body["event_type"],
        partners=frozenset(body.get("partners", ())),
        valid_from=date.fromisoformat(str(body["valid_from"])),
        rules=tuple(rule_of(rule, currency, own_lists) for rule in body.get("rules") or [{"pays": body["payout"]}]),
        locks=locks_of(body["lock"], currency, own_lists),
        basis=TermsBasis(body.get("terms_basis", TermsBasis.AT_MODIFICATION)),
        cascade=CascadePolicy(body.get("cascade", CascadePolicy.NONE)),
        named=named or ((recorded_at, None),),
        valid_until=date.fromisoformat(str(body["valid_until"])) if "valid_until" in body else None,
        for_groups=frozenset(body.get("groups", ())),
        groups={one: frozenset(groups[one]) for one in sorted(groups_named)} if groups else {},
        lists=own_lists,
    )


def referenced_names(body: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The names of groups and of lists that terms refer to."""
    ranked = body["lock"] if isinstance(body["lock"], list) else [body["lock"]]
    groups: set[str] = set(body.get("groups", ()))
    lists: set[str] = set()
    for one in (*body.get("rules", ()), *ranked):
        groups.update(condition_values(one, "partner_group"))
        lists.update(item["list"] for item in condition_values(one) if isinstance(item, Mapping))
    return groups, lists
