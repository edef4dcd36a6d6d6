import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def as_blessed(request: pytest.FixtureRequest) -> Callable[[Path, Any], None]:
    """Compare a reading with the file beside its sample; with --bless, write it for review."""

    def compare(expected: Path, reading: Any) -> None:
        if request.config.getoption("--bless"):
            expected.write_text(json.dumps(reading, ensure_ascii=False, indent=1) + "\n", "utf-8")
        assert expected.exists(), f"{expected.name} is missing; pytest --bless writes it"
        assert reading == json.loads(expected.read_text("utf-8"))

    return compare
