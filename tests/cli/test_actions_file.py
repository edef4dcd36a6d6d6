"""A file of actions cut into pieces that the API takes at once."""

import csv
import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.cli.actions_file import ActionsFileError, split_file

CSV = b"order_id,sku,amount\r\nA-1,X,1.00\r\nA-1,Y,2.00\r\nA-2,X,3.00\r\nA-3,Z,4.00\r\n"


def test_a_small_file_goes_as_it_is() -> None:
    [whole] = split_file("sales.csv", CSV)
    assert (whole.body, whole.actions, whole.skipped) == (CSV, 3, 0)
    assert whole.media_type.startswith("text/csv")


def test_the_rows_of_an_order_stay_together_and_the_lines_are_counted_on() -> None:
    first, second = split_file("sales.csv", CSV, limit=2)
    assert first.body == b"order_id,sku,amount\r\nA-1,X,1.00\r\nA-1,Y,2.00\r\nA-2,X,3.00\r\n"
    assert second.body == b"order_id,sku,amount\r\nA-3,Z,4.00\r\n"
    # Line 2 of the second piece is line 5 of the file.
    assert (first.skipped, second.skipped) == (0, 3)


def test_json_is_cut_by_records() -> None:
    body = json.dumps([{"order_id": str(n)} for n in range(5)]).encode()
    cut = split_file("sales.json", body, limit=2)
    assert [json.loads(piece.body) for piece in cut] == [
        [{"order_id": "0"}, {"order_id": "1"}],
        [{"order_id": "2"}, {"order_id": "3"}],
        [{"order_id": "4"}],
    ]
    assert [piece.skipped for piece in cut] == [0, 2, 4]


def test_json_that_fits_goes_as_it_is() -> None:
    body = b'[{"order_id": "A-1", "amount": 10.10}]'
    assert [piece.body for piece in split_file("sale.json", body)] == [body]
    assert [piece.body for piece in split_file("sale.json", b'{"order_id": "A-1"}')] == [b'{"order_id": "A-1"}']


def test_no_digit_of_an_amount_is_lost_in_cutting() -> None:
    body = b'{"actions": [{"amount": 10.10}, {"amount": "20.20"}]}'
    assert [json.loads(piece.body) for piece in split_file("a.json", body, limit=1)] == [
        [{"amount": "10.10"}],
        [{"amount": "20.20"}],
    ]


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.csv", b"order_id\n\xff\n", "not UTF-8 from byte 10"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[" * 99999, "not JSON"),
    ],
)
def test_what_cannot_be_cut_is_said(name: str, body: bytes, words: str) -> None:
    with pytest.raises(ActionsFileError, match=words):
        split_file(name, body)


def test_an_empty_file_has_no_pieces() -> None:
    assert split_file("a.csv", b"") == []
    assert split_file("a.csv", b"order_id,amount\n") == []


orders = st.text(alphabet='AB1,;"\n é', min_size=1, max_size=6)


@given(st.lists(st.tuples(orders, st.integers(1, 9)), max_size=12), st.integers(1, 4))
def test_nothing_is_lost_doubled_or_torn(rows: list[tuple[str, int]], limit: int) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["order_id", "quantity"])
    writer.writerows(rows)
    cut = split_file("sales.csv", file.getvalue().encode(), limit)
    read = [list(csv.reader(io.StringIO(piece.body.decode(), newline=""))) for piece in cut]
    assert all(part[0] == ["order_id", "quantity"] for part in read)
    assert [tuple(row) for part in read for row in part[1:]] == [(order, str(number)) for order, number in rows]
    assert all(piece.actions <= limit for piece in cut)
    for one, next_ in itertools.pairwise(read):
        assert one[-1][0] != next_[1][0]
