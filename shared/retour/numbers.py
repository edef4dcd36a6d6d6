"""Parse numbers as people and spreadsheets write them into exact decimals. Ambiguous ones are refused."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from retour.domain.money import InvalidAmountError, exponents, parse_decimal

GROUP_SEPARATORS = " '\u2019\u00a0\u202f\u2009"
"""Characters only used as thousands separators: space, apostrophes, no-break, narrow and thin spaces."""
MINUS_SIGNS = str.maketrans({"−": "-", "﹣": "-", "－": "-", "‐": "-", "–": "-"})
POUNDS = ("GBP", "EGP", "FKP", "GIP", "SHP", "SSP", "SYP", "LBP", "SDG")
YEN = ("JPY", "CNY")
DOLLARS = (
    "USD", "ARS", "AUD", "BBD", "BMD", "BND", "BSD", "BZD", "CAD", "CLP", "COP", "DOP", "FJD", "GYD", "HKD", "JMD",
    "KYD", "LRD", "MXN", "NAD", "NZD", "SBD", "SGD", "SRD", "TTD", "TWD", "UYU", "XCD",
)  # fmt: skip
CURRENCY_SYMBOLS: Mapping[str, Sequence[str]] = {
    "€": ("EUR",), "£": POUNDS, "¥": YEN, "￥": YEN, "$": DOLLARS, "＄": DOLLARS, "₹": ("INR",), "₩": ("KRW",),
    "₪": ("ILS",), "₫": ("VND",), "₺": ("TRY",), "₽": ("RUB",), "₴": ("UAH",), "₦": ("NGN",), "₱": ("PHP",),
    "฿": ("THB",), "₡": ("CRC",), "₲": ("PYG",), "₵": ("GHS",), "₸": ("KZT",), "₾": ("GEL",), "₼": ("AZN",),
}  # fmt: skip
"""Currencies per symbol, the most common one first."""
WITH_CURRENCY_CODE = re.compile(
    rf"(?:([A-Z]{{3}})[{GROUP_SEPARATORS}]?)?([^A-Z]*?)(?:[{GROUP_SEPARATORS}]?([A-Z]{{3}}))?", re.DOTALL
)
CURRENCY = re.compile("[A-Z]{3}")
GROUPED_DIGITS = {
    "": re.compile(rf"\d{{1,3}}([{GROUP_SEPARATORS}])\d{{3}}(?:\1\d{{3}})*"),
    ",": re.compile(r"\d{1,3}(?:,\d{3})+"),
    ".": re.compile(r"\d{1,3}(?:\.\d{3})+"),
}


class TypedNumber(str):
    """A number that its file stores as a number. `digits` are its own, with a decimal point.

    As text it has the source's number format, also after `strip`.
    """

    digits: str

    def __new__(cls, text: str, digits: str = "") -> "TypedNumber":
        made = super().__new__(cls, text)
        made.digits = digits or text
        return made

    def strip(self, signs: str | None = None, /) -> "TypedNumber":
        return self


class TypedMoment(str):
    """A time that its file stores as a time. As text it has the source's date format."""

    moment: datetime

    def __new__(cls, text: str, moment: datetime) -> "TypedMoment":
        made = super().__new__(cls, text)
        made.moment = moment
        return made

    def strip(self, signs: str | None = None, /) -> "TypedMoment":
        return self


class AmbiguousNumberError(ValueError):
    """The text can be read as two numbers: `1,234` is over a thousand, or just over one."""


class ForeignCurrencyError(ValueError):
    """The amount has another currency than its record."""


def parse_number(text: str, mark: str | None = None, currency: str | None = None) -> Decimal:
    """Parse a number. `mark` is the source's decimal mark, by default a point.

    Accepts grouping, minus signs of any kind before or after, parentheses, currency symbols and codes. Raises
    InvalidAmountError, AmbiguousNumberError or ForeignCurrencyError.
    """
    if isinstance(text, TypedNumber):
        return parse_decimal(text.digits)
    digits = text.strip()
    if digits.isascii() and digits.replace(".", "", 1).removeprefix("-").isdigit() and mark != ",":
        return parse_decimal(digits)
    digits = digits.translate(MINUS_SIGNS)
    negative = digits.startswith("(") and digits.endswith(")")
    digits = strip_currency(digits[1:-1] if negative else digits, currency)
    sign = digits[:1] if digits[:1] in ("-", "+") else digits[-1:] if digits[-1:] in ("-", "+") else ""
    if sign:
        digits = (digits[1:] if digits.startswith(sign) else digits[:-1]).strip(GROUP_SEPARATORS)
    if sign and negative:
        raise InvalidAmountError(text)
    digits = strip_currency(digits, currency)
    value = parse_decimal(ungroup_digits(digits, mark))
    return -value if negative or sign == "-" else value


def ungroup_digits(digits: str, mark: str | None) -> str:
    """Digits with a decimal point and without grouping."""
    if not digits.strip("0123456789.") and digits.count(".") < 2 and mark != ",":
        return digits
    if mark is None and GROUPED_DIGITS[","].fullmatch(digits):
        raise AmbiguousNumberError(digits)
    point = mark or "."
    whole, found, cents = digits.partition(point)
    if point in cents or (found and not cents):
        raise InvalidAmountError(digits)
    for group in ("", "," if point == "." else "."):
        if GROUPED_DIGITS[group].fullmatch(whole):
            whole = re.sub(r"\D", "", whole)
            break
    if not whole.isdigit():
        raise InvalidAmountError(digits)
    return f"{whole}.{cents}" if found else whole


def currency_in(text: str, usual: str) -> str:
    """The currency stated with an amount, by code or symbol; empty without one.

    A symbol of several currencies means `usual` if that is among them.
    """
    if isinstance(text, TypedNumber) or not (text.strip("0123456789., +-")):
        return ""
    code = next((one for one in CURRENCY.findall(text) if one in exponents()), "")
    meant = next((CURRENCY_SYMBOLS[one] for one in text if one in CURRENCY_SYMBOLS), ())
    return code or (usual if usual in meant else next(iter(meant), ""))


def strip_currency(digits: str, currency: str | None) -> str:
    """Remove a currency symbol or code before or after a number. It must not contradict the record's currency."""
    for sign in {one for one in digits if unicodedata.category(one) == "Sc"}:
        if sign not in CURRENCY_SYMBOLS:
            raise InvalidAmountError(digits)
        if currency and currency not in CURRENCY_SYMBOLS[sign]:
            raise ForeignCurrencyError(digits)
    bare = "".join(one for one in digits if unicodedata.category(one) != "Sc").strip(GROUP_SEPARATORS)
    found = WITH_CURRENCY_CODE.fullmatch(bare)
    if found:
        for code in (found[1], found[3]):
            if code is None:
                continue
            if code not in exponents():
                raise InvalidAmountError(digits)
            if currency and code != currency:
                raise ForeignCurrencyError(digits)
        bare = found[2].strip(GROUP_SEPARATORS)
    return bare
