"""Programs to begin with: each is right as it is written, and is taken by a hub."""

from pathlib import Path

import pytest
from tests.conftest import ProgramHarness

from retour.cli import main
from retour.setup.presets import presets
from retour.setup.program_file import parse_program

LOCKS = {
    "amazon-seller": {"months_after_month_end": 1, "days_after_month_end": 2},
    "net-30": {"days_after_event": 30},
    "net-45": {"days_after_event": 45},
}


def test_every_preset_is_tried_here() -> None:
    assert presets() == sorted(LOCKS)


@pytest.mark.parametrize("preset", LOCKS)
def test_a_preset_writes_a_program_that_is_right(
    preset: str, tmp_path: Path, house: ProgramHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my-shop.yaml"
    arguments = ["program", "new", "--preset", preset, "--file", str(path)]
    assert main([*arguments, "--name", "Müller: Schuhe", "--currency", "CHF", "--time-zone", "Europe/Zurich"]) == 0
    assert main(["program", "check", str(path)]) == 0
    document = parse_program(path.read_text("utf-8"))
    assert isinstance(document, dict)
    assert (document["program"], document["name"], document["currency"]) == ("my-shop", "Müller: Schuhe", "CHF")
    assert document["contracts"]["standard"]["lock"] == LOCKS[preset]
    house.apply(document)
    opened = house.hub.program(house.program)
    assert opened is not None and opened.time_zone == "Europe/Zurich"
    assert main(arguments) == 2, "what is there already stays"
    assert "there already" in capsys.readouterr().err


def test_a_program_that_would_be_wrong_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shop.yaml"
    assert main(["program", "new", "--preset", "net-30", "--file", str(path), "--currency", "EURO"]) == 1
    assert not path.exists() and "currency" in capsys.readouterr().err
