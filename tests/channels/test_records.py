"""Retour's own JSON, read strictly and record by record."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour import normalise
from retour.channels import records
from retour.domain.row import Refusal, Row, Unreadable
from retour.sentences import sentence


def one(**fields: Any) -> Row | Unreadable:
    read = records.rows(json.dumps(fields).encode())
    assert not isinstance(read, Refusal)
    (row,) = read
    return row


def code(body: bytes | str) -> str | None:
    read = records.rows(body.encode() if isinstance(body, str) else body)
    return read.code if isinstance(read, Refusal) else None


def test_its_fields_are_those_that_are_read_on() -> None:
    assert records.FIELDS == normalise.FIELDS


def test_one_object_a_list_and_a_named_list_read_alike() -> None:
    record = '{"order_id": "1042", "change": "reverse"}'
    texts = (
        record,
        f"[{record}]",
        f'{{"modifications": [{record}]}}',
        f'\ufeff {{ "modifications" : [\n{record}\n] }} ',
    )
    reads = [records.rows(text.encode()) for text in texts]
    assert all(read == (Row("1", {"order_id": "1042", "change": "reverse"}, record),) for read in reads)


def test_no_records_are_no_error() -> None:
    assert records.rows(b"[]") == records.rows(b'{"modifications": []}') == ()


def test_a_row_keeps_the_record_exactly_as_it_came() -> None:
    text = '[ {"order_id":"1",  "note":"\\u00e9 ]}" , "amount":"1.10"},\r\n{"change" :"reverse", "order_id":"2" } ]'
    read = records.rows(text.encode())
    assert not isinstance(read, Refusal)
    assert [row.raw for row in read] == [
        '{"order_id":"1",  "note":"\\u00e9 ]}" , "amount":"1.10"}',
        '{"change" :"reverse", "order_id":"2" }',
    ]
    assert [row.place for row in read] == ["1", "2"]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("", "NOT_JSON"), ("{", "NOT_JSON"), ("[{}", "NOT_JSON"), ("[{},]", "NOT_JSON"), ("{} {}", "NOT_JSON"),
        ("order_id=1", "NOT_JSON"), (b"\xff\xfe{\x00}\x00", "NOT_UTF8"), (b'{"note": "\xe4"}', "NOT_UTF8"),
        ("[" * 100_000 + "]" * 100_000, "NESTED_TOO_DEEP"), ('{"a":' * 100_000, "NESTED_TOO_DEEP"),
        ('"1042"', "NOT_RECORDS"), ("7", "NOT_RECORDS"), ("null", "NOT_RECORDS"), ("true", "NOT_RECORDS"),
        ('{"modifications": {"order_id": "1"}}', "NOT_RECORDS"), ('{"modifications": [], "x": 1}', "UNKNOWN_FIELD"),
        ('{"modifications": [], "modifications": []}', "DUPLICATE_KEY"),
        (b"[" + b"{}," * 500 + b"{}]", "TOO_MANY_RECORDS"),
    ],
)  # fmt: skip
def test_a_body_that_holds_no_records_is_refused_whole(body: bytes | str, refused: str) -> None:
    assert code(body) == refused


def test_five_hundred_records_are_read() -> None:
    read = records.rows(b"[" + b"{}," * 499 + b"{}]")
    assert not isinstance(read, Refusal)
    assert len(read) == 500


@pytest.mark.parametrize("literal", ["20.00", "20", "-1", "1e3", "NaN", "Infinity", "9" * 5000])
def test_an_amount_as_a_number_is_refused_with_the_text_it_should_have_been(literal: str) -> None:
    read = records.rows(f'[{{"order_id": "1", "amount": {literal}}}, {{"order_id": "2"}}]'.encode())
    assert not isinstance(read, Refusal)
    bad, good = read
    assert isinstance(bad, Unreadable)
    assert isinstance(good, Row)
    assert (bad.code, bad.column, bad.order) == ("AMOUNT_NOT_TEXT", "amount", "1")
    assert len(bad.details["value"]) <= 64
    if len(literal) < 10:
        assert f'"{literal}"' in sentence(bad.code, bad.details)


@pytest.mark.parametrize("value", [1042, 10.5, True, False, [], ["1042"], {}, {"id": "1042"}])
def test_an_id_is_text(value: Any) -> None:
    row = one(order_id=value)
    assert isinstance(row, Unreadable)
    assert (row.code, row.column) == ("FIELD_NOT_TEXT", "order_id")


def test_quantity_and_line_may_be_whole_numbers() -> None:
    row = one(order_id="1", quantity=2, line=3)
    assert isinstance(row, Row)
    assert row.fields == {"order_id": "1", "quantity": "2", "line": "3"}
    half = one(quantity=1.5)
    assert isinstance(half, Row)
    assert half.fields == {"quantity": "1.5"}, "what is no quantity is judged with all other quantities"
    assert isinstance(one(quantity=True), Unreadable)


def test_null_and_empty_say_nothing() -> None:
    row = one(order_id="1", sku=None, note="")
    assert isinstance(row, Row)
    assert row.fields == {"order_id": "1"}


@pytest.mark.parametrize(
    ("field", "closest"),
    [
        ("orderId", "order_id"), ("order", "order_id"), ("Amount", "amount"), ("qty", "quantity"), ("reasn", "reason"),
        ("action", "action_id"), ("occured_at", "occurred_at"), ("order_total", "order_id"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_named_with_the_closest_right_one(field: str, closest: str) -> None:
    row = one(**{"order_id": "1", field: "x"})
    assert isinstance(row, Unreadable)
    assert (row.code, row.details) == ("UNKNOWN_FIELD", {"field": field, "closest": closest})


def test_an_unknown_field_of_any_length_is_told_in_short() -> None:
    row = one(**{"x" * 10_000: "1", "\ud800": "2"})
    assert isinstance(row, Unreadable)
    assert len(row.details["field"]) <= 64
    assert row.details["closest"] == ", ".join(records.FIELDS)


@pytest.mark.parametrize("field", ["comment", "price", "id", "total"])
def test_where_no_field_is_near_all_are_named(field: str) -> None:
    row = one(**{"order_id": "1", field: "x"})
    assert isinstance(row, Unreadable) and row.details["closest"] == ", ".join(records.FIELDS)


def test_a_key_named_twice_leaves_no_value_certain() -> None:
    read = records.rows(b'[{"order_id": "1", "amount": "1.00", "amount": "9.00"}]')
    assert not isinstance(read, Refusal)
    (row,) = read
    assert isinstance(row, Unreadable)
    assert (row.code, row.details, row.order) == ("DUPLICATE_KEY", {"key": "amount"}, "1")


def test_text_that_cannot_be_kept_is_refused() -> None:
    for fields, wrong in (({"sku": "a" * 129}, "TEXT_UNUSABLE"), ({"note": "ä" * 251}, "TEXT_UNUSABLE")):
        row = one(order_id="1", **fields)
        assert isinstance(row, Unreadable)
        assert (row.code, row.order) == (wrong, "1")
    assert isinstance(one(order_id="1", note="ä" * 250, sku="a" * 128), Row)
    broken = one(order_id="10\ud80042")
    assert isinstance(broken, Unreadable)
    assert (broken.code, broken.order) == ("NOT_UNICODE", "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*records.FIELDS, "x")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from((*records.FIELDS, "x")), json_values, max_size=5), max_size=5))
def test_every_record_is_answered_in_its_place(sent: list[dict[str, Any]]) -> None:
    read = records.rows(json.dumps(sent).encode())
    assert not isinstance(read, Refusal)
    assert [row.place for row in read] == [str(n) for n in range(1, len(sent) + 1)]
    for record, row in zip(sent, read, strict=True):
        assert json.loads(row.raw) == record or record != record or "NaN" in row.raw
        if isinstance(row, Row):
            assert {name: str(value) for name, value in record.items() if value not in (None, "")} == row.fields


@given(st.binary(max_size=300))
def test_any_bytes_are_records_or_refused(body: bytes) -> None:
    read = records.rows(body)
    assert isinstance(read, Refusal) or all(isinstance(row, Row | Unreadable) for row in read)
