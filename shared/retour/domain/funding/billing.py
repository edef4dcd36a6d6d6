"""Billing groups: which payouts are stated together, on which day, and when they are paid (spec 8).

They are declared in the program's document. `DEFAULT` takes whatever no other group does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from retour.domain.funding.banking_days import next_banking_day
from retour.domain.funding.schedule import AfterStatement, OnDay, PayRule, payment_of
from retour.domain.money import parse_decimal, to_minor

DEFAULT = "default"
SCOPES = ("contracts", "event_types", "partners")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingGroup:
    """A billing group for payouts that match all of `contracts`, `event_types` and `partners` (None matches any).

    A statement of `statement_day` N takes what locked before day N of its month, in the program's time zone.
    `business_days` is the country whose banking days are used; None means any day. Sums below `minimum_payout` (minor
    units of the program's currency) are carried over. `series` is the prefix of statement numbers; groups with the same
    series share them. `payer` is as in the document.
    """

    name: str
    contracts: frozenset[str] | None = None
    event_types: frozenset[str] | None = None
    partners: frozenset[str] | None = None
    statement_day: int = 1
    pays: PayRule = field(default_factory=AfterStatement)
    business_days: str | None = None
    minimum_payout: int = 0
    series: str = ""
    payer: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def due(self, statement: date) -> date:
        """The due date of a statement, moved to a banking day if the group has a country."""
        due = payment_of(self.pays, statement - timedelta(days=1), statement)
        return next_banking_day(due, self.business_days) if self.business_days else due

    def takes(self, contract: str, event_type: str, partner: str) -> bool:
        return self.takes_terms(contract, event_type) and (self.partners is None or partner in self.partners)

    def takes_terms(self, contract: str, event_type: str) -> bool:
        """Whether the group takes payouts under a contract, possibly only those of some partners."""
        return (self.contracts is None or contract in self.contracts) and (
            self.event_types is None or event_type in self.event_types
        )


def parse_groups(document: Mapping[str, Any]) -> tuple[BillingGroup, ...]:
    """The groups of a valid program document in order, then the default one. The first that matches takes a payout."""
    declared, currency = document.get("billing_groups", {}), document["currency"]
    groups = [parse_group(name, body or {}, currency) for name, body in declared.items() if name != DEFAULT]
    return (*groups, parse_group(DEFAULT, declared.get(DEFAULT) or {}, currency))


def parse_group(name: str, body: Mapping[str, Any], currency: str) -> BillingGroup:
    scope = {key: frozenset(body[key]) for key in SCOPES if key in body}
    paid = body.get("paid", {})
    return BillingGroup(
        name=name,
        statement_day=body.get("statement", {}).get("day", 1),
        pays=OnDay(paid["day"]) if "day" in paid else AfterStatement(paid.get("days_after_statement", 0)),
        business_days=body.get("business_days"),
        minimum_payout=to_minor(parse_decimal(body["minimum_payout"]), currency) if "minimum_payout" in body else 0,
        series=body.get("series", f"{name}-"),
        payer=body.get("payer", {}),
        **scope,
    )


def groups_for(groups: tuple[BillingGroup, ...], contract: str, event_type: str) -> list[BillingGroup]:
    """The groups that may take payouts under a contract, up to the first that takes those of all partners."""
    found = []
    for one in groups:
        if one.takes_terms(contract, event_type):
            found.append(one)
            if one.partners is None:
                break
    return found
