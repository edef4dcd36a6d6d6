"""Exact money: decimal text outside, integer minor units inside, rounded once, half away from zero (spec 3)."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from importlib.resources import files

DIGITS_MAX = 15


class UnknownCurrencyError(ValueError):
    """Not an active ISO 4217 currency code."""


class InvalidAmountError(ValueError):
    """Not a plain decimal number, or finer than the currency's minor unit."""


@cache
def exponents() -> dict[str, int]:
    """Decimals per ISO 4217 code, from currencies.csv."""
    lines = files("retour.domain").joinpath("currencies.csv").read_text("utf-8").splitlines()[1:]
    return {code: int(exponent) for code, exponent in (line.split(",")[:2] for line in lines)}


def exponent(currency: str) -> int:
    try:
        return exponents()[currency]
    except KeyError:
        raise UnknownCurrencyError(currency) from None


def parse_decimal(text: str) -> Decimal:
    """Parse a plain decimal such as `-12.50`: no exponent, grouping or whitespace, at most 15 digits."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    whole, _, cents = digits.partition(".")
    plain = digits.isascii() and whole.isdigit() and (cents.isdigit() or "." not in digits)
    if not plain or len(whole) + len(cents) > DIGITS_MAX:
        raise InvalidAmountError(text)
    return Decimal(text)


def to_minor(amount: Decimal, currency: str) -> int:
    """Convert to minor units. Raises InvalidAmountError if the amount is finer than the currency."""
    try:
        scaled = amount.scaleb(exponent(currency))
        if scaled == scaled.to_integral_value():
            return int(scaled)
    except InvalidOperation:
        pass
    raise InvalidAmountError(f"{amount} {currency}")


def to_text(minor: int, currency: str) -> str:
    """Decimal text with the currency's number of decimals, `-1204.50`."""
    return f"{Decimal(minor).scaleb(-exponent(currency)):f}"


def round_half_away(value: Decimal) -> int:
    """Round to the nearest integer, halves away from zero."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def prorate(total: int, part: int, whole: int) -> int:
    """total × part ÷ whole, rounded once, half away from zero. `whole` must be positive."""
    sign = -1 if (total < 0) != (part < 0) else 1
    return sign * ((2 * abs(total) * abs(part) + whole) // (2 * whole))


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total by non-negative weights so that the parts sum to it: largest remainder, ties to the earlier."""
    whole = sum(weights)
    if whole == 0:
        weights, whole = [1] * len(weights), len(weights)
    sign, total = (-1, -total) if total < 0 else (1, total)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]
