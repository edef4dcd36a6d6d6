"""Billing groups: which payouts are stated together, on which day, and when they are paid (spec 8).

They stand in the program's document; `DEFAULT` is the group of whatever no other takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retour.domain.funding.schedule import AfterStatement, OnDay, PayRule
from retour.domain.money import parse_decimal, to_minor

DEFAULT = "default"
SCOPES = ("contracts", "event_types", "partners")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingGroup:
    """Who is in it: what all of `contracts`, `event_types` and `partners` hold; None: any.

    A statement of `statement_day` N takes what locked before day N of its month, in the program's time zone. What comes
    to less than `minimum_payout` (minor units of the program's currency) waits for the next. `series` begins the
    numbers of its statements; groups of one series are numbered together. `payer` is who pays, as the document says.
    """

    name: str
    contracts: frozenset[str] | None = None
    event_types: frozenset[str] | None = None
    partners: frozenset[str] | None = None
    statement_day: int = 1
    pays: PayRule = field(default_factory=AfterStatement)
    minimum_payout: int = 0
    series: str = ""
    payer: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def takes(self, contract: str, event_type: str, partner: str) -> bool:
        return self.takes_terms(contract, event_type) and (self.partners is None or partner in self.partners)

    def takes_terms(self, contract: str, event_type: str) -> bool:
        """Whether it is for payouts under a contract, if perhaps not those of every partner."""
        return (self.contracts is None or contract in self.contracts) and (
            self.event_types is None or event_type in self.event_types
        )


def parse_groups(document: Mapping[str, Any]) -> tuple[BillingGroup, ...]:
    """Those of a valid program document in their order, then the default one; the first that fits takes a payout."""
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
        minimum_payout=to_minor(parse_decimal(body["minimum_payout"]), currency) if "minimum_payout" in body else 0,
        series=body.get("series", f"{name}-"),
        payer=body.get("payer", {}),
        **scope,
    )


def groups_for(groups: tuple[BillingGroup, ...], contract: str, event_type: str) -> list[BillingGroup]:
    """The groups that payouts under a contract may fall into, up to the first that takes them of every partner."""
    found = []
    for one in groups:
        if one.takes_terms(contract, event_type):
            found.append(one)
            if one.partners is None:
                break
    return found
