"""Programs take turns."""

from types import SimpleNamespace

import pytest

from retour.schedule import time_budget


def test_each_program_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    first = time_budget.fair_share(90.0, 3)
    clock[0] = 29.0
    assert first()
    clock[0] = 31.0
    assert not first()
    second = time_budget.fair_share(90.0, 2)
    clock[0] = 60.0
    assert second()
    clock[0] = 61.0
    assert not second()
