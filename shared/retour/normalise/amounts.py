"""Amounts, quantities and currencies of a row. The notation of numbers is in `retour.numbers`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from retour.domain.money import InvalidAmountError, exponents
from retour.domain.program import Source
from retour.normalise.errors import CellError
from retour.numbers import AmbiguousNumberError, ForeignCurrencyError, TypedNumber, currency_in, parse_number
from retour.sentences import truncate

AMOUNT_MEANS = ("set_total", "take_back", "difference")
THOUSANDS = re.compile(r"\D*[1-9]\d{0,2}\.\d{3}\D*")
QUANTITY_MAX = 1_000_000


@dataclass(frozen=True)
class Amounts:
    """How a source writes amounts and quantities.

    `is_written_by_people`: the rows come from files, with the number formats of spreadsheets. API callers must use the
    documented format.
    """

    source: Source
    program_currency: str
    is_written_by_people: bool

    def amount(self, cells: Mapping[str, str], field: str) -> Decimal | None:
        text = cells.get(field)
        if text is None:
            return None
        mark = self.source.mapping.get("decimal")
        if mark is None and self._may_be_thousands(text, cells):
            raise CellError("AMOUNT_AMBIGUOUS", field, value=truncate(text))
        stated = self._stated_currency(cells) or currency_in(text, self.program_currency)
        try:
            amount = parse_number(text, mark, stated or None)
        except AmbiguousNumberError:
            raise CellError("AMOUNT_AMBIGUOUS", field, value=truncate(text)) from None
        except ForeignCurrencyError:
            raise CellError("AMOUNT_OTHER_CURRENCY", field, value=truncate(text), currency=stated) from None
        except InvalidAmountError:
            raise amount_error(field, text, mark or ".") from None
        if amount < 0 and self.source.amount_means != "difference":
            raise CellError("AMOUNT_NEGATIVE", field)
        return self._round(amount, cells) if self.source.mapping.get("round") else amount

    def quantity(self, cells: Mapping[str, str]) -> int | None:
        text = cells.get("quantity")
        if text is None:
            return None
        digits = text.removeprefix("-") if self.source.amount_means == "difference" else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) > QUANTITY_MAX:
            raise CellError("NOT_A_QUANTITY", "quantity", value=truncate(text))
        return int(text)

    def currency(self, cells: Mapping[str, str]) -> str | None:
        """The row's currency if it or its source states one; None means the order's currency."""
        currency = self._stated_currency(cells)
        if currency and currency not in exponents():
            raise CellError("UNKNOWN_CURRENCY", "currency", value=truncate(currency))
        if currency or "amount" not in cells:
            return currency or None
        # A currency given only next to the amount counts if it is not the program's: 5.00 USD are not euros.
        written = currency_in(cells["amount"], self.program_currency)
        return written if written and written != self.program_currency else None

    def _stated_currency(self, cells: Mapping[str, str]) -> str:
        """The currency stated by the row, else by its source."""
        return cells.get("currency", "").upper() or self.source.currency or ""

    def _round(self, amount: Decimal, cells: Mapping[str, str]) -> Decimal:
        """Round to the currency's minor unit, half away from zero, if the source declares rounding."""
        currency = self._stated_currency(cells) or self.program_currency
        unit = Decimal(1).scaleb(-exponents().get(currency, 2))
        return amount if amount % unit == 0 else amount.quantize(unit, ROUND_HALF_UP)

    def _may_be_thousands(self, text: str, cells: Mapping[str, str]) -> bool:
        """Whether a point may be a thousands separator, as in `12.500`, unless the currency has three decimals."""
        if isinstance(text, TypedNumber) or not self.is_written_by_people or THOUSANDS.fullmatch(text) is None:
            return False
        return exponents().get(self._stated_currency(cells) or self.program_currency, 0) < 3


def amount_error(field: str, text: str, mark: str) -> CellError:
    """The error for an unreadable amount. If only the decimal mark is wrong, it suggests the number meant."""
    other = "," if mark == "." else "."
    try:
        right = f"{parse_number(text, other):f}".replace(".", mark)
    except (InvalidAmountError, AmbiguousNumberError, ForeignCurrencyError):
        return CellError("NOT_AN_AMOUNT", field, value=truncate(text), mark=mark)
    return CellError("AMOUNT_OTHER_MARK", field, value=truncate(text), mark=mark, other=other, right=right)


def change_from_difference(amount: Decimal | None, quantity: int | None) -> tuple[str, Decimal | None, int | None]:
    """A signed difference as a change: a negative one is taken back; a positive one is an error."""
    if amount is None and quantity is None:
        raise CellError("AMOUNT_NEEDED", "amount", change="difference")
    if amount is not None and amount > 0:
        raise CellError("DIFFERENCE_POSITIVE", "amount", value=str(amount))
    if not amount and quantity is not None and quantity > 0:
        raise CellError("DIFFERENCE_POSITIVE", "quantity", value=str(quantity))
    units = abs(quantity) if quantity else None
    return "take_back", None if not amount and units else -(amount or Decimal(0)), units
