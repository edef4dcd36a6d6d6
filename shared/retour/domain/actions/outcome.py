"""The outcome of a modification (spec 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


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
    """Amount and payout of the action before and after, in minor units, and the contract version that priced it.

    The payout is in the program's currency, whatever the sale was in.
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
    """The payout after a change, in minor units, had the contract agreed the other terms basis."""

    basis: str
    payout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeGood:
    """What a change that came too late would have moved, in minor units: below zero the partner gives back.

    `also`: what another partner gets where the change would have moved the action from one to the other.
    """

    partner: str
    currency: str
    payout_currency: str
    amount: int
    payout: int
    also: "MakeGood | None" = None


@dataclass(frozen=True, slots=True)
class FirstOutcome:
    """Of a duplicate: what became of its content when it was first told, and the delivery that told it."""

    outcome: Outcome
    delivery: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one record of a delivery: its place, what became of it, and why in a stable code.

    `change`, `quantity`, `amount` and `currency` are what the record asked, as it was read.
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
        """The code and the details of the sentence that explains it.

        A duplicate says what made its first record what it is, or else that it was taken in before.
        """
        if self.first and not self.code:
            return "TAKEN_IN_BEFORE", {"batch": self.first.delivery, "case": self.first.outcome.value}
        return self.code, self.details
