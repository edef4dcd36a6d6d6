"""JSON and JSON lines: every record accounted for, strict about what a record is, calm about what is none."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files import hostile

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places

GOOD = {"order_id": "A-1", "change": "reverse"}


def opened(content: bytes, **mapping: Any) -> OpenedFile:
    found = open_file("x.json", io.BytesIO(content), Source(name="s", channel=Channel.SFTP, mapping=mapping))
    assert isinstance(found, OpenedFile), found
    return found


def rows(content: bytes, **mapping: Any) -> list[Row | Unreadable]:
    return list(opened(content, **mapping).rows)


def codes(content: bytes, **mapping: Any) -> list[str]:
    return ["" if isinstance(row, Row) else row.code for row in rows(content, **mapping)]


def good(number: int) -> str:
    return json.dumps({**GOOD, "order_id": f"A-{number}"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("shape", ["[{0},\n {1}]", '{{"modifications": [{0},{1}]}}', "{0}\n{1}\n", "\n{0}\r\n\r\n{1}"])
def test_every_shape_in_every_encoding(shape: str, encoding: str) -> None:
    found = rows(shape.format(good(1), good(2)).encode(encoding))
    assert [dict(row.fields) for row in found if isinstance(row, Row)] == [GOOD, {**GOOD, "order_id": "A-2"}]


def test_one_object_over_several_lines_and_none_at_all() -> None:
    assert [dict(row.fields) for row in rows(json.dumps(GOOD, indent=1).encode()) if isinstance(row, Row)] == [GOOD]
    assert rows(b"[ ]") == rows(b'{"modifications": [\n]}') == []


def test_places_are_lines_of_lines_and_numbers_of_lists() -> None:
    assert [row.place for row in rows(f"{good(1)}\n\n{good(2)}\n".encode())] == ["1", "3"]
    assert [row.place for row in rows(f"[\n\n{good(1)},\n{good(2)}]\n".encode())] == ["1", "2"]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ("[1]", "NOT_AN_OBJECT"),
        ('{"order_id": "A-9", "skuu": "1"}', "UNKNOWN_FIELD"),
        ('{"order_id": "A-9", "order_id": "A-8"}', "DUPLICATE_KEY"),
        ('{"order_id": "A-9", "Order-ID": "A-8"}', "DUPLICATE_KEY"),
        ('{"order_id": "A-9", "amount": 12.5}', "AMOUNT_NOT_TEXT"),
        ('{"order_id": "A-9", "amount": 1e5000000}', "AMOUNT_NOT_TEXT"),
        ('{"order_id": 9}', "FIELD_NOT_TEXT"),
        ('{"order_id": "A-9", "sku": {"a": 1}}', "FIELD_NOT_TEXT"),
        ('{"order_id": "A-9", "sku": true}', "FIELD_NOT_TEXT"),
        (r'{"order_id": "A-9\ud800"}', "NOT_UNICODE"),
        (r'{"order_id": "A-9\u0000"}', "NOT_TEXT"),
        ('{"order_id": "1,23457E+12"}', "DAMAGED_ID"),
        (json.dumps({"order_id": "9" * 10_001}), "CELL_TOO_LONG"),
        ('{"order_id": "A-9", "quantity": ' + "9" * 5000 + "}", "FIELD_NOT_TEXT"),
    ],
)
def test_a_wrong_record_is_refused_by_itself_and_given_back(record: str, code: str) -> None:
    for content, only in (
        (f"[{good(1)}, {record},{good(2)}]\n", f"[{record}\n]\n"),
        (f"{good(1)}\n{record}\n{good(2)}\n", f"{record}\n"),
    ):
        assert codes(content.encode()) == ["", code, ""]
        assert b"".join(rows_at_places(opened(content.encode()), ())) == only.encode()


def test_whole_numbers_where_a_number_is_meant() -> None:
    (row,) = rows(b'[{"order_id": "A-1", "quantity": 2, "line": 1, "note": null}]')
    assert isinstance(row, Row) and dict(row.fields) == {"order_id": "A-1", "quantity": "2", "line": "1"}


def test_mapped_numbers_keep_their_digits_and_read_as_the_source_writes_amounts() -> None:
    content = b'{"count":1,"Returns":[]}'
    content = b'{"Returns":[{"nr":10442,"betrag":1.234,"x":{"y":[1]}},{"nr":1.5}],"next":null}'
    columns = {"order_id": "nr", "amount": "betrag"}
    first, second = rows(content, columns=columns, decimal=",")
    assert isinstance(first, Row) and dict(first.fields) == {"nr": "10442", "betrag": "1,234"}
    assert isinstance(second, Unreadable) and second.code == "FIELD_NOT_TEXT"


def test_a_broken_line_spoils_no_other() -> None:
    broken = '{"order_id": "A-2", }'
    assert codes(f"{good(1)}\n{broken}\n{good(3)}\n".encode()) == ["", "JSON_BROKEN", ""]
    assert codes(f"{broken}\n{good(3)}\n".encode()) == ["JSON_BROKEN", ""]
    bad = f"{good(1)}\n".encode() + b'{"order_id": "\xff"}\n'
    assert codes(bad) == ["", "ENCODING_UNCLEAR"]
    assert b"".join(rows_at_places(opened(bad), ())) == b'{"order_id": "\xff"}\n'


def test_a_list_that_breaks_off_loses_no_record() -> None:
    broken = '{"order_id" "A-2"}'
    content = f"[{good(1)},\n{broken},\n{good(3)},\n{good(4)}]"
    assert codes(content.encode()) == ["", "JSON_BROKEN", "JSON_BROKEN", "JSON_BROKEN"]
    again = b"".join(rows_at_places(opened(content.encode()), ()))
    assert codes(again.replace(b'" "', b'": "')) == ["", "", ""]


@pytest.mark.parametrize("cut", range(1, 120))
def test_a_list_cut_off_says_so(cut: int) -> None:
    content = f"[{good(1)},{good(2)},{good(3)}]".encode()[:-cut]
    found = rows(content)
    assert len(found) in {content.count(b"{"), content.count(b"{") + 1}
    assert isinstance(found[-1], Unreadable) and found[-1].code == "JSON_BROKEN"
    assert len({row.place for row in found}) == len(found)


@pytest.mark.parametrize("tail", ["]]", "] x", ", ]", '], "more": [{"order_id": "A-2"}]}', ""])
def test_whatever_follows_the_list_is_told(tail: str) -> None:
    assert codes(f'{{"modifications": [{good(1)}{tail}'.encode()) == ["", "JSON_BROKEN"]


def test_no_records() -> None:
    found = open_file("x", io.BytesIO(b'{"returns": [{"order_id": "A-1"}]\n}'), Source(name="s", channel=Channel.API))
    assert isinstance(found, Refusal) and found.code == "JSON_NO_RECORDS"


@given(
    st.lists(st.text(st.characters(max_codepoint=0x10EFFF, exclude_categories=["Cs"]), max_size=8), max_size=30),
    st.booleans(),
)
def test_every_record_comes_out_once_with_its_own_text(orders: list[str], by_line: bool) -> None:
    records = [json.dumps({"order_id": f"A{order}Z"}, ensure_ascii=False) for order in orders]
    content = "\n".join(records) if by_line else f"[{','.join(records)}]"
    found = rows(content.encode()) if records else []
    assert [row.raw.strip() for row in found] == records
    for row, order in zip(found, orders, strict=True):
        if isinstance(row, Row):
            assert row.fields["order_id"] == f"A{order}Z"


def test_signs_we_use_ourselves_come_back_as_they_came() -> None:
    odd = json.dumps({"order_id": "A-\U0010ff41"}, ensure_ascii=False)
    for content, only in ((f"[{good(1)},{odd}]", f"[{odd}\n]\n"), (f"{good(1)}\n{odd}\n", f"{odd}\n")):
        assert codes(content.encode()) == ["", "ENCODING_UNCLEAR"]
        assert b"".join(rows_at_places(opened(content.encode()), ())) == only.encode()


@pytest.mark.slow
def test_hostile_json_stays_within_memory_and_time(tmp_path: Path) -> None:
    first = f"[{good(1)},".encode()
    bodies = {
        "million levels": (first + b"[" * 1_000_000, ["JSON_BROKEN"]),
        "million objects deep": (first + b'{"a":' * 1_000_000, ["JSON_BROKEN"]),
        "million levels on a line": (f"{good(1)}\n".encode() + b'{"a":' * 150_000 + b"\n", ["CELL_TOO_LONG"]),
        "levels on a line": (f"{good(1)}\n".encode() + b'{"a":' * 30_000 + b"\n", ["NESTED_TOO_DEEP"]),
        "exponent": (first + b'{"order_id":"A-2","quantity":1e5000000}]', ["FIELD_NOT_TEXT"]),
        "long number": (first + b'{"order_id":"A-2","quantity":' + b"9" * 150_000 + b"}]", ["FIELD_NOT_TEXT"]),
        "long cell": (first + b'{"order_id":"' + b"9" * (48 << 20) + b'"}]', ["JSON_BROKEN"]),
        "long line": (f"{good(1)}\n".encode() + b'{"order_id":"' + b"9" * (48 << 20) + b'"}\n', ["CELL_TOO_LONG"]),
        "blank": (first + b" " * (48 << 20), ["JSON_BROKEN"]),
        "many": (first + f"{good(2)},".encode() * 200_000 + b"{}]", []),
    }
    for name, (body, expected) in bodies.items():
        path = tmp_path / "hostile.json"
        path.write_bytes(body)
        said = hostile.read_in_subprocess(path, megabytes=300)
        assert said.get("codes") == expected, (name, said)
        assert said["megabytes"] < 64, (name, said)
