"""The outcome of a modification (spec 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from retour.domain.delivery import receipt_time
from retour.domain.times import format_instant


class Outcome(StrEnum):
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    WAITING = "waiting"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Effect:
    """Amount and payout before and after a change, in minor units, and the contract version that priced it.

    The payout is in the program's currency, the amount in that of the sale.
    """

    currency: str
    payout_currency: str
    amount_before: int
    amount_after: int
    payout_before: int
    payout_after: int
    contract: int


@dataclass(frozen=True, slots=True)
class OtherBasis:
    """The payout after a change by the terms basis that was not agreed, in minor units."""

    basis: str
    payout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeGood:
    """What a late change would have moved, in minor units; negative if the partner owes it.

    `also`: the other partner's share if the change would have moved the action.
    """

    partner: str
    currency: str
    payout_currency: str
    amount: int
    payout: int
    also: "MakeGood | None" = None


@dataclass(frozen=True, slots=True)
class FirstOutcome:
    """The first outcome of a duplicate's content, and the delivery that had it."""

    outcome: Outcome
    delivery: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one record of a delivery: its place, and a stable code for the reason.

    `change`, `quantity`, `amount` and `currency` are the values read from the record.
    """

    place: str
    outcome: Outcome
    code: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    column: str = ""
    modification: str = ""
    reference: str = ""
    order: str = ""
    action: str = ""
    applied_at: datetime | None = None
    effect: Effect | None = None
    other_basis: OtherBasis | None = None
    make_good: MakeGood | None = None
    first: FirstOutcome | None = None
    raw: str = ""
    change: str = ""
    quantity: str = ""
    amount: str = ""
    currency: str = ""

    @property
    def reason(self) -> tuple[str, Mapping[str, str]]:
        """The code and details of the sentence that explains the result.

        A duplicate has those of its first outcome, or says that the record was received before.
        """
        if self.first and not self.code:
            first = self.first
            at = format_instant(receipt_time(first.delivery))
            zone = self.details.get("zone", "")
            details = {"batch": first.delivery, "received_at": at, "zone": zone, "case": first.outcome.value}
            return "TAKEN_IN_BEFORE", details
        return self.code, self.details
