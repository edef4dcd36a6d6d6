"""The whole demo, as `make demo EXIT=1` runs it: five real clients, five answers, five payouts computed by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECONDS = 240


def test_one_return_over_each_channel_moves_its_action_and_is_answered(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "retour.cli", "demo", "--exit", "--port", "0"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    log = tmp_path / ".retour/demo/hub.log"
    assert ended.returncode == 0, "\n".join((ended.stdout, ended.stderr, log.read_text() if log.exists() else ""))
    assert "All 5 payouts are the ones computed by hand" in ended.stdout
    # It stopped by itself, and cleanly: the hub has taken its ready-file away.
    assert not (tmp_path / ".retour/demo/ready.json").exists()
    assert not (tmp_path / ".retour/demo/running").exists()
