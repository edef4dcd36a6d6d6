"""Numbers as people write them: exact where they are one number, refused where they could be two."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.money import InvalidAmountError
from retour.numbers import AmbiguousNumberError, ForeignCurrencyError, parse_number

POINT, COMMA = ".", ","


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("12.50", None, "12.50"), ("-12.50", None, "-12.50"), ("12", None, "12"), ("1234.5", None, "1234.5"),
        ("12,50", COMMA, "12.50"), ("1.234,56", COMMA, "1234.56"), ("1.234", COMMA, "1234"), ("12", COMMA, "12"),
        ("1,234.56", None, "1234.56"), ("1,234.56", POINT, "1234.56"), ("1,234", POINT, "1234"),
        ("1,234,567", POINT, "1234567"), ("1\u00a0234,56", COMMA, "1234.56"), ("1\u202f234,56", COMMA, "1234.56"),
        ("1 234.56", None, "1234.56"), ("1'234.56", None, "1234.56"), ("1’234’567.00", None, "1234567.00"),
        ("\u221212,50", COMMA, "-12.50"), ("12.50-", None, "-12.50"), ("12,50 -", COMMA, "-12.50"),
        ("(12.50)", None, "-12.50"), ("+12.50", None, "12.50"), ("$12.50", None, "12.50"), ("$12.50 ", None, "12.50"),
        ("12,50 €", COMMA, "12.50"), ("-€12.50", None, "-12.50"), ("€ -12.50", None, "-12.50"), ("($ 5)", None, "-5"),
        ("EUR 12.50", None, "12.50"), ("12.50EUR", None, "12.50"), ("-12.50 EUR", None, "-12.50"),
    ],
)  # fmt: skip
def test_is_one_number(text: str, mark: str | None, value: str) -> None:
    assert parse_number(text, mark) == Decimal(value)


@pytest.mark.parametrize("text", ["1,234", "12,345", "123,456", "-1,234", "1,234,567", "1,234 €"])
def test_without_a_declared_mark_grouping_alone_is_two_numbers(text: str) -> None:
    with pytest.raises(AmbiguousNumberError):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("12,50", None), ("12.50", COMMA), ("1.23", COMMA), ("1.2345,00", COMMA), ("1,23.50", POINT),
        ("1 234 56", None), ("1'234,567.00", None), ("1.234.56", None), ("1,2,3", COMMA), ("", None), (" ", None),
        ("-", None), ("()", None), ("(-5)", None), ("--5", None), ("-5-", None), ("5e3", None), ("1e5000000", None),
        ("12.", None), (".5", None), ("0x10", None), ("١٢", None), ("12 USDX", None), ("ABC 12", None), ("NaN", None),
        ("Infinity", None), ("9" * 16, None), ("5 %", None), ("1_000", None), ("12.50\x00", None), ("€", None),
        ("#REF!", None),
    ],
)  # fmt: skip
def test_is_no_number(text: str, mark: str | None) -> None:
    with pytest.raises(InvalidAmountError):
        parse_number(text, mark)


@pytest.mark.parametrize(("text", "currency"), [("€12.50", "USD"), ("12.50 EUR", "USD"), ("GBP 3.00", "EUR")])
def test_a_currency_that_contradicts_the_row_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ForeignCurrencyError):
        parse_number(text, None, currency)
    parse_number(text, None, None)


def test_a_sign_that_many_currencies_share_contradicts_none() -> None:
    assert parse_number("$12.50", None, "CAD") == parse_number("¥12", None, "CNY") + Decimal("0.50")


@given(st.integers(0, 10**11), st.integers(0, 99), st.sampled_from([POINT, COMMA]), st.booleans())
def test_what_is_written_with_its_mark_reads_back(whole: int, cents: int, mark: str, grouped: bool) -> None:
    group = {POINT: COMMA, COMMA: POINT}[mark]
    text = f"{whole:,}".replace(",", group) if grouped else str(whole)
    assert parse_number(f"{text}{mark}{cents:02d}", mark) == Decimal(f"{whole}.{cents:02d}")


@given(st.text(max_size=30), st.sampled_from([None, POINT, COMMA]))
def test_any_text_is_a_finite_number_or_refused(text: str, mark: str | None) -> None:
    try:
        value = parse_number(text, mark)
    except (InvalidAmountError, AmbiguousNumberError, ForeignCurrencyError):
        return
    assert value.is_finite() and sum(sign.isdigit() for sign in text) >= len(str(abs(int(value)))) > 0
