"""The local hub as a process of its own, and the embedded AWS alone for what needs no functions."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
START_SECONDS = 240
STOP_SECONDS = 75


class Running:
    """A hub that is up: its process, and what its ready-file says."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready_file: Path):
        self.process = process
        self.ready: dict[str, Any] = json.loads(ready_file.read_text())

    def kill(self) -> None:
        """As the power goes: the hub and everything it started."""
        emulator = Path(self.data) / "aws/emulator.pid"
        self.process.kill()
        self.process.wait()
        os.kill(int(emulator.read_text()), signal.SIGKILL)

    @property
    def data(self) -> str:
        arguments = self.process.args
        assert isinstance(arguments, list)
        return str(arguments[arguments.index("--data") + 1])


@contextmanager
def running_hub(tmp: Path, *arguments: str) -> Iterator[Running]:
    """`retour up` on `tmp`/data with any free port; stopped by SIGTERM at the end."""
    tmp.mkdir(parents=True, exist_ok=True)
    ready_file = tmp / "ready.json"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "local", "--port", "0", "--data", str(tmp / "data")]
    with (tmp / "hub.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready_file), *arguments],
            env={**os.environ, "PYTHONPATH": str(INFRA)},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            said = (tmp / "hub.log").read_text()
            assert process.poll() is None, f"the hub ended while starting:\n{said}"
            assert time.monotonic() < deadline, f"the hub did not get ready:\n{said}"
            time.sleep(0.05)
        yield Running(process, ready_file)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an embedded AWS without any stack."""
    from local.emulator import emulator, free_port

    with emulator(tmp_path_factory.mktemp("aws"), free_port(), persist=False) as endpoint:
        yield endpoint
