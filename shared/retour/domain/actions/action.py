"""One tracked event of one partner: what was sold, as it was reported (spec 1)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class LifecycleState(StrEnum):
    """LOCKED is a question to the clock and PAID one to the statements; neither is ever stored."""

    PENDING = "pending"
    APPROVED = "approved"
    REVERSED = "reversed"
    LOCKED = "locked"
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the order in minor units of the action's currency. `line` tells two lines of one SKU apart."""

    line: str
    sku: str | None
    category: str | None
    quantity: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """As reported, immutable. `id` is the merchant's own action id, else `<order key>~<event type>[~<event time>]`.

    `rate` is what one unit of its currency is in the program's, frozen at the event.
    """

    id: str
    program: str
    order_key: str
    order_id: str
    event_type: str
    partner: str
    event_time: datetime
    currency: str
    lines: tuple[Line, ...]
    reported_at: datetime
    delivery: str
    locks_at: datetime | None
    contract: int
    rate: Decimal = Decimal(1)
    promo_code: str | None = None
    customer_status: str | None = None
    country: str | None = None
    payment_method: str | None = None
    parent: str | None = None

    @property
    def has_own_id(self) -> bool:
        """Whether the merchant gave the id; a derived one begins with the order key and the event type."""
        return not self.id.startswith(f"{self.order_key}~{self.event_type}")

    @property
    def amount(self) -> int:
        return sum(line.amount for line in self.lines)
