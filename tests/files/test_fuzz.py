"""A short, repeatable run of every fuzz target; `make fuzz` runs them longer and from a new seed."""

import random

import pytest
from tests.fuzz import TARGETS, run_once

pytestmark = pytest.mark.slow

SAMPLES = 400


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_mutated_samples_are_read_or_refused(name: str) -> None:
    outcomes = [run_once(TARGETS[name], random.Random(seed)) for seed in range(SAMPLES)]
    assert "read" in outcomes and len(set(outcomes)) > 1
