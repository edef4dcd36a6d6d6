"""The meter on AWS's own examples and rules (Developer Guide: item sizes, write request units)."""

import pytest

from tests.meter import attribute_bytes, index_writes, item_bytes, units


def test_names_and_values_are_counted() -> None:
    item = {"shirt-color": {"S": "R"}, "shirt-size": {"S": "M"}}
    assert item_bytes(item) == 23
    assert item_bytes({"a": {"N": "27"}}) == 3


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "é"}, 2),
        ({"N": "100"}, 2),
        ({"N": "-27"}, 3),
        ({"N": "12345"}, 4),
        ({"B": b"1234"}, 4),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}]}, 6),
        ({"M": {"k": {"S": "ab"}}}, 7),
    ],
)
def test_attribute_sizes(value: dict[str, object], size: int) -> None:
    assert attribute_bytes(value) == size


@pytest.mark.parametrize(("size", "cost"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (3584, 4)])
def test_write_units_are_begun_kilobytes(size: int, cost: int) -> None:
    assert units(size) == cost


def test_an_index_costs_only_what_changes_in_it() -> None:
    here = {"GSI1PK": {"S": "a"}, "GSI1SK": {"S": "1"}}
    there = {"GSI1PK": {"S": "b"}, "GSI1SK": {"S": "1"}}
    assert index_writes(None, here) == [("GSI1 a", 1)]
    assert index_writes(here, here) == []
    assert index_writes(here, there) == [("GSI1 a", 1), ("GSI1 b", 1)]
    assert index_writes(here, None) == [("GSI1 a", 1)]
