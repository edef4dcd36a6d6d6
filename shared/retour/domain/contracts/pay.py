"""What a rule pays: one entry per kind with its syntax, calculation and explanation; and the cap (spec 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from retour.domain.actions.action import Action
from retour.domain.money import (
    InvalidAmountError,
    allocate,
    exponent,
    parse_decimal,
    round_half_away,
    to_minor,
    to_text,
)
from retour.domain.phrase import Phrase, Sentence

PERCENT_MAX = 100
PERCENT_DIGITS = 7

LineAmounts = Sequence[tuple[int, int]]
"""The remaining amount and units of each line."""


@dataclass(frozen=True, slots=True)
class Percent:
    """A percentage of each line, rounded per line, or of the order as a whole."""

    percent: Decimal
    per_order: bool = False

    def amounts_for(self, rests: LineAmounts, action: Action, currency: str) -> list[int]:
        amounts = [amount for amount, _ in rests]
        if self.per_order:
            return allocate(self.of(sum(amounts), action, currency), amounts)
        return [self.of(amount, action, currency) for amount in amounts]

    def of(self, amount: int, action: Action, currency: str) -> int:
        return round_half_away(in_program_currency(amount, action, currency) * self.percent / 100)

    def phrase(self, rests: LineAmounts, paid: int, action: Action, currency: str) -> Phrase:
        """The sum and the percentage. If rounding by line gives another sum, both are stated."""
        amount = sum(amount for amount, _ in rests)
        about = {
            "percent": plain_decimal(self.percent),
            "amount": f"{to_text(amount, action.currency)} {action.currency}",
        }
        code = "PAID_PERCENT"
        if action.currency != currency:
            code, about = f"{code}_CONVERTED", about | {"rate": plain_decimal(action.rate), "currency": currency}
        if paid != self.of(amount, action, currency):
            about |= {"lines": str(len(rests)), "paid": f"{to_text(paid, currency)} {currency}"}
            code = f"{code}_BY_LINE"
        return Phrase(code, about)


@dataclass(frozen=True, slots=True)
class Flat:
    """A flat amount in minor units of the program's currency, per unit not returned or per order."""

    amount: int
    per_order: bool = False

    def amounts_for(self, rests: LineAmounts, _action: Action, _currency: str) -> list[int]:
        if not self.per_order:
            return [self.amount * quantity for _, quantity in rests]
        left = [amount or quantity for amount, quantity in rests]
        return allocate(self.amount, left) if any(left) else [0] * len(rests)

    def phrase(self, rests: LineAmounts, _paid: int, _action: Action, currency: str) -> Phrase:
        units = sum(quantity for _, quantity in rests)
        about = {"flat": f"{to_text(self.amount, currency)} {currency}", "quantity": str(units)}
        return Phrase("PAID_ONCE" if self.per_order else "PAID_EACH", about)


Pay = Percent | Flat


def pay_of(text: str, currency: str, *, per_order: bool) -> Pay:
    """Parse `8%`, or a flat amount such as `5.00` or `5.00 EUR`. Raises InvalidAmountError otherwise."""
    if text.endswith("%"):
        return Percent(parse_decimal(text[:-1].strip()), per_order)
    return Flat(to_minor(parse_decimal(text.removesuffix(currency).strip()), currency), per_order)


def pay_fault(text: str, currency: str) -> Sentence | None:
    """The fault of a payout's text, or None."""
    try:
        pay = pay_of(text, currency, per_order=False)
    except InvalidAmountError:
        about = {"value": text, "currency": currency, "right": to_text(500, currency)}
        return Sentence("FAULT_NO_PAY", about)
    if isinstance(pay, Percent):
        if pay.percent > PERCENT_MAX:
            return Sentence("FAULT_PAY_ABOVE_SALE", {"value": text})
        if len(pay.percent.as_tuple().digits) > PERCENT_DIGITS:
            return Sentence("FAULT_PAY_DIGITS", {"value": text, "digits": str(PERCENT_DIGITS)})
    return None


def cap_fault(text: str, currency: str) -> Sentence | None:
    """The fault of a cap, or None."""
    try:
        to_minor(parse_decimal(text), currency)
    except InvalidAmountError:
        about = {"value": text, "currency": currency, "right": to_text(5000, currency)}
        return Sentence("FAULT_NO_AMOUNT", about)
    return None


def cap_amounts(paid: Sequence[int], at_most: int | None) -> Sequence[int]:
    """The amounts, reduced to a maximum sum by largest remainder if necessary."""
    return paid if at_most is None or sum(paid) <= at_most else allocate(at_most, paid)


def in_program_currency(amount: int, action: Action, currency: str) -> Decimal:
    """Convert to minor units of the program's currency, at the action's frozen rate."""
    places = exponent(currency) - exponent(action.currency)
    return (Decimal(amount) * action.rate).scaleb(places)


def plain_decimal(number: Decimal) -> str:
    return f"{number.normalize():f}"


PAY_SCHEMA = {
    "description": "What is paid: a share such as `8%`, or a flat amount of the program's currency such as `5.00`, "
    "quoted.",
    "type": "string",
    "pattern": "^[0-9]{1,9}([.][0-9]{1,6})? ?(%|[A-Z]{3})?$",
    "examples": ["8%", "7.5%", "5.00"],
}
CAP_SCHEMA = {
    "description": "The most that the rule pays for one action, in the program's currency; its lines share it.",
    "type": "string",
    "pattern": "^[0-9]{1,9}([.][0-9]{1,6})?$",
    "examples": ["50.00"],
}
PER_SCHEMA = {
    "description": "Whether the rule pays every item (a share of each line, a flat amount per unit) or the order as "
    "one.",
    "type": "string",
    "enum": ["item", "order"],
    "default": "item",
}
