"""retour up: run the hub on this machine."""

import argparse
import os
import sys
from pathlib import Path

import retour
from retour.cli.client import UsageError

ROOT = Path(retour.__file__).resolve().parents[2]
INFRA = ROOT / "infra"


def up(arguments: argparse.Namespace) -> int:
    """Replace this process by the hub, so that it receives Ctrl-C and SIGTERM itself."""
    command, environment = local_hub(arguments.data, arguments.port, ready_file=arguments.ready_file, now=arguments.now)
    sys.stdout.flush()
    os.execve(command[0], command, environment)


def local_hub(
    data: str | Path, port: int, *, ready_file: str | Path | None = None, now: str | None = None
) -> tuple[list[str], dict[str, str]]:
    """The command and environment of the local hub."""
    if not (INFRA / "local/__main__.py").is_file():
        raise UsageError("The local hub runs from a checkout of Retour: git clone, make install, .venv/bin/retour up")
    command = [sys.executable, "-m", "local", "--port", str(port), "--data", str(data)]
    command += ["--ready-file", str(ready_file or Path(data) / "ready.json")]
    command += ["--now", now] if now else []
    return command, {**os.environ, "PYTHONPATH": str(INFRA)}
