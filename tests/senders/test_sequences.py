"""Sequences of what a Salesforce organisation tells; those of webhooks are in the suite of every sender."""

import itertools

from tests.senders.sequences import SequenceMessage, all_sequences, expected_left, first_wrong, table

KIND = "salesforce"
FEW = 120


def test_what_is_left_is_the_sale_less_the_newest_statement_of_each_record() -> None:
    every = sum(1 for _ in all_sequences(KIND, 2)) // (FEW - 1) or 1
    count, wrong = first_wrong(KIND, itertools.islice(all_sequences(KIND, 2), 0, None, every))
    assert wrong is None
    assert count >= min(FEW, 100), f"{count} sequences"


def test_every_state_of_its_table_is_typed_for_three_payloads_with_its_source() -> None:
    for name, object in table(KIND)["objects"].items():
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
