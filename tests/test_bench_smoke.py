"""What `make bench` measures is the real thing: the same rows, every bad one refused, every step of a large file."""

from pathlib import Path

import pytest
from bench import data, memory, readers
from bench.__main__ import PRICES, print_target

pytestmark = pytest.mark.slow


def test_the_reader_refuses_exactly_the_bad_rows(tmp_path: Path) -> None:
    path = data.write_csv(tmp_path / "rows.csv", 1_000)
    assert data.bad_rows(1_000) == 10
    assert readers.retour(path)() == (990, 10)


@pytest.mark.parametrize("step", ["split_file", "take_rows", "finish_file", "answer"])
def test_each_step_of_a_large_file_runs_on_the_measuring_stores(
    step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for before in ("split_file", step):
        memory.main(before, "3000", str(tmp_path))
    assert '"growth"' in capsys.readouterr().out


def test_a_missed_target_says_by_how_much_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    print_target("of a thing", 3.0, 2.0, at_most=True, why="it is heavy")
    assert "MISSED by 50%: it is heavy" in capsys.readouterr().out
    print_target("of a thing", 1.0, 2.0, at_most=True, why="it is heavy")
    assert "met" in capsys.readouterr().out


def test_prices_are_dated() -> None:
    assert PRICES["valid_from"] >= "2026" and all(value > 0 for value in PRICES.values() if isinstance(value, float))
