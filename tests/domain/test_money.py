"""Exact money: tables and properties."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.money import (
    InvalidAmountError,
    UnknownCurrencyError,
    allocate,
    exponent,
    exponents,
    parse_decimal,
    prorate,
    round_half_away,
    to_minor,
    to_text,
)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("19.90", "EUR", 1990), ("1980", "JPY", 1980), ("1.234", "KWD", 1234), ("-0.01", "USD", -1), ("0", "EUR", 0)],
)
def test_amounts_and_their_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor(parse_decimal(amount), currency) == minor
    assert parse_decimal(to_text(minor, currency)) == parse_decimal(amount)


@pytest.mark.parametrize(
    "text", ["", "1e5", "1,50", " 1", "1 ", ".5", "1.", "NaN", "١", "1_000", "--1", "1" * 16, "0x1"]
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmountError):
        parse_decimal(text)


@pytest.mark.parametrize(("amount", "currency"), [("1.5", "JPY"), ("0.001", "EUR"), ("0.0001", "KWD")])
def test_finer_than_the_currency_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(InvalidAmountError):
        to_minor(Decimal(amount), currency)


def test_unknown_currencies_are_an_error() -> None:
    with pytest.raises(UnknownCurrencyError):
        exponent("EUX")
    assert len(exponents()) > 150


@pytest.mark.parametrize(
    ("value", "rounded"), [("0.5", 1), ("-0.5", -1), ("1.5", 2), ("2.5", 3), ("-2.5", -3), ("2.49", 2)]
)
def test_halves_go_away_from_zero(value: str, rounded: int) -> None:
    assert round_half_away(Decimal(value)) == rounded


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**10), min_size=1, max_size=30))
def test_parts_sum_to_the_whole(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)
    assert sum(parts) == total
    assert all((part >= 0) == (total >= 0) or part == 0 for part in parts)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=30), st.data())
def test_no_part_exceeds_its_weight_when_the_total_does_not(weights: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(weights)))
    if sum(weights):
        assert all(part <= weight for part, weight in zip(allocate(total, weights), weights, strict=True))


@given(st.integers(0, 10**12), st.integers(1, 1000))
def test_the_shares_of_all_units_sum_to_the_line(amount: int, sold: int) -> None:
    shares = [prorate(amount, unit + 1, sold) - prorate(amount, unit, sold) for unit in range(sold)]
    assert sum(shares) == amount
    assert all(share >= 0 for share in shares)


@given(st.integers(-(10**9), 10**9), st.integers(-(10**6), 10**6), st.integers(1, 10**6))
def test_a_portion_is_rounded_half_away(total: int, part: int, whole: int) -> None:
    assert prorate(total, part, whole) == round_half_away(Decimal(total) * part / whole)
