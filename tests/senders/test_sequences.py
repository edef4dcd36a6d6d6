"""Sequences of each kind of sender, a few of all; `python -m tests.senders` (make soak) plays them in thousands."""

import itertools

import pytest

from tests.senders.sequences import KINDS, SequenceMessage, all_sequences, expected_left, first_wrong, table

FEW = 120


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_is_the_sale_less_the_newest_statement_of_each_object(kind: str) -> None:
    every = sum(1 for _ in all_sequences(kind, 2)) // (FEW - 1) or 1
    count, wrong = first_wrong(kind, itertools.islice(all_sequences(kind, 2), 0, None, every))
    assert wrong is None
    assert count >= min(FEW, 100), f"{kind}: {count} sequences"
    print(f"{kind}: {count} sequences")


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_of_a_table_is_typed_for_three_payloads_with_its_source(kind: str) -> None:
    for name, object in table(kind)["objects"].items():
        assert object["documentation"].startswith("https://"), name
        assert len(object["payloads"]) == 3, name
        for state, takes in object["states"].items():
            assert takes.keys() == object["payloads"].keys(), (name, state)


def test_the_judge_judges() -> None:
    """Were it to say yes to everything, nothing here would be worth its time."""
    one = SequenceMessage(0, "refund", "succeeded", "fifth", 1)
    assert expected_left("stripe", [one]) == "80.00"
    assert expected_left("stripe", [one, SequenceMessage(0, "refund", "failed", "fifth", 2)]) == "100.00"
    assert expected_left("stripe", [one, SequenceMessage(1, "refund", "succeeded", "all", 2)]) == "0.00"
