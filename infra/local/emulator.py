"""The embedded AWS: MiniStack in a process of its own, on loopback, behind our gateway (aws_gateway.py)."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-local/bin/python"
GATEWAY_SCRIPT = Path(__file__).resolve().parent / "aws_gateway.py"
REGION = "us-east-1"
READY_SECONDS = 30.0
# It saves its state only on a clean exit, which can take seconds with a large table.
SAVE_SECONDS = 45.0
NO_PROXY_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Requests to this machine, ignoring proxies of the environment."""
QUEUE_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/(?=000000000000/)")


@contextmanager
def emulator(
    data: Path,
    port: int,
    *,
    auth: bool = False,
    persist: bool = True,
    relay: str = "",
    key: str = "",
    front: str = "",
) -> Iterator[str]:
    """Run the embedded AWS on `port` while the context is open. Yields its endpoint URL.

    Its data is below `data`: everything after a clean exit, only S3 objects after a kill. With `auth`, functions are
    limited to their roles. Mail sent by functions is relayed to the SMTP server `relay`. With `key`, only requests
    signed with it are answered, and pages of `front` may upload to pre-signed URLs. An emulator left by a killed run on
    `data` is stopped first.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    if was_killed(data):
        # The saved state is older than the objects and must not be used.
        shutil.rmtree(data / "state", ignore_errors=True)
        (data / "emulator.pid").unlink()
    _kill_workers(data)
    # Killed workers leave their unpacked code behind.
    shutil.rmtree(data / "tmp", ignore_errors=True)
    for folder in ("tmp", "state", "s3"):
        (data / folder).mkdir(exist_ok=True)
    _readdress_queues(data / "state", port)
    with (data / "emulator.log").open("ab") as log:
        process = subprocess.Popen(
            # -P: the gateway's folder has modules named like those of the standard library.
            [str(PYTHON), "-P", str(GATEWAY_SCRIPT)],
            env=_environment(data, port, auth=auth, persist=persist, relay=relay) | _access_environment(key, front),
            cwd=data,
            stdin=subprocess.PIPE,  # It closes when this process ends, which stops the emulator.
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal must reach only the hub, which stops everything in order.
            start_new_session=True,
        )
    (data / "emulator.pid").write_text(str(process.pid))
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, endpoint, data / "emulator.log")
        yield endpoint
    finally:
        if _stop(process):
            (data / "emulator.pid").unlink(missing_ok=True)
        # They exit on their own; nobody waits for their output.
        _kill_workers(data)
        shutil.rmtree(data / "tmp", ignore_errors=True)


def was_killed(data: Path) -> bool:
    """Whether the last run on `data` ended without saving its state, so that only S3 objects are left.

    An emulator that is still running is stopped, and saves its state.
    """
    pid_file = data / "emulator.pid"
    if not pid_file.exists():
        return False
    try:
        pid = int(pid_file.read_text() or "0")
    except FileNotFoundError:  # It has just saved its state and exited.
        return False
    if not _is_emulator(pid):
        return True
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + SAVE_SECONDS
    while _is_emulator(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return True
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
    return False


def free_port() -> int:
    """A free TCP port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _readdress_queues(state: Path, port: int) -> None:
    """Adapt queue URLs to the port, which is part of a queue's identity in the saved state."""
    for service in ("sqs", "lambda", "cloudformation"):
        saved = state / f"{service}.json"
        if saved.exists():
            saved.write_text(QUEUE_ADDRESS.sub(f"http://127.0.0.1:{port}/", saved.read_text()))


def _environment(data: Path, port: int, *, auth: bool, persist: bool, relay: str) -> dict[str, str]:
    """The environment of the emulator, and so of the functions."""
    saved = "1" if persist else "0"
    return {
        "PATH": os.defpath,
        "HOME": str(data),
        "TMPDIR": str(data / "tmp"),
        "LANG": "C.UTF-8",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "AUTH": "true" if auth else "false",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": saved,
        "STATE_DIR": str(data / "state"),
        "S3_PERSIST": saved,
        "S3_DATA_DIR": str(data / "s3"),
        "LOG_LEVEL": "WARNING",
        "RETOUR_LIFELINE": "1",
        # A burst of uploads starts a worker each, of some 60 MB; idle ones exit.
        "LAMBDA_WARM_TTL_SECONDS": "30",
        **({"SMTP_HOST": relay} if relay else {}),
    }


def _access_environment(key: str, front: str) -> dict[str, str]:
    """The gateway's settings. Functions sign with the inherited key; those with roles send the key itself."""
    return {"RETOUR_AWS_KEY": key, "RETOUR_FRONT": front, "AWS_SECRET_ACCESS_KEY": key} if key else {}


def _wait_until_ready(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the embedded AWS ended with code {process.returncode} while starting; see {log}")
        try:
            with NO_PROXY_OPENER.open(f"{endpoint}/_ministack/ready", timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.02)
    raise TimeoutError(f"the embedded AWS did not answer on {endpoint} within {READY_SECONDS:.0f} s; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> bool:
    """Stop the emulator. Returns whether it saved its state."""
    process.terminate()
    try:
        return process.wait(SAVE_SECONDS) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    finally:
        assert process.stdin is not None
        process.stdin.close()


def _kill_workers(data: Path) -> None:
    """Kill workers left by a killed emulator, which would write to the tables of the next one."""
    mark = os.fsencode(data / "tmp") + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def _is_emulator(pid: int) -> bool:
    """Whether a process id still belongs to our emulator, since ids are reused."""
    if pid <= 0:
        return False
    command = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        return command.exists() and any(
            mark in command.read_bytes() for mark in (os.fsencode(GATEWAY_SCRIPT), b"-m\0ministack")
        )
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return str(GATEWAY_SCRIPT) in shown.stdout or "-m ministack" in shown.stdout
