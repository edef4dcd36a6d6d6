"""The values of workbook cells: numbers by their stored digits, dates by cell style."""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Context, Decimal

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.numbers import TypedMoment, TypedNumber

SHARED_BYTES_MAX = 48 << 20
EXACT_BELOW = 1 << 53
DATE_FORMATS = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
ESCAPED_CHAR = re.compile(r"_x([0-9A-Fa-f]{4})_")
FORMAT_LITERAL = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
NUMBER_TEXT = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,3})?")
SHOWN_DIGITS = Context(prec=15)
LAST_SERIAL_DAY = 2_958_466


class UnusableWorkbookError(Exception):
    """A workbook that cannot be read at all. Carries the Refusal."""

    def __init__(self, code: str, **details: str) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, details)


@dataclass(frozen=True, slots=True)
class CellStyle:
    """How a cell's style changes a number's meaning: a date, or an id padded with zeros."""

    date: bool = False
    digits: int = 0


@dataclass(frozen=True, slots=True)
class RawCell:
    """How a refused row's cell is returned if its text would lose information: a number, a date, or no result."""

    number: str
    date: bool = False
    formula: bool = False
    far: bool = False


UNCALCULATED_CELL = RawCell("", formula=True)
CELL_BEYOND_LIMIT = RawCell("", far=True)


@dataclass(frozen=True, slots=True)
class Values:
    """How a workbook's numbers are read: its date epoch, and the source's number and date formats."""

    since_1904: bool = False
    mark: str = "."
    pattern: str = ""

    @classmethod
    def of(cls, source: Source, since_1904: bool) -> "Values":
        return cls(since_1904, str(source.mapping.get("decimal") or "."), first_pattern(source.mapping.get("date")))

    def number(self, text: str, look: CellStyle) -> str:
        """The text of a numeric cell."""
        if look.date and (moment := serial_moment(text, self.since_1904)):
            return TypedMoment(format_moment(moment, self.pattern), moment)
        plain = decimal_text(text)
        if look.digits and plain.isdigit():
            return plain.zfill(look.digits)
        return TypedNumber(plain.replace(".", self.mark), plain) if "." in plain else plain

    def kept(self, text: str, look: CellStyle) -> "RawCell":
        """The number as returned in a workbook of refused rows, with dates in the 1900 epoch."""
        text = text.strip()
        if not (look.date and self.since_1904):
            return RawCell(text, look.date)
        if serial_moment(text, since_1904=True) is not None:
            return RawCell(str(Decimal(text) + 1462), date=True)
        # No date in either epoch: it keeps its style, so that an id in it is refused again.
        return RawCell(text, date=serial_moment(text, since_1904=False) is None)


@dataclass
class SharedStrings:
    """A workbook's shared strings in one buffer, so that a million of them take no more memory than their text."""

    bytes: bytearray = field(default_factory=bytearray)
    ends: "array[int]" = field(default_factory=lambda: array("L", [0]))

    def __getitem__(self, number: int) -> str:
        return self.bytes[self.ends[number] : self.ends[number + 1]].decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self.ends) - 1

    def add(self, text: str) -> None:
        """Raises UnusableWorkbookError beyond the memory limit."""
        self.bytes += text.encode("utf-8", "surrogatepass")
        self.ends.append(len(self.bytes))
        if len(self.bytes) + self.ends.itemsize * len(self.ends) > SHARED_BYTES_MAX:
            raise UnusableWorkbookError("WORKBOOK_TOO_LARGE", limit=f"{SHARED_BYTES_MAX >> 20} MB")


def style_of(number: str, formats: dict[str, str]) -> CellStyle:
    code = formats.get(number, "")
    if not code:
        return CellStyle(date=number.isdigit() and len(number) < 4 and int(number) in DATE_FORMATS)
    if set(code) == {"0"} and len(code) > 1:
        return CellStyle(digits=min(len(code), 32))
    bare = FORMAT_LITERAL.sub("", code).lower().partition(";")[0]
    return CellStyle(date="general" not in bare and any(sign in bare for sign in "ymdhs"))


def is_exact(text: str) -> bool:
    """Whether an integer is exact: spreadsheets keep 15 digits and pad with zeros."""
    digits = text.lstrip("-")
    if not digits.isdecimal() or len(digits) < 16:
        return True
    return len(digits) == 16 and int(digits) < EXACT_BELOW and digits[-1] != "0"


def decimal_text(text: str) -> str:
    """A number without exponent, rounded to the digits a spreadsheet shows. Other text stays as it is."""
    text = text.strip()
    if not NUMBER_TEXT.fullmatch(text):
        return text
    number = Decimal(text)
    if number != number.to_integral_value() and len(number.as_tuple().digits) > SHOWN_DIGITS.prec:
        number = SHOWN_DIGITS.plus(number)
    plain = f"{number:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def serial_moment(text: str, since_1904: bool) -> datetime | None:
    """The time of a serial number, to the millisecond; None before the first date on which all programs agree."""
    text = text.strip()
    if not NUMBER_TEXT.fullmatch(text) or len(text) > 40:
        return None
    number = Decimal(text)
    if not (0 if since_1904 else 61) <= number < LAST_SERIAL_DAY - (1462 if since_1904 else 0):
        return None
    day = int(number)
    part = int(((number - day) * 86_400_000).to_integral_value())
    return datetime(1904, 1, 1) + timedelta(day - (0 if since_1904 else 1462), milliseconds=part)


def date_text(text: str, pattern: str) -> str:
    try:
        moment = datetime.fromisoformat(text.strip())
        return TypedMoment(format_moment(moment, pattern), moment)
    except ValueError:
        return text


def first_pattern(patterns: str | Sequence[str] | None) -> str:
    """The date format a source declares, the first if there are several."""
    return patterns if isinstance(patterns, str) else next(iter(patterns or ()), "")


def format_moment(moment: datetime, pattern: str) -> str:
    """A date in the source's own format, so that it is parsed like any other."""
    if pattern:
        return moment.strftime(pattern)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0) and moment.tzinfo is None:
        return moment.date().isoformat()
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def column_of(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column - 1


def letters_of(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


# Writing
