from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.fake_hub import FakeHub, fake_hub


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without the developer's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("RETOUR_URL", "RETOUR_KEY", "RETOUR_PROGRAM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running
