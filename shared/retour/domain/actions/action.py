"""An action: one tracked event of one partner, as it was reported (spec 1)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class LifecycleState(StrEnum):
    """The state of an action. LOCKED depends on the clock and PAID on the statements, so neither is ever stored."""

    PENDING = "pending"
    APPROVED = "approved"
    REVERSED = "reversed"
    LOCKED = "locked"
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order, in minor units of the action's currency. `line` distinguishes lines with the same SKU."""

    line: str
    sku: str | None
    category: str | None
    quantity: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A reported action, immutable. `id` is the merchant's, or `<order key>~<event type>[~<event time>]`.

    `rate` is the value of one unit of its currency in the program's currency, frozen at the event.
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
        """Whether the merchant assigned the id. A derived id begins with the order key and the event type."""
        return not self.id.startswith(f"{self.order_key}~{self.event_type}")

    @property
    def amount(self) -> int:
        return sum(line.amount for line in self.lines)
