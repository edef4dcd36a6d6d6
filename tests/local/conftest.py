"""The local hub as a process, and the embedded AWS alone for tests that need no functions."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
START_SECONDS = 240
STOP_SECONDS = 75
PROXIES = {
    spelled: "http://127.0.0.1:9"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
}
"""Environment variables of a company's machine that a hub on loopback must ignore."""


class RunningHub:
    """A running hub: its process and its ready-file."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready_file: Path):
        self.process = process
        self.ready: dict[str, Any] = json.loads(ready_file.read_text())

    def kill(self) -> None:
        """Kill the hub and everything it started, as in a power failure."""
        self.process.send_signal(signal.SIGSTOP)
        os.kill(int((Path(self.data) / "aws/emulator.pid").read_text()), signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def data(self) -> str:
        arguments = self.process.args
        assert isinstance(arguments, list)
        return str(arguments[arguments.index("--data") + 1])


@contextmanager
def running_hub(tmp: Path, *arguments: str) -> Iterator[RunningHub]:
    """Run `retour up` on `tmp`/data with free ports; stop it by SIGTERM at the end."""
    tmp.mkdir(parents=True, exist_ok=True)
    ready_file = tmp / "ready.json"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "local", "--port", "0", "--data", str(tmp / "data")]
    with (tmp / "hub.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready_file), *arguments],
            env={**os.environ, **PROXIES, "PYTHONPATH": str(INFRA), "RETOUR_LIFELINE": "1"},
            stdin=subprocess.PIPE,
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
        yield RunningHub(process, ready_file)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert (process.returncode != 0) or left_running(tmp / "data") == [], "an end that leaves something behind"
    ending = (tmp / "hub.log").read_text().rpartition("Stopping; ")[2]
    assert process.returncode != 0 or "Traceback" not in ending, ending


def left_running(data: Path) -> list[str]:
    """Processes still running on a hub's data: the hub, its embedded AWS, workers."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            where = os.readlink(process / "cwd")
            if process.name != str(os.getpid()) and (f"{data}/" in f"{command} " or where.startswith(str(data))):
                found.append(f"{process.name} {command}")
    return found


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an embedded AWS without a stack."""
    from local.emulator import emulator, free_port

    with emulator(tmp_path_factory.mktemp("aws"), free_port(), persist=False) as endpoint:
        yield endpoint
